"""The list of what can be typed at the cursor."""

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Offset
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tlimb.recipe.form import Choice

MOST = 200
"""Choices that are listed."""


class CompletionList(OptionList, can_focus=False):
    """Choices below the cursor; the keys stay with the text."""

    DEFAULT_CSS = """
    CompletionList {
        overlay: screen;
        constrain: inside inflect;
        display: none;
        width: auto;
        max-width: 76;
        height: auto;
        max-height: 9;
        padding: 0 1 0 0;
        border: none;
        background: $panel;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        scrollbar-size-vertical: 1;
    }
    """

    def offer(self, choices: Sequence[Choice], place: Offset) -> None:
        """Show choices at a place of the screen; none closes the list."""
        self.clear_options()
        self.choices = list(choices[:MOST])
        self.moved = False
        self.display = bool(choices)
        if choices:
            width = min(24, max(len(choice.word) for choice in self.choices))
            self.add_options(
                Option(Content.assemble(f" {choice.word:<{width}}  ", (choice.help.partition("\n")[0], "dim"))) for choice in self.choices
            )
            self.highlighted = 0
            self.absolute_offset = place

    def close(self) -> None:
        """Take the list away."""
        self.display = False

    @property
    def chosen(self) -> str | None:
        """The word that is highlighted, if the list is open."""
        place = self.highlighted
        return self.choices[place].word if self.display and place is not None and place < len(self.choices) else None

    def move(self, step: int) -> None:
        """Go up or down."""
        self.moved = True
        (self.action_cursor_down if step > 0 else self.action_cursor_up)()
