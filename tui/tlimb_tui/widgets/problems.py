"""The problems of the recipe: a list that goes where each of them is."""

from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tlimb.errors import Diagnostic
from tlimb.recipe.render import position
from tlimb_tui.actions import bindings
from tlimb_tui.views import View


class ProblemList(OptionList, View):
    """All problems, in the order of the text. Enter goes to one; the key of the fix applies it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("problems")]
    DEFAULT_CSS = """
    ProblemList { height: auto; max-height: 8; border: round $border-blurred; border-title-color: $text-error; padding: 0; }
    ProblemList:focus { border: round $border; }
    """

    def on_mount(self) -> None:
        self.border_title = "problems"
        self.fill()

    def recipe_changed(self) -> None:
        self.fill()

    def plan_changed(self) -> None:
        self.fill()

    def fill(self) -> None:
        """Show what is wrong now, if anybody is looking."""
        if not self.display:
            return
        kept = self.highlighted
        self.clear_options()
        self.add_options(
            Option(told(problem, self.tlimb.workspace.text, ascii_only=self.tlimb.ascii_only)) for problem in self.tlimb.workspace.problems
        )
        if not self.option_count:
            self.add_option(Option("no problems", disabled=True))
        else:
            self.highlighted = min(kept or 0, self.option_count - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go there."""
        event.stop()
        self.tlimb.go_to_problem(self.tlimb.workspace.problems[event.option_index], focus=True)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show where it is."""
        event.stop()
        if self.has_focus:
            self.tlimb.go_to_problem(self.tlimb.workspace.problems[event.option_index], focus=False)


def told(problem: Diagnostic, text: str, *, ascii_only: bool = False, fixable: str = "") -> Content:
    """A problem on one line: sign, place, message, way out; `fixable` is added where it has a fix."""
    line, column = position(text, problem.span.start)
    sign = "!" if problem.severity == "warning" else "x" if ascii_only else "✖"
    style = "$text-warning" if problem.severity == "warning" else "$text-error"
    parts: list[str | tuple[str, str]] = [(f"{sign} ", style), (f"{line}:{column} ", "dim"), problem.message]
    if problem.fix and fixable:
        parts += [(f"  {fixable}", "$text-primary")]
    if problem.hint:
        parts += [(f" - {problem.hint}", "dim")]
    return Content.assemble(*parts)
