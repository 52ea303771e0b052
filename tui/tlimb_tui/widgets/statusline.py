"""The line above the keys: a problem, or the change of the text that an action will make."""

from collections.abc import Sequence

from textual.content import Content

from tlimb.errors import Diagnostic, Edit
from tlimb.recipe.patch import apply
from tlimb.recipe.render import position
from tlimb_tui.actions import action_of, keys_of
from tlimb_tui.document import shown
from tlimb_tui.views import View
from tlimb_tui.widgets.problems import told


class StatusLine(View):
    """One line. A preview stands before a problem at the cursor, that before the first problem of the recipe."""

    DEFAULT_CSS = """
    StatusLine { height: 1; padding: 0 1; background: $surface; color: $foreground; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._preview: Content | None = None

    def recipe_changed(self) -> None:
        self._preview = None
        self.refresh()

    def plan_changed(self) -> None:
        self.refresh()

    def selection_changed(self) -> None:
        self._preview = None
        self.refresh()

    def tell(self, content: Content) -> None:
        """Say something until the next change."""
        self._preview = content
        self.refresh()

    def preview(self, edits: Sequence[Edit] | None, label: str = "") -> None:
        """Show what edits will do to the text; None takes that away."""
        self._preview = None if edits is None else change_told(self.tlimb.workspace.text, edits, label)
        self.refresh()

    def on_click(self) -> None:
        """Go to the problem that is told."""
        problem = self._problem()
        if problem is not None:
            self.tlimb.go_to_problem(problem, focus=True)

    def _problem(self) -> Diagnostic | None:
        return self.tlimb.problem_here() or next(iter(self.tlimb.workspace.problems), None)

    def render(self) -> Content:
        """What is most worth saying."""
        if self._preview is not None:
            return self._preview
        app = self.tlimb
        problem = self._problem()
        if problem is None:
            return Content.styled(app.hint(), "$foreground-muted")
        keys = [keys_of(action_of(name), app.user_keys.keys).partition(" ")[0] for name in ("edit.next_problem", "edit.fix_problem")]
        fix = f"({keys[0]} next · {keys[1]} fix)"
        return told(problem, app.workspace.text, ascii_only=app.ascii_only, fixable=fix)


def change_told(text: str, edits: Sequence[Edit], label: str = "") -> Content:
    """A change of the text on one line: what goes, struck through, and what comes, of the first lines that it touches."""
    parts: list[str | Content | tuple[str, str]] = [(f"{label}: ", "bold")] if label else []
    _, inverse = apply(text, edits)
    for place, edit in enumerate(sorted(edits, key=lambda edit: edit.span)):
        line, _ = position(text, edit.span.start)
        gone, new = _one_line(text[edit.span.start : edit.span.end]), _one_line(edit.new)
        if place:
            parts.append("  ")
        parts.append((f"{line} ", "$foreground-muted"))
        if gone:
            parts += [("- ", "$text-error"), (gone, "strike $text-error")]
        if new:
            parts += [(" " if gone else "") + "+ ", (new, "$text-success")]
    if not inverse:
        parts.append(("nothing changes", "$foreground-muted"))
    return Content.assemble(*parts)


def _one_line(text: str) -> str:
    return shown(" ".join(text.split()))
