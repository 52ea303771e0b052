"""Find stages and words."""

import re

from textual import events
from textual.app import ComposeResult
from textual.widgets import Input, Label

from tlimb.errors import Span
from tlimb_tui.views import View


class FindBar(View):
    """A line to type in. What is found first is selected at once; enter goes to the next, escape back."""

    DEFAULT_CSS = """
    FindBar { height: 1; layout: horizontal; display: none; }
    FindBar Label { width: auto; padding: 0 1; color: $text-muted; }
    FindBar Input { width: 1fr; height: 1; border: none; padding: 0; }
    """

    def compose(self) -> ComposeResult:
        yield Label("find")
        yield Input(placeholder="a stage, a word", compact=True)
        yield Label(id="found")

    def open(self) -> None:
        """Show the line, and type in it."""
        self._from = self.app.focused
        self.display = True
        field = self.query_one(Input)
        field.focus()
        field.action_select_all()
        self._show(field.value)

    def places(self, wanted: str) -> list[Span]:
        """Where a text stands, in upper or lower case."""
        return [Span(*match.span()) for match in re.finditer(re.escape(wanted), self.tlimb.workspace.text, re.IGNORECASE)] if wanted else []

    def on_input_changed(self, event: Input.Changed) -> None:
        """Go to the first place at or after the cursor."""
        event.stop()
        self._show(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the next place."""
        event.stop()
        self._show(event.value, after=True)

    def _show(self, wanted: str, *, after: bool = False) -> None:
        places = self.places(wanted)
        self.query_one("#found", Label).update(f"{len(places)} found" if wanted else "")
        if places:
            here = self.tlimb.editor.offset_of_cursor
            place = next((place for place in places if place.start > here or (place.start == here and not after)), places[0])
            self.tlimb.editor.go(place, select=True)

    def on_key(self, event: events.Key) -> None:
        """Escape closes the line."""
        if event.key == "escape":
            event.stop()
            self.display = False
            if self._from is not None:
                self._from.focus()
