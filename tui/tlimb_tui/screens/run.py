"""The second tab: what runs, how far it is, what it prints; start and stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from tlimb.drawing.bars import bar
from tlimb.drawing.cells import plain
from tlimb.drawing.marks import SIGNS, State
from tlimb.errors import TlimbError
from tlimb.results.read import read_history
from tlimb.run.background import Options, start, stop
from tlimb.run.monitor import Snapshot, StageState
from tlimb.run.nextflow import find_nextflow
from tlimb.run.runs import Run
from tlimb.run.status import headings, run_line
from tlimb_tui.actions import bindings, without_taken
from tlimb_tui.screens.options import RunOptions
from tlimb_tui.stages import RUN, Group, groups, node_of, number_of, run_row, stage_rows, states, telling
from tlimb_tui.views import SHORT, View
from tlimb_tui.widgets.curves import Curves, choices, chosen
from tlimb_tui.widgets.logtail import LogTail

WIDE = 100
"""Columns from which on list and details stand beside each other."""
COLUMNS = ("state", "stage", "progress", "metric", "time", "note")


class StageTable(DataTable[Text], inherit_bindings=False):
    """The stages; enter opens and closes a step."""

    BINDINGS: ClassVar[list[BindingType]] = [*without_taken(DataTable.BINDINGS, "app", "run")]


class RunView(View):
    """Stages by step at the left, the chosen one's curves and log at the right; on narrow screens below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("run")]
    DEFAULT_CSS = """
    RunView { layout: vertical; }
    RunView #run-head { height: auto; max-height: 4; padding: 0 1; }
    RunView #run-body { layout: horizontal; height: 1fr; }
    RunView .pane { border: round $border-blurred; border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    RunView .pane:focus, RunView .pane:focus-within { border: heavy $border; border-title-color: $text; }
    RunView StageTable { width: 3fr; min-width: 46; height: 1fr; background: $background; scrollbar-size-horizontal: 0; }
    RunView #run-detail { width: 2fr; height: 1fr; }
    RunView #run-message { height: auto; max-height: 8; padding: 0 1; color: $text-error; display: none; }
    RunView Curves { height: 2fr; padding: 0 1; }
    RunView LogTail { height: 1fr; min-height: 4; padding: 0 1; border-top: solid $border-blurred; }
    RunView.-narrow #run-body { layout: vertical; }
    RunView.-narrow StageTable { width: 1fr; min-width: 0; height: 1fr; }
    RunView.-narrow #run-detail { width: 1fr; height: 1fr; }
    RunView.-narrow Curves { height: 1fr; }
    RunView.-narrow.-log Curves, RunView.-narrow.-curves LogTail { display: none; }
    RunView.-narrow LogTail { height: 1fr; border: none; }
    RunView.-short #run-head { max-height: 1; }
    RunView.-short StageTable, RunView.-short #run-detail { height: 1; border: none; }
    RunView.-short StageTable:focus, RunView.-short #run-detail:focus-within { height: 1fr; border: none; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.options = Options()
        self.open: set[str] = set()
        self.current: str | None = None
        """The row of the table that is chosen: a node, a digest, or `RUN`."""
        self.choice = ""
        self._groups: list[Group] = []
        self._shape: object = None
        self._cells: dict[tuple[str, str], str] = {}
        self._asked: set[str] = set()
        self._reading = False

    def compose(self) -> ComposeResult:
        yield Static(id="run-head", markup=False)
        with Vertical(id="run-body"):
            yield StageTable(cursor_type="row", show_header=True, id="stages").add_class("pane")
            with Vertical(id="run-detail", classes="pane"):
                yield Static(id="run-message", markup=False)
                yield Curves(id="run-curves")
                yield LogTail(id="run-log")

    def on_mount(self) -> None:
        self.add_class("-log")
        self._say_options()
        self._refresh()

    # ------------------------------------------------------------------ parts
    @property
    def table(self) -> StageTable:
        """The list of stages."""
        return self.query_one(StageTable)

    @property
    def snapshot(self) -> Snapshot | None:
        """What is known."""
        return self.tlimb.states

    @property
    def live(self) -> tuple[Run, ...]:
        """The runs at work on the store."""
        return self.snapshot.runs if self.snapshot else ()

    def on_resize(self, event: events.Resize) -> None:
        """Stack the panes where there is no room beside each other."""
        self.set_class(event.size.width < WIDE or event.size.height < SHORT, "-narrow")
        self.set_class(event.size.height < SHORT, "-short")
        self._shape = None
        self._refresh()

    # ------------------------------------------------------------------ the app's news
    def recipe_changed(self) -> None:
        self._refresh()

    def plan_changed(self) -> None:
        self._refresh()

    def states_changed(self) -> None:
        self._refresh()

    def selection_changed(self) -> None:
        """Choose the step that is selected elsewhere."""
        name = node_of(self.tlimb.workspace.recipe, self.tlimb.selected)
        if self.tlimb.tab != "run" and name is not None and any(group.id == name for group in self._groups):
            self._choose(name)

    def shown(self) -> None:
        self._shape = None
        self._refresh()

    # ------------------------------------------------------------------ the list
    def _refresh(self) -> None:
        if not self.is_mounted or self.tlimb.tab != "run":
            return
        self.query_one("#run-head", Static).update(self._head())
        self._groups = groups(self.tlimb.workspace.plan, self.snapshot)
        rows = self._rows()
        # What no stage has takes no room.
        columns = [name for place, name in enumerate(COLUMNS) if any(cells[place] for _, cells in rows)]
        cells = {(key, name): cell for key, line in rows for name, cell in zip(COLUMNS, line, strict=True) if name in columns}
        shape = (*columns, *(key for key, _ in rows))
        if shape != self._shape:
            self._rebuild(columns, [key for key, _ in rows], cells)
            self._shape = shape
        else:
            for (key, name), cell in cells.items():
                if self._cells.get((key, name)) != str(cell):
                    self.table.update_cell(key, name, cell, update_width=True)
        self._cells = {place: str(cell) for place, cell in cells.items()}
        self._detail()

    def _rebuild(self, columns: Sequence[str], keys: Sequence[str], cells: Mapping[tuple[str, str], Text]) -> None:
        table, current, top = self.table, self.current, self.table.scroll_y
        table.clear(columns=True)
        for name in columns:
            table.add_column(name, key=name)
        for key in keys:
            table.add_row(*(cells[key, name] for name in columns), key=key)
        if keys:
            self.current = current if current in keys else keys[0]
            table.move_cursor(row=keys.index(self.current), animate=False)
            table.scroll_to(y=top, animate=False, immediate=True)

    def _rows(self) -> list[tuple[str, list[Text]]]:
        last = self.snapshot.last if self.snapshot else None
        rows = run_row(last) if last is not None and last.log is not None else []
        rows += stage_rows(self._groups, self.snapshot, self.open, ascii_only=self.tlimb.ascii_only)
        return [(row.key, [self._sign(row.state), *(Text(self._plain(cell)) for cell in row.cells)]) for row in rows]

    def _sign(self, state: State) -> Text:
        sign = SIGNS[state]
        return Text(f"{sign.ascii if self.tlimb.ascii_only else sign.glyph} {sign.word}", style=sign.colour)

    def _plain(self, text: str) -> str:
        return plain(text) if self.tlimb.ascii_only else text

    def _head(self) -> Text:
        workspace, snapshot = self.tlimb.workspace, self.snapshot
        if workspace.store is None:
            error = workspace.store_error
            return Text(f"{error.message}\n{error.hint}" if error else "there is no store")
        if snapshot is None:
            return Text("looking at the store …")
        lines = headings(snapshot) if snapshot.stages else []
        if not snapshot.runs and not snapshot.last:
            problems = len([problem for problem in workspace.problems if problem.severity == "error"])
            if problems:
                lines.append(f"the recipe has {problems} problem{'s' * (problems != 1)}: tab 1 shows {'them' if problems > 1 else 'it'}")
            elif not snapshot.done:
                lines.append("nothing has run yet: R runs the recipe, f5 the chosen stage and what it needs")
        said = Text(self._plain("\n".join(lines[:4])), no_wrap=True, overflow="ellipsis")
        if not snapshot.stages:
            return said
        shown = bar(snapshot.progress, max(10, min(30, self.size.width // 4)), ascii_only=self.tlimb.ascii_only)
        return Text.assemble((shown, self.app.theme_variables.get("primary", "")), " ", said)

    # ------------------------------------------------------------------ what is chosen
    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the stage."""
        event.stop()
        key = event.row_key.value
        if key is None or key == self.current or event.cursor_row != self.table.cursor_row:  # a list made anew tells of its first row too
            return
        self.current = key
        self._detail()
        group = self._group_of(key)
        number = number_of(self.tlimb.workspace.recipe, group.id) if group else None
        if number is not None:
            self.tlimb.select(number)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open or close a step."""
        event.stop()
        self.action_fold()

    def _choose(self, key: str) -> None:
        self.current = key
        self._shape = None
        self._refresh()

    def _group_of(self, key: str) -> Group | None:
        return next((group for group in self._groups if key == group.id or key in group.digests), None)

    @property
    def stage(self) -> StageState | None:
        """The chosen stage; of a step that is closed the one that most needs to be seen."""
        if self.current is None or self.current == RUN:
            return None
        group = self._group_of(self.current)
        if group is None:
            return None
        if self.current in group.digests and self.current != group.id:
            return next(iter(states([self.current], self.snapshot)))
        return telling(states(group.digests, self.snapshot))

    def _detail(self) -> None:
        pane, stage = self.query_one("#run-detail"), self.stage
        message = self.query_one("#run-message", Static)
        log = self.query_one(LogTail)
        if stage is None:
            last = self.snapshot.last if self.snapshot else None
            pane.border_title = self._plain(run_line(last)) if last and self.current == RUN else ""
            message.display = False
            self.query_one(Curves).show("", (), nothing="")
            log.follow(last.log if last and self.current == RUN else None)
            return
        name = " ".join(part for part in (stage.name, stage.apart, stage.digest[:8]) if part)
        pane.border_title = self._plain(f"{name} · {SIGNS[stage.state].word}")
        message.display = stage.state == "failed"
        if stage.state == "failed":
            message.update(stage.message)
        log.follow(
            stage.log, nothing=stage.message or ("it has not begun" if stage.state in ("idle", "queued") else "it has printed nothing")
        )
        self._read_curves(stage)

    def _read_curves(self, stage: StageState) -> None:
        if self._reading:
            return
        self._reading = True

        def read() -> None:
            history = read_history(stage.folder) if stage.folder and stage.kind in ("fit", "") else {}
            self.app.call_from_thread(self._show_curves, stage, history)

        self.run_worker(read, thread=True, group="curves", exit_on_error=False)

    def _show_curves(self, stage: StageState, history: dict[str, list[float]]) -> None:
        self._reading = False
        here = self.stage
        if here is None or here.digest != stage.digest:
            if here is not None:
                self._read_curves(here)
            return
        offered = choices(history, stage.monitor)
        choice = self.choice if self.choice in offered else next(iter(offered), "")
        if choice:
            more = f" · m: {', '.join(name for name in offered if name != choice)[:60]}" if len(offered) > 1 else ""
            self.query_one(Curves).show(self._plain(f"{choice} by epoch{more}"), chosen(history, choice))
        else:
            self.query_one(Curves).show("", (), nothing=self._nothing(stage))

    def _nothing(self, stage: StageState) -> str:
        if stage.kind == "prepare":
            return (
                f"{stage.epoch} of {stage.epochs} images are read"
                if stage.state == "running" and stage.epochs
                else "data sets have no curves"
            )
        if stage.kind in ("evaluate", "weights"):
            return "it trains nothing, so it has no curves"
        return "curves are drawn after the first epoch"

    # ------------------------------------------------------------------ actions
    def action_fold(self) -> None:
        """Open or close a step."""
        group = self._group_of(self.current) if self.current else None
        if group is None or len(group.digests) < 2:
            return
        self.open ^= {group.id}
        if group.id not in self.open:
            self.current = group.id
        self._shape = None
        self._refresh()

    def action_metric(self) -> None:
        """Draw the next metric."""
        stage = self.stage
        if stage is None or stage.folder is None:
            return
        offered = choices(read_history(stage.folder), stage.monitor)
        if offered:
            place = offered.index(self.choice) if self.choice in offered else 0
            self.choice = offered[(place + 1) % len(offered)]
            self._read_curves(stage)

    def action_table(self) -> None:
        """Curves as a table, or back."""
        if self.has_class("-narrow"):
            self.set_class(True, "-curves").set_class(False, "-log")
        self.query_one(Curves).toggle_table()

    def action_log(self) -> None:
        """On narrow screens, the log in place of the curves."""
        self.toggle_class("-log", "-curves")

    def action_edit(self) -> None:
        """The statement in the first tab."""
        self.tlimb.tab = "edit"

    @work
    async def action_options(self) -> None:
        """Ask how to run."""
        found = await self.app.push_screen_wait(RunOptions(self.options))
        if found is not None:
            self.options = found
            self._say_options()

    def _say_options(self) -> None:
        options = self.options
        parts = [f"{options.engine} engine"]
        parts += [f"profile {options.profile or 'standard'}"] if options.engine == "nextflow" else [f"{options.jobs or 'all'} jobs"]
        parts += [f"{options.threads} threads"] if options.threads else []
        self.table.border_title = "stages"
        self.table.border_subtitle = f"{', '.join(parts)} (o changes)"

    def run_recipe(self) -> None:
        """Start a run of the recipe."""
        self._start(())

    def run_selected(self) -> None:
        """Start a run of the chosen stage and what it needs."""
        group = self._group_of(self.current) if self.tlimb.tab == "run" and self.current else None
        if group is not None and self.current is not None:
            self._start((self.current,) if self.current in group.digests else group.digests if ":" in group.id else (group.id,))
        elif (name := node_of(self.tlimb.workspace.recipe, self.tlimb.selected)) is not None:
            self._start((name,))
        else:
            self.tlimb.say("select a stage first: f5 runs it and what it needs", severity="warning")

    @work
    async def _start(self, words: tuple[str, ...]) -> None:
        workspace = self.tlimb.workspace
        if self.live:
            names = ", ".join(run_line(run) for run in self.live)
            self.tlimb.say(f"{names}; s in the Run tab stops it", severity="warning")
            return
        if workspace.store is None:
            error = workspace.store_error
            self.tlimb.say(f"{error.message}; {error.hint}" if error else "there is no store", severity="error")
            return
        if any(problem.severity == "error" for problem in workspace.problems):
            self.tlimb.say("the recipe has problems: mend them first (tab 1, key .)", severity="error")
            return
        if not await self.tlimb.saved("It is saved before it runs."):
            return
        assert workspace.path is not None
        options = replace(self.options, only=words, datasets=workspace.datasets_file)
        self.tlimb.tab = "run"
        self._in_thread(lambda: self._begin(workspace.path, options))

    def _begin(self, path: Path | None, options: Options) -> str:
        store = self.tlimb.workspace.store
        assert path is not None
        assert store is not None
        if options.engine == "nextflow":
            find_nextflow()
        run = start(path, store, options)
        part = f"{', '.join(options.only)} and what it needs" if options.only else path.name
        return f"{part} runs in the background (process {run.pid}); leaving does not stop it"

    def action_stop(self) -> None:
        """Stop the run: once in order, twice at once."""
        if not self.live:
            self.tlimb.say("nothing is running")
            return
        for run in self.live:
            self._in_thread(lambda run=run: self._stop(run))  # type: ignore[misc]

    def _stop(self, run: Run) -> str:
        stop(run)
        again = run.id in self._asked
        self._asked.add(run.id)
        return "asked it to end at once" if again else "asked it to stop: it saves what is unfinished and ends; s again ends it at once"

    def _in_thread(self, job: Callable[[], str]) -> None:
        def whole() -> None:
            try:
                said = job()
            except TlimbError as error:
                self.app.call_from_thread(self.tlimb.say, f"{error.message}; {error.hint}", severity="error")
            else:
                self.app.call_from_thread(self.tlimb.say, said)

        self.run_worker(whole, thread=True, group="processes", exit_on_error=False)
