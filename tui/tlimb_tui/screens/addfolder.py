"""Describe a folder of images, or a table, in datasets.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import yaml
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, TextArea
from textual_autocomplete import PathAutoComplete

from tlimb.catalogue.datasets import suggest_entry
from tlimb.errors import InputError


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry of datasets.yaml: its name, and its text with the name on the first line."""

    name: str
    text: str


class AddFolder(ModalScreen[NewEntry | None]):
    """First the folder, then the entry that it suggests, to be read and mended."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]
    DEFAULT_CSS = """
    AddFolder { align: center middle; }
    AddFolder > Vertical {
        width: 90; max-width: 100%; height: auto; max-height: 100%; padding: 0 1; border: round $primary; background: $surface;
    }
    AddFolder TextArea { height: 12; border: none; background: $background; display: none; }
    AddFolder.-suggested TextArea { display: block; }
    AddFolder #add-said { height: auto; color: $text-muted; }
    AddFolder #add-said.problem { color: $text-error; }
    AddFolder Horizontal { height: auto; align-horizontal: right; }
    AddFolder Button { margin-left: 1; min-width: 8; }
    """

    def __init__(self, folder: Path, file: Path) -> None:
        super().__init__()
        self.folder, self.file = folder, file

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "add a data set"
            yield Label("its folder, or a table with the paths of its images")
            yield Input(f"{self.folder}/", id="add-path", compact=True)
            yield Label("enter looks at it · esc goes back", id="add-said", markup=False)
            yield TextArea(id="add-entry", compact=True)
            with Horizontal():
                yield Button("Look", id="look", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)
        yield PathAutoComplete("#add-path", path=self.folder)

    def on_mount(self) -> None:
        path = self.query_one(Input)
        path.focus()
        path.cursor_position = len(path.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Look at the folder."""
        event.stop()
        self._look()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Look, add, or go back."""
        event.stop()
        if event.button.id == "cancel":
            self.dismiss(None)
        elif self.has_class("-suggested"):
            self._add()
        else:
            self._look()

    def _look(self) -> None:
        written = self.query_one(Input).value.strip()
        self._say("looking …")

        def look() -> None:
            try:
                name, text = suggest_entry(Path(written).expanduser())
            except (InputError, OSError, RuntimeError, ValueError) as error:
                said = f"{error.message}; {error.hint}" if isinstance(error, InputError) else str(error)
                self.app.call_from_thread(self._say, said, problem=True)
            else:
                self.app.call_from_thread(self._suggested, name, text)

        self.run_worker(look, thread=True, exclusive=True, group="suggest", exit_on_error=False)

    def _suggested(self, name: str, text: str) -> None:
        self.add_class("-suggested")
        entry = self.query_one(TextArea)
        entry.text = text
        entry.focus()
        self.query_one("#look", Button).label = "Add"
        self._say(
            f"'{name}' will be added to {self.file}: read it, mend it, then Add. The word before the first colon is its name in recipes."
        )

    def _add(self) -> None:
        text = self.query_one(TextArea).text
        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not
            self._say(f"this is no YAML: {' '.join(str(error).split())}", problem=True)
            return
        if not isinstance(document, dict) or len(document) != 1:
            self._say("it must be one entry: a name, a colon, and indented lines", problem=True)
            return
        self.dismiss(NewEntry(str(next(iter(document))), text))

    def _say(self, said: str, *, problem: bool = False) -> None:
        label = self.query_one("#add-said", Label)
        label.set_class(problem, "problem")
        label.update(said)
