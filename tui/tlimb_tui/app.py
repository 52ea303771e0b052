"""`TlimbApp`: the tabs, and what their panes share: the workspace, the selected statement, the states of stages."""

import gc
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.theme import Theme
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Footer
from textual.worker import Worker, WorkerState

from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Diagnostic, Edit, InputError, Span
from tlimb.recipe.parse import verb_of
from tlimb.recipe.tree import Training
from tlimb.run.monitor import Monitor, Snapshot
from tlimb_tui import recovery
from tlimb_tui.actions import TAB_OF, Action, bindings, key_text
from tlimb_tui.keymap import Keymap
from tlimb_tui.palette import ActionCommands
from tlimb_tui.plain import AsciiFilter
from tlimb_tui.recent import last_theme, remember, remember_theme
from tlimb_tui.screens.ask import Ask, AskName
from tlimb_tui.screens.configs import ConfigsView
from tlimb_tui.screens.data import DataView
from tlimb_tui.screens.edit import EditView
from tlimb_tui.screens.results import ResultsView
from tlimb_tui.screens.run import RunView
from tlimb_tui.themes import DARK, LIGHT, THEMES
from tlimb_tui.views import View
from tlimb_tui.widgets.bar import Bar
from tlimb_tui.widgets.editor import RecipeEditor
from tlimb_tui.widgets.statusline import change_told
from tlimb_tui.workspace import Planned, Workspace

Result = TypeVar("Result")
Severity = Literal["information", "warning", "error"]
PLAN_AFTER_S = 0.3
"""Seconds without a change after which the recipe is planned."""
KEEP_AFTER_S = 2.0
"""Seconds after a change that a copy of what is not saved is made."""
LOOK_EVERY_S = 0.5
"""How often the states of stages are looked at."""
FILES_EVERY_S = 2.0
"""How often it is looked whether another program wrote the recipe."""


class TlimbApp(App[int]):
    """The app."""

    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar = {ActionCommands}
    TITLE = "tlimb"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app"), Binding("ctrl+c", "help_quit", show=False, system=True)]

    tab: reactive[str] = reactive("edit", init=False)

    def __init__(self, workspace: Workspace, *, browse: Path | None = None, ascii_only: bool = False, keymap: Keymap | None = None) -> None:
        """Make the app.

        Args:
            workspace: The recipe to show.
            browse: Begin with the recipes of this folder.
            ascii_only: Draw with ASCII characters.
            keymap: The user's own keys.
        """
        super().__init__()
        self.workspace = workspace
        self.ascii_only = ascii_only
        self._in_ascii = AsciiFilter()
        self.user_keys = keymap or Keymap({})
        self.selected: int | None = None
        self.states: Snapshot | None = None
        self._browse = browse
        self._started_by = os.getppid()
        self._leaving = False
        self._monitor: Monitor | None = None
        self._looking = False
        self._plan_soon: Timer | None = None
        self._keep_soon: Timer | None = None
        self._planning = self._plan_again = False
        for theme in THEMES.values():
            self.register_theme(theme)
        chosen = last_theme()
        self.theme = chosen if chosen in self.available_themes else DARK.name
        self.set_keymap(dict(self.user_keys.keys))

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What all lines go through before they are drawn."""
        filters = super().get_line_filters()
        return [*filters, self._in_ascii] if self.ascii_only else filters

    def get_key_display(self, binding: Binding) -> str:
        """How the bar at the bottom writes a key."""
        return key_text(binding.key, ascii_only=self.ascii_only)

    def compose(self) -> ComposeResult:
        yield Bar(id="bar")
        with ContentSwitcher(initial="edit"):
            yield EditView(id="edit")
            yield RunView(id="run")
            yield ResultsView(id="results")
            yield DataView(id="data")
            yield ConfigsView(id="configs")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self._opened()
        self.theme_changed_signal.subscribe(self, self._theme_chosen)
        self.set_interval(LOOK_EVERY_S, self._look)
        self.set_interval(FILES_EVERY_S, self._look_at_file)
        for problem in self.user_keys.problems:
            self.say(problem, severity="warning")
        self.edit_view.show_pane("graph")
        self.call_after_refresh(gc.freeze)  # what is there stays: looking through it again would take as long as ten keys
        if self._browse is not None:
            self.action_open()

    # ------------------------------------------------------------------ parts
    @property
    def edit_view(self) -> EditView:
        """The first tab."""
        return self.screen_stack[0].query_one(EditView)

    @property
    def editor(self) -> RecipeEditor:
        """The text."""
        return self.edit_view.editor

    # ------------------------------------------------------------------ seams
    def change(self, edits: Sequence[Edit], label: str, *, of: str | None = None) -> bool:
        """Change the text by span edits, as one step that undo takes back.

        Args:
            edits: The edits.
            label: What they do.
            of: The text that they were made for, where something may have changed it since.

        Returns:
            Whether it was changed; not where a line that is being typed is in the way.
        """
        if not edits:
            return False
        if self.editor.text != self.workspace.text or (of is not None and of != self.workspace.text):  # a key, undo, another program
            self.text_changed(self.editor.text)
            self.say("the text has changed meanwhile; do it again", severity="warning")
            return False
        if (number := self.workspace.in_the_way(edits)) is not None:
            self.editor.go(self.workspace.recipe.statements[number].span)
            self.say("this would change a line that cannot be read: mend it first", severity="warning")
            return False
        told = change_told(self.workspace.text, edits, label)
        self.editor.apply(edits)
        self.text_changed(self.editor.text)
        self.edit_view.status.tell(told)
        return True

    def preview(self, edits: Sequence[Edit] | None, label: str = "") -> None:
        """Show in the status line what edits would do to the text; None: nothing."""
        self.edit_view.status.preview(edits, label)

    def select(self, number: int | None) -> None:
        """Select the statement of that number in `workspace.recipe.statements`."""
        if number != self.selected:
            self.selected = number
            self._tell("selection_changed")

    def say(self, message: str, *, severity: Severity = "information") -> None:
        """Say something in passing."""
        self.notify(message, severity=severity, markup=False)

    def text_changed(self, text: str) -> None:
        """The editor's text changed: by typing, by an action, by undo."""
        if text == self.workspace.text:
            return
        self.workspace.set_text(text)
        self.selected = self._still_selected()
        self._tell("recipe_changed")
        self._after_change()

    def cursor_moved(self, offset: int) -> None:
        """The cursor of the text stands elsewhere: what it is in is selected."""
        if self.editor.text == self.workspace.text and (number := self.workspace.statement_at(offset)) is not None:
            self.select(number)

    def _still_selected(self) -> int | None:
        """The number of the selected statement in the new text: the one at the cursor, else the same number."""
        here = self.workspace.statement_at(self.editor.offset_of_cursor)
        count = len(self.workspace.recipe.statements)
        return here if here is not None else None if self.selected is None or not count else min(self.selected, count - 1)

    def _tell(self, hook: str) -> None:
        for view in self.screen_stack[0].walk_children(View):  # a query does not find what is a view by its second base
            getattr(view, hook)()

    # ------------------------------------------------------------------ beside the user interface
    def _after_change(self) -> None:
        if self._plan_soon is not None:
            self._plan_soon.stop()
        self._plan_soon = self.set_timer(PLAN_AFTER_S, self._plan)
        if self._keep_soon is None:
            self._keep_soon = self.set_timer(KEEP_AFTER_S, self._keep)

    def _keep(self) -> None:
        """Keep a copy of what is not saved."""
        self._keep_soon = None
        if self.workspace.dirty:
            recovery.keep(self.workspace)

    def _plan(self) -> None:
        """Read the data sets that the recipe names first of all, then plan it: one thing at a time, and then the latest text."""
        if self._planning:
            self._plan_again = True
            return
        self._planning, self._plan_again = True, False
        if self.workspace.reading:
            self._in_thread(self.workspace.read_datasets(), self._data_read, group="plan")
        else:
            self._in_thread(self.workspace.planning(), self._planned, group="plan")

    def _plan_done(self) -> None:
        self._planning = False
        if self._plan_again:
            self._plan()

    def _in_thread(self, job: Callable[[], Result], then: Callable[[Result], None], *, group: str) -> None:
        def whole() -> None:
            result = job()
            self.call_from_thread(then, result)

        self.run_worker(whole, thread=True, exclusive=True, group=group, exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A fault beside the user interface is told; the text that is being edited must not go with it."""
        if event.state == WorkerState.ERROR:
            if event.worker.group == "states":
                self._looking = False
            elif event.worker.group == "plan":
                self._plan_done()
            error = event.worker.error
            self.say(f"{type(error).__name__}: {error}; this is a fault of TLIMB", severity="error")

    def _data_read(self, done: Callable[[], None]) -> None:
        done()
        self._tell("recipe_changed")
        self._plan_again = True
        self._plan_done()

    def _planned(self, result: Planned) -> None:
        self._plan_done()
        if self.workspace.planned(result):
            self._tell("plan_changed")
            self._look()

    def _look(self) -> None:
        """Look at the states of stages, unless the last look is still going on."""
        store, plan = self.workspace.store, self.workspace.plan
        if store is None or self._looking:
            return
        if self._monitor is None or self._monitor.store is not store:
            self._monitor = Monitor(store)
        monitor = self._monitor
        self._looking = True

        def look() -> Snapshot:
            if monitor.plan is not plan:
                monitor.follow(plan)
            return monitor.poll()

        self._in_thread(look, self._looked, group="states")

    def _looked(self, found: Snapshot) -> None:
        self._looking = False
        if found is not self.states:
            self.states = found
            self._tell("states_changed")

    # ------------------------------------------------------------------ the file
    def open(self, workspace: Workspace) -> None:
        """Show another recipe."""
        self.workspace = workspace
        self._opened()

    def _opened(self) -> None:
        if self.workspace.path is not None and self.workspace.path.exists():
            remember(self.workspace.path)
        self.selected = None
        self.states = None
        self._monitor = None
        self.editor.load_text(self.workspace.text)
        for error in (self.workspace.datasets_error, self.workspace.store_error):
            if error is not None:
                self.say(f"{error.message}: {error.hint}", severity="error")
        odd = next((problem for problem in self.workspace.diagnostics if problem.code == "line-endings"), None)
        if odd is not None:
            self.say(f"{odd.message}; {odd.hint}", severity="warning")
        self.selected = next((number for number, node in enumerate(self.workspace.recipe.statements) if isinstance(node, Training)), None)
        self._tell("recipe_changed")
        self._tell("selection_changed")
        self._plan()
        if (left := recovery.kept(self.workspace)) is not None:
            self._offer_again(left)

    @work
    async def _offer_again(self, left: recovery.Kept) -> None:
        """Offer what was typed and not saved when an app ended without asking."""
        question = f"Of {self.workspace.name} there are changes of {left.when} that were never saved. Take them into the text?"
        answer = await self.push_screen_wait(Ask(question, [("take", "Take"), ("drop", "Discard"), ("later", "Later")]))
        if answer == "take":
            self.editor.take(left.text)
            self.text_changed(self.editor.text)
        elif answer == "drop":
            recovery.drop(self.workspace)

    def _look_at_file(self) -> None:
        """Take what another program wrote."""
        if self.is_web and os.getppid() != self._started_by:
            self.exit(0)  # the server is gone, and with it whoever was typing
            return
        self.text_changed(self.editor.text)
        if self.workspace.datasets_changed():
            self.action_reload()
        theirs = self.workspace.changed_on_disk()
        if theirs is None:
            return
        was_dirty = self.workspace.dirty
        merged = self.workspace.taken(theirs)
        self.editor.take(merged.text)
        self.text_changed(self.editor.text)
        self._tell("recipe_changed")
        if merged.conflicts:
            self.editor.go(Span(merged.conflicts[0], merged.conflicts[0]))
            count = len(merged.conflicts)
            where = f"{count} of the same places" if count > 1 else "the same place"
            told = f"{self.workspace.name} was changed on disk too, in {where}: yours stands, the other is a comment below it"
            self.say(told, severity="warning")
        elif was_dirty:
            self.say(f"{self.workspace.name} was changed on disk too: both changes are in the text now")
        else:
            self.say(f"{self.workspace.name} was changed on disk and is read again")

    def _save(self, path: Path | None = None) -> bool:
        self.text_changed(self.editor.text)
        try:
            self.workspace.save(path)
        except InputError as error:
            self.say(f"{error.message}; {error.hint}", severity="error")
            return False
        recovery.drop(self.workspace)
        assert self.workspace.path is not None
        remember(self.workspace.path)
        self._tell("recipe_changed")
        self._plan()
        self.say(f"saved {self.workspace.path}")
        return True

    async def _settled(self, what: str) -> bool:
        """Ask about unsaved changes; False if the user would rather stay."""
        self.text_changed(self.editor.text)
        if not self.workspace.dirty:
            return True
        answers = [("save", "Save"), ("drop", "Discard"), ("stay", "Cancel")]
        answer = await self.push_screen_wait(Ask(f"{self.workspace.name} has unsaved changes. {what}", answers))
        if answer == "save":
            return await self._save_somewhere()
        if answer == "drop":
            recovery.drop(self.workspace)
        return answer == "drop"

    async def saved(self, why: str) -> bool:
        """Whether the file holds the text, after asking where it does not."""
        if self.workspace.path is not None and not self.workspace.dirty:
            return True
        if self.workspace.path is not None:
            answers = [("save", "Save"), ("stay", "Cancel")]
            if await self.push_screen_wait(Ask(f"{self.workspace.name} has unsaved changes. {why}", answers)) != "save":
                return False
        return await self._save_somewhere()

    async def _save_somewhere(self) -> bool:
        if self.workspace.path is not None:
            return self._save()
        return await self._save_under_a_name()

    async def _save_under_a_name(self) -> bool:
        folder = self.workspace.folder
        name = self.workspace.path.name if self.workspace.path is not None else "recipe.tlr"
        path = await self.push_screen_wait(AskName(f"Save the recipe in {folder} as", name, folder))
        return path is not None and self._save(path)

    # ------------------------------------------------------------------ problems
    def problem_here(self) -> Diagnostic | None:
        """The problem at the cursor, or in the selected statement."""
        offset = self.editor.offset_of_cursor
        problems = self.workspace.problems
        at = next((problem for problem in problems if problem.span.start <= offset <= problem.span.end), None)
        if at is not None or self.selected is None or self.selected >= len(self.workspace.recipe.statements):
            return at
        span = self.workspace.recipe.statements[self.selected].span
        return next((problem for problem in problems if span.start <= problem.span.start < span.end), None)

    def go_to_problem(self, problem: Diagnostic, *, focus: bool = False) -> None:
        """Put the cursor there."""
        self.editor.go(problem.span, select=True)
        self.cursor_moved(problem.span.start)
        if focus:
            self.edit_view.show_pane("editor")

    def fix_problem(self) -> None:
        """Apply the fix of the problem at the cursor, or of the next one that has one."""
        here = self.problem_here()
        problem = here if here is not None and here.fix else next((one for one in self.workspace.problems if one.fix), None)
        if problem is None:
            self.say("no problem has a fix; the message says what to do" if self.workspace.problems else "no problems")
            return
        self.editor.apply(problem.fix)
        self.text_changed(self.editor.text)
        self.editor.go(problem.span)

    def hint(self) -> str:
        """What the status line says where there is nothing to say."""
        statements = self.workspace.recipe.statements
        if self.selected is None or self.selected >= len(statements):
            return "write a statement, for instance: train resnet18 on demo.age" if not statements else ""
        verb = VERBS.get(verb_of(self.workspace.text[statements[self.selected].span.start :]))
        return f"{verb.usage} - {verb.help}" if verb is not None else ""

    # ------------------------------------------------------------------ actions
    def _theme_chosen(self, theme: Theme) -> None:
        """Remember what was chosen."""
        remember_theme(theme.name)

    def watch_tab(self, tab: str) -> None:
        """Show a tab."""
        self.query_one(ContentSwitcher).current = tab
        self.query_one(Bar).tab_changed()
        view = self.query_one(f"#{tab}", View)
        view.shown()
        if tab == "edit":
            self.edit_view.show_pane(self.edit_view.pane)
        elif (target := next((widget for widget in view.query("*") if widget.focusable), None)) is not None:
            target.focus()

    def action_tab_edit(self) -> None:
        """Graph and text."""
        self.tab = "edit"

    def action_tab_run(self) -> None:
        """What runs."""
        self.tab = "run"

    def action_tab_results(self) -> None:
        """The ranking."""
        self.tab = "results"

    def action_tab_data(self) -> None:
        """The data sets."""
        self.tab = "data"

    def action_tab_configs(self) -> None:
        """What the recipe stands for."""
        self.tab = "configs"

    def action_run_all(self) -> None:
        """Run the recipe."""
        self.query_one(RunView).run_recipe()

    def action_run_stage(self) -> None:
        """Run the selected stage."""
        self.query_one(RunView).run_selected()

    def action_next_pane(self) -> None:
        """The next pane of this tab."""
        if self.tab == "edit":
            self.edit_view.next_pane()
        else:
            self.screen.focus_next()

    def action_problems(self) -> None:
        """The problems, from every tab."""
        self.tab = "edit"
        self.edit_view.action_problems()

    def action_to_graph(self) -> None:
        """The graph, from the text."""
        self.edit_view.action_to_graph()

    @work
    async def action_save(self) -> None:
        """Save the recipe."""
        self._look_at_file()
        await self._save_somewhere()

    @work
    async def action_save_as(self) -> None:
        """Save the recipe elsewhere."""
        await self._save_under_a_name()

    @work
    async def action_open(self) -> None:
        """Choose a recipe."""
        from tlimb_tui.screens.browser import Browser

        chosen = await self.push_screen_wait(Browser(self._browse or self.workspace.folder))
        folder, self._browse = self._browse or self.workspace.folder, None
        if chosen is None or not await self._settled("Open another recipe?"):
            return
        try:
            if chosen.kind == "recipe":
                self.open(self.workspace.another(chosen.path))
            else:
                text = chosen.path.read_text(encoding="utf-8") if chosen.kind == "shipped" else ""
                self.open(self.workspace.another(None, text, chosen.path if chosen.kind == "empty" else folder))
        except InputError as error:
            self.say(f"{error.message}; {error.hint}", severity="error")

    def action_reload(self) -> None:
        """Read the data sets again, and what the recipe means by them."""
        self.workspace.reload_datasets()
        if self.workspace.datasets_error is not None:
            self.say(f"{self.workspace.datasets_error.message}: {self.workspace.datasets_error.hint}", severity="error")
        self._tell("recipe_changed")
        self._plan()

    def action_change_light(self) -> None:
        """Light or dark."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def action_help(self) -> None:
        """All keys."""
        from tlimb_tui.screens.help import Help

        self.push_screen(Help(dict(self.user_keys.keys)), self._run_chosen)

    def _run_chosen(self, action: Action | None) -> None:
        if action is not None:
            self.run_worker(self.run_named(action))

    async def run_named(self, action: Action) -> None:
        """Run an action where it belongs, from wherever one is."""
        self.tab = TAB_OF.get(action.scope, self.tab)
        nodes = [self, *self.screen_stack[0].query("*")]
        node = next((node for node in nodes if any(binding.id == action.name for _, binding in node._bindings)), None)
        if node is None:
            node = self if action.scope == "app" else self.query_one(f"#{self.tab}")
        if isinstance(node, Widget) and node.can_focus:
            node.focus()
        await self.run_action(action.id, node)

    @work
    async def action_quit(self) -> None:  # type: ignore[override]
        """Leave, if nothing is lost by it."""
        if await self._settled("Leave?"):
            self._leaving = True
            self.exit(0)

    def on_unmount(self) -> None:
        """An app that ends without asking leaves a copy of what is not saved."""
        if not self._leaving:
            self._keep()
