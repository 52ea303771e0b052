"""Stages by step, as lists show them: a sweep is one line that opens. Headless."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from time import time

from tlimb.drawing.bars import bar
from tlimb.drawing.marks import Mark, State, fold
from tlimb.drawing.picture import members, step_ids
from tlimb.recipe.tree import Recipe
from tlimb.run.monitor import Snapshot, StageState, detail
from tlimb.run.progress import SHORT, headline
from tlimb.run.runs import Run
from tlimb.run.status import clock, row
from tlimb.stages.graph import StageGraph

RUN = "run:"
"""The row of the run itself."""


@dataclass(frozen=True, slots=True)
class Group:
    """The stages of a step, or those that prepare a data set.

    Attributes:
        id: Of its node in the picture of the recipe.
        title: What it is called.
        digests: Its stages, in the order of the variants.
    """

    id: str
    title: str
    digests: tuple[str, ...]


def groups(plan: StageGraph | None, snapshot: Snapshot | None) -> list[Group]:
    """All stages, data sets first; those that only a run or the store knows come last, by name."""
    found: list[Group] = []
    nodes = members(plan) if plan else {}
    for node in sorted(nodes, key=lambda node: not node.startswith("data:")):
        found.append(Group(node, f"prepare {node[5:]}" if node.startswith("data:") else node, nodes[node]))
    planned = {digest for group in found for digest in group.digests}
    if plan:
        for planned_stage in plan.stages:
            if planned_stage.kind == "weights":
                found.insert(0, Group(f"weights:{planned_stage.digest}", f"weights of {planned_stage.name}", (planned_stage.digest,)))
                planned.add(planned_stage.digest)
    others: dict[tuple[bool, str], list[str]] = {}
    for digest, stage in (snapshot.stages if snapshot else {}).items():
        if digest not in planned:
            others.setdefault((stage.kind != "prepare", stage.name), []).append(digest)
    more = "further " if plan else ""
    for (trains, name), digests in sorted(others.items()):
        found.append(Group(f"other:{trains}:{name}", f"{more}{'' if trains else 'prepare '}{name or '(not begun)'}", tuple(digests)))
    return found


def node_of(recipe: Recipe, number: int | None) -> str | None:
    """The group of a statement; None where it is no step."""
    ids = step_ids(recipe)
    return ids[number] if number is not None and number < len(ids) else None


def number_of(recipe: Recipe, node: str) -> int | None:
    """The statement of a group; None where there is none."""
    ids = step_ids(recipe)
    return ids.index(node) if node in ids else None


def mark(group: Group, snapshot: Snapshot | None) -> Mark:
    """The mark of a group."""
    stages = list(states(group.digests, snapshot))
    found = fold(stage.state for stage in stages)
    return Mark(found.state, detail(stages[0], snapshot.metric if snapshot else "")) if len(stages) == 1 else found


def spread(stages: Iterable[StageState], metric: str) -> str:
    """The lowest and the highest value that finished stages of a step have of their metric."""
    values: dict[str, list[float]] = {}
    for stage in stages:
        name = headline(stage.metrics, metric, stage.monitor) if stage.finished else ""
        if name and (value := stage.metrics[name]) is not None:
            values.setdefault(name, []).append(value)
    if len(values) != 1:
        return ""
    ((name, found),) = values.items()
    low, high = f"{min(found):.4g}", f"{max(found):.4g}"
    return f"{name} {low}" if low == high else f"{name} {low} to {high}"


def telling(stages: Iterable[StageState]) -> StageState | None:
    """The stage of a step that most needs to be seen."""
    order = ("running", "failed", "done", "cached", "queued", "idle")
    return min(stages, key=lambda stage: order.index(stage.state), default=None)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the list: a node, a digest or `RUN`, its state, and its cells: stage, progress, metric, time, note."""

    key: str
    state: State
    cells: tuple[str, str, str, str, str]


def run_row(run: Run) -> list[Line]:
    """The latest run itself, whose log tells of what went wrong before any stage began."""
    state: State = "running" if run.state == "running" else "done" if run.state == "ended" and run.status in (0, 130, None) else "failed"
    spent = (run.ended or time()) - run.started if run.state != "lost" else None
    return [Line(RUN, state, ("the run itself", "", "", clock(spent) if spent is not None else "", ""))]


def stage_rows(listed: Iterable[Group], snapshot: Snapshot | None, opened: Collection[str], *, ascii_only: bool = False) -> list[Line]:
    """The steps, and the stages of those that are open."""
    metric = snapshot.metric if snapshot else ""
    rows = []
    for group in listed:
        stages = list(states(group.digests, snapshot))
        if len(stages) == 1:
            rows.append(_line(group.id, group.title, stages[0], metric, ascii_only=ascii_only))
            continue
        arrow = ("-" if group.id in opened else "+") if ascii_only else ("▾" if group.id in opened else "▸")
        found = mark(group, snapshot)
        title = f"{arrow} {group.title} {'x' if ascii_only else '×'}{len(stages)}"
        rows.append(Line(group.id, found.state, (title, found.detail, spread(stages, metric), "", "")))
        if group.id in opened:
            rows += [_line(s.digest, f"    {s.apart or s.digest[:SHORT]}", s, metric, ascii_only=ascii_only) for s in stages]
    return rows


def _line(key: str, title: str, stage: StageState, metric: str, *, ascii_only: bool) -> Line:
    words = row(stage, metric)
    at_work = stage.state == "running" and stage.epoch
    progress = f"{bar(stage.epoch / stage.epochs, 8, ascii_only=ascii_only)} {stage.epoch}/{stage.epochs}" if at_work else words.progress
    return Line(key, stage.state, (title, progress, words.metric, words.time, words.note))


def states(digests: Iterable[str], snapshot: Snapshot | None) -> Iterable[StageState]:
    """The states of stages; idle where nothing is known."""
    known: Mapping[str, StageState] = snapshot.stages if snapshot else {}
    for digest in digests:
        yield known.get(digest) or StageState(digest)
