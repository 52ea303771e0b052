"""The fourth tab: the data sets of the catalogue, who is in them, how their labels are distributed and how a scan looks."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import DataTable, Static

from tlimb.catalogue.datasets import add_entry
from tlimb.catalogue.listing import Dataset, describe
from tlimb.catalogue.splits import Role
from tlimb.drawing.cells import plain
from tlimb.errors import InputError, TlimbError
from tlimb.recipe.settings import targets
from tlimb.recipe.tree import Training
from tlimb.run.data import inspect
from tlimb.run.subjects import Subject, roles, subject_table, subjects
from tlimb.stages.graph import StageGraph
from tlimb_tui.actions import bindings, without_taken
from tlimb_tui.screens.addfolder import AddFolder
from tlimb_tui.views import SHORT, View
from tlimb_tui.widgets.overview import findings_text, overview_text
from tlimb_tui.widgets.slices import Slices

WIDE = 110
PAGES = ("overview", "people", "scan", "findings")
TITLES = {"overview": "overview", "people": "participants", "scan": "scan", "findings": "findings"}
MOST = 2000
"""Participants in the table; of more, the first."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a data set without opening an image."""

    described: dict[str, Any]
    subjects: list[Subject]
    roles: Mapping[str, Role]


class Table(DataTable[Text], inherit_bindings=False):
    """A list."""

    BINDINGS: ClassVar[list[BindingType]] = [*without_taken(DataTable.BINDINGS, "app", "data")]


class DataView(View):
    """Data sets, the chosen one's overview and participants, the chosen participant's scan; narrow screens show one page at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("data")]
    DEFAULT_CSS = """
    DataView { layout: horizontal; }
    DataView .pane { border: round $border-blurred; border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    DataView .pane:focus, DataView .pane:focus-within { border: heavy $border; border-title-color: $text; }
    DataView #data-sets { width: 32; height: 1fr; background: $background; scrollbar-size-horizontal: 0; }
    DataView #data-middle { width: 3fr; height: 1fr; }
    DataView #data-overview { height: 1fr; padding: 0 1; }
    DataView #data-people { height: 1fr; background: $background; scrollbar-size-horizontal: 1; }
    DataView #data-findings { height: 1fr; padding: 0 1; display: none; }
    DataView #data-scan { width: 3fr; height: 1fr; }
    DataView.-scan #data-middle { display: none; }
    DataView #data-said { height: auto; max-height: 3; color: $text-muted; }
    DataView.-findings #data-findings { display: block; }
    DataView.-findings #data-overview { display: none; }
    DataView.-narrow { layout: vertical; }
    DataView.-narrow #data-sets { width: 1fr; height: 7; }
    DataView.-narrow #data-middle, DataView.-narrow #data-scan { width: 1fr; height: 1fr; display: none; }
    DataView.-narrow #data-overview, DataView.-narrow #data-people, DataView.-narrow #data-findings { display: none; }
    DataView.-narrow.-overview #data-middle, DataView.-narrow.-overview #data-overview { display: block; }
    DataView.-narrow.-people #data-middle, DataView.-narrow.-people #data-people { display: block; }
    DataView.-narrow.-findings #data-middle, DataView.-narrow.-findings #data-findings { display: block; }
    DataView.-narrow.-scan #data-scan { display: block; }
    DataView.-short #data-sets { height: 1; border: none; }
    DataView.-short #data-sets:focus { height: 1fr; border: none; }
    DataView.-short .pane, DataView.-short .pane:focus, DataView.-short .pane:focus-within { border: none; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.current: str | None = None
        self.page = "overview"
        self.known: dict[str, Known | InputError] = {}
        self.found: dict[str, list[dict[str, Any]] | TlimbError] = {}
        """What checks have found, by data set."""
        self._reading: set[str] = set()
        self._checks: dict[str, subprocess.Popen[str] | None] = {}
        self._catalogue: object = None
        self._plan: object = None

    def compose(self) -> ComposeResult:
        yield Table(cursor_type="row", id="data-sets").add_class("pane")
        with Vertical(id="data-middle"):
            with VerticalScroll(id="data-overview", classes="pane"):
                yield Static(markup=False)
            with VerticalScroll(id="data-findings", classes="pane"):
                yield Static(markup=False)
            yield Table(cursor_type="row", id="data-people").add_class("pane")
        with Vertical(id="data-scan", classes="pane"):
            yield Slices(id="slices")
            yield Static(id="data-said", markup=False)

    def on_mount(self) -> None:
        self.sets.border_title = "data sets"
        for page in PAGES:
            self.query_one(f"#data-{page}").border_title = TITLES[page]
        self._turn("overview")

    def on_resize(self, event: events.Resize) -> None:
        """One page at a time where there is no room for all."""
        self.set_class(event.size.width < WIDE or event.size.height < SHORT, "-narrow")
        self.set_class(event.size.height < SHORT, "-short")
        self._page_keys()

    def on_unmount(self) -> None:
        """Checks end with the app: nobody is there to read what they find."""
        for process in self._checks.values():
            if process is not None:
                process.kill()

    # ------------------------------------------------------------------ parts
    @property
    def sets(self) -> Table:
        """The data sets."""
        return self.query_one("#data-sets", Table)

    @property
    def people(self) -> Table:
        """The participants."""
        return self.query_one("#data-people", Table)

    @property
    def slices(self) -> Slices:
        """The scan."""
        return self.query_one(Slices)

    def _plain(self, text: str) -> str:
        return "\n".join(map(plain, text.splitlines())) if self.tlimb.ascii_only else text

    # ------------------------------------------------------------------ the app's news
    def recipe_changed(self) -> None:
        self._look()

    def plan_changed(self) -> None:
        self._look()

    def selection_changed(self) -> None:
        """Choose the data set of the selected statement."""
        recipe, number = self.tlimb.workspace.recipe, self.tlimb.selected
        statement = recipe.statements[number] if number is not None and number < len(recipe.statements) else None
        if self.tlimb.tab == "data" or not isinstance(statement, Training):
            return
        named = [target.dataset for target in targets(statement.clause("on"))]
        if named and named[0] in self.tlimb.workspace.datasets:
            self.current = named[0]

    def shown(self) -> None:
        self._look()

    def _look(self) -> None:
        """Show the catalogue; read what is chosen."""
        if not self.is_mounted or self.tlimb.tab != "data":
            return
        workspace = self.tlimb.workspace
        if workspace.datasets is not self._catalogue:
            self._catalogue = workspace.datasets
            self.known.clear()
            self._list()
        if workspace.plan is not self._plan:
            self._plan = workspace.plan
            for name, known in list(self.known.items()):
                if isinstance(known, Known):
                    del self.known[name]
        self._choose(self.current)

    def _list(self) -> None:
        table, datasets = self.sets, self.tlimb.workspace.datasets
        table.clear(columns=True)
        for name, label in (("name", "name"), ("format", "format"), ("people", "n")):
            table.add_column(label, key=name)
        broken = datasets.broken
        for name in datasets:
            kind = "broken" if name in broken else datasets[name].format
            table.add_row(Text(self._plain(name)), Text(kind, style="red" if name in broken else ""), Text(""), key=name)
        error = self.tlimb.workspace.datasets_error
        sources = len(datasets.sources)
        table.border_subtitle = self._plain(error.message if error else f"{sources} file{'s' * (sources != 1)} · a adds a folder")
        names = list(datasets)
        if names:
            self.current = self.current if self.current in names else names[0]
            table.move_cursor(row=names.index(self.current), animate=False)

    # ------------------------------------------------------------------ one data set
    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the data set, or the scan of the participant."""
        event.stop()
        if event.cursor_row != event.data_table.cursor_row:  # a list made anew tells of its first row too
            return
        if event.data_table is self.sets:
            if event.row_key.value != self.current:
                self._choose(event.row_key.value)
        else:
            self._show_scan()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Go on to the next pane."""
        event.stop()
        if event.data_table is self.sets:
            self._turn("people" if self.has_class("-narrow") else self.page)
            self.people.focus()
        else:
            self._turn("scan")
            self.slices.focus()

    def _choose(self, name: str | None) -> None:
        self.current = name
        known = self.known.get(name) if name else None
        if name and known is None:
            self._read(name)
        self._show()

    def _read(self, name: str) -> None:
        if name in self._reading:
            return
        self._reading.add(name)
        workspace = self.tlimb.workspace
        datasets, plan = workspace.datasets, workspace.plan

        def read() -> None:
            try:
                found: Known | InputError = known_of(datasets[name], plan)
            except InputError as error:
                found = error
            self.app.call_from_thread(self._was_read, name, datasets, plan, found)

        self.run_worker(read, thread=True, group="data", exit_on_error=False)

    def _was_read(self, name: str, datasets: object, plan: object, found: Known | InputError) -> None:
        self._reading.discard(name)
        if datasets is not self._catalogue:
            return
        if plan is self._plan:
            self.known[name] = found
            count = str(found.described["with_image"]) if isinstance(found, Known) else "!"
            self.sets.update_cell(name, "people", Text(count, justify="right"), update_width=True)
        if name == self.current:
            self._choose(name)
        if not self._reading and (rest := [other for other in self.tlimb.workspace.datasets if other not in self.known]):
            self._read(rest[0])  # one after the other, for the counts in the list

    def _show(self) -> None:
        name, known = self.current, self.known.get(self.current or "")
        overview = self.query_one("#data-overview Static", Static)
        if isinstance(known, Known):
            width = max(24, self.query_one("#data-overview").size.width - 4)
            colour = self.app.theme_variables.get("primary", "")
            overview.update(overview_text(known.described, known.roles, width, colour, ascii_only=self.tlimb.ascii_only))
            self._fill(known)
        else:
            self.people.clear(columns=True)
            self.slices.show(None, None)
            if isinstance(known, InputError):
                overview.update(self._plain(f"{known.message}\n{known.hint}"))
            else:
                overview.update("reading its tables …" if name else "there is no data set: a adds a folder")
        self._show_findings()

    def _fill(self, known: Known) -> None:
        table = self.people
        dataset = self.tlimb.workspace.datasets[self.current or ""]
        header, *rows = subject_table(dataset, known.subjects[:MOST])
        table.clear(columns=True)
        for name in header:
            table.add_column(name)
        for subject, row in zip(known.subjects[:MOST], rows, strict=True):
            style = "" if subject.scan and not subject.problems else "yellow" if subject.scan else "dim"
            table.add_row(*(Text(self._plain(cell), style=style) for cell in row))
        more = len(known.subjects) - MOST
        table.border_subtitle = f"{more} more: tlimb data show {self.current}" if more > 0 else "enter looks at the scan"
        self._show_scan()

    def _show_scan(self) -> None:
        known = self.known.get(self.current or "")
        if not isinstance(known, Known) or not known.subjects:
            self.slices.show(None, None)
            return
        place = min(max(0, self.people.cursor_row), len(known.subjects) - 1)
        subject = known.subjects[place]
        dataset = self.tlimb.workspace.datasets[self.current or ""]
        who = " ".join(part for part in (subject.participant_id, subject.session) if part)
        values = ", ".join(f"{name} {subject.value(name)}" for name in dataset.labels)
        self.query_one("#data-scan").border_title = self._plain(" · ".join(part for part in (who, values, subject.role) if part))
        if not self.has_class("-narrow") or self.page == "scan":
            self.slices.show(dataset, subject.scan)
        if subject.scan is None:
            self.query_one("#data-said", Static).update(self._plain("; ".join(subject.problems)))

    def on_slices_looked(self, event: Slices.Looked) -> None:
        """Say what is shown."""
        event.stop()
        known = self.known.get(self.current or "")
        problems = ""
        if not event.said and isinstance(known, Known) and known.subjects:
            problems = "; ".join(known.subjects[min(max(0, self.people.cursor_row), len(known.subjects) - 1)].problems)
        self.query_one("#data-said", Static).update(self._plain(event.said or problems))

    # ------------------------------------------------------------------ checks
    def _show_findings(self) -> None:
        said, name = self.query_one("#data-findings Static", Static), self.current or ""
        known, found = self.known.get(name), self.found.get(name)
        if name in self._checks:
            said.update(f"opening every image of {name} …\nthis takes a while for many; c stops it")
        elif isinstance(found, TlimbError):
            said.update(self._plain(f"{found.message}\n{found.hint}"))
        else:
            said.update(findings_text(known.described, found, ascii_only=self.tlimb.ascii_only) if isinstance(known, Known) else "")

    def action_check(self) -> None:
        """Check the data set, or stop the check."""
        name = self.current
        if name is None or name in self.tlimb.workspace.datasets.broken:
            return
        if name in self._checks:
            if (process := self._checks[name]) is not None:
                process.kill()
            return
        self._checks[name] = None
        self.found.pop(name, None)
        self._turn("findings")
        self._show_findings()
        datasets = self.tlimb.workspace.datasets

        def check() -> None:
            try:
                found: list[dict[str, Any]] | TlimbError = inspect(datasets, name, lambda process: self._began(name, process))
            except TlimbError as error:
                found = error
            self.app.call_from_thread(self._checked, name, found)

        self.run_worker(check, thread=True, group="checks", exit_on_error=False)

    def _began(self, name: str, process: "subprocess.Popen[str]") -> None:
        self._checks[name] = process

    def _checked(self, name: str, found: list[dict[str, Any]] | TlimbError) -> None:
        del self._checks[name]
        self.found[name] = found
        if self.is_mounted and name == self.current:
            self._show_findings()

    # ------------------------------------------------------------------ pages and adding
    def _turn(self, page: str) -> None:
        self.page = page
        for other in PAGES:
            self.set_class(other == page, f"-{other}")
        self._page_keys()
        self.call_after_refresh(self._show_scan)

    def _page_keys(self) -> None:
        narrow = self.has_class("-narrow")
        pages = PAGES if narrow else ("overview", "scan", "findings")
        for page in PAGES:
            others = " · ".join(TITLES[other] for other in pages if other != page)
            if page in pages:
                self.query_one(f"#data-{page}").border_subtitle = self._plain(f"v: {others}")

    def action_page(self) -> None:
        """The next page."""
        pages = PAGES if self.has_class("-narrow") else ("overview", "scan", "findings")
        place = pages.index(self.page) if self.page in pages else -1
        self._turn(pages[(place + 1) % len(pages)])
        targets_of = {"people": self.people, "scan": self.slices}
        (targets_of.get(self.page) or self.query_one(f"#data-{self.page}")).focus()

    @work
    async def action_add(self) -> None:
        """Add a folder."""
        workspace = self.tlimb.workspace
        file = workspace.datasets_file or workspace.folder / "datasets.yaml"
        found = await self.app.push_screen_wait(AddFolder(workspace.folder, file))
        if found is None:
            return
        try:
            add_entry(file, found.name, found.text)
        except (InputError, OSError) as error:
            self.tlimb.say(f"{error.message}; {error.hint}" if isinstance(error, InputError) else str(error), severity="error")
            return
        self.current = found.name
        self.tlimb.action_reload()
        self.tlimb.say(f"added {found.name} to {file}; c checks it")
        self._look()


def known_of(dataset: Dataset, plan: StageGraph | None) -> Known:
    """Read a data set's tables.

    Raises:
        InputError: they cannot be read.
    """
    used = roles(plan, dataset) if plan is not None else {}
    return Known(describe(dataset), subjects(dataset, used), used)
