"""Tables of participants (TSV, CSV) and what a label's column means: numbers, categories and how they are coded."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from tlimb.errors import InputError

MISSING = frozenset({"", "n/a", "na", "nan", "null", "-"})
_SEX = ({"f", "female"}, {"m", "male"})


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'age'? known: age, sex"`` for a mistyped word."""
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(word.casefold(), folded, n=1)
    guess = f"did you mean '{folded[near[0]]}'? " if near else ""
    return f"{guess}known: {', '.join(names) or 'none'}"


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table: where it stands and its cells by column."""

    file: Path
    line: int
    values: Mapping[str, str]

    def get(self, column: str) -> str:
        """The stripped cell, empty when it is missing (see `MISSING`)."""
        text = self.values.get(column, "").strip()
        return "" if text.casefold() in MISSING else text


@dataclass(frozen=True, slots=True)
class Table:
    """A TSV or CSV file: its columns and its rows in order."""

    path: Path
    columns: tuple[str, ...]
    records: tuple[Record, ...]


def read_table(path: Path) -> Table:
    """Read a table; ``.tsv`` is tab-separated, any other file by the separator of its first line (comma, semicolon or tab).

    Raises:
        InputError: the file is absent, empty, not UTF-8, has an unnamed or repeated column or a row with too many cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: the table cannot be read ({error.strerror})", "correct the path in datasets.yaml") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: the table is not UTF-8", "save it as UTF-8") from None
    first = text.split("\n", 1)[0]
    separator = "\t" if path.suffix == ".tsv" else max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=separator)
    columns = tuple(name.strip() for name in next(reader, []))
    if not columns or not any(columns):
        raise InputError(f"{path}: the table is empty", "its first line must name the columns")
    if len(set(columns)) < len(columns):
        repeated = next(name for name in columns if columns.count(name) > 1)
        raise InputError(f"{path}:1: column '{repeated}' stands twice", "rename one of the two")
    records = []
    for cells in reader:
        if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            raise InputError(
                f"{path}:{reader.line_num}: {len(cells)} cells, but {len(columns)} columns", "look for a stray separator or missing quotes"
            )
        if any(cell.strip() for cell in cells):
            records.append(Record(path, reader.line_num, dict(zip(columns, cells, strict=False))))
    return Table(path, columns, tuple(records))


@dataclass(frozen=True, slots=True)
class Label:
    """What a column of the table says about a participant.

    A number is in `unit`; a category is one of `classes`, whose order is the class index. `codes` says which class a cell of the table
    means.
    """

    name: str
    column: str
    kind: Literal["number", "category"]
    unit: str | None = None
    classes: tuple[str, ...] | None = None
    codes: Mapping[str, str] = field(default_factory=dict, repr=False)

    def read(self, record: Record) -> float | str | None:
        """The value in a row; None where it is missing.

        Raises:
            ValueError: the cell is neither missing nor a number or class of this label; says so.
        """
        text = record.get(self.column)
        if not text:
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
    column, unit, classes = str(spec.get("column", name)), spec.get("unit"), spec.get("classes")
    if classes is not None:
        codes = _codes(classes, place)
        return Label(name, column, "category", None, tuple(dict.fromkeys(codes.values())), codes)
    values = distinct(text for record in records if (text := record.get(column)))
    numbers = sum(as_number(text) is not None for text in values)
    if unit is not None or 2 * numbers >= len(values):
        return Label(name, column, "number", None if unit is None else str(unit))
    return Label(name, column, "category", None, tuple(values), {code_of(value): value for value in values})


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
