"""The fifth tab: what the recipe stands for, as YAML and as the Nextflow project, linked by line with its statements."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static, TextArea
from textual.widgets.option_list import Option, OptionDoesNotExist

from tlimb.configs.origins import Origin, Origins, lines, note
from tlimb.configs.places import Place
from tlimb.configs.text import dump
from tlimb.drawing.cells import plain
from tlimb.emit.nextflow import job_id, process_text, processes
from tlimb.errors import InputError
from tlimb.files import write_text
from tlimb.recipe.tree import Recipe
from tlimb.results.variants import distinctions
from tlimb.run.nextflow import project_files
from tlimb.stages.graph import Stage, StageGraph
from tlimb_tui.actions import bindings, without_taken
from tlimb_tui.screens.ask import AskName
from tlimb_tui.stages import Group, groups, node_of, number_of
from tlimb_tui.views import SHORT, View
from tlimb_tui.widgets.code import Code

WIDE = 100
Page = Literal["yaml", "nextflow"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A stage's YAML: its text, and by line what the fields that begin there come from."""

    text: str
    told: dict[int, list[tuple[Place, Origin]]]

    def of(self, number: int) -> list[int]:
        """The lines that come from a statement."""
        return sorted(line for line, fields in self.told.items() if any(origin.number == number for _, origin in fields))


class Stages(OptionList, inherit_bindings=False):
    """Steps and their stages."""

    BINDINGS: ClassVar[list[BindingType]] = [*without_taken(OptionList.BINDINGS, "app", "configs")]


class ConfigsView(View):
    """Stages at the left, the chosen one's text at the right, below it what the line at the cursor comes from."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("configs")]
    DEFAULT_CSS = """
    ConfigsView { layout: horizontal; }
    ConfigsView .pane { border: round $border-blurred; border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    ConfigsView .pane:focus, ConfigsView .pane:focus-within { border: heavy $border; border-title-color: $text; }
    ConfigsView Stages { width: 34; height: 1fr; background: $background; padding: 0; text-wrap: nowrap; text-overflow: ellipsis; }
    ConfigsView #configs-right { width: 1fr; height: 1fr; }
    ConfigsView Code { height: 1fr; }
    ConfigsView #configs-said { height: auto; min-height: 2; max-height: 4; padding: 0 1; }
    ConfigsView #configs-nothing { width: 1fr; height: 1fr; padding: 1 2; display: none; }
    ConfigsView.-nothing Stages, ConfigsView.-nothing #configs-right { display: none; }
    ConfigsView.-nothing #configs-nothing { display: block; }
    ConfigsView.-narrow { layout: vertical; }
    ConfigsView.-narrow Stages { width: 1fr; height: 7; }
    ConfigsView.-short Stages, ConfigsView.-short #configs-right { height: 1; border: none; }
    ConfigsView.-short Stages:focus, ConfigsView.-short #configs-right:focus-within { height: 1fr; border: none; }
    ConfigsView.-short Code, ConfigsView.-short Code:focus { border: none; }
    ConfigsView.-short #configs-said { max-height: 2; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.page: Page = "yaml"
        self.current: str | None = None
        """The digest of the chosen stage."""
        self.explained: Explained | None = None
        self._plan: StageGraph | None = None
        self._recipe: Recipe | None = None
        self._files: dict[str, str] | InputError | None = None
        self._emitting = False
        self._shown: object = None

    def compose(self) -> ComposeResult:
        yield Static(id="configs-nothing", markup=False)
        yield Stages(id="configs-stages").add_class("pane")
        with Vertical(id="configs-right"):
            yield Code(id="configs-code").add_class("pane")
            yield Static(id="configs-said", markup=False)

    def on_mount(self) -> None:
        self.listed.border_title = "stages"

    def on_resize(self, event: events.Resize) -> None:
        """Stack the panes where there is no room beside each other."""
        self.set_class(event.size.width < WIDE or event.size.height < SHORT, "-narrow")
        self.set_class(event.size.height < SHORT, "-short")

    # ------------------------------------------------------------------ parts
    @property
    def listed(self) -> Stages:
        """The stages."""
        return self.query_one(Stages)

    @property
    def code(self) -> Code:
        """The text."""
        return self.query_one(Code)

    @property
    def stage(self) -> Stage | None:
        """The chosen stage."""
        return next((stage for stage in self._plan.stages if stage.digest == self.current), None) if self._plan else None

    def _plain(self, text: str) -> str:
        return "\n".join(map(plain, text.splitlines())) if self.tlimb.ascii_only else text

    # ------------------------------------------------------------------ the app's news
    def recipe_changed(self) -> None:
        self._look()

    def plan_changed(self) -> None:
        self._look()

    def selection_changed(self) -> None:
        """Choose the stage of the selected statement, unless its own line was chosen here."""
        if self.tlimb.tab == "configs":
            self._mark()
            return
        self._follow()

    def shown(self) -> None:
        self._look()
        self._follow()

    def _follow(self) -> None:
        """The stage of the selected statement, or of one that it says something of."""
        number = self.tlimb.selected
        if self._plan is None or self._recipe is None or number is None:
            return
        node = node_of(self._recipe, number)
        group = next((group for group in groups(self._plan, None) if group.id == node), None)
        if group is not None and self.current not in group.digests:
            self._choose(group.digests[0])
        elif self.tlimb.tab == "configs":
            self._mark()

    def _look(self) -> None:
        if not self.is_mounted or self.tlimb.tab != "configs":
            return
        workspace = self.tlimb.workspace
        reason = self._reason()
        self.set_class(bool(reason), "-nothing")
        self.query_one("#configs-nothing", Static).update(self._plain(reason))
        if reason or workspace.plan is self._plan:
            return
        # The plan belongs to the text it was made of; a text that changes is planned again in a moment.
        self._plan, self._recipe = workspace.plan, workspace.recipe
        self._files = None
        self._list()

    def _reason(self) -> str:
        """Why there is nothing to show; empty if there is something."""
        workspace = self.tlimb.workspace
        if workspace.plan is not None:
            return ""
        if errors := [problem for problem in workspace.problems if problem.severity == "error"]:
            count = f"{len(errors)} problem{'s' * (len(errors) != 1)}"
            return f"the recipe has {count}: {errors[0].message}\ntab 1 shows where, and what to do"
        return "the recipe is being planned …" if workspace.text.strip() else "the recipe is empty: write it in tab 1, or open one with ^o"

    # ------------------------------------------------------------------ the list
    def _list(self) -> None:
        assert self._plan is not None
        apart = distinctions(self._plan)
        options: list[Option] = []
        for group in groups(self._plan, None):
            if len(group.digests) > 1:
                options.append(Option(Content(self._plain(f"{group.title} ×{len(group.digests)}")), disabled=True))
            for digest in group.digests:
                label = group.title if len(group.digests) == 1 else f"  {apart.get(digest) or digest[:8]}"
                options.append(Option(Content(self._plain(label)), id=digest))
        place = self.listed.scroll_offset
        self.listed.clear_options()
        self.listed.add_options(options)
        self.listed.scroll_to(y=place.y, animate=False)
        known = [option.id for option in options if option.id]
        self._choose(self.current if self.current in known else next(iter(known), None))

    def _choose(self, digest: str | None) -> None:
        self.current = digest
        if digest is None or not self.is_mounted:
            return
        try:
            self.listed.highlighted = self.listed.get_option_index(digest)
        except OptionDoesNotExist:  # the list is made when the tab is shown
            return
        self._show()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the stage."""
        event.stop()
        if event.option.id and event.option.id != self.current:
            self.current = event.option.id
            self._show()
            group = self._group()
            number = number_of(self._recipe, group.id) if group and self._recipe else None
            if number is not None:
                self.tlimb.select(number)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go on to the text."""
        event.stop()
        self.code.focus()

    def _group(self) -> Group | None:
        return next((group for group in groups(self._plan, None) if self.current in group.digests), None) if self._plan else None

    # ------------------------------------------------------------------ the text
    def _show(self) -> None:
        stage, recipe = self.stage, self._recipe
        if stage is None or recipe is None:
            return
        if self.page == "nextflow":
            self._show_nextflow(stage)
            return
        text = dump(dict(stage.config))
        self.explained = Explained(text, lines(text, Origins(recipe, stage)))
        self.code.border_title = self._plain(f"{stage.name} {stage.digest[:8]} · YAML")
        self.code.border_subtitle = self._plain("v: Nextflow · y copies · w writes")
        self.code.show(text, "yaml", self._linked())
        self._say()

    def _linked(self) -> Collection[int]:
        number = self.tlimb.selected
        return self.explained.of(number) if self.explained and number is not None and self.page == "yaml" else ()

    def _mark(self) -> None:
        if self.is_mounted:
            self.code.mark(list(self._linked()))

    def _show_nextflow(self, stage: Stage) -> None:
        self.explained = None
        if self._files is None:
            self._emit()
            self.code.show("// being compiled …", "nextflow")
            return
        if isinstance(self._files, InputError):
            self.code.show(f"// {self._files.message}\n// {self._files.hint}", "nextflow")
            return
        assert self._plan is not None
        name = processes(self._plan)[stage.digest]
        text = process_text(self._files["main.nf"], name)
        job = job_id(stage)
        mine = [line for line in self._files["jobs.csv"].splitlines()[1:] if line.split(",")[0] == job]
        text += f"\n// jobs.csv: id,step,config,needs\n// {mine[0] if mine else job}\n"
        self.code.border_title = self._plain(f"{name} · main.nf of the Nextflow project")
        self.code.border_subtitle = self._plain("v: YAML · y copies · w writes")
        self.code.show(text, "nextflow")
        self._say()

    def _emit(self) -> None:
        if self._emitting:
            return
        self._emitting = True
        plan, datasets = self._plan, self.tlimb.workspace.datasets
        assert plan is not None

        def emit() -> None:
            try:
                found: dict[str, str] | InputError = project_files(plan, datasets)
            except InputError as error:
                found = error
            self.app.call_from_thread(self._emitted, plan, found)

        self.run_worker(emit, thread=True, group="emit", exit_on_error=False)

    def _emitted(self, plan: StageGraph, found: dict[str, str] | InputError) -> None:
        self._emitting = False
        if plan is self._plan:
            self._files = found
        if self.is_mounted and self.page == "nextflow":
            self._show()

    # ------------------------------------------------------------------ the line at the cursor
    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """Say where the line comes from."""
        event.stop()
        self._say()

    @property
    def fields(self) -> list[tuple[Place, Origin]]:
        """The fields of the line at the cursor."""
        if self.explained is None:
            return []
        row, column = self.code.cursor_location
        told = self.explained.told.get(row, [])
        here = [pair for pair in told if pair[0].column <= column < pair[0].end_column or pair[0].end_line > row]
        return here if len(told) > 1 and here and column else told

    def _say(self) -> None:
        said = self.query_one("#configs-said", Static)
        if self.page == "nextflow":
            said.update(self._plain("the whole project: tlimb compile RECIPE -o DIR; its jobs and configs are those of tab 5"))
            return
        recipe = self._recipe
        fields = self.fields
        if not fields or recipe is None:
            said.update(Text("this line holds others", style="dim") if self.explained else "")
            return
        words: dict[str, list[str]] = {}
        for place, origin in fields:
            words.setdefault(note(origin, recipe.text), []).append(place.path)
        text = Text()
        for why, paths in list(words.items())[:3]:
            text.append(self._plain(", ".join(paths[:4]) + (" …" if len(paths) > 4 else "")), style="bold")
            text.append(self._plain(f" ← {why}\n") if not self.tlimb.ascii_only else f" < {why}\n")
        if any(origin.number is not None for _, origin in fields):
            text.append("enter goes there", style="dim")
        said.update(text)

    # ------------------------------------------------------------------ actions
    def action_page(self) -> None:
        """YAML or Nextflow."""
        self.page = "nextflow" if self.page == "yaml" else "yaml"
        self._show()

    def action_go(self) -> None:
        """The statement that the line comes from."""
        if self.listed.has_focus:
            self.code.focus()
            return
        origin = next((origin for _, origin in self.fields if origin.number is not None), None)
        group = self._group()
        number = (
            origin.number if origin else number_of(self._recipe, group.id) if group and self._recipe and self.page == "nextflow" else None
        )
        if number is None:
            self.tlimb.say("no statement says this: it is a default")
            return
        self.tlimb.select(number)
        self.tlimb.tab = "edit"
        if origin is not None and origin.span is not None and self.tlimb.workspace.recipe is self._recipe:
            self.tlimb.editor.go(origin.span, select=True)

    def action_copy(self) -> None:
        """Copy what is selected, or all."""
        text = self.code.selected_text or self.code.text
        self.app.copy_to_clipboard(text)
        count = text.count("\n") + 1
        self.tlimb.say(f"copied {count} line{'s' * (count != 1)}")

    @work
    async def action_write(self) -> None:
        """Write the text to a file."""
        stage = self.stage
        if stage is None:
            return
        suffix = "yaml" if self.page == "yaml" else "nf"
        proposed = self.tlimb.workspace.folder / f"{stage.name}-{stage.digest[:8]}.{suffix}"
        path = await self.app.push_screen_wait(AskName("Write it to", str(proposed)))
        if path is not None:
            self._write(path)

    def _write(self, path: Path) -> None:
        try:
            write_text(path, self.code.text)
        except OSError as error:
            self.tlimb.say(f"{path} cannot be written: {error.strerror}", severity="error")
        else:
            self.tlimb.say(f"wrote {path}")
