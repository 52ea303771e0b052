"""The text of the recipe."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual.widgets import TextArea

from tlimb.errors import Edit
from tlimb.recipe.patch import apply

if TYPE_CHECKING:
    from tlimb_tui.app import TlimbApp


class RecipeEditor(TextArea):
    """Where the text is typed."""

    def __init__(self, text: str, *, id: str | None = None) -> None:
        super().__init__(text, id=id, show_line_numbers=True)

    def apply(self, edits: Sequence[Edit]) -> None:
        """Make several edits as one step of the history."""
        start = min(edit.span.start for edit in edits)
        end = max(edit.span.end for edit in edits)
        after, _ = apply(self.text, edits)
        new = after[start : len(after) - (len(self.text) - end)]
        self.history.checkpoint()
        self.replace(new, self.document.get_location_from_index(start), self.document.get_location_from_index(end))  # type: ignore[attr-defined]
        self.history.checkpoint()

    def on_text_area_changed(self) -> None:
        cast("TlimbApp", self.app).text_changed(self.text)
