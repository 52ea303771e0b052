"""States of all stages of a recipe, read from what runs write: the store's files, and Nextflow's log and trace.

A `Monitor` is asked again and again and reads only what has grown. Whoever has started a run, and wherever, is shown alike.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from tlimb.drawing.marks import Mark
from tlimb.drawing.marks import fold as folded
from tlimb.drawing.picture import members
from tlimb.results.variants import distinctions
from tlimb.run.nextflow_log import NextflowLog, Task
from tlimb.run.progress import headline
from tlimb.run.runs import Run, Runs
from tlimb.run.stage_files import NO_WORK, Finished, Work, monitored, read_finished
from tlimb.run.store import Store, is_locked
from tlimb.stages.graph import Stage, StageGraph

StageStateName: TypeAlias = Literal["idle", "queued", "running", "done", "cached", "failed"]
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class StageState:
    """What is known of a stage.

    Attributes:
        digest: Of the stage.
        name: Of its step, or of the data set it prepares.
        apart: What tells it from others of that name.
        kind: prepare, weights, fit or evaluate; empty where it is not known yet.
        state: `cached` is finished by an earlier run than the latest one that needs it.
        epoch: Epochs that are done; of a stage that prepares data: images.
        epochs: How many there will be.
        metrics: The latest ones.
        monitor: The metric by which it chooses its best epoch.
        message: Why it failed, what it waits for, or where it was interrupted.
        folder: Where its files are now; None where it has none yet.
        log: What it prints.
        seconds: How long it took, or has been at work.
        remaining: Seconds it will go on for, as far as one can tell.
        stopped_early: The epoch after which a search gave it up.
    """

    digest: str
    name: str = ""
    kind: str = ""
    apart: str = ""
    state: StageStateName = "idle"
    epoch: int = 0
    epochs: int = 0
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    monitor: str = ""
    message: str = ""
    folder: Path | None = None
    log: Path | None = None
    seconds: float | None = None
    remaining: float | None = None
    stopped_early: int | None = None

    @property
    def unit(self) -> str:
        """What is counted."""
        return "image" if self.kind == "prepare" else "epoch"

    @property
    def finished(self) -> bool:
        """Whether its results are there."""
        return self.state in ("done", "cached")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All stages at one moment.

    Attributes:
        stages: By digest, parents before children; without a plan those of the store, as they were made.
        runs: Those at work, the earliest first.
        last: The latest run, at work or not.
        metric: What variants are ranked by; empty without a plan.
    """

    stages: Mapping[str, StageState]
    runs: tuple[Run, ...] = ()
    last: Run | None = None
    metric: str = ""

    @property
    def counts(self) -> Counter[StageStateName]:
        """How many stages are in which state."""
        return Counter(stage.state for stage in self.stages.values())

    @property
    def done(self) -> int:
        """How many stages are finished."""
        return sum(stage.finished for stage in self.stages.values())

    @property
    def progress(self) -> float:
        """The share of the stages that is finished, those at work by their epochs."""
        parts = sum(stage.epoch / stage.epochs for stage in self.stages.values() if stage.state == "running" and stage.epochs)
        return (self.done + parts) / len(self.stages) if self.stages else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds until all that is planned to run has ended, from stages of the same step; None while one cannot tell."""
        waiting = [stage for stage in self.stages.values() if stage.state in ("running", "queued")]
        at_work = sum(stage.state == "running" for stage in waiting)
        if not at_work:
            return None
        took: dict[tuple[str, str], list[float]] = {}
        for stage in self.stages.values():
            if stage.seconds is not None and (stage.finished or stage.remaining is not None):
                took.setdefault((stage.kind, stage.name), []).append(stage.seconds + (stage.remaining or 0.0))
        total = longest = 0.0
        for stage in waiting:
            known = took.get((stage.kind, stage.name))
            left = stage.remaining if stage.state == "running" else sum(known) / len(known) if known else None
            if left is None:
                return None
            total, longest = total + left, max(longest, left)
        return max(longest, total / at_work)


EMPTY = Snapshot({})


def fold(plan: StageGraph, snapshot: Snapshot) -> dict[str, Mark]:
    """The mark of every node of the recipe's picture: a sweep in one node is counted, a single stage says how far it is or how good."""
    found = {}
    for node, digests in members(plan).items():
        stages = [snapshot.stages.get(digest, StageState(digest)) for digest in digests]
        mark = folded(stage.state for stage in stages)
        found[node] = Mark(mark.state, detail(stages[0], snapshot.metric)) if len(stages) == 1 else mark
    return found


def detail(stage: StageState, metric: str) -> str:
    """A word or two: how far a stage is, or what came out."""
    if stage.state == "running":
        return f"{stage.epoch}/{stage.epochs}" if stage.epochs else ""
    if stage.finished and (name := headline(stage.metrics, metric, stage.monitor)):
        return f"{name.rpartition('.')[2]} {stage.metrics[name]:.3g}"
    return ""


class Monitor:
    """Looks at a store.

    Args:
        store: Need not exist yet.
        plan: The stages to show; without, all that the store holds.
    """

    def __init__(self, store: Store, plan: StageGraph | None = None) -> None:
        self.store = store
        self.plan = plan
        self._runs = Runs(store)
        self._nextflow = NextflowLog(store)
        self._finished: dict[str, tuple[tuple[int, int], Finished | None]] = {}
        self._work: dict[Path, Work] = {}
        self._known: dict[str, _Known] = {}
        self._last = EMPTY
        self.follow(plan)

    def follow(self, plan: StageGraph | None) -> None:
        """Show another plan from now on."""
        self.plan = plan
        apart = distinctions(plan) if plan else {}
        self._known = {
            stage.digest: _Known(
                stage.name, stage.kind, stage.parents, _epochs(stage), monitored(stage.config), apart.get(stage.digest, "")
            )
            for stage in (plan.stages if plan else ())
        }

    def poll(self) -> Snapshot:
        """Look again; the same object as before if nothing has changed."""
        there = _folders(self.store.root)
        partial = _folders(self.store.root / ".partial")
        runs = self._runs.look()
        self._nextflow.look(name for name in there if not _DIGEST.fullmatch(name))
        if self._nextflow.run is not None:
            runs = tuple(sorted((*runs, self._nextflow.run), key=lambda run: run.started))
        work = {name: self.store.root / ".partial" / name for name in partial}
        if (elsewhere := self._nextflow.state) is not None:
            work = {name: elsewhere / name for name in _folders(elsewhere)} | work
        look = _Look(
            now=time.time(),
            there=there,
            work=work,
            latest={digest: run for run in runs for digest in run.stages},
            live=[run for run in runs if run.state == "running"],
            tasks=self._nextflow.tasks,
        )
        states: dict[str, StageState] = {}
        for digest in self._digests(look, runs):
            states[digest] = self._state(digest, look, states)
        found = Snapshot(states, tuple(look.live), runs[-1] if runs else None, self.plan.rank.metric if self.plan else "")
        self._last = self._last if found == self._last else found
        return self._last

    def _digests(self, look: "_Look", runs: Iterable[Run]) -> list[str]:
        """The plan's stages, and those that runs of the same recipe have asked for since (rounds of a search); or all there are."""
        if self.plan is not None:
            extra = {digest for run in runs if self.plan.search and run.recipe == self.plan.recipe for digest in run.stages}
            return [*self._known, *sorted(extra - self._known.keys())]
        finished = {name for name in look.there if _DIGEST.fullmatch(name) and self._done(name, look)}
        names = finished | look.work.keys() | {digest for run in look.live for digest in run.stages}
        return sorted(names, key=lambda name: (look.there.get(name) or look.age(name), name))

    def _state(self, digest: str, look: "_Look", before: Mapping[str, StageState]) -> StageState:
        known = self._known.get(digest, _UNKNOWN)
        task = look.task(digest)
        if done := self._done(digest, look):
            latest = look.latest.get(digest)
            cached = (latest is not None and latest.started > done.at) or (task is not None and task.status == "cached")
            return StageState(
                digest,
                known.name or done.name,
                known.kind or done.kind,
                known.apart,
                "cached" if cached else "done",
                done.epochs,
                done.epochs,
                done.metrics,
                done.monitor,
                folder=self.store.folder(digest),
                log=self.store.folder(digest) / "log.txt",
                seconds=done.seconds,
                stopped_early=done.stopped_early,
            )
        folder = look.work.get(digest)
        work = self._look_at(folder) if folder else NO_WORK
        named = StageState(
            digest,
            known.name or work.name,
            known.kind or work.kind,
            known.apart,
            epoch=work.epoch,
            epochs=work.epochs or known.epochs,
            metrics=work.metrics,
            monitor=known.monitor or work.monitor,
            folder=folder,
            log=_log(folder, task),
        )
        began = max((run.started for run in look.live if digest in run.stages), default=None)
        if folder and is_locked(folder / "lock"):
            return replace(named, state="running", seconds=work.elapsed(look.now), remaining=work.remaining(look.now))
        if task and task.status == "submitted" and began is not None and work.at_work and work.began >= began:
            # On another node, behind a file system that does not carry locks.
            return replace(named, state="running", seconds=work.elapsed(look.now), remaining=work.remaining(look.now))
        if failure := _failure(work, task, since=began):
            look.lost[digest] = named.name
            return replace(named, state="failed", message=failure, seconds=work.took)
        if lost := next((look.lost[parent] for parent in known.parents if parent in look.lost), ""):
            look.lost[digest] = lost
            return replace(named, message=f"needs {lost}, which failed")
        if began is not None:
            return replace(named, state="queued", message=self._waits_for(known, before, task))
        return replace(named, message=f"interrupted after {named.unit} {work.epoch}" if work.epoch else "")

    def _waits_for(self, known: "_Known", before: Mapping[str, StageState], task: Task | None) -> str:
        if task and task.status in ("submitted", "retried"):
            return "submitted" if task.status == "submitted" else "is tried again"
        names = dict.fromkeys(before[parent].name for parent in known.parents if parent in before and not before[parent].finished)
        return f"waits for {', '.join(names)}" if names else ""

    def _done(self, digest: str, look: "_Look") -> Finished | None:
        stamp = look.there.get(digest)
        if stamp is None:
            return None
        known = self._finished.get(digest)
        if known is None or known[0] != stamp:
            known = self._finished[digest] = stamp, read_finished(self.store, digest)
        return known[1]

    def _look_at(self, folder: Path) -> Work:
        if folder not in self._work:
            self._work[folder] = Work(folder)
        self._work[folder].look()
        return self._work[folder]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the plan says of a stage."""

    name: str
    kind: str
    parents: tuple[str, ...]
    epochs: int
    monitor: str
    apart: str


_UNKNOWN = _Known("", "", (), 0, "", "")


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at the folders has found."""

    now: float
    there: Mapping[str, tuple[int, int]]
    work: Mapping[str, Path]
    latest: Mapping[str, Run]
    """The latest run that computes a stage."""
    live: list[Run]
    tasks: Mapping[str, Task]
    lost: dict[str, str] = field(default_factory=dict)
    """Stages that cannot run, and the name of the one that failed."""

    def task(self, digest: str) -> Task | None:
        """What Nextflow says of a stage, unless another engine was at it since."""
        run = self.latest.get(digest)
        return self.tasks.get(digest) if run is None or run.engine == "nextflow" else None

    def age(self, digest: str) -> tuple[int, int]:
        """Where an unfinished stage stands among the finished ones: behind them."""
        return 1 << 62, int(self.latest[digest].started) if digest in self.latest else 0


def _failure(work: Work, task: Task | None, *, since: float | None) -> str:
    """Why a stage has failed; empty if it has not, or if the run that is at work will try it again."""
    if task and task.status == "failed":
        return work.failure()[1] or task.why()
    at, message = work.failure()
    return message if message and (since is None or at >= since) else ""


def _log(folder: Path | None, task: Task | None) -> Path | None:
    if folder and (folder / "log.txt").exists():
        return folder / "log.txt"
    return task.log if task else None


def _epochs(stage: Stage) -> int:
    if stage.kind != "fit":
        return 0
    return int(stage.config.get("trainer", {}).get("init_args", {}).get("max_epochs") or 0)


def _folders(root: Path) -> dict[str, tuple[int, int]]:
    """Folders by name, with what changes when a file in them comes or goes."""
    found = {}
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir():
                    status = entry.stat()
                    found[entry.name] = (status.st_mtime_ns, status.st_ino)
    except OSError:
        pass
    return found
