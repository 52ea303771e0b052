"""What a recipe is expected to take, from what a probe has measured; and how long stages are beside each other, for who starts first."""

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tlimb.catalogue.listing import Dataset
from tlimb.emit.lengths import ways
from tlimb.files import read_json
from tlimb.results.times import duration
from tlimb.run.anatomy import parameters
from tlimb.run.local import capacity
from tlimb.run.probe import Timing, known
from tlimb.run.store import Store, write_json
from tlimb.stages.graph import Stage, StageGraph


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one stage takes.

    Attributes:
        seconds: Wall time in a process that is there already.
        cpu_s: Of all its threads.
        gpu_s: Wall time times GPUs.
        disk: Bytes of its result.
        start_s: Wall time of starting such a process.
        start_cpu_s: CPU time of that.
    """

    seconds: float
    cpu_s: float
    gpu_s: float
    disk: int
    start_s: float
    start_cpu_s: float

    def document(self) -> dict[str, Any]:
        """As in `tlimb plan --json`."""
        return {"seconds": round(self.seconds, 3), "cpu_s": round(self.cpu_s, 3), "gpu_s": round(self.gpu_s, 3), "disk": self.disk}


@dataclass(frozen=True, slots=True)
class Total:
    """What a graph, or what is left of it, takes.

    Attributes:
        seconds: Wall time.
        slots: Stages at a time.
        cpu_s: CPU time, that of starting processes included.
        gpu_s: Wall time times GPUs.
        disk: Bytes of the results.
        stages: How many stages.
    """

    seconds: float
    slots: int
    cpu_s: float
    gpu_s: float
    disk: int
    stages: int

    def document(self) -> dict[str, Any]:
        """As in `tlimb plan --json`."""
        times = {"seconds": round(self.seconds, 1), "cpu_s": round(self.cpu_s, 1), "gpu_s": round(self.gpu_s, 1)}
        return {"stages": self.stages, "slots": self.slots, **times, "disk": self.disk}


def expected(graph: StageGraph, *, jobs: int | None = None, threads: int | None = None) -> dict[str, Expectation]:
    """What each stage takes on this machine, by digest, as far as its like was measured here with as many threads."""
    room = capacity(graph, jobs)
    timings = known(graph, threads or room.threads)
    return {
        stage.digest: _expectation(stage, timings[stage.digest], threads or room.threads, bool(room.gpus))
        for stage in graph.stages
        if stage.digest in timings
    }


def total(
    graph: StageGraph, expectations: Mapping[str, Expectation], left: Iterable[str], slots: int, *, warm: bool = True
) -> Total | None:
    """What the stages of a graph that are left take together; None where something is not known of one of them.

    Args:
        graph: What is to be computed.
        expectations: By digest.
        left: Digests of the stages that are not finished.
        slots: Stages at a time.
        warm: Whether a process runs one stage after another, as those of the local engine do, or each stage has one of its own.
    """
    todo = set(left)
    if not todo <= expectations.keys():
        return None
    stages = [stage for stage in graph.stages if stage.digest in todo]
    seconds, processes = _scheduled(graph, stages, expectations, slots, warm=warm)
    found = [expectations[stage.digest] for stage in stages]
    start_cpu = fmean(item.start_cpu_s for item in found) * processes if found else 0.0
    return Total(
        seconds, slots, sum(e.cpu_s for e in found) + start_cpu, sum(e.gpu_s for e in found), sum(e.disk for e in found), len(found)
    )


def totals(
    graph: StageGraph, expectations: Mapping[str, Expectation], states: Mapping[str, str], *, jobs: int | None, slots: int | None
) -> dict[str, Total]:
    """What `tlimb plan` shows: `all`, `left` where some stages are finished, and `cluster` where a number of slots is given."""
    here = capacity(graph, jobs).stages
    every = [stage.digest for stage in graph.stages]
    left = [digest for digest in every if states.get(digest) != "done"]
    found = {"all": total(graph, expectations, every, here)}
    if len(left) < len(every):
        found["left"] = total(graph, expectations, left, here)
    if slots:
        found["cluster"] = total(graph, expectations, left, slots, warm=False)
    return {word: item for word, item in found.items() if item is not None}


def _scheduled(
    graph: StageGraph, stages: list[Stage], expectations: Mapping[str, Expectation], slots: int, *, warm: bool
) -> tuple[float, int]:
    """When the last stage ends, if the longest way to the end goes first; and how many processes are started for that."""
    priority = ways(graph, {digest: item.seconds for digest, item in expectations.items()})
    order = {stage.digest: number for number, stage in enumerate(graph.stages)}
    mine = {stage.digest for stage in stages}
    missing = {stage.digest: len(mine.intersection(stage.parents)) for stage in stages}
    children: dict[str, list[str]] = {}
    for stage in stages:
        for parent in mine.intersection(stage.parents):
            children.setdefault(parent, []).append(stage.digest)
    ready = [(-priority[digest], order[digest], digest) for digest, count in missing.items() if not count]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now, started = 0.0, 0
    while ready or running:
        while ready and len(running) < slots:
            digest = heapq.heappop(ready)[-1]
            length = expectations[digest].seconds
            if not warm or started <= len(running):
                started += 1
                length += expectations[digest].start_s
            heapq.heappush(running, (now + length, digest))
        now, digest = heapq.heappop(running)
        for child in children.get(digest, ()):
            missing[child] -= 1
            if not missing[child]:
                heapq.heappush(ready, (-priority[child], order[child], child))
    return now, started


def _expectation(stage: Stage, timing: Timing, threads: int, on_gpu: bool) -> Expectation:
    start = {"start_s": timing["start_s"], "start_cpu_s": timing["start_cpu_s"]}
    if stage.kind == "prepare":
        seconds = timing["scan_s"] * timing["scans"]
        return Expectation(seconds=seconds / threads, cpu_s=seconds, gpu_s=0.0, disk=timing["bytes"], **start)
    batches = timing["batches"]
    seconds = timing.get("setup_s", 0.0) + timing["finish_s"]
    seconds += (batches.get("val", 0) * (stage.kind == "fit") + batches.get("test", 0)) * timing["validate_s"]
    if stage.kind == "fit":
        steps = batches["train"] / stage.devices
        seconds += epochs_of(stage, math.ceil(steps)) * (
            steps * timing["step_s"] + batches["val"] / stage.devices * timing["validate_s"] + timing["epoch_s"]
        )
    gpu_s = seconds * stage.devices if on_gpu else 0.0
    return Expectation(seconds=seconds, cpu_s=seconds * timing["cpu_per_s"], gpu_s=gpu_s, disk=timing["bytes"], **start)


def epochs_of(stage: Stage, steps: int = 1) -> float:
    """How many epochs a stage trains, if nothing stops it early."""
    arguments = stage.config.get("trainer", {}).get("init_args") or {}
    epochs = arguments.get("max_epochs")
    if epochs is None or epochs < 0:
        return float(arguments.get("max_steps", 1)) / max(1, steps)
    return float(epochs)


def lengths(graph: StageGraph, expectations: Mapping[str, Expectation], store: Store, datasets: Mapping[str, Dataset]) -> dict[str, float]:
    """How long each stage is beside the others, in seconds as far as anything is known of seconds.

    What was measured counts; else what a stage of the same step took that is finished; else the work that the config tells of: subjects
    x epochs x parameters.
    """
    found = {digest: item.seconds for digest, item in expectations.items()}
    rest = [stage for stage in graph.stages if stage.digest not in found]
    if not rest:
        return found
    counts = parameters(graph, store=store, ask=False)
    work = {stage.digest: _work(stage, counts.get(stage.digest), datasets) for stage in graph.stages}
    took = {stage.digest: seconds for stage in rest if (seconds := _took(stage, store))}
    both = {digest: seconds for digest, seconds in {**found, **took}.items() if work[digest]}
    # Seconds for each unit of work, of the stages of a kind, else of all.
    rates: dict[str, list[float]] = {}
    kinds = {stage.digest: stage.kind for stage in graph.stages}
    for digest, seconds in both.items():
        rates.setdefault(kinds[digest], []).append(seconds / work[digest])
    every = [rate for values in rates.values() for rate in values]
    for stage in rest:
        rate = fmean(rates.get(stage.kind) or every or [1.0])
        found[stage.digest] = took.get(stage.digest) or rate * work[stage.digest]
    return found


def _took(stage: Stage, store: Store) -> float | None:
    """The seconds that a finished stage has taken."""
    seconds = read_json(store.folder(stage.digest) / "environment.json").get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


def _work(stage: Stage, counts: Mapping[str, int] | None, datasets: Mapping[str, Dataset]) -> float:
    """Subjects x epochs x parameters; those that are frozen are passed through once instead of three times."""
    if stage.kind == "weights":
        return 1.0
    if stage.kind == "prepare":
        return float(len(datasets[stage.config["dataset"]["name"]].listing().scans)) if stage.config["dataset"]["name"] in datasets else 1.0
    used = {(item["dataset"], item.get("part")) for item in (*stage.config["targets"], *stage.config.get("unlabelled", ()))}
    subjects = float(sum(_subjects(stage, *use, datasets) for use in used))
    if n := stage.config.get("data", {}).get("init_args", {}).get("n"):
        subjects = min(subjects, float(n))
    passes = (3 * counts["trainable"] + counts["frozen"]) / 1e6 if counts else 1.0
    return subjects * (epochs_of(stage) if stage.kind == "fit" else 0.3) * max(passes, 1e-3)


def _subjects(stage: Stage, dataset: str, part: str | None, datasets: Mapping[str, Dataset]) -> float:
    everybody = len(datasets[dataset].listing().groups) if dataset in datasets else 100
    amounts = dict(map(tuple, (stage.config.get("split", {}).get(dataset) or {}).get("parts") or ()))
    amount = amounts.get(part, 1.0) if part else 1.0
    return float(amount) if isinstance(amount, int) else amount * everybody


def size(disk: float) -> str:
    """Bytes as people say them."""
    units = ("kB", "MB", "GB", "TB")
    power = next((number for number in (1, 2, 3) if disk < 999.5 * 1000**number), 4)
    amount = disk / 1000**power
    return f"{amount:.0f} {units[power - 1]}" if amount >= 9.95 else f"{amount:.1f} {units[power - 1]}"


def spoken(whole: Total) -> str:
    """A total as one line."""
    parts = [f"{duration(whole.seconds)} ({whole.slots} at a time)", f"{duration(whole.cpu_s)} of CPU"]
    parts += [f"{duration(whole.gpu_s)} of GPU"] if whole.gpu_s else []
    return ", ".join([*parts, size(whole.disk)])


def remember(file: Path, expectations: Mapping[str, Expectation]) -> None:
    """Add to what was expected before stages were run, so that it can be laid beside what they took."""
    before = recalled(file)
    stages = {**before, **{digest: item.document() for digest, item in expectations.items() if digest not in before}}
    if stages:
        write_json(file, {"format": 1, "stages": stages})


def recalled(file: Path) -> dict[str, dict[str, Any]]:
    """What was expected of stages, by digest."""
    stages = read_json(file).get("stages")
    return stages if isinstance(stages, dict) else {}
