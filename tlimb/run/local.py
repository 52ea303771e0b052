"""The local engine: a scheduler without torch over warm worker processes."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tlimb.configs.text import dump
from tlimb.emit.lengths import ways
from tlimb.emit.width import width
from tlimb.errors import TlimbError
from tlimb.files import write_text, writing
from tlimb.run import machine
from tlimb.run.interrupts import Interrupts
from tlimb.run.progress import Event, Observer, Outcome, silent
from tlimb.run.store import Store
from tlimb.run.worker import COMMAND, Worker
from tlimb.stages.graph import Stage, StageGraph

SAVED = 75
"""Exit status of a stage that was asked to stop and has saved its state."""

POLL_S = 1.0
"""How often one looks whether another run on the same store has finished a stage."""


def run_local(
    graph: StageGraph,
    store: Store,
    *,
    datasets: Path | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    lengths: Mapping[str, float] | None = None,
    observer: Observer = silent,
    more: Callable[[], StageGraph | None] = lambda: None,
    only: Collection[str] | None = None,
    worker_command: Sequence[str] = COMMAND,
) -> Outcome:
    """Run the stages that are not finished; run again to go on after an interruption.

    Args:
        graph: what is to be computed.
        store: where finished stages are and go.
        datasets: the datasets.yaml, for the stages that prepare data.
        jobs: stages at a time; default: one per GPU, or one per core where there are none. More than there are GPUs share them. A stage on
            several devices counts as many where GPUs or cores run out.
        threads: threads of a stage; default: the cores divided by the stages at a time.
        lengths: how long stages take, by digest, in any unit: what is longest on the way to an end is started first.
        observer: called with every event, always in this thread.
        more: called whenever nothing is left to do: a graph with further stages (the next round of a search), or None.
        only: digests of the stages to run, with all that they need; default: all. Threads follow from the whole graph all the same.
        worker_command: the worker process, for tests.

    Raises:
        InputError: the store cannot be written.
        TlimbError: no worker process can be started.
    """
    scheduler = _Scheduler(
        graph,
        store,
        datasets=datasets,
        jobs=jobs,
        threads=threads,
        lengths=lengths or {},
        observer=observer,
        more=more,
        only=only,
        command=worker_command,
    )
    return scheduler.run()


@dataclass(frozen=True, slots=True)
class Capacity:
    """How a machine is shared out.

    Attributes:
        gpus: As CUDA_VISIBLE_DEVICES takes them.
        stages: At a time.
        places: A place is a GPU, or some cores; a stage takes one for each of its devices.
        threads: Of a place.
    """

    gpus: tuple[str, ...]
    stages: int
    places: int
    threads: int


def capacity(graph: StageGraph, jobs: int | None = None) -> Capacity:
    """How this machine is shared out among the stages of a graph.

    From the whole graph, finished stages included: were it from what is left, a resumed run would use other numbers of threads, and sums
    over threads differ in their last bits.

    Args:
        graph: What is to be computed.
        jobs: Stages at a time; default: one per GPU, or one per core where there are none.
    """
    cores, gpus = machine.cores(), machine.gpus()
    stages = max(1, min(jobs or len(gpus) or cores, width(graph)))
    widest = max((stage.devices for stage in graph.stages), default=1)
    places = max(stages, min(len(gpus) or cores, stages * widest))
    return Capacity(gpus, stages, places, max(1, cores // places))


class _Scheduler:
    """The state of one run; a stage is in exactly one of: waiting for parents, ready, elsewhere, at a worker, ended."""

    def __init__(
        self,
        graph: StageGraph,
        store: Store,
        *,
        datasets: Path | None,
        jobs: int | None,
        threads: int | None,
        lengths: Mapping[str, float],
        observer: Observer,
        more: Callable[[], StageGraph | None],
        only: Collection[str] | None,
        command: Sequence[str],
    ) -> None:
        self.store, self.datasets, self.observer, self.more, self.command = store, datasets, observer, more, command
        self.lengths = lengths
        self.stages: dict[str, Stage] = {}
        self.order: dict[str, int] = {}
        self.children: dict[str, list[str]] = {}
        self.weights: dict[str, float] = {}
        self.missing: dict[str, int] = {}
        self.ready: list[tuple[float, int, str]] = []
        self.elsewhere: list[str] = []
        self.waited: set[str] = set()
        self.damaged: dict[str, str] = {}
        self.cached: list[str] = []
        self.done: list[str] = []
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

        room = capacity(graph, jobs)
        self.gpus, self.limit, self.places, self.threads_a_place = room.gpus, room.stages, room.places, room.threads
        self.threads = threads

        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.workers: list[Worker | None] = [None] * self.places
        self.taken: dict[int, tuple[int, ...]] = {}
        self.attempts: Counter[str] = Counter()
        self.stillborn = 0
        self._take(graph, only)

    def run(self) -> Outcome:
        self.store.create()
        self.observer(Event("begin", total=len(self.stages), cached=len(self.cached)))
        self._tell_damaged()
        interrupts = Interrupts(lambda: self.inbox.put((None, None)))
        try:
            with interrupts:
                self._loop(interrupts)
        finally:
            for worker in filter(None, self.workers):
                worker.end()
        outcome = Outcome(
            done=tuple(self.done), cached=tuple(self.cached), failed=self.failed, skipped=self.skipped, interrupted=interrupts.count > 0
        )
        self.observer(Event("end", outcome=outcome))
        return outcome

    def _loop(self, interrupts: Interrupts) -> None:
        while True:
            if not interrupts.count:
                self._dispatch()
            if not any(worker and worker.job for worker in self.workers) and (interrupts.count or not self.elsewhere):
                if interrupts.count or not self._grow():
                    return
                continue
            try:
                worker, reply = self.inbox.get(timeout=POLL_S if self.elsewhere else None)
            except Empty:
                continue
            if worker is None:
                for busy in [worker for worker in self.workers if worker and worker.job]:
                    busy.terminate() if interrupts.count == 1 else busy.kill()
            elif reply is None:
                self._ended(worker, interrupted=interrupts.count > 0)
            else:
                self._replied(worker, reply, interrupted=interrupts.count > 0)

    def _grow(self) -> bool:
        """Whether there is a further round, which is then taken up."""
        graph = self.more()
        if graph is None:
            return False
        known, cached = len(self.stages), len(self.cached)
        skipped = self._take(graph)
        new = tuple(self.stages.values())[known:]
        self.observer(Event("asked", stages=new, total=len(self.stages), cached=len(self.cached) - cached))
        self._tell_damaged()
        for digest in skipped:
            self.observer(Event("skipped", digest=digest, message=self.skipped[digest]))
        return True

    def _take(self, graph: StageGraph, only: Collection[str] | None = None) -> list[str]:
        """Take up the stages that are not known yet, or only some of them; returns those that can never run."""
        new = [stage for stage in graph.stages if stage.digest not in self.stages and (only is None or stage.digest in only)]
        for stage in new:
            self.order[stage.digest] = len(self.stages)
            self.stages[stage.digest] = stage
            self.children[stage.digest] = []
            for parent in dict.fromkeys(stage.parents):
                self.children[parent].append(stage.digest)
        self.weights = ways(graph, self.lengths)
        self.cached += self._finished(new)
        finished = {*self.cached, *self.done}
        skipped = []
        for stage in new:
            lost = [self.skipped.get(parent, parent) for parent in stage.parents if parent in self.failed or parent in self.skipped]
            if stage.digest in finished:
                continue
            if lost:
                self.skipped[stage.digest] = lost[0]
                skipped.append(stage.digest)
                continue
            self.missing[stage.digest] = len(set(stage.parents) - finished)
            if not self.missing[stage.digest]:
                self._push(stage.digest)
        return skipped

    def _finished(self, stages: Sequence[Stage]) -> list[str]:
        """Stages whose results are there, whole where others are computed from them; a damaged result is set aside."""
        found: list[str] = []
        needed: set[str] = set()
        for stage in reversed(stages):
            if self.store.is_done(stage.digest, contents=stage.digest in needed):
                found.append(stage.digest)
                continue
            if trouble := self.store.set_aside(stage.digest):
                self.damaged[stage.digest] = trouble
            needed.update(stage.parents)
        return found[::-1]

    def _tell_damaged(self) -> None:
        for digest, trouble in self.damaged.items():
            self.observer(Event("retried", digest=digest, message=trouble))
        self.damaged.clear()

    def _dispatch(self) -> None:
        """Hand ready stages to free workers, the longest way to the end first; a worker is started only for a stage."""
        elsewhere, self.elsewhere = self.elsewhere, []
        for digest in elsewhere:
            self._push(digest)
        while self.ready and (places := self._free(self.stages[self.ready[0][-1]])):
            digest = heapq.heappop(self.ready)[-1]
            state = self.store.state(digest)
            if state == "done":
                self._finish(digest, {})
            elif state == "running":
                self.elsewhere.append(digest)
                if digest not in self.waited:
                    self.waited.add(digest)
                    self.observer(Event("waiting", digest=digest, message=self.store.holder(digest)))
            else:
                self._start(self.stages[digest], places)

    def _free(self, stage: Stage) -> tuple[int, ...]:
        """Places for a stage, that of its worker first, warm ones before others; none while there are too few."""
        busy = [self.taken[place] for place, worker in enumerate(self.workers) if worker and worker.job]
        free = sorted(set(range(self.places)).difference(*busy), key=lambda place: self.workers[place] is None)
        if self.gpus and stage.devices > 1:
            free = list({self._gpu(place): place for place in reversed(free)}.values())[::-1]
        count = min(stage.devices, len(self.gpus) or self.places, self.places)
        return tuple(free[:count]) if len(busy) < self.limit and len(free) >= count else ()

    def _start(self, stage: Stage, places: tuple[int, ...]) -> None:
        threads = self.threads or self.threads_a_place * len(places)
        worker = self.workers[places[0]] or self._hire(places[0])
        try:
            with writing(self.store.root):
                partial = self.store.begin(stage.digest)
                write_text(partial / "stage.yaml", dump(stage.config))
                worker.send(
                    {
                        "job": stage.digest,
                        "config": str(partial / "stage.yaml"),
                        "out": str(self.store.folder(stage.digest)),
                        "parents": [str(self.store.folder(parent)) for parent in stage.parents],
                        "datasets": str(self.datasets) if self.datasets else None,
                        "state": str(partial),
                        "threads": threads,
                        "gpus": ",".join(map(self._gpu, places)) if self.gpus and len(places) > 1 else None,
                        "set": [],
                    },
                    partial / "log.txt",
                )
        except FileNotFoundError:  # another run has just finished it: the folder of work has become the result
            self._push(stage.digest)
            return
        self.taken[places[0]] = places
        self.attempts[stage.digest] += 1
        self.observer(Event("started", digest=stage.digest))

    def _hire(self, place: int) -> Worker:
        threads = str(self.threads or self.threads_a_place)
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpu(place)
        worker = self.workers[place] = Worker(self.inbox, environment=environment, command=self.command)
        return worker

    def _gpu(self, place: int) -> str:
        return self.gpus[place % len(self.gpus)]

    def _replied(self, worker: Worker, reply: Mapping[str, Any], *, interrupted: bool) -> None:
        event, digest = reply.get("event"), worker.job
        if event == "ready":
            worker.ready = True
        elif digest is None or reply.get("job") != digest:
            return
        elif event == "epoch":
            epoch, epochs = int(reply.get("epoch") or 0), int(reply.get("epochs") or 0)
            self.observer(Event("epoch", digest=digest, epoch=epoch, epochs=epochs, metrics=reply.get("metrics") or {}))
        elif event == "warning":
            self.observer(Event("warning", digest=digest, message=str(reply.get("message") or "")))
        elif event == "finished":
            worker.release()
            if self.store.is_done(digest):
                self._finish(digest, reply.get("metrics") or {})
            else:
                self._fail(digest, f"it finished without results in {self.store.folder(digest)}")
        elif event == "failed":
            worker.release()
            message = str(reply.get("message") or "it failed without a message")
            if self.store.is_done(digest):  # by another run, so that its folder of work was gone
                self._finish(digest, {})
            elif reply.get("status") != SAVED:
                self._fail(digest, message)
            elif not interrupted:
                self._again(digest, message)

    def _ended(self, worker: Worker, *, interrupted: bool) -> None:
        self.workers[self.workers.index(worker)] = None
        digest = worker.release()
        obituary = worker.obituary()
        worker.end()
        if not digest:
            return
        self.stillborn = 0 if worker.ready else self.stillborn + 1
        if interrupted:
            return
        if self.stillborn > 1:
            raise TlimbError(f"no worker can be started: {obituary}", f"the command is: {' '.join(self.command)}")
        self._again(digest, obituary)

    def _again(self, digest: str, message: str) -> None:
        """A stage whose worker was lost is tried once more; it goes on from its last checkpoint."""
        if self.attempts[digest] > 1:
            self._fail(digest, message)
        else:
            self.observer(Event("retried", digest=digest, message=message))
            self._push(digest)

    def _finish(self, digest: str, metrics: Mapping[str, float | None]) -> None:
        self.store.clear(digest)
        self.done.append(digest)
        self.observer(Event("finished", digest=digest, metrics=metrics))
        for child in self.children[digest]:
            if child in self.missing:
                self.missing[child] -= 1
                if not self.missing[child]:
                    self._push(child)

    def _fail(self, digest: str, message: str) -> None:
        self.failed[digest] = message
        self.store.mark_failed(digest, message)
        self.observer(Event("failed", digest=digest, message=message))
        below = [digest]
        while below:
            for child in self.children[below.pop()]:
                if child in self.missing and child not in self.skipped:
                    self.skipped[child] = digest
                    self.observer(Event("skipped", digest=child, message=digest))
                    below.append(child)

    def _push(self, digest: str) -> None:
        heapq.heappush(self.ready, (-self.weights[digest], self.order[digest], digest))
