"""A first entry of `datasets.yaml` for a folder or table that nobody has described yet."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tlimb.catalogue.formats import bare, bids, hcp, images, ukbiobank
from tlimb.catalogue.tables import Table, as_number, distinct, read_columns, read_table
from tlimb.errors import InputError

_AGE = re.compile(r"age|age[_ ]?at[_ ]?(scan|visit|mri)|age[_ ]?(years|yrs)", re.IGNORECASE)
_SEX = re.compile(r"sex|gender", re.IGNORECASE)
_GROUP = re.compile(r"group|diagnosis|dx|dx[_ ]?group|patient", re.IGNORECASE)
_SITE = re.compile(r"site|site[_ ]?id|cent(er|re)|scanner|institution", re.IGNORECASE)
_FAMILY = re.compile(r"family|family[_ ]?id|rel[_ ]?family[_ ]?id", re.IGNORECASE)
_PARTICIPANT = re.compile(r"participant([_ ]?id)?|subject([_ ]?id)?|sub|id|src[_ ]?subject[_ ]?id", re.IGNORECASE)
_SESSION = re.compile(r"session([_ ]?id)?|visit|ses", re.IGNORECASE)
_IMAGE = re.compile(r".*\.(nii|nii\.gz|png|jpe?g|tiff?|bmp|npy|mat|1D|csv|tsv|txt)", re.IGNORECASE)
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off"}
_FEMALE, _MALE = {"f", "female"}, {"m", "male"}


def suggest(place: Path) -> list[str]:
    """The lines of an entry (without its name) for a folder of any known layout, or a table with image paths.

    Raises:
        InputError: it is none of them.
    """
    if place.is_file():
        return suggest_table(place)
    if not place.is_dir():
        raise InputError(f"{place}: no such folder or file", "give the top folder of a data set, or a table of images")
    folders = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    if any(folder.name.startswith("sub-") for folder in folders):
        return suggest_bids(place)
    if any(
        hcp.SUBJECT.fullmatch(folder.name) and any((folder / inner).is_dir() for inner in ("T1w", "MNINonLinear")) for folder in folders
    ):
        return _suggest_hcp(place, folders)
    if bulk := next(ukbiobank.bulk(place), None):
        return _suggest_ukbiobank(place, bulk[0]["field"])
    for table in sorted(path for path in place.iterdir() if path.suffix in (".csv", ".tsv") and path.is_file()):
        try:
            return suggest_table(table)
        except InputError:  # another table, or labels of the images beside it
            continue
    return _suggest_images(place)


def _suggest_hcp(folder: Path, subjects: list[Path]) -> list[str]:
    there = [name for name, path in hcp.IMAGES.items() if any(next(subject.glob(path), None) for subject in subjects[:20])]
    others = f"   # also there: {', '.join(there[1:])}" if there[1:] else ""
    image = there[0] if there else f"T1w   # not there; a path in a participant's folder, or one of {', '.join(hcp.IMAGES)}"
    return ["format: hcp", f"root: {_text(str(folder))}", f"image: {image}{others}"]


def _suggest_ukbiobank(folder: Path, field: str) -> list[str]:
    image = next((name for name, path in ukbiobank.IMAGES.items() if path.startswith(f"{field}/")), field)
    lines = ["format: ukbiobank", f"root: {_text(str(folder))}", f"image: {_text(image)}"]
    for table in sorted([*folder.glob("*.csv"), *folder.glob("*.tsv")]):
        if any(map(ukbiobank.cell, read_columns(table))):
            return [*lines, f"table: {_text(table.name)}"]
    return [*lines, "# table: ukb12345.csv   # the table of fields: labels age and sex are known then"]


def _suggest_images(folder: Path) -> list[str]:
    try:
        contents = images.read(str(folder), folder, {})
    except InputError as error:
        raise InputError(
            f"{folder}: no data set of a known layout",
            "known are BIDS (sub-*), HCP (100307/T1w), UK Biobank (1000001_20252_2_0), a table of images, a folder of images; "
            f"as the last: {error.message.removeprefix(f'{folder}: ')}",
        ) from None
    nested = any(scan.images[0].parent != folder for scan in contents.found)
    pattern = images.NESTED if nested else images.FLAT
    lines = ["format: images", f"root: {_text(str(folder))}", f'pattern: "{pattern}"   # participant: what of the name is its id']
    known = {scan.participant_id for scan in contents.found}
    for table in sorted([*folder.glob("*.csv"), *folder.glob("*.tsv")]):
        column = _first(read_columns(table), _PARTICIPANT)
        if column is not None:
            read = read_table(table)
            if known & {bare(record.get(column)) for record in read.records}:
                return [*lines, f"table: {_text(table.name)}", f"participant: {_text(column)}", *_columns(read, {})]
    return lines


def suggest_bids(folder: Path) -> list[str]:
    """The lines of an entry (without its name) for a BIDS folder."""
    there = list(bids.image_suffixes(folder))
    image = next((suffix for suffix in ("T1w", "T2w", "FLAIR") if suffix in there), there[0] if there else "T1w")
    others = [suffix for suffix in there if suffix != image]
    lines = ["format: bids", f"root: {_text(str(folder))}", f"image: {image}" + (f"   # also there: {', '.join(others)}" if others else "")]
    if (folder / "participants.tsv").exists():
        lines += _columns(read_table(folder / "participants.tsv"), _sidecar(folder / "participants.json"))
    return lines


def suggest_table(file: Path) -> list[str]:
    """The lines of an entry (without its name) for a table with image paths.

    Raises:
        InputError: no column names participants, or none holds image paths.
    """
    table = read_table(file)
    paths = [column for column in table.columns if table.records and _IMAGE.fullmatch(table.records[0].get(column))]
    participant = _first(table.columns, _PARTICIPANT)
    if not paths:
        raise InputError(
            f"{file}: no column holds image paths", f"columns: {', '.join(table.columns)}; a path ends in .nii.gz, .nii, .npy or .png"
        )
    if participant is None:
        raise InputError(f"{file}: no column names the participant", f"columns: {', '.join(table.columns)}; call it participant_id")
    session = _first(table.columns, _SESSION)
    path = _text(paths[0]) if len(paths) == 1 else f"[{', '.join(map(_text, paths))}]"
    lines = [
        "format: table",
        f"root: {_text(str(file.parent))}",
        f"table: {_text(file.name)}",
        f"path: {path}",
        f"participant: {_text(participant)}",
    ]
    return [*lines, *([f"session: {_text(session)}"] if session else []), *_columns(table, {})]


def _columns(table: Table, sidecar: Mapping[str, Any]) -> list[str]:
    """Lines for labels, site and family."""
    labels = []
    if age := _first(table.columns, _AGE):
        unit = _mapping(sidecar.get(age)).get("Units")
        labels.append(f"age: {{column: {_text(age)}, unit: {_text(unit if isinstance(unit, str) else 'years')}}}")
    if sex := _first(table.columns, _SEX):
        labels.append(f"sex: {{column: {_text(sex)}, {_sex_classes(table, sex, _mapping(sidecar.get(sex)))}")
    if group := _first(table.columns, _GROUP):
        values = _values(table, group)
        if 2 <= len(values) <= 10:
            labels.append(f"group: {{column: {_text(group)}, classes: [{', '.join(map(_text, values))}]}}")
    lines = ["labels:", *(f"  {label}" for label in labels)] if labels else []
    for key, pattern in (("site", _SITE), ("family", _FAMILY)):
        if column := _first(table.columns, pattern):
            lines.append(f"{key}: {_text(column)}")
    return lines


def _sex_classes(table: Table, column: str, sidecar: Mapping[str, Any]) -> str:
    """The rest of the entry's line: F and M as the table writes them, or by the levels of its sidecar; else as coded, to be named."""
    values = _values(table, column)
    if {value.casefold() for value in values} <= _FEMALE | _MALE:
        return "classes: [F, M]}"
    named: dict[str, str] = {}
    for code, meaning in _mapping(sidecar.get("Levels")).items():
        word = str(meaning.get("Description", "") if isinstance(meaning, Mapping) else meaning).casefold().strip()
        named |= {"F": code} if word in _FEMALE else {"M": code} if word in _MALE else {}
    if len(named) == 2:
        return f"classes: {{F: {_text(named['F'])}, M: {_text(named['M'])}}}}}"
    example = f"{{F: {values[0]}, M: {values[-1]}}}" if values else "{F: 0, M: 1}"
    return f"classes: [{', '.join(map(_text, values))}]}}   # which code is which? e.g. classes: {example}"


def _values(table: Table, column: str) -> list[str]:
    values = distinct(text for record in table.records if (text := record.get(column)))
    return sorted(values, key=lambda text: (as_number(text) or 0.0, text))


def _first(columns: Iterable[str], pattern: re.Pattern[str]) -> str | None:
    return next((column for column in columns if pattern.fullmatch(column)), None)


def _sidecar(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # it only adds units and levels
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: str) -> str:
    """A YAML scalar that is read as this text."""
    plain = re.fullmatch(r"[\w./]([\w./ -]*[\w./-])?", value) and as_number(value) is None and value.casefold() not in _RESERVED
    return value if plain else json.dumps(value, ensure_ascii=False)
