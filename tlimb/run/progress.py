"""What happens during a run, as events; and events as live progress or as plain lines."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, TYPE_CHECKING, Literal, Self

from tlimb.stages.graph import Stage, StageGraph

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

SHORT = 8
"""Digits of a digest that are shown."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each stage of a graph, by digest; a stage that is in none of these was interrupted or never started."""

    done: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Digest to message."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Digest to the digest of the failed stage upstream."""
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a run (begin, asked: a search has asked for further stages, end) or to one of its stages."""

    kind: Literal["begin", "asked", "started", "waiting", "warning", "epoch", "finished", "retried", "failed", "skipped", "end"]
    digest: str = ""
    total: int = 0
    cached: int = 0
    epoch: int = 0
    """Epochs that are done; of a stage that prepares data: images."""
    epochs: int = 0
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    message: str = ""
    """Why a stage failed or is tried again, or what it warns of; for a skipped stage the digest of the failed one."""
    outcome: Outcome | None = None
    stages: tuple[Stage, ...] = ()
    """Of asked: those that are new; `cached` of them are finished."""


Observer = Callable[[Event], None]


def silent(event: Event) -> None:
    """The observer that shows nothing."""


class Progress:
    """An observer that shows a run: bars where the stream is a terminal, else (and with NO_COLOR or CI set) a line per event.

    Use it as a context manager, so that the terminal is restored whatever happens.
    """

    def __init__(self, graph: StageGraph, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._names: dict[str, str] = {}
        self._units: dict[str, str] = {}
        self._know(graph.stages)
        self._metric = graph.rank.metric
        self._numbers: dict[str, int] = {}
        self._total = len(graph.stages)
        self._cached = 0
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._plain = not self._stream.isatty() or any(os.environ.get(name) for name in ("NO_COLOR", "CI"))

    def __enter__(self) -> Self:
        if not self._plain:
            self._bars = _bars(self._stream)
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars:
            self._bars.stop()
            self._bars = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "begin":
            self._total, self._cached = event.total, event.cached
            if self._bars:
                self._tasks[""] = self._bars.add_task("all stages", total=event.total, completed=event.cached, note="")
            elif event.cached:
                self._print(f"{event.cached} of {event.total} stages are finished already")
        elif event.kind == "asked":
            self._know(event.stages)
            self._total = event.total
            self._cached += event.cached
            if self._bars:
                self._bars.update(self._tasks[""], total=event.total, advance=event.cached)
            else:
                self._print(f"the search asks for {len(event.stages)} more stages")
        elif event.kind == "end":
            self.__exit__(None, None, None)
            self._print(summary(event.outcome or Outcome()))
        elif self._bars:
            self._show(self._bars, event)
        else:
            self._print(self._line(event))

    def _know(self, stages: tuple[Stage, ...]) -> None:
        self._names |= {stage.digest: stage.name for stage in stages}
        self._units |= {stage.digest: "image" if stage.kind == "prepare" else "epoch" for stage in stages}

    def _line(self, event: Event) -> str:
        if event.kind != "skipped":
            self._numbers.setdefault(event.digest, self._cached + len(self._numbers) + 1)
        number = self._numbers.get(event.digest, "-")
        return f"[{number}/{self._total}] {self._title(event.digest)}  {self._note(event)}"

    def _note(self, event: Event) -> str:
        metric = self._value(event.metrics)
        match event.kind:
            case "epoch":
                return f"{self._units.get(event.digest, 'epoch')} {event.epoch}/{event.epochs}" + (f"  {metric}" if metric else "")
            case "finished":
                return "finished" + (f"  {metric}" if metric else "")
            case "waiting":
                return f"another run is at it ({event.message}); this one waits for it"
            case "warning":
                return f"warning: {event.message}"
            case "retried":
                return f"is tried again: {event.message}"
            case "failed":
                return f"FAILED: {event.message}"
            case "skipped":
                return f"skipped, for {self._title(event.message)} failed"
            case _:
                return "started"

    def _value(self, metrics: Mapping[str, float | None]) -> str:
        name = headline(metrics, self._metric)
        return f"{name} {metrics[name]:.4g}" if name else ""

    def _title(self, digest: str) -> str:
        return f"{self._names.get(digest, '?')} {digest[:SHORT]}"

    def _show(self, bars: "Bars", event: Event) -> None:
        if event.digest not in self._tasks and event.kind in ("started", "epoch"):
            self._tasks[event.digest] = bars.add_task(self._title(event.digest), total=None, note="")
        task = self._tasks.get(event.digest)
        if task is not None and event.kind == "epoch":
            bars.update(task, completed=event.epoch, total=event.epochs or None, note=self._value(event.metrics))
        elif event.kind in ("finished", "failed", "skipped"):
            if task is not None:
                bars.remove_task(self._tasks.pop(event.digest))
            bars.advance(self._tasks[""])
        if event.kind in ("waiting", "warning", "retried", "failed", "skipped"):
            bars.console.print(self._line(event), markup=False, highlight=False)

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def headline(metrics: Mapping[str, float | None], *preferred: str) -> str:
    """The metric to show where there is room for one: the first preferred one that is there, else one of validation; empty if none is."""
    known = [name for name, value in metrics.items() if value is not None]
    names = [name for name in known if name.startswith("val.") and name != "val.loss"] or known
    return next((name for name in (*preferred, *names) if name in known), "")


def observer_for(graph: StageGraph) -> Progress:
    """What shows a run of the graph on standard error; a context manager."""
    return Progress(graph)


def summary(outcome: Outcome) -> str:
    """The last line of a run: how many stages were computed, found finished or lost."""
    parts = [f"{len(outcome.done)} computed", f"{len(outcome.cached)} finished before"]
    parts += [f"{len(outcome.failed)} failed"] if outcome.failed else []
    parts += [f"{len(outcome.skipped)} skipped for that"] if outcome.skipped else []
    return f"stages: {', '.join(parts)}" + ("; interrupted" if outcome.interrupted else "")


def _bars(stream: IO[str]) -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
    )
    return Bars(*columns, console=Console(file=stream), transient=True)
