"""`tlimb status`: what the stages of a store are doing, as lines of text or as one JSON document."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tlimb.drawing.cells import plain
from tlimb.drawing.marks import SIGNS, tally
from tlimb.run.monitor import Monitor, Snapshot, StageState
from tlimb.run.progress import SHORT, headline
from tlimb.run.runs import Run
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

PERIOD_S = 0.5
FORMAT = 1
NOTHING = "nothing has run in this store"


@dataclass(frozen=True, slots=True)
class Row:
    """A stage in words: what tells it from others of its name, how far it is, what came out, its time, and what else is to be known."""

    name: str
    apart: str
    digest: str
    progress: str
    metric: str
    time: str
    note: str


def row(stage: StageState, metric: str) -> Row:
    """The words for a stage; `metric` is the one to show."""
    progress = f"{stage.unit} {stage.epoch}/{stage.epochs}" if stage.epochs and stage.epoch and stage.state in ("running", "failed") else ""
    if stage.state == "running" and not stage.epoch:
        progress = "begins"
    if stage.stopped_early is not None:
        progress = f"stopped at {stage.stopped_early}"
    name = headline(stage.metrics, metric, stage.monitor)
    spent = clock(stage.seconds) if stage.seconds is not None else ""
    left = f" ({clock(stage.remaining)} left)" if stage.remaining is not None else ""
    note = next(iter(stage.message.splitlines()), "")
    return Row(
        stage.name, stage.apart, stage.digest[:SHORT], progress, f"{name} {stage.metrics[name]:.4g}" if name else "", spent + left, note
    )


def clock(seconds: float) -> str:
    """Seconds as ``0:12``, ``1:02:03`` or ``2 d 3 h``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def headings(snapshot: Snapshot) -> list[str]:
    """Lines that say how far all is, and who is at work."""
    counts = snapshot.counts
    line = f"{snapshot.done} of {len(snapshot.stages)} stages finished"
    line += "".join(f", {counts[state]} {SIGNS[state].word}" for state in ("running", "queued", "failed") if counts[state])
    if (left := snapshot.remaining) is not None:
        line += f"; about {clock(left)} left"
    lines = [line, *map(run_line, snapshot.runs)]
    if not snapshot.runs and snapshot.last:
        lines.append(run_line(snapshot.last))
    return lines


def run_line(run: Run) -> str:
    """A run in one line."""
    who = f"{run.engine} run of {run.recipe}" if run.recipe else f"{run.engine} run"
    where = f"process {run.pid}" + ("" if run.here else f" on {run.host}")
    since = datetime.fromtimestamp(run.started).strftime("%d %b %H:%M")
    if run.state == "running":
        return f"{who} at work since {since}, {where}" + ("" if run.stages else "; it is planning")
    if run.state == "lost":
        return f"{who} of {since} was ended from outside, or did not get as far as its stages" + (f"; see {run.log}" if run.log else "")
    how = {0: "is over", 130: "was stopped; the same command goes on", None: "is over"}.get(run.status, "ended with failures")
    return f"{who} of {since} {how}"


def show(
    store: Store, plan: StageGraph | None, *, watch: bool, as_json: bool, echo: Callable[[str], Any], height: int | None = None
) -> None:
    """Print the states; with `watch` again whenever they change, in place where one writes to a terminal, until interrupted.

    Args:
        store: Whose stages.
        plan: The stages to show; without, all that the store holds.
        watch: Go on.
        as_json: Print a JSON document.
        echo: Prints.
        height: Lines that there is room for; more are counted only.
    """
    monitor = Monitor(store, plan)
    if not watch:
        echo(_said(monitor.poll(), as_json=as_json, height=height))
        return
    if as_json or not sys.stdout.isatty():
        before = ""
        while True:
            said = _said(monitor.poll(), as_json=as_json, height=height)
            if said != before:
                echo(said)
                before = said
            time.sleep(PERIOD_S)
    _watch(monitor)


def _watch(monitor: Monitor) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Text(text(monitor.poll(), height=console.height - 1), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(PERIOD_S)


def _said(snapshot: Snapshot, *, as_json: bool, height: int | None) -> str:
    return json.dumps(document(snapshot), indent=1, ensure_ascii=False) if as_json else text(snapshot, height=height)


def document(snapshot: Snapshot) -> dict[str, Any]:
    """The JSON document of ``tlimb status --json``."""
    return {
        "format": FORMAT,
        "runs": [
            {"id": run.id, "recipe": run.recipe, "engine": run.engine, "pid": run.pid, "host": run.host, "started": run.started}
            for run in snapshot.runs
        ],
        "stages": [
            {
                "digest": stage.digest,
                "name": stage.name,
                "kind": stage.kind,
                "state": stage.state,
                "epoch": stage.epoch,
                "epochs": stage.epochs,
                "metrics": dict(stage.metrics),
                "seconds": stage.seconds,
                "remaining": stage.remaining,
                "message": stage.message,
                **({"stopped_early": stage.stopped_early} if stage.stopped_early is not None else {}),
            }
            for stage in snapshot.stages.values()
        ],
    }


def text(snapshot: Snapshot, *, height: int | None = None) -> str:
    """The states, a line a stage. Where there is no room for all, those that tell least are counted only."""
    if not snapshot.stages and not snapshot.runs:
        return "\n".join([NOTHING, *([run_line(snapshot.last)] if snapshot.last else [])])
    stages, rest = _fitting(snapshot, height)
    rows = [(stage, row(stage, snapshot.metric)) for stage in stages]
    columns = ("digest", "name", "apart", "progress", "metric", "time", "note")
    table = [(f"{SIGNS[stage.state].glyph} {SIGNS[stage.state].word}", *(getattr(made, name) for name in columns)) for stage, made in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True) if width).rstrip() for cells in table]
    if rest:
        lines.append(f"… and {tally(rest)}")
    said = "\n".join([*headings(snapshot), "", *lines])
    return said if _can_print(said) else "\n".join(map(plain, said.splitlines()))


def _fitting(snapshot: Snapshot, height: int | None) -> tuple[list[StageState], Any]:
    """The stages to show, in order, and how many of the others are in which state."""
    stages = list(snapshot.stages.values())
    room = len(stages) if height is None else max(3, height - len(headings(snapshot)) - 1)
    if len(stages) <= room:
        return stages, None
    telling = {"running": 0, "failed": 1, "queued": 2, "done": 3, "cached": 4, "idle": 5}
    ranked = sorted(range(len(stages)), key=lambda place: telling[stages[place].state])
    kept = set(ranked[: room - 1])
    counts = snapshot.counts
    counts.subtract(stages[place].state for place in kept)
    return [stage for place, stage in enumerate(stages) if place in kept], counts


def _can_print(said: str) -> bool:
    try:
        said.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True
