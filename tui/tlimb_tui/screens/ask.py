"""Small questions on top of everything: yes or no among a few answers, or a file name."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

Answer = TypeVar("Answer")


class Question(ModalScreen[Answer | None]):
    """A box in the middle; escape is no answer."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]
    DEFAULT_CSS = """
    Question { align: center middle; }
    Question > Vertical {
        width: 64; max-width: 100%; height: auto; max-height: 100%; padding: 0 1; border: round $primary; background: $surface;
    }
    Question Label { width: 1fr; height: auto; }
    Question Horizontal { height: auto; align-horizontal: right; }
    Question Button { margin-left: 1; min-width: 8; }
    Question .problem { color: $text-error; }
    """


class Ask(Question[str]):
    """A question with answers. Each answer has its first letter as a key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, answers: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.question = question
        self.answers = answers

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self.question, markup=False)
            with Horizontal():
                for place, (answer, label) in enumerate(self.answers):
                    yield Button(label, id=answer, variant="primary" if place == 0 else "default", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """That is the answer."""
        event.stop()
        self.dismiss(event.button.id)

    def on_key(self, event: events.Key) -> None:
        """Answer by the first letter of a label."""
        for answer, label in self.answers:
            if event.character and label[0].casefold() == event.character.casefold():
                event.stop()
                self.dismiss(answer)
                return


class AskName(Question[Path]):
    """A file to write; what is typed without a folder is in the given one."""

    def __init__(self, question: str, value: str, folder: Path = Path()) -> None:
        super().__init__()
        self.question, self.value, self.folder = question, value, folder
        self._sure = ""

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self.question, markup=False)
            yield Input(self.value, compact=True)
            yield Label("enter saves · esc goes back", classes="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the name; one that exists is asked about once."""
        event.stop()
        written = event.value.strip()
        hint = self.query_one(".hint", Label)
        if not written:
            return
        try:
            path = self.folder / Path(written).expanduser()
            path = path if path.suffix or path.is_dir() or not path.name else path.with_suffix(".tlr")
            if path.is_dir():
                hint.update(f"{path} is a folder")
            elif not path.parent.is_dir():
                hint.update(f"there is no folder {path.parent}")
            elif path.exists() and self._sure != written:
                self._sure = written
                hint.update(f"{path} exists; enter again to replace it")
            else:
                self.dismiss(path)
                return
        except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a character that no path has
            hint.update(f"this names no file: {getattr(error, 'strerror', None) or error}")
        hint.add_class("problem")
