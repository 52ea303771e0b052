"""The graph pane: a picture as boxes or rails, with a selection that arrows move along the links."""

from collections.abc import Mapping
from typing import Literal

from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView

from tlimb.drawing.marks import Mark
from tlimb.drawing.picture import Node, Picture

Mode = Literal["boxes", "rails", "auto"]
Letters = Mapping[str, tuple[str, str | None]]


class GraphView(ScrollView, can_focus=True):
    """The graph of a recipe. It knows pictures and marks, nothing of recipes."""

    mode: reactive[Mode] = reactive("auto")
    ascii: reactive[bool] = reactive(False)
    letters: reactive[Letters] = reactive({})
    """While a link is drawn: the letter of each node and, where it does not fit, the reason."""

    class Selected(Message):
        """A node was selected by the user; None where nothing is."""

        def __init__(self, view: "GraphView", node: Node | None) -> None:
            super().__init__()
            self.view, self.node = view, node

        @property
        def control(self) -> "GraphView":
            return self.view

    class Activated(Selected):
        """Enter or a double click on a node."""

    def show(self, picture: Picture, marks: Mapping[str, Mark], selected: str | None) -> None:
        """Show a picture, the states in it and the selection."""
        raise NotImplementedError

    def find(self, text: str) -> list[Node]:
        """The nodes whose name or text holds the text, in the order of the recipe."""
        raise NotImplementedError
