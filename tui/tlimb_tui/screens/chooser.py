"""A list that one searches by typing: help and browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Row(Generic[Value]):
    """A line to choose, or a heading where there is no value."""

    text: Content
    value: Value | None = None


class Chooser(ModalScreen[Value | None], Generic[Value]):
    """Type to search, arrows to move, enter to choose, escape to leave."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "move('cursor_down')", show=False, priority=True),
        Binding("up", "move('cursor_up')", show=False, priority=True),
        Binding("pagedown", "move('page_down')", show=False, priority=True),
        Binding("pageup", "move('page_up')", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    Chooser { align: center middle; }
    Chooser > Vertical { width: 90%; max-width: 118; height: 90%; border: round $primary; background: $surface; padding: 0 1; }
    Chooser Input { height: 1; border: none; padding: 0; }
    Chooser OptionList { height: 1fr; width: 3fr; border: none; padding: 0; background: $surface; }
    Chooser OptionList { text-wrap: nowrap; text-overflow: ellipsis; }
    Chooser #side { width: 2fr; height: 1fr; padding: 0 0 0 1; color: $text-muted; }
    Chooser .foot { width: 1fr; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    TITLE_TEXT = ""
    PROMPT = "type to search"
    FOOT = "enter chooses · esc goes back"
    SIDE = False
    """Whether a second column says more of what is highlighted."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row[Value]] = []

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self.TITLE_TEXT
            yield Input(placeholder=self.PROMPT, compact=True)
            with Horizontal():
                yield OptionList()
                if self.SIDE:
                    yield Label(id="side", markup=False)
            yield Label(self.FOOT, classes="foot")

    def on_mount(self) -> None:
        self.fill()
        self.on_resize()

    def on_resize(self) -> None:
        """A narrow screen has no second column."""
        if self.SIDE:
            self.query_one("#side").display = self.app.size.width >= 80

    def rows(self, wanted: str) -> Sequence[Row[Value]]:
        """What fits the search; headings without lines are left out."""
        raise NotImplementedError

    def more(self, value: Value) -> str:
        """What the second column says of a line."""
        return ""

    def fill(self) -> None:
        """Show the lines that fit what is typed."""
        found = list(self.rows(self.query_one(Input).value.strip()))
        follows: list[Row[Value]] = [*found[1:], Row(Content())]
        self._rows = [row for row, after in zip(found, follows, strict=True) if row.value is not None or after.value is not None]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(Option(row.text, disabled=row.value is None) for row in self._rows)
        options.highlighted = next((place for place, row in enumerate(self._rows) if row.value is not None), None)
        if not self._rows:
            options.add_option(Option(self.nothing(), disabled=True))

    def nothing(self) -> str:
        """What is said where nothing fits."""
        return "nothing of that kind; backspace widens the search"

    @property
    def current(self) -> Value | None:
        """The line that is highlighted."""
        place = self.query_one(OptionList).highlighted
        return self._rows[place].value if place is not None and place < len(self._rows) else None

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search."""
        event.stop()
        self.fill()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Choose."""
        event.stop()
        if self.current is not None:
            self.choose(self.current)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say more of it."""
        event.stop()
        if self.SIDE and self.current is not None:
            self.query_one("#side", Label).update(self.more(self.current))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose by mouse."""
        event.stop()
        if self.current is not None:
            self.choose(self.current)

    def choose(self, value: Value) -> None:
        """Leave with it."""
        self.dismiss(value)

    def action_move(self, how: str) -> None:
        """Move in the list while typing."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def on_click(self, event: events.Click) -> None:
        """A click beside it leaves."""
        if event.widget is self:
            self.dismiss(None)
