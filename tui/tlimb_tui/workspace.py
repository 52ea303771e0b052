"""One recipe being edited: its text, what it means, and where its data sets and results lie. Headless.

Of the seam with the panes: `store` is None where it cannot be used, and `store_error` says why; `broken` holds the numbers of the
statements of `recipe` whose line is being typed, so that their node is an earlier one: their span is right, what is within may not be.
"""

import os
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from tlimb.catalogue.datasets import built_in, datasets_files, find_datasets
from tlimb.catalogue.registry import Catalogue, load_catalogue
from tlimb.errors import Diagnostic, Edit, InputError, RecipeError, Span
from tlimb.recipe.check import Memory, check
from tlimb.recipe.parse import Reading, newline, read, shifted, verb_of
from tlimb.recipe.tree import Data, ParsedRecipe, Recipe, Split, Statement, Target, Training
from tlimb.run.opening import Opened, Source
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph
from tlimb_tui.lines import uneven_lines
from tlimb_tui.merge import Merged, difference, merge

_REMEMBERED = 20_000
"""Stages that the checker remembers."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that was made beside the user interface, and the revision of the text it belongs to."""

    revision: int
    plan: StageGraph | None
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one statement, and its node: of an earlier text where this one cannot be read, None where none ever could."""

    text: str
    span: Span
    node: Statement | None


class Workspace:
    """A recipe being edited.

    Attributes:
        path: Where it is saved; None for one that is not saved yet.
        text: The text.
        saved: The file's text when it was last read or written.
        pieces: Its statements as they stand in the text.
        parsed: What can be read of the present text.
        recipe: As `parsed.recipe`, with an earlier node for each statement that cannot be read at the moment.
        diagnostics: What is wrong with the text, sorted by place.
        reading: Names of data sets that are being read; what the recipe means is checked when they are.
        plan: The last plan that could be made of the text.
        plan_error: Why the present text cannot be planned.
    """

    def __init__(
        self,
        path: Path | None = None,
        text: str = "",
        *,
        folder: Path | None = None,
        datasets: Path | None = None,
        store: Path | None = None,
        lazy: bool = False,
    ) -> None:
        """Take a text; `open` reads a file.

        Args:
            path: Where it is saved.
            text: The recipe.
            folder: Where one without a path looks for data sets and results.
            datasets: The datasets.yaml to use instead of the ones beside and above the recipe.
            store: Where results lie, instead of ``runs`` beside the recipe.
            lazy: Read data sets only in `read_datasets`, which may be called in a thread; until then nothing is checked that needs them.
        """
        self.path = path
        self.saved = text
        self.lazy = lazy
        self._mark = False
        self._seen: tuple[int, ...] = ()
        self._given_folder, self._given_datasets, self._given_store = folder, datasets, store
        self.datasets_error: InputError | None = None
        self.store_error: InputError | None = None
        self._place()
        self.plan: StageGraph | None = None
        self.plan_error: tuple[Diagnostic, ...] = ()
        self.revision = 0
        self.text = ""
        self.pieces: tuple[Piece, ...] = ()
        self.broken: frozenset[int] = frozenset()
        self.reading: tuple[str, ...] = ()
        self._meaning: list[Diagnostic] = []
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self.set_text(text)

    @classmethod
    def open(cls, path: Path, *, datasets: Path | None = None, store: Path | None = None, lazy: bool = False) -> "Workspace":
        """Read a recipe file.

        Raises:
            InputError: it cannot be read.
        """
        text, mark = _read(path)
        found = cls(path, text, datasets=datasets, store=store, lazy=lazy)
        found._mark = mark
        found._seen = _signature(path)
        return found

    def another(self, path: Path | None, text: str = "", folder: Path | None = None) -> "Workspace":
        """Another recipe, with the data sets and the store that were given for this one.

        Raises:
            InputError: the file cannot be read.
        """
        datasets, store = self._given_datasets, self._given_store
        if path is not None:
            return Workspace.open(path, datasets=datasets, store=store, lazy=self.lazy)
        return Workspace(None, text, folder=folder, datasets=datasets, store=store, lazy=self.lazy)

    # ------------------------------------------------------------------ where it stands
    def _place(self) -> None:
        """Look up what depends on the folder."""
        self.folder = self.path.resolve().parent if self.path is not None else self._given_folder or Path.cwd()
        self.catalogue: Catalogue = load_catalogue(self.folder)
        self._find_datasets()
        self.store: Store | None = None
        self.store_error = None
        try:
            self.store = Store(self._given_store if self._given_store is not None else self.folder / "runs")
        except InputError as error:
            self.store_error = error

    def reload_datasets(self) -> None:
        """Look up the data sets anew, and check the recipe by them."""
        self._find_datasets()
        self._check()

    def datasets_changed(self) -> bool:
        """Whether a datasets.yaml was written, made or taken away since they were looked up."""
        return self._seen_datasets != self._datasets_files()

    def _datasets_files(self) -> dict[Path, tuple[int, ...]]:
        return {file: _signature(file) for file in datasets_files(self.folder, self._given_datasets)}

    def _find_datasets(self) -> None:
        self.datasets_error = None
        self._seen_datasets = self._datasets_files()
        try:
            self.datasets = find_datasets(self.folder, self._given_datasets)
        except InputError as error:
            self.datasets, self.datasets_error = built_in(), error
        self._read: set[str] = set()
        self._right: Memory = set()

    @property
    def name(self) -> str:
        """What the recipe is called."""
        return self.path.name if self.path is not None else "untitled"

    @property
    def datasets_file(self) -> Path | None:
        """The datasets.yaml that is used instead of those beside and above the recipe."""
        return self._given_datasets

    @property
    def dirty(self) -> bool:
        """Whether the text differs from the file's."""
        return self.text != self.saved

    # ------------------------------------------------------------------ text
    def set_text(self, text: str) -> None:
        """Take a new text; its tree and diagnostics follow."""
        self.plan_error = _moved(self.plan_error, difference(self.text, text)) if self.plan_error else ()
        self.text = text
        self.revision += 1
        readings = read(text)
        ending = newline(text)
        statements = tuple(reading.statement for reading in readings if reading.statement is not None)
        found = sorted((problem for reading in readings for problem in reading.problems), key=lambda problem: problem.span)
        self.parsed = ParsedRecipe(Recipe(text, statements, ending), tuple(found))
        self.pieces = _with_last_nodes(text, readings, self.pieces)
        self.recipe = Recipe(text, tuple(piece.node for piece in self.pieces if piece.node is not None), ending)
        unread = [reading.statement is None for reading in readings]
        kept = [unreadable for unreadable, piece in zip(unread, self.pieces, strict=True) if piece.node is not None]
        self.broken = frozenset(number for number, unreadable in enumerate(kept) if unreadable)
        self._check()

    def _check(self) -> None:
        """Bring the diagnostics up to date."""
        self.reading = self._unread() if self.lazy else ()
        if not self.reading:
            if len(self._right) > _REMEMBERED:
                self._right.clear()
            self._meaning = check(self.recipe, self.catalogue, self.datasets, self._right, self.broken)
        meaning = self._meaning
        if error := self.datasets_error:  # what cannot be read is why a name is not known
            meaning = [
                replace(problem, hint=f"{error.message}: {error.hint}") if problem.code == "unknown-dataset" else problem
                for problem in meaning
            ]
        if meaning:
            torn = [piece.span for piece, kept in zip(self.pieces, self._nodes(), strict=True) if kept is None or kept in self.broken]
            lost = not self.pieces or any(piece.node is None for piece in self.pieces)
            meaning = [
                problem
                for problem in meaning
                if not any(span.start <= problem.span.start < span.end for span in torn)  # a line that cannot be read says that already
                and not (lost and problem.code in ("no-stage", "no-parent", "unknown-stage"))
                and problem.span.end <= len(self.text)
            ]
        found = [*self.parsed.diagnostics, *meaning, *uneven_lines(self.text)]
        self.diagnostics = tuple(sorted(found, key=lambda problem: problem.span))

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the text or, where nothing is, with its plan."""
        errors = any(problem.severity == "error" for problem in self.diagnostics)
        return self.diagnostics if errors else tuple(sorted((*self.diagnostics, *self.plan_error), key=lambda problem: problem.span))

    def _nodes(self) -> Iterator[int | None]:
        """The number in `recipe.statements` of each piece."""
        number = 0
        for piece in self.pieces:
            yield None if piece.node is None else number
            number += piece.node is not None

    def statement_at(self, offset: int) -> int | None:
        """The number of the statement at an offset, or of the one before it on the same line."""
        found = bisect_right(self.recipe.statements, offset, key=lambda node: node.span.start) - 1
        if found < 0 or "\n" in self.text[self.recipe.statements[found].span.end : offset]:
            return None
        return found

    def in_the_way(self, edits: Sequence[Edit]) -> int | None:
        """The number of a broken statement that edits would change; they count on what its line cannot be read as."""
        for number in sorted(self.broken):
            if any(_within(edit, self.recipe.statements[number].span) for edit in edits):
                return number
        return None

    # ------------------------------------------------------------------ data sets
    def _unread(self) -> tuple[str, ...]:
        """The data sets that the recipe names and that were not read yet."""
        if self._read.issuperset(self.datasets):
            return ()
        named = dict.fromkeys(name for node in self.recipe.statements for name in _datasets_of(node))
        return tuple(name for name in named if name in self.datasets and name not in self._read)

    def read_datasets(self) -> Callable[[], Callable[[], None]]:
        """The work of reading the data sets in `reading`, for a thread; what it returns is to be called back in the user interface."""
        datasets, names = self.datasets, self.reading

        def work() -> Callable[[], None]:
            for name in names:
                with suppress(InputError):  # the checker says so, where the recipe names it
                    datasets[name].listing()
            return done

        def done() -> None:
            if self.datasets is datasets:
                self._read.update(names)
                self._check()

        return work

    def is_read(self, name: str) -> bool:
        """Whether a data set can be asked for its labels without waiting for its tables."""
        return not self.lazy or name in self._read

    def can_check(self, text: str) -> bool:
        """Whether a text can be checked without waiting for tables of data sets."""
        named = (name for reading in read(text) if reading.statement is not None for name in _datasets_of(reading.statement))
        return all(self.is_read(name) or name not in self.datasets for name in named)

    # ------------------------------------------------------------------ plan
    def planning(self) -> Callable[[], Planned]:
        """The work of planning the present text, for a thread."""
        revision, recipe = self.revision, self.parsed.recipe
        source = Source(self.text, self.name, self.path.stem if self.path else "recipe", self.folder, len(self.text))
        opened = Opened(source, self.datasets, recipe, list(self.diagnostics))

        def work() -> Planned:
            if not any(isinstance(node, Training) for node in recipe.statements):
                return Planned(revision, None, ())
            try:
                return Planned(revision, opened.graph(), ())
            except RecipeError as error:
                return Planned(revision, None, tuple(error.diagnostics))
            except InputError as error:
                return Planned(revision, None, (Diagnostic("bad-dataset", Span(0, 0), error.message, error.hint),))

        return work

    def planned(self, result: Planned) -> bool:
        """Take a plan; False if the text has changed since."""
        if result.revision != self.revision:
            return False
        self.plan_error = result.diagnostics
        if result.plan is not None:
            self.plan = result.plan
        return True

    # ------------------------------------------------------------------ file
    def save(self, path: Path | None = None) -> None:
        """Write the file by one atomic rename; its mode and a link to it stay.

        Raises:
            InputError: it cannot be written.
        """
        target = path if path is not None else self.path
        if target is None:
            raise InputError("the recipe has no name yet", "save it under a name")
        _write(target, self.text, mark=self._mark)
        self.saved = self.text
        self._seen = _signature(target)
        if target != self.path:
            self.path = target
            self._place()
            self._check()

    def changed_on_disk(self) -> str | None:
        """The text of the file if another program wrote it since it was last read or written here."""
        if self.path is None:
            return None
        seen = _signature(self.path)
        if seen == self._seen:
            return None
        try:
            text, mark = _read(self.path)
        except InputError:
            return None  # deleted, or being written: the text here is all there is
        self._seen, self._mark = seen, mark
        return text if text != self.saved else None

    def taken(self, theirs: str) -> Merged:
        """The text with what another program wrote brought into it; that is what the file holds from now on."""
        base, self.saved = self.saved, theirs
        return Merged(theirs, ()) if base == self.text else merge(base, self.text, theirs)


def _with_last_nodes(text: str, readings: Sequence[Reading], before: Sequence[Piece]) -> tuple[Piece, ...]:
    """The statements of a text, each that cannot be read with the node that it had in the text before."""
    texts = [text[reading.span.start : reading.span.end] for reading in readings]
    same = 0
    while same < min(len(texts), len(before)) and texts[same] == before[same].text:
        same += 1
    tail = 0
    while tail < min(len(texts), len(before)) - same and texts[-1 - tail] == before[-1 - tail].text:
        tail += 1
    changed = [piece for piece in before[same : len(before) - tail] if piece.text not in texts[same : len(texts) - tail]]
    pieces = []
    for number, (reading, written) in enumerate(zip(readings, texts, strict=True)):
        node: Statement | None = reading.statement
        if node is None:
            old: Piece | None = None
            if number < same:
                old = before[number]
            elif number >= len(texts) - tail:
                old = before[number - len(texts)]
            elif changed:
                verb = verb_of(written)
                old = next((piece for piece in changed if verb_of(piece.text) == verb), changed[0])
                changed.remove(old)
            if old is not None and old.node is not None:
                node = _fitted(old.node, reading.span)
        pieces.append(Piece(written, reading.span, node))
    return tuple(pieces)


def _within(edit: Edit, span: Span) -> bool:
    """Whether an edit changes the text of a span; a statement that is put before or behind it does not."""
    if edit.span.start < span.end and span.start < edit.span.end:
        return True
    ahead, behind = edit.span.end == span.start, edit.span.start == span.end
    return (ahead and not edit.new.endswith(("\n", "; "))) or (behind and bool(edit.new) and edit.new[0] not in "\r\n;")


def _moved(problems: Sequence[Diagnostic], edit: Edit) -> tuple[Diagnostic, ...]:
    """Problems where they stand after an edit; those that it touches are gone until they are found again."""
    step = len(edit.new) - (edit.span.end - edit.span.start)
    before = [problem for problem in problems if problem.span.end < edit.span.start]
    after = [shifted(problem, step) for problem in problems if problem.span.start > edit.span.end]
    return (*before, *after)


def _fitted(node: Statement, span: Span) -> Statement:
    """An earlier node in the place of a span: all its spans lie within it."""
    moved: Statement = shifted(node, span.start - node.span.start)
    fitted: Statement = replace(_clamped(moved, span.end), span=span)
    return fitted


def _clamped(node: Any, end: int) -> Any:
    if isinstance(node, Span):
        return Span(min(node.start, end), min(node.end, end))
    if isinstance(node, tuple):
        return tuple(_clamped(item, end) for item in node)
    if is_dataclass(node) and not isinstance(node, type):
        return replace(node, **{field.name: _clamped(getattr(node, field.name), end) for field in fields(node)})
    return node


def _datasets_of(node: Statement) -> Iterator[str]:
    match node:
        case Split(dataset=name) | Data(dataset=str(name)):
            yield name
        case Training(clauses=clauses):
            for clause in clauses:
                if isinstance(clause.payload, tuple):
                    yield from (target.dataset for target in clause.payload if isinstance(target, Target))


def _read(path: Path) -> tuple[str, bool]:
    """The text of a file without its byte order mark, and whether it has one.

    Raises:
        InputError: it cannot be read; the same message as on the command line.
    """
    from tlimb.run.opening import read as read_file

    source = read_file(str(path))
    if source.yaml:
        raise InputError(f"{path}: holds configs, not a recipe", "the app opens .tlr recipes; draw or run this one: tlimb graph, tlimb run")
    text = source.text
    with suppress(OSError):
        return text, path.read_bytes().startswith(b"\xef\xbb\xbf")
    return text, False


def _write(path: Path, text: str, *, mark: bool) -> None:
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}", "save it under another name or in another folder") from None


def _signature(path: Path) -> tuple[int, ...]:
    """What changes when a file is written."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
