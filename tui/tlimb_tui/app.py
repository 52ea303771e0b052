"""`TlimbApp`: the tabs, and what their panes share: the workspace, the selected statement, the states of stages."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Literal

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.reactive import reactive
from textual.widgets import ContentSwitcher, Footer, Static

from tlimb.errors import Edit
from tlimb_tui.actions import bindings
from tlimb_tui.screens.edit import EditView
from tlimb_tui.views import View
from tlimb_tui.workspace import Planned, Workspace

TABS = {"edit": "Edit", "run": "Run", "results": "Results", "data": "Data", "configs": "YAML"}
Severity = Literal["information", "warning", "error"]
PLAN_AFTER_S = 0.3
"""Seconds without a change after which the recipe is planned."""


def _part(module: str, name: str) -> type[View]:
    try:
        found: type[View] = getattr(import_module(f"tlimb_tui.screens.{module}"), name)
    except (ImportError, AttributeError):
        return View
    return found


class TlimbApp(App[int]):
    """The app."""

    CSS_PATH = "app.tcss"
    TITLE = "tlimb"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]

    tab: reactive[str] = reactive("edit")

    def __init__(self, workspace: Workspace, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.workspace = workspace
        self.ascii_only = ascii_only
        self.selected: int | None = None
        self.states: Any = None

    def compose(self) -> ComposeResult:
        yield Static(id="bar")
        with ContentSwitcher(initial="edit"):
            yield EditView(id="edit")
            yield _part("run", "RunView")(id="run")
            yield _part("results", "ResultsView")(id="results")
            yield _part("data", "DataView")(id="data")
            yield _part("configs", "ConfigsView")(id="configs")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self._tell("recipe_changed")
        self._plan_soon = self.set_timer(PLAN_AFTER_S, self._plan)

    # ------------------------------------------------------------------ seams
    def change(self, edits: Sequence[Edit], label: str) -> None:
        """Change the text by span edits, as one step that undo takes back."""
        if edits:
            self.query_one(EditView).editor.apply(edits)
            self.say(label)

    def select(self, number: int | None) -> None:
        """Select the statement of that number in `workspace.recipe.statements`."""
        if number != self.selected:
            self.selected = number
            self._tell("selection_changed")

    def say(self, message: str, *, severity: Severity = "information") -> None:
        """Say something in passing."""
        self.notify(message, severity=severity)

    def text_changed(self, text: str) -> None:
        """The editor's text changed: by typing, by an action, by undo."""
        if text == self.workspace.text:
            return
        self.workspace.set_text(text)
        self._tell("recipe_changed")
        self._plan_soon.stop()
        self._plan_soon = self.set_timer(PLAN_AFTER_S, self._plan)

    def _plan(self) -> None:
        work = self.workspace.planning()
        self.run_worker(lambda: self.call_from_thread(self._planned, work()), thread=True, group="plan", exclusive=True)

    def _planned(self, result: Planned) -> None:
        if self.workspace.planned(result):
            self._tell("plan_changed")

    def _tell(self, hook: str) -> None:
        self._show_bar()
        for view in self.query(View):
            getattr(view, hook)()

    # ------------------------------------------------------------------ bar and tabs
    def _show_bar(self) -> None:
        tabs = "  ".join(
            f"[@click=app.tab_{name}]{'[reverse]' * (name == self.tab)} {number} {label} {'[/]' * (name == self.tab)}[/]"
            for number, (name, label) in enumerate(TABS.items(), 1)
        )
        problems = len(self.workspace.diagnostics)
        state = f"{problems} problem{'s' * (problems != 1)}" if problems else "no problems"
        self.query_one("#bar", Static).update(f" [b]tlimb[/]  {self.workspace.name}{' *' * self.workspace.dirty}   {tabs}   {state}")

    def watch_tab(self, tab: str) -> None:
        if self.is_running:
            self.query_one(ContentSwitcher).current = tab
            self._show_bar()
            self.query_one(f"#{tab}", View).shown()

    def action_tab_edit(self) -> None:
        self.tab = "edit"

    def action_tab_run(self) -> None:
        self.tab = "run"

    def action_tab_results(self) -> None:
        self.tab = "results"

    def action_tab_data(self) -> None:
        self.tab = "data"

    def action_tab_configs(self) -> None:
        self.tab = "configs"

    def action_help(self) -> None:
        self.action_show_help_panel()

    def action_save(self) -> None:
        self.workspace.save()
        self._show_bar()
