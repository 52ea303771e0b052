"""The third tab: the ranking, what it means, and the curves of marked rows over each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import DataTable, Static

from tlimb.drawing.cells import plain
from tlimb.errors import TlimbError
from tlimb.results.ranking import Row
from tlimb_tui.actions import bindings, without_taken
from tlimb_tui.ranking import Ranked, ranking_work, report
from tlimb_tui.screens.chooser import Chooser
from tlimb_tui.screens.chooser import Row as Line
from tlimb_tui.views import SHORT, View
from tlimb_tui.widgets.curves import Curve, Curves, choices

WIDE = 100
LOW = 28
"""Rows below which only the first sentences are seen."""
MARKED = 3
"""Rows that are marked at first."""


class RankingTable(DataTable[Text], inherit_bindings=False):
    """The rows."""

    BINDINGS: ClassVar[list[BindingType]] = [*without_taken(DataTable.BINDINGS, "app", "results")]


class ChooseMetric(Chooser[str]):
    """What to rank by."""

    TITLE_TEXT = "rank by"

    def __init__(self, metrics: Sequence[str]) -> None:
        super().__init__()
        self.metrics = metrics

    def rows(self, wanted: str) -> list[Line[str]]:
        return [Line(Content(name), name) for name in self.metrics if wanted.casefold() in name.casefold()]


class ResultsView(View):
    """Ranking above; below the chosen row in detail and the curves of marked rows."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("results")]
    DEFAULT_CSS = """
    ResultsView { layout: vertical; }
    ResultsView #results-said { height: auto; max-height: 8; padding: 0 1; scrollbar-size-vertical: 1; }
    ResultsView .pane { border: round $border-blurred; border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    ResultsView .pane:focus, ResultsView .pane:focus-within { border: heavy $border; border-title-color: $text; }
    ResultsView RankingTable { height: 1fr; min-height: 5; background: $background; scrollbar-size-horizontal: 1; }
    ResultsView #results-lower { height: 1fr; }
    ResultsView #results-detail { width: 2fr; height: 1fr; padding: 0 1; }
    ResultsView #results-detail Static { height: auto; }
    ResultsView Curves { width: 3fr; height: 1fr; padding: 0 1; }
    ResultsView #results-nothing { height: 1fr; padding: 1 2; display: none; }
    ResultsView.-nothing RankingTable, ResultsView.-nothing #results-lower { display: none; }
    ResultsView.-nothing #results-nothing { display: block; }
    ResultsView.-narrow.-curves #results-detail, ResultsView.-narrow.-detail Curves { display: none; }
    ResultsView.-low #results-said { max-height: 3; }
    ResultsView.-short #results-said { display: none; }
    ResultsView.-short .pane, ResultsView.-short .pane:focus, ResultsView.-short .pane:focus-within { border: none; }
    ResultsView.-short RankingTable, ResultsView.-short #results-lower { height: 1; min-height: 1; border: none; }
    ResultsView.-short RankingTable:focus, ResultsView.-short #results-lower:focus-within { height: 1fr; border: none; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.by: str | None = None
        self.found: Ranked | None = None
        self.marked: set[tuple[str, str]] = set()
        """Variant and stage of the rows whose curves are drawn."""
        self.choice = ""
        self._seen: object = None
        self._working = False

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="results-said", can_focus=False):
            yield Static(markup=False)
        yield Static(id="results-nothing", markup=False)
        yield RankingTable(cursor_type="row", id="ranking").add_class("pane")
        with Horizontal(id="results-lower"):
            with VerticalScroll(id="results-detail", classes="pane"):
                yield Static(markup=False)
            yield Curves(id="results-curves").add_class("pane")

    def on_mount(self) -> None:
        self.add_class("-curves")
        self.query_one("#results-detail").border_title = "row"

    def on_resize(self, event: events.Resize) -> None:
        """Detail and curves share one place on narrow screens."""
        self.set_class(event.size.width < WIDE, "-narrow")
        self.set_class(event.size.height < LOW, "-low")
        self.set_class(event.size.height < SHORT, "-short")

    @property
    def table(self) -> RankingTable:
        """The rows."""
        return self.query_one(RankingTable)

    # ------------------------------------------------------------------ the app's news
    def recipe_changed(self) -> None:
        self._look()

    def plan_changed(self) -> None:
        self._look()

    def states_changed(self) -> None:
        self._look()

    def shown(self) -> None:
        self._look()

    def _look(self) -> None:
        """Rank again if something has been finished since, or the recipe is another one."""
        if not self.is_mounted or self.tlimb.tab != "results" or self._working:
            return
        workspace, snapshot = self.tlimb.workspace, self.tlimb.states
        plan, store = workspace.plan, workspace.store
        finished = frozenset(digest for digest, stage in snapshot.stages.items() if stage.finished) if snapshot else None
        seen = (id(plan), finished, self.by)
        if reason := self._reason():
            self._seen = None
            self._say_nothing(reason)
            return
        if seen == self._seen or plan is None or store is None:
            return
        self._seen, self._working = seen, True
        self.table.border_subtitle = "ranking …"
        job = ranking_work(plan, store, self.by, text=workspace.text, folder=workspace.folder, datasets=workspace.datasets_file)
        self.run_worker(lambda: self.app.call_from_thread(self._ranked, job()), thread=True, group="ranking", exit_on_error=False)

    def _reason(self) -> str:
        """Why there is nothing to rank; empty if there is something."""
        workspace, snapshot = self.tlimb.workspace, self.tlimb.states
        if workspace.store is None:
            error = workspace.store_error
            return f"{error.message}\n{error.hint}" if error else "there is no store"
        if workspace.plan is None:
            if errors := [problem for problem in workspace.problems if problem.severity == "error"]:
                count = f"{len(errors)} problem{'s' * (len(errors) != 1)}"
                return f"the recipe has {count}: {errors[0].message}\ntab 1 shows where, and what to do"
            return (
                "the recipe is being planned …" if workspace.text.strip() else "the recipe is empty: write it in tab 1, or open one with ^o"
            )
        if snapshot is None:
            return "looking at the store …"
        if any(stage.finished and stage.kind in ("fit", "evaluate") for stage in snapshot.stages.values()):
            return ""
        if snapshot.runs:
            return "no stage has finished training yet: the run is at work, tab 2 shows how far it is"
        failed = [stage for stage in snapshot.stages.values() if stage.state == "failed"]
        if failed:
            return f"no stage has finished: {failed[0].name} failed. {failed[0].message}\ntab 2 shows its log; R tries again"
        return f"nothing has run yet in {workspace.store.root}\nR runs the recipe; the ranking appears as soon as a stage has finished"

    def _say_nothing(self, reason: str) -> None:
        self.found = None
        self.add_class("-nothing")
        self.query_one("#results-said Static", Static).update("")
        self.query_one("#results-nothing", Static).update(self._plain(reason))

    def _ranked(self, found: Ranked | TlimbError) -> None:
        self._working = False
        if isinstance(found, TlimbError):
            self._say_nothing(f"{found.message}\n{found.hint}".strip())
            return
        self.remove_class("-nothing")
        before, self.found = self.found, found
        if before is None:
            self.marked = {_key(row) for row in [row for row in found.ranking.rows if row.key][:MARKED]}
        self._fill()
        self._look()

    # ------------------------------------------------------------------ showing
    def _fill(self) -> None:
        assert self.found is not None
        ranking = self.found.ranking
        better = "lower" if ranking.direction == "min" else "higher"
        self.query_one("#results-said Static", Static).update(self._plain(" ".join(self.found.sentences)))
        table, row, top = self.table, self.table.cursor_row, self.table.scroll_offset
        table.border_title = self._plain(f"ranked by {ranking.by} ({better} is better; b changes)")
        table.border_subtitle = self._plain("; ".join(ranking.notes))
        table.clear(columns=True)
        header, *lines = self.found.cells
        kept = [place for place, name in enumerate(header) if name != "note" or any(line[place] for line in lines)]
        table.add_column("", key="mark")
        for place in kept:
            table.add_column(self._plain(header[place]))
        for one, line in zip(ranking.rows, lines, strict=True):
            style = "" if one.seeds else "dim"
            table.add_row(self._mark(one), *(Text(self._plain(line[place]), style=style) for place in kept))
        if lines:
            table.move_cursor(row=min(row, len(lines) - 1), animate=False)
            table.scroll_to(*top, animate=False, immediate=True)
        self._detail()
        self._draw()

    def _mark(self, row: Row) -> Text:
        marked = _key(row) in self.marked
        return Text(
            ("*" if self.tlimb.ascii_only else "●") if marked else " ", style=self.app.theme_variables.get("primary", "") if marked else ""
        )

    def _plain(self, text: str) -> str:
        return "\n".join(map(plain, text.splitlines())) if self.tlimb.ascii_only else text

    @property
    def row(self) -> Row | None:
        """The row at the cursor."""
        rows = self.found.ranking.rows if self.found else ()
        place = self.table.cursor_row
        return rows[place] if 0 <= place < len(rows) else None

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Say more of the row."""
        event.stop()
        self._detail()

    def _detail(self) -> None:
        row = self.row
        lines = self.found.lines(row) if self.found and row else []
        self.query_one("#results-detail Static", Static).update(self._plain("\n".join(lines)))

    def _draw(self) -> None:
        if self.found is None:
            return
        found = [row for row in self.found.ranking.rows if _key(row) in self.marked]
        histories = [(row, seed, history) for row in found for seed, history in self.found.histories(row) if history]
        offered = list(dict.fromkeys(name for row, _, history in histories for name in choices(history, row.key or "")))
        self.choice = self.choice if self.choice in offered else next(iter(offered), "")
        names = ("train.loss", "val.loss") if self.choice == "loss" else (self.choice,)
        curves = []
        for row, seed, history in histories:
            for name in names:
                if name in history:
                    part = f" {name}" if len(names) > 1 else ""
                    repeated = f" seed {seed}" if len(row.digests) > 1 else ""
                    curves.append(Curve(self._plain(f"{self.found.name(row)}{repeated}{part}"), tuple(history[name])))
        title = f"{self.choice} by epoch" + (
            f" · m: {', '.join(name for name in offered if name != self.choice)}" if len(offered) > 1 else ""
        )
        self.query_one(Curves).show(self._plain(title), curves, nothing="space marks a row: its curves are drawn here")

    # ------------------------------------------------------------------ actions
    def action_mark(self) -> None:
        """Mark the row, or take the mark away."""
        if (row := self.row) is None:
            return
        self.marked ^= {_key(row)}
        self.table.update_cell_at((self.table.cursor_row, 0), self._mark(row))  # type: ignore[arg-type]
        self._draw()

    @work
    async def action_by(self) -> None:
        """Choose what to rank by."""
        if self.found is None:
            return
        chosen = await self.app.push_screen_wait(ChooseMetric(self.found.metrics))
        if chosen is not None:
            self.by = chosen
            self._look()

    def action_metric(self) -> None:
        """Draw the next metric."""
        if self.found is None:
            return
        rows = [row for row in self.found.ranking.rows if _key(row) in self.marked]
        offered = list(
            dict.fromkeys(n for row in rows for _, history in self.found.histories(row) for n in choices(history, row.key or ""))
        )
        if offered:
            place = offered.index(self.choice) if self.choice in offered else 0
            self.choice = offered[(place + 1) % len(offered)]
            self._draw()

    def action_table(self) -> None:
        """Curves as a table, or back."""
        self.set_class(True, "-curves").set_class(False, "-detail")
        self.query_one(Curves).toggle_table()

    def action_detail(self) -> None:
        """On narrow screens, the row in detail in place of the curves."""
        self.toggle_class("-curves", "-detail")

    def action_report(self) -> None:
        """Write the report, and open it."""
        if (found := self.found) is None:
            self.tlimb.say("there is nothing to report yet", severity="warning")
            return

        def whole() -> None:
            try:
                path = report(found)
            except TlimbError as error:
                self.app.call_from_thread(self.tlimb.say, f"{error.message}; {error.hint}", severity="error")
            else:
                self.app.call_from_thread(self._reported, path)

        self.run_worker(whole, thread=True, group="report", exit_on_error=False)

    def _reported(self, path: Path) -> None:
        self.tlimb.say(f"wrote {path}; O opens it")

    def action_open_report(self) -> None:
        """Open the report in the browser."""
        store, plan = self.tlimb.workspace.store, self.tlimb.workspace.plan
        path = store.root / plan.recipe / "report.html" if store and plan else None
        if path is None or not path.exists():
            self.tlimb.say("there is no report yet: w writes one", severity="warning")
            return
        self.app.open_url(path.as_uri())
        self.tlimb.say(f"opening {path}")


def _key(row: Row) -> tuple[str, str]:
    return row.variant, row.stage
