"""UK Biobank: a table of fields (``31-0.0``) and a folder of unpacked bulk files (``1000001_20252_2_0/T1/…``)."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tlimb.catalogue.formats import Contents, Found, Problem, look, several, state
from tlimb.catalogue.tables import Record, Table, read_table
from tlimb.errors import InputError

KEYS = frozenset({"table", "image", "session", "withdrawn"})
REQUIRED = {"root": "the folder of the unpacked bulk files, such as 1000001_20252_2_0"}
LABEL_KEYS = frozenset({"field", "instance", "array"})
IMAGES = {
    "T1": "20252/T1/T1_brain_to_MNI.nii.gz",
    "T1_unbiased": "20252/T1/T1_unbiased_brain.nii.gz",
    "T2_FLAIR": "20253/T2_FLAIR/T2_FLAIR_brain_to_MNI.nii.gz",
}
"""Short names of images: FIELD/PATH, the path inside the bulk folder of that field."""
PREDEFINED: Mapping[str, Mapping[str, Any]] = {
    "age": {"field": 21003, "unit": "years"},
    "sex": {"field": 31, "classes": {"F": 0, "M": 1}},
}
UNANSWERED = (-1, -3)
"""Do not know, prefer not to answer: the codes of all categories of the UK Biobank."""
BULK = re.compile(r"(?P<eid>\d+)_(?P<field>\d+)_(?P<instance>\d+)_(?P<array>\d+)(?P<extension>\..+)?")
_SPELLINGS = (
    re.compile(r"(\d+)-(\d+)\.(\d+)"),
    re.compile(r"(?:f|n|s|ts)[._](\d+)[._](\d+)[._](\d+)"),
    re.compile(r"(?:participant\.)?p(\d+)(?:_i(\d+))?(?:_a(\d+))?"),
)
_EID = re.compile(r"(?:participant\.|[fns][._])?eid")


class Cell(NamedTuple):
    """A column of a field: its field, its instance (visit) and its place in the array."""

    field: int
    instance: int
    array: int

    def __str__(self) -> str:
        return f"{self.field}-{self.instance}.{self.array}"


def cell(column: str) -> Cell | None:
    """What a column holds: ``31-0.0``, ``f.31.0.0``, ``p31`` and ``p31_i0_a0`` are the same; None for any other name."""
    for spelling in _SPELLINGS:
        if match := spelling.fullmatch(column):
            return Cell(*(int(number or 0) for number in match.groups()))
    return None


def wanted(options: Mapping[str, Any]) -> tuple[tuple[int, str], ...]:
    """Field and path inside its folder (empty: the bulk file itself) of each image of a scan."""
    pairs = []
    for name in several(options, "image", "T1"):
        field, _, path = IMAGES.get(name, name).partition("/")
        if not field.isdecimal():
            raise InputError(
                f"ukbiobank, image: '{name}' names no field", f"write FIELD/PATH, e.g. {IMAGES['T1']}, or one of {', '.join(IMAGES)}"
            )
        pairs.append((int(field), path))
    return tuple(pairs)


def channels(options: Mapping[str, Any]) -> int:
    """One per image."""
    return len(wanted(options))


def read(place: str, root: Path, options: Mapping[str, Any]) -> Contents:
    """List the scans of a folder of bulk files; a session is the instance of its files.

    A label's `field` without `instance` is the value of the scan's own visit; where the field was not asked at that visit, that of the
    first one.

    Raises:
        InputError: there is no such folder, no bulk file of the image in it, or no column of a label's field.
    """
    images = wanted(options)
    if not root.is_dir():
        raise InputError(f"{place}: root {root} is not a folder", "correct root in datasets.yaml")
    specs = {name: _spec(name, spec or {}, place) for name, spec in _labels(options).items()}
    table, rows, problems = _table(place, root, options, {spec["field"] for spec in specs.values() if "field" in spec})
    cells = {column: what for column in table.columns if (what := cell(column))}
    labels = {name: _column(spec, cells.values(), table.path, f"{place}, labels.{name}") for name, spec in specs.items()}
    withdrawn = _withdrawn(root, options)
    scans: dict[tuple[str, int, int], dict[int, Path]] = {}
    for match, path in bulk(root):
        field, extension = int(match["field"]), match["extension"]
        if field not in {wanted_field for wanted_field, _ in images} or match["eid"] in withdrawn:
            continue
        if extension == ".zip":
            if not path.with_suffix("").is_dir():
                name = str(path.relative_to(root))
                message = f"{name} is packed: unzip -d {path.stem} {path.name}"
                problems.append(Problem("missing-content", match["eid"], name, message))
            continue
        scans.setdefault((match["eid"], int(match["instance"]), int(match["array"])), {})[field] = path
    session = options.get("session")
    found: list[Found] = []
    identity: list[str] = []
    for (eid, instance, _), folders in sorted(scans.items()):
        if session is not None and str(session) != str(instance):
            continue
        files = [folders[field] / path if path else folders[field] for field, path in images if field in folders]
        absent = [f"field {field}" for field, _ in images if field not in folders]
        absent += [str(file.relative_to(root)) for file in files if state(file) is None]
        if absent:
            message = f"{eid}, visit {instance}: there is no {' and no '.join(absent)}"
            problems.append(Problem("participant-without-image", eid, absent[0], message))
            continue
        row = rows.get(eid)
        if rows and row is None:
            problems.append(
                Problem(
                    "image-without-participant",
                    eid,
                    str(files[0].relative_to(root)),
                    f"{eid} has an image, but no row in {table.path.name}",
                )
            )
        record = None if row is None else _visit(row, instance, cells)
        own, wrong = look(eid, files, root)
        identity += [*own, *([f"{eid}\0{sorted(record.values.items())}"] if record else ())]
        problems += wrong
        found.append(Found(eid, str(instance), tuple(files), record))
    if not found:
        named = " and ".join("/".join((f"EID_{field}_INSTANCE_ARRAY", path)).rstrip("/") for field, path in images)
        first = next((f": {problem.message}" for problem in problems if problem.kind == "participant-without-image"), "")
        raise InputError(
            f"{place}: {root} holds no {named}{first}", "set root to the folder of the unpacked bulk files, or image to another FIELD/PATH"
        )
    records = tuple(scan.record for scan in found if scan.record)
    columns = tuple(dict.fromkeys([*(str(cells.get(column, column)) for column in table.columns), *_visits(cells.values())]))
    participants = tuple(dict.fromkeys([*rows, *(scan.participant_id for scan in found)]))
    return Contents(table.path, columns, records, participants, tuple(found), tuple(problems), tuple(identity), labels)


def _labels(options: Mapping[str, Any]) -> Mapping[str, Any]:
    given = options.get("labels")
    if given is None:
        return PREDEFINED if options.get("table") else {}
    return {name: spec or PREDEFINED.get(str(name)) for name, spec in given.items()}


def _spec(name: str, spec: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A label with whole numbers for field, instance and array."""
    try:
        numbers = {key: int(spec[key]) for key in ("field", "instance", "array") if spec.get(key) is not None}
    except (TypeError, ValueError):
        raise InputError(
            f"{place}, labels.{name}: field, instance and array are whole numbers", "write e.g. age: {field: 21003, instance: 2}"
        ) from None
    if "field" not in numbers and "column" not in spec:
        raise InputError(f"{place}, labels.{name}: key 'field' is absent", "write e.g. age: {field: 21003, unit: years}")
    own = {key: value for key, value in spec.items() if key not in LABEL_KEYS}
    if isinstance(own.get("classes"), Mapping) and "missing" not in own:
        used = {str(code) for codes in own["classes"].values() for code in (codes if isinstance(codes, list) else [codes])}
        own["missing"] = [code for code in UNANSWERED if str(code) not in used]
    return own | numbers


def _column(spec: Mapping[str, Any], cells: Iterable[Cell], table: Path, place: str) -> dict[str, Any]:
    """The label with the column that `_visit` gives its field."""
    own = {key: value for key, value in spec.items() if key not in LABEL_KEYS}
    if "field" not in spec:
        return own
    field, instance, array = spec["field"], spec.get("instance"), spec.get("array", 0)
    there = [str(found) for found in cells if found.field == field]
    if not there:
        raise InputError(f"{place}: {table} has no column of field {field}", f"it would be called {field}-0.0, f.{field}.0.0 or p{field}")
    column = _any(field, array) if instance is None else str(Cell(field, instance, array))
    if (instance is not None and column not in there) or not any(found.endswith(f".{array}") for found in there):
        raise InputError(f"{place}: {table} has no column {column}", f"of field {field} it has {', '.join(sorted(there))}")
    return {"column": column, **own}


def _any(field: int, array: int) -> str:
    """The column of a field at the visit of the scan."""
    return str(field) if array == 0 else f"{field}.{array}"


def _visits(cells: Iterable[Cell]) -> dict[str, dict[int, Cell]]:
    """By field (its column of the scan's visit), the columns of its instances."""
    visits: dict[str, dict[int, Cell]] = {}
    for found in cells:
        visits.setdefault(_any(found.field, found.array), {})[found.instance] = found
    return visits


def _visit(row: Record, instance: int, cells: Mapping[str, Cell]) -> Record:
    """The row as it is at one visit: canonical columns, and for each field the column of its value at that visit."""
    values = {str(cells.get(column, column)): text for column, text in row.values.items()}
    of_visit = {field: values.get(str(of.get(instance) or of[min(of)]), "") for field, of in _visits(cells.values()).items()}
    return Record(row.file, row.line, values | of_visit)


def _table(place: str, root: Path, options: Mapping[str, Any], fields: set[int]) -> tuple[Table, dict[str, Record], list[Problem]]:
    """Only the columns that are asked for: such a table has half a million rows and thousands of columns."""
    if not options.get("table"):
        if options.get("labels"):
            raise InputError(f"{place}: key 'table' is absent", "write table: the CSV or TSV file of fields, relative to root")
        return Table(root, (), ()), {}, []
    path = root / str(options["table"])
    others = {str(options[key]) for key in ("family", "site") if options.get(key) is not None}
    others |= {str(spec["column"]) for spec in _labels(options).values() if spec and "column" in spec}
    fields = fields | {int(name.split("-")[0]) for name in others if re.fullmatch(r"\d+(-.*)?", name)}

    def keep(column: str) -> bool:
        found = cell(column)
        return column in others or _EID.fullmatch(column) is not None or (found is not None and found.field in fields)

    table = read_table(path, keep)
    eid = next((column for column in table.columns if _EID.fullmatch(column)), None)
    if eid is None:
        raise InputError(f"{path}:1: column 'eid' is absent", "it names the participants; f.eid and participant.eid are known, too")
    rows: dict[str, Record] = {}
    problems = []
    withdrawn = _withdrawn(root, options)
    for record in table.records:
        participant = record.get(eid)
        where = f"{path.name}:{record.line}"
        if not participant:
            problems.append(Problem("bad-label", "", where, f"{where}: {eid} is empty"))
        elif participant in rows:
            message = f"{participant} stands in lines {rows[participant].line} and {record.line}; the first counts"
            problems.append(Problem("duplicate", participant, where, message))
        elif participant not in withdrawn and not participant.startswith("-"):
            rows[participant] = record
    return table, rows, problems


def _withdrawn(root: Path, options: Mapping[str, Any]) -> frozenset[str]:
    """Ids, one a line, of participants who withdrew: they are left out."""
    if not options.get("withdrawn"):
        return frozenset()
    path = root / str(options["withdrawn"])
    try:
        return frozenset(line.strip().strip('"') for line in path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "correct withdrawn in datasets.yaml") from None


def bulk(root: Path) -> Iterator[tuple[re.Match[str], Path]]:
    """Bulk files and folders in the root or one folder below it."""
    for entry in _entries(root):
        if match := BULK.fullmatch(entry.name):
            yield match, Path(entry.path)
        elif entry.is_dir() and not entry.name.startswith("."):
            yield from ((match, Path(inner.path)) for inner in _entries(entry.path) if (match := BULK.fullmatch(inner.name)))


def _entries(folder: str | Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
