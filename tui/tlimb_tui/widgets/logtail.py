"""The end of a log that grows."""

from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.timer import Timer
from textual.widgets import Log, Static

from tlimb.run.tail import Tail, last_lines

LINES = 400
"""Lines of the end that are shown."""
PERIOD_S = 0.5


class LogTail(Vertical):
    """Shows the end of a file and what it gains; scrolled back it stands still."""

    DEFAULT_CSS = """
    LogTail Log { height: 1fr; background: $background; overflow: auto auto; scrollbar-size: 1 1; }
    LogTail Static { height: 1fr; color: $text-muted; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.path: Path | None = None
        self._tail: Tail | None = None
        self._timer: Timer | None = None
        self._nothing = ""

    def compose(self) -> ComposeResult:
        yield Static(markup=False)
        yield Log(max_lines=10_000, highlight=False)

    def on_mount(self) -> None:
        self._timer = self.set_interval(PERIOD_S, self._look)
        self._arrange()

    def follow(self, path: Path | None, *, nothing: str = "") -> None:
        """Show another file, or say why there is none. A file that has moved, as that of a finished stage, is the same one."""
        changed = path != self.path
        self._nothing = nothing
        if changed:
            moved = path is not None and self.path is not None and path.name == self.path.name and path.parent.name == self.path.parent.name
            self.path = path
            if moved and self._tail is not None and path is not None:
                self._tail.path = path
            else:
                self._begin()
        self._arrange()

    def _begin(self) -> None:
        if not self.is_mounted:
            return
        log = self.query_one(Log)
        log.clear()
        self._tail = None
        if self.path is not None:
            self._tail = Tail(self.path, skip=True)
            log.write_lines([line.expandtabs(4) for line in last_lines(self.path, LINES)])

    def _look(self) -> None:
        if self._tail is None or not self.is_on_screen:
            return
        if lines := self._tail.news():
            self.query_one(Log).write_lines([line.expandtabs(4) for line in lines[-LINES:]])
            self._arrange()

    def _arrange(self) -> None:
        if not self.is_mounted:
            return
        log, said = self.query_one(Log), self.query_one(Static)
        log.display = bool(log.line_count)
        said.display = not log.display
        said.update(self._nothing)

    @property
    def is_on_screen(self) -> bool:
        """Whether it can be seen."""
        return (
            self.is_mounted
            and bool(self.region.height)
            and all(node.display for node in self.ancestors_with_self if hasattr(node, "display"))
        )

    def on_show(self, _event: events.Show) -> None:
        """Catch up."""
        self._look()
