"""The first tab: graph, text, inspector and problems of the recipe."""

from collections.abc import Iterable
from importlib import import_module
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Static

from tlimb_tui.actions import bindings
from tlimb_tui.views import View
from tlimb_tui.widgets.editor import RecipeEditor


def _part(module: str, name: str) -> type[Widget]:
    try:
        found: type[Widget] = getattr(import_module(f"tlimb_tui.widgets.{module}"), name)
    except (ImportError, AttributeError):
        return Static
    return found


class EditView(View):
    """Graph above, text and inspector below; narrow screens stack them."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("edit")]

    def compose(self) -> ComposeResult:
        yield _part("graph", "GraphView")(id="graph")
        with Container(id="lower"):
            yield RecipeEditor(self.tlimb.workspace.text, id="editor")
            yield _part("inspector", "Inspector")(id="inspector")
        yield Static(id="problem")

    @property
    def editor(self) -> RecipeEditor:
        """The text."""
        return self.query_one(RecipeEditor)

    def recipe_changed(self) -> None:
        found: Iterable[str] = (f"{item.message} - {item.hint}" for item in self.tlimb.workspace.diagnostics)
        self.query_one("#problem", Static).update(next(iter(found), ""), layout=False)

    def action_undo(self) -> None:
        self.editor.undo()

    def action_redo(self) -> None:
        self.editor.redo()
