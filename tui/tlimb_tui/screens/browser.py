"""Recipes of folders, those opened last, and the shipped ones to begin from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input

from tlimb.assets import asset
from tlimb_tui.recent import recent
from tlimb_tui.screens.chooser import Chooser, Row

MANY = 400
"""Entries of a folder that are shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the browser: a recipe to open, a folder to go to, a recipe to begin from, or an empty one."""

    kind: str
    path: Path


class Browser(Chooser[Place]):
    """The recipe browser; it is dismissed with what is to be opened."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+up,alt+up", "up", "Folder above", priority=True)]
    TITLE_TEXT = "open a recipe, or begin one"
    PROMPT = "type to search, or a path"
    FOOT = "enter opens · ⌫ on an empty line goes to the folder above · esc goes back"
    SIDE = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder.resolve()

    def rows(self, wanted: str) -> Sequence[Row[Place]]:
        """What there is, by where it comes from."""
        return [row for row in self._all(wanted) if row.value is None or self._fits(row, wanted)]

    def _fits(self, row: Row[Place], wanted: str) -> bool:
        return "/" in wanted or all(word in row.text.plain.casefold() for word in wanted.casefold().split())

    def _all(self, wanted: str) -> Iterator[Row[Place]]:
        if "/" in wanted:
            try:
                found = list(self._typed(Path(wanted).expanduser()))
            except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a character that no path has
                found = [_heading(f"  this names no place: {getattr(error, 'strerror', None) or error}")]
            yield from found
            return
        yield _heading(str(self.folder))
        try:
            entries = sorted(self.folder.iterdir(), key=lambda path: path.name.casefold())
        except OSError as error:
            yield _heading(f"  cannot be read: {error.strerror}")
            entries = []
        recipes = [path for path in entries if path.suffix == ".tlr" and path.is_file()]
        for path in recipes[:MANY]:
            yield Row(Content.assemble(f"  {path.name:<28} ", (_first_line(path), "dim")), Place("recipe", path))
        if not recipes:
            told = "  no recipe in this folder yet: enter begins one from the demo"
            yield Row(Content.styled(told, "dim"), Place("shipped", asset("recipes", "demo.tlr")))
        yield Row(Content("  ../"), Place("folder", self.folder.parent))
        for path in [path for path in entries if not path.name.startswith(".") and path.is_dir()][:MANY]:
            yield Row(Content(f"  {path.name}/"), Place("folder", path))
        yield _heading("begin a new one")
        yield Row(Content.assemble(f"  {'empty':<28} ", ("nothing in it", "dim")), Place("empty", self.folder))
        for path in sorted(asset("recipes").glob("*.tlr")):
            yield Row(Content.assemble(f"  from {path.stem:<23} ", (_first_line(path), "dim")), Place("shipped", path))
        yield _heading("opened last")
        for path in recent():
            yield Row(Content(f"  {path}"), Place("recipe", path))

    def _typed(self, path: Path) -> Iterator[Row[Place]]:
        """A path that is typed: it, and what it may become."""
        path = path if path.is_absolute() else self.folder / path
        folder, start = (path, "") if str(path).endswith("/") or path.is_dir() else (path.parent, path.name)
        yield _heading(str(folder))
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            yield _heading(f"  cannot be read: {error.strerror}")
            return
        for entry in entries[:MANY]:
            if entry.name.startswith(start) and (entry.is_dir() or entry.suffix == ".tlr"):
                folder_sign = "/" if entry.is_dir() else ""
                yield Row(Content(f"  {entry.name}{folder_sign}"), Place("folder" if entry.is_dir() else "recipe", entry))

    def more(self, value: Place) -> str:
        """The text of a recipe."""
        if value.kind == "folder":
            return f"{value.path}"
        if value.kind == "empty":
            return f"An empty recipe in {value.path}"
        try:
            return value.path.read_text(encoding="utf-8", errors="replace")[:4000]
        except OSError as error:
            return f"cannot be read: {error.strerror}"

    def choose(self, value: Place) -> None:
        """Open it, or go there."""
        if value.kind == "folder":
            self.folder = value.path.resolve()
            self.query_one(Input).value = ""
            self.fill()
        else:
            self.dismiss(value)

    def on_key(self, event: events.Key) -> None:
        """Backspace where there is nothing to take back goes up."""
        if event.key == "backspace" and not self.query_one(Input).value:
            event.stop()
            self.action_up()

    def action_up(self) -> None:
        """The folder above."""
        self.choose(Place("folder", self.folder.parent))


def _heading(text: str) -> Row[Place]:
    return Row(Content.styled(text, "bold $text-primary"))


def _first_line(path: Path) -> str:
    """The first comment of a recipe, which says what it is for."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return next((line.lstrip("# ").rstrip() for line in file if line.startswith("#")), "")
    except OSError:
        return "cannot be read"
