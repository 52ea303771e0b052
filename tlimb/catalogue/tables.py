"""Tables of participants (TSV, CSV) and what a label's column means: numbers, categories and how they are coded."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tlimb.catalogue.spelling import did_you_mean as did_you_mean
from tlimb.errors import InputError

MISSING = frozenset({"", "n/a", "na", "nan", "null", "-"})
_SEX = ({"f", "female"}, {"m", "male"})


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table: where it stands (line 0: its file's path says it) and its cells by column.

    What it lacks is looked up in `rest`, a row of another table.
    """

    file: Path
    line: int
    values: Mapping[str, str]
    rest: "Record | None" = None

    def get(self, column: str) -> str:
        """The stripped cell, empty when it is missing (see `MISSING`)."""
        text = self.values.get(column, "").strip()
        if text.casefold() not in MISSING:
            return text
        return self.rest.get(column) if self.rest else ""

    def where(self, column: str) -> str:
        """File and line of the cell, for messages."""
        if self.rest and column not in self.values:
            return self.rest.where(column)
        return f"{self.file.name}:{self.line}" if self.line else self.file.name


@dataclass(frozen=True, slots=True)
class Table:
    """A TSV or CSV file: its columns and its rows in order."""

    path: Path
    columns: tuple[str, ...]
    records: tuple[Record, ...]


def read_table(path: Path, keep: Callable[[str], bool] | None = None) -> Table:
    """Read a table; ``.tsv`` is tab-separated, any other file by the separator of its first line (comma, semicolon or tab).

    Args:
        path: The file.
        keep: Which columns to keep; all if none. A table of half a million rows and thousands of columns needs it.

    Raises:
        InputError: the file is absent, empty, not UTF-8, has an unnamed or repeated column or a row with too many cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = "\t" if path.suffix == ".tsv" else max(",;\t", key=first.count)
            return _read(path, csv.reader(file, delimiter=separator), keep)
    except OSError as error:
        raise InputError(f"{path}: the table cannot be read ({error.strerror})", "correct the path in datasets.yaml") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: the table is not UTF-8", "save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: the table cannot be read ({error})", "look for a stray quote") from None


def read_columns(path: Path) -> tuple[str, ...]:
    """The columns of a table, without reading it; none where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except (OSError, UnicodeDecodeError):
        return ()
    separator = "\t" if path.suffix == ".tsv" else max(",;\t", key=first.count)
    return tuple(name.strip() for name in next(csv.reader([first], delimiter=separator), []))


def _read(path: Path, reader: Any, keep: Callable[[str], bool] | None) -> Table:
    columns = tuple(name.strip() for name in next(reader, []))
    if not columns or not any(columns):
        raise InputError(f"{path}: the table is empty", "its first line must name the columns")
    if len(set(columns)) < len(columns):
        repeated = next(name for name in columns if columns.count(name) > 1)
        raise InputError(f"{path}:1: column '{repeated}' stands twice", "rename one of the two")
    places = [(place, name) for place, name in enumerate(columns) if keep is None or keep(name)]
    records = []
    for cells in reader:
        if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            raise InputError(
                f"{path}:{reader.line_num}: {len(cells)} cells, but {len(columns)} columns", "look for a stray separator or missing quotes"
            )
        if any(cell.strip() for cell in cells):
            values = {name: cells[place] for place, name in places if place < len(cells)}
            records.append(Record(path, reader.line_num, values))
    return Table(path, tuple(name for _, name in places), tuple(records))


@dataclass(frozen=True, slots=True)
class Label:
    """What a column of the table says about a participant.

    A number is in `unit`; a category is one of `classes`, whose order is the class index. `codes` says which class a cell of the table
    means, `missing` the cells that mean nothing.
    """

    name: str
    column: str
    kind: Literal["number", "category"]
    unit: str | None = None
    classes: tuple[str, ...] | None = None
    codes: Mapping[str, str] = field(default_factory=dict, repr=False)
    missing: frozenset[str] = frozenset()

    def read(self, record: Record) -> float | str | None:
        """The value in a row; None where it is missing.

        Raises:
            ValueError: the cell is neither missing nor a number or class of this label; says so.
        """
        text = record.get(self.column)
        if not text or code_of(text) in self.missing:
            return None
        if self.kind == "number":
            number = as_number(text)
            if number is None:
                raise ValueError(f"'{text}' in column '{self.column}' is not a number")
            return number
        name = self.codes.get(code_of(text))
        if name is None:
            raise ValueError(f"'{text}' in column '{self.column}' is none of the classes {', '.join(self.classes or ())}")
        return name


def as_number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def define_label(name: str, spec: Mapping[str, Any], records: Iterable[Record], place: str) -> Label:
    """The label that an entry of `labels` defines, with kind and classes completed from the table.

    With `classes` it is a category; else with a `unit`, or where at least half of the present values are numbers, it is a number (others
    are reported where they stand); else a category of the sorted distinct values.

    Raises:
        InputError: `classes` has fewer than two classes or uses a code twice.
    """
    column, unit, classes, given = str(spec.get("column", name)), spec.get("unit"), spec.get("classes"), spec.get("missing")
    missing = frozenset(code_of(code) for code in ([] if given is None else given if isinstance(given, list) else [given]))
    if classes is not None:
        codes = _codes(classes, place)
        return Label(name, column, "category", None, tuple(dict.fromkeys(codes.values())), codes, missing)
    values = distinct(text for record in records if (text := record.get(column)) and code_of(text) not in missing)
    numbers = sum(as_number(text) is not None for text in values)
    if unit is not None or 2 * numbers >= len(values):
        return Label(name, column, "number", None if unit is None else str(unit), missing=missing)
    return Label(name, column, "category", None, tuple(values), {code_of(value): value for value in values}, missing)


def distinct(cells: Iterable[str]) -> list[str]:
    """One spelling of each cell that means something else, sorted."""
    spellings: dict[str, str] = {}
    for cell in sorted(set(cells)):
        spellings.setdefault(code_of(cell), cell)
    return sorted(spellings.values())


def code_of(value: object) -> str:
    """Cells that mean the same are equal: ``1``, ``1.0``, ``01``; ``M``, ``m``."""
    text = str(value).strip().casefold()
    number = as_number(text)
    return text if number is None else format(number, "g")


def _codes(classes: object, place: str) -> dict[str, str]:
    """Class name by code, from `classes: [F, M]` or `{male: 1, female: [2, 3]}`.

    A class can also stand in the table by its name, and F and female, M and male stand for each other.
    """
    if isinstance(classes, Mapping):
        pairs = [(str(name), code) for name, given in classes.items() for code in (given if isinstance(given, list) else [given])]
    elif isinstance(classes, list):
        pairs = [(str(name), name) for name in classes]
    else:
        raise InputError(
            f"{place}: classes must be a list or a mapping, not {classes!r}", "write classes: [F, M] or classes: {male: 1, female: 2}"
        )
    if len({name for name, _ in pairs}) < 2:
        raise InputError(f"{place}: a category needs at least two classes", "write classes: [F, M] or classes: {male: 1, female: 2}")
    codes: dict[str, str] = {}
    for name, code in pairs:
        if codes.setdefault(code_of(code), name) != name:
            raise InputError(
                f"{place}: '{code}' means both {codes[code_of(code)]} and {name}", "each value of the table belongs to one class"
            )
    for name, code in [(name, name) for name, _ in pairs] + pairs:
        synonyms = next((words for words in _SEX if code_of(code) in words), {code_of(code)})
        for word in synonyms:
            codes.setdefault(word, name)
    return codes
