"""Which jobs of a compiled project share a task, and so a process: short ones of one step."""

import hashlib
import math
from collections.abc import Mapping
from statistics import fmean

from tlimb.stages.graph import Stage, StageGraph

StepKey = tuple[str, str]
"""Kind and name of a step."""

TASK_S = 300.0
"""How long a task of several short stages is meant to take: beside it starting a process costs little, and a lost one loses little."""

TASKS = 8
"""A step that has at least so many stages keeps so many tasks, which a cluster can run at the same time."""

LARGEST = 100
"""Stages in one task at most."""


def step_of(stage: Stage) -> StepKey:
    """What makes stages tasks of one process: the step's name; preparing is one step for all data sets, so is reading weights."""
    return (stage.kind, stage.kind) if stage.kind in ("prepare", "weights") else (stage.kind, stage.name)


def sizes(graph: StageGraph, expected: Mapping[str, float], asked: int | None = None) -> dict[StepKey, int]:
    """How many stages of each step share a task; steps whose stages stay alone are left out.

    Args:
        graph: What is to be computed; of a search the first round, by which the others go.
        expected: Seconds that a stage takes, by digest, as far as they are known.
        asked: The number for all steps. Without it so many as take `TASK_S` together; one where that is not known, since a task that holds
            many long stages would be worse than many tasks.
    """
    members: dict[StepKey, list[Stage]] = {}
    for stage in graph.stages:
        if stage.kind in ("fit", "evaluate"):
            members.setdefault(step_of(stage), []).append(stage)
    found = {}
    for key, stages in members.items():
        seconds = [expected[stage.digest] for stage in stages if stage.digest in expected]
        size = asked or 1
        if asked is None and len(seconds) == len(stages):
            size = min(int(TASK_S / max(fmean(seconds), 1e-3)), math.ceil(len(stages) / TASKS), LARGEST)
        if size > 1:
            found[key] = size
    return found


def packs(graph: StageGraph, sizes: Mapping[StepKey, int]) -> dict[str, str]:
    """The name of its pack for each stage that shares its task with others, by digest.

    Stages of a round of a search stay together, so that further rounds change no pack. Neighbours in the graph mostly have the same
    parents. A name follows from the members.
    """
    groups: dict[tuple[int, StepKey, int], list[str]] = {}
    rounds = _rounds(graph)
    for stage in graph.stages:
        if sizes.get(step_of(stage), 1) > 1:
            groups.setdefault((rounds.get(stage.digest, 0), step_of(stage), stage.devices), []).append(stage.digest)
    found: dict[str, str] = {}
    for (_, key, _), digests in groups.items():
        count = math.ceil(len(digests) / sizes[key])
        for number in range(count):
            members = digests[number * len(digests) // count : (number + 1) * len(digests) // count]
            if len(members) > 1:
                name = f"x{len(members)}-{hashlib.sha256(' '.join(sorted(members)).encode()).hexdigest()[:16]}"
                found |= dict.fromkeys(members, name)
    return found


def _rounds(graph: StageGraph) -> dict[str, int]:
    """In which round of a search each stage is asked for; empty where there is no search."""
    if graph.search is None:
        return {}
    found: dict[str, int] = {}
    for number, variant in enumerate(graph.variants):
        for digest in variant.stages:
            found.setdefault(digest, number // graph.search.round)
    return found
