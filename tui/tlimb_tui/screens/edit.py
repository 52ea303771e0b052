"""The first tab: graph, text, inspector and problems of the recipe."""

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from tlimb.drawing.marks import Mark
from tlimb.drawing.picture import picture, step_ids
from tlimb.recipe.render import position
from tlimb.run.monitor import Snapshot, fold
from tlimb.stages.graph import StageGraph
from tlimb_tui.actions import bindings
from tlimb_tui.editing import Editing
from tlimb_tui.widgets.completion import CompletionList
from tlimb_tui.widgets.editor import RecipeEditor
from tlimb_tui.widgets.find import FindBar
from tlimb_tui.widgets.graph import GraphView
from tlimb_tui.widgets.inspector import Inspector
from tlimb_tui.widgets.problems import ProblemList
from tlimb_tui.widgets.statusline import StatusLine

NARROW = 100
"""Columns below which text and inspector share one place."""
SHORT = 16
"""Rows below which one pane has the screen."""
PANES = ("graph", "editor", "inspector")


class EditView(Editing):
    """Graph above, text and inspector below. On narrow screens the inspector comes in the place of the text, on short ones only the
    pane that has the keys is seen."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("edit")]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.pane = "graph"
        self._folded: tuple[StageGraph | None, Snapshot | None, Mapping[str, Mark]] | None = None

    def compose(self) -> ComposeResult:
        yield GraphView(id="graph", classes="pane")
        with Container(id="lower"):
            yield RecipeEditor(self.tlimb.workspace.text, id="editor").add_class("pane")
            yield Inspector(id="inspector", classes="pane")
        yield ProblemList(id="problems")
        yield FindBar(id="find")
        yield StatusLine(id="status")
        yield CompletionList(id="completions")

    def on_mount(self) -> None:
        self.graph.ascii = self.tlimb.ascii_only
        self.query_one(ProblemList).display = False
        self._arrange()

    @property
    def editor(self) -> RecipeEditor:
        """The text."""
        return self.query_one(RecipeEditor)

    @property
    def graph(self) -> GraphView:
        """The graph."""
        return self.query_one(GraphView)

    @property
    def status(self) -> StatusLine:
        """The line below."""
        return self.query_one(StatusLine)

    # ------------------------------------------------------------------ panes
    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        """Let the classes say which panes are to be seen."""
        self.set_class(self.app.size.width < NARROW, "-narrow")
        self.set_class(self.app.size.height < SHORT, "-short")
        for pane in PANES:
            self.set_class(self.pane == pane, f"-in-{pane}")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The pane that has the keys is the one to be seen."""
        found = next((pane for pane in PANES for node in event.widget.ancestors_with_self if node.id == pane), None)
        if found is not None:
            self.pane = found
            self._arrange()
            self.refresh_bindings()

    def show_pane(self, pane: str) -> None:
        """Bring a pane to the screen and give it the keys."""
        self.pane = pane
        self._arrange()
        widget = self.query_one(f"#{pane}")
        target = widget if widget.can_focus else next((child for child in widget.query("*") if child.focusable), None)
        if target is not None:
            target.focus()

    def next_pane(self) -> None:
        """The next pane in turn."""
        places = [*PANES, "problems"] if self.query_one(ProblemList).display else list(PANES)
        here = "problems" if self.query_one(ProblemList).has_focus else self.pane
        following = places[(places.index(here) + 1) % len(places)]
        if following == "problems":
            self.query_one(ProblemList).focus()
        else:
            self.show_pane(following)

    # ------------------------------------------------------------------ news
    def recipe_changed(self) -> None:
        if self._strip is not None:  # what it asks, it asks of the text before
            self._close()
        workspace = self.tlimb.workspace
        self.editor.border_title = workspace.name
        if not workspace.text.strip():
            self.graph.placeholder = "An empty recipe. Type one below, for instance: train resnet18 on demo.age - or press a."
        else:
            self.graph.placeholder = "No stage yet: train, pretrain, finetune ... on a data set makes one."
        self.show_graph()

    def plan_changed(self) -> None:
        self.show_graph()

    def states_changed(self) -> None:
        self.show_graph()

    def selection_changed(self) -> None:
        self.show_graph()

    def show_graph(self) -> None:
        """Draw the recipe as it is now."""
        workspace, number = self.tlimb.workspace, self.tlimb.selected
        ids = step_ids(workspace.recipe)
        selected = ids[number] if number is not None and number < len(ids) else None
        self.graph.show(picture(workspace.recipe, plan=workspace.plan, data=True), self.marks(ids), selected)

    def marks(self, ids: list[str | None]) -> Mapping[str, Mark]:
        """States of the plan's stages, and problems of the statements that they stand for."""
        workspace = self.tlimb.workspace
        plan, states = workspace.plan, self.tlimb.states
        if self._folded is None or self._folded[0] is not plan or self._folded[1] is not states:
            self._folded = plan, states, fold(plan, states) if plan is not None and states is not None else {}
        found = dict(self._folded[2])
        for problem in workspace.problems:
            number = workspace.statement_at(problem.span.start)
            if problem.severity == "error" and number is not None and (name := ids[number]) is not None:
                line, _ = position(workspace.text, problem.span.start)
                found[name] = Mark("problem", f"line {line}")
        return found

    # ------------------------------------------------------------------ graph
    def on_graph_view_selected(self, event: GraphView.Selected) -> None:
        """What is selected in the graph is selected in the text."""
        event.stop()
        self.tlimb.select(event.node.number)

    def on_graph_view_activated(self, event: GraphView.Activated) -> None:
        """Open the inspector."""
        event.stop()
        self.show_pane("inspector")

    # ------------------------------------------------------------------ actions
    def action_undo(self) -> None:
        """Take back the last change."""
        self.editor.undo()

    def action_redo(self) -> None:
        """Make it again."""
        self.editor.redo()

    def action_inspect(self) -> None:
        """Open the inspector."""
        self.show_pane("inspector")

    def action_to_text(self) -> None:
        """Go to the selected line."""
        self.show_pane("editor")

    def action_to_graph(self) -> None:
        """Go to the graph."""
        self.show_pane("graph")

    def action_problems(self) -> None:
        """Open or close the list."""
        problems = self.query_one(ProblemList)
        problems.display = not problems.display
        if problems.display:
            problems.fill()
            problems.focus()
        else:
            self.show_pane(self.pane)

    def action_next_problem(self) -> None:
        """Go to the next problem after the cursor, from the last one to the first."""
        problems = self.tlimb.workspace.problems
        if not problems:
            self.tlimb.say("no problems")
            return
        here = self.editor.offset_of_cursor
        self.tlimb.go_to_problem(next((problem for problem in problems if problem.span.start > here), problems[0]))

    def action_fix_problem(self) -> None:
        """Apply a fix."""
        self.tlimb.fix_problem()

    def action_find(self) -> None:
        """Open the line where one types what is sought."""
        self.query_one(FindBar).open()
