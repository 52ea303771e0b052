"""One field of a form being written: what it takes, the text, what is wrong with it, and what one can choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tlimb.errors import Edit, TlimbError
from tlimb.recipe.form import Choice, Field

Severity = Literal["", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What writing a text into a field would do: the edits, None where it cannot be written, and what is to be said of it."""

    edits: tuple[Edit, ...] | None
    message: str = ""
    severity: Severity = ""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Choices that take a while to find: found at once where there is no label, else when the label is chosen."""

    job: Callable[[], tuple[Choice, ...]]
    label: str = ""


class FieldEditor(Widget):
    """The text of a field. Enter writes it, escape leaves all as it was; arrows go through the choices, tab takes one over."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "commit", "Write", priority=True),
        Binding("escape", "drop", "Take back", priority=True),
        Binding("down", "move(1)", "Next", show=False, priority=True),
        Binding("up", "move(-1)", "Previous", show=False, priority=True),
        Binding("pagedown", "move(8)", show=False, priority=True),
        Binding("pageup", "move(-8)", show=False, priority=True),
        Binding("tab", "take", "Take over", priority=True),
    ]
    DEFAULT_CSS = """
    FieldEditor { height: 1fr; layout: vertical; }
    FieldEditor Static { height: auto; }
    FieldEditor #asked { color: $text-muted; max-height: 3; }
    FieldEditor Input { height: 1; border: none; padding: 0; background: $boost; }
    FieldEditor #wrong { max-height: 3; }
    FieldEditor #wrong.error { color: $text-error; }
    FieldEditor #wrong.warning { color: $text-warning; }
    FieldEditor OptionList { height: 1fr; border: none; padding: 0; background: transparent; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    class Committed(Message):
        """The text is to be written."""

        def __init__(self, field: Field, text: str, edits: Sequence[Edit]) -> None:
            super().__init__()
            self.field, self.text, self.edits = field, text, tuple(edits)

    class Dropped(Message):
        """The text is to stay as it was."""

    class Previewed(Message):
        """What would be written now; None where nothing would."""

        def __init__(self, edits: Sequence[Edit] | None) -> None:
            super().__init__()
            self.edits = edits

    class Found(Message, bubble=False):
        """Choices were found in a thread."""

        def __init__(self, asked: int, choices: tuple[Choice, ...], problem: str = "") -> None:
            super().__init__()
            self.asked, self.choices, self.problem = asked, choices, problem

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.field: Field | None = None
        self._attempt: Callable[[str], Outcome] = lambda _text: Outcome(None)
        self._choices: tuple[Choice, ...] = ()
        self._shown: list[Choice] = []
        self._look_up: LookUp | None = None
        self._looking = False
        self._asked = 0
        self._typed = False
        self._moved = False
        self._note = ""

    def compose(self) -> ComposeResult:
        yield Static(id="asked", markup=False)
        yield Input(compact=True)
        yield Static(id="wrong", markup=False)
        options = OptionList(markup=False)
        options.can_focus = False
        yield options

    # ------------------------------------------------------------------ opening
    def open(
        self, field: Field, attempt: Callable[[str], Outcome], text: str, *, look_up: LookUp | None = None, begun: bool = False
    ) -> None:
        """Begin to write a field.

        Args:
            field: The field.
            attempt: What writing a text into it would do.
            text: The text to begin with.
            look_up: Further choices.
            begun: The text is a proposal, not what the field holds.
        """
        self.field, self._attempt, self._choices, self._look_up = field, attempt, field.choices, look_up
        self._typed, self._moved, self._looking = begun, False, False
        self._asked += 1
        self._note = ""
        told = f"{field.name}: {field.takes}" + (f". {field.help[:1].upper()}{field.help[1:]}" if field.help else "")
        self.query_one("#asked", Static).update(told)
        entry = self.query_one(Input)
        with self.prevent(Input.Changed):
            entry.value = text
        entry.placeholder = field.default if not field.value else field.value
        entry.action_end()
        entry.focus()
        if look_up is not None and not look_up.label:
            self._look()
        self._list()
        self._tell()

    def renew(self, field: Field, attempt: Callable[[str], Outcome]) -> None:
        """The text of the recipe has changed around the field."""
        self.field, self._attempt = field, attempt
        self._tell()

    def _look(self) -> None:
        """Find further choices in a thread."""
        assert self._look_up is not None
        job, asked = self._look_up.job, self._asked
        self._looking = True

        def look() -> None:
            try:
                self.post_message(self.Found(asked, job()))
            except TlimbError as error:  # told where one waits for it
                self.post_message(self.Found(asked, (), error.message))

        self.run_worker(look, thread=True, group="choices")

    def on_field_editor_found(self, message: Found) -> None:
        """Show what was found."""
        if message.asked == self._asked:
            self._looking, self._look_up = False, None
            self._choices = (
                *message.choices,
                *(choice for choice in self._choices if choice.word not in {c.word for c in message.choices}),
            )
            self._note = message.problem
            self._list()
            self._tell()

    # ------------------------------------------------------------------ choices
    @property
    def text(self) -> str:
        """What is typed."""
        return self.query_one(Input).value

    def _list(self) -> None:
        """Show the choices that fit what is typed; all of them before anything is."""
        options = self.query_one(OptionList)
        wanted = self._fragment(self.text).casefold() if self._typed else ""
        self._shown = [choice for choice in self._choices if choice.word.casefold().startswith(wanted)]
        self._shown += [choice for choice in self._choices if wanted in choice.word.casefold()[1:] and choice not in self._shown]
        width = min(24, max((len(choice.word) for choice in self._shown), default=0))
        rows = [Option(Content.assemble(f"{choice.word:<{width}}  ", (choice.help, "$foreground-muted"))) for choice in self._shown]
        if self._looking:
            rows.append(Option(Content.styled("looking …", "$foreground-muted"), disabled=True))
        elif self._look_up is not None:
            rows.append(Option(Content.styled(f"… {self._look_up.label}", "$text-primary")))
        options.clear_options()
        options.add_options(rows)
        here = next((place for place, choice in enumerate(self._shown) if choice.word == self._fragment(self.text)), None)
        options.highlighted = here
        self._moved = False

    def _fragment(self, text: str) -> str:
        """The part of the text that a choice stands for."""
        return text.rpartition("+")[2].strip() if self.field is not None and self.field.many else text.strip()

    def _with(self, choice: Choice) -> str:
        """The text with a choice taken over."""
        head, sign, _ = self.text.rpartition("+") if self.field is not None and self.field.many else ("", "", "")
        return f"{head.rstrip()} + {choice.word}" if sign else choice.word

    @property
    def _chosen(self) -> Choice | None:
        place = self.query_one(OptionList).highlighted
        return self._shown[place] if self._moved and place is not None and place < len(self._shown) else None

    @property
    def _to_look(self) -> bool:
        """Whether the row that looks choices up is highlighted."""
        place = self.query_one(OptionList).highlighted
        return self._moved and place is not None and place >= len(self._shown) and self._look_up is not None and not self._looking

    @property
    def proposed(self) -> str:
        """What enter would write."""
        return self._with(self._chosen) if self._chosen is not None else self.text.strip()

    # ------------------------------------------------------------------ telling
    def _tell(self) -> Outcome:
        """Say what the text would do."""
        assert self.field is not None
        untouched = not self._typed and not self._moved
        outcome = Outcome(()) if untouched else self._attempt(self.proposed)
        wrong = self.query_one("#wrong", Static)
        wrong.set_classes(outcome.severity or ("warning" if self._note else ""))
        wrong.update(outcome.message or self._note)
        wrong.display = bool(outcome.message or self._note)
        self.post_message(self.Previewed(None if untouched else outcome.edits))
        return outcome

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look anew at what is typed."""
        event.stop()
        self._typed = True
        self._list()
        self._tell()

    # ------------------------------------------------------------------ keys and mouse
    def action_move(self, step: int) -> None:
        """Go through the choices."""
        options = self.query_one(OptionList)
        count = options.option_count
        if not count:
            return
        here = options.highlighted
        first = 0 if step > 0 else count - 1
        options.highlighted = first if here is None else max(0, min(count - 1, here + step))
        self._moved = True
        self._tell()

    def action_take(self) -> None:
        """Take the highlighted choice, or the first, into the text."""
        choice = self._chosen or next(iter(self._shown), None)
        if choice is not None:
            entry = self.query_one(Input)
            entry.value = self._with(choice)
            entry.action_end()

    def action_commit(self) -> None:
        """Write the text, unless it is wrong."""
        if self._to_look:
            self._look()
            self._list()
            return
        assert self.field is not None
        if not self._typed and not self._moved:
            self.post_message(self.Dropped())
            return
        outcome = self._tell()
        if outcome.edits is None or outcome.severity == "error":
            self.app.bell()
            return
        self.post_message(self.Committed(self.field, self.proposed, outcome.edits))

    def action_drop(self) -> None:
        """Leave all as it was."""
        self.post_message(self.Dropped())

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click chooses and writes."""
        event.stop()
        self._moved = True
        self.action_commit()
