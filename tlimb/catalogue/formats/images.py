"""Folders of images: who and what an image shows follows from its path, such as ``patient/p012.png``, or from a table of labels."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlimb.catalogue.formats import Contents, Found, Problem, bare, look
from tlimb.catalogue.tables import Record, Table, did_you_mean, distinct, read_table
from tlimb.errors import InputError

KEYS = frozenset({"pattern", "channels", "table", "participant"})
REQUIRED = {"root": "the folder of the images"}
LABEL_KEYS: frozenset[str] = frozenset()
EXTENSIONS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy", ".mat", ".1D")
FLAT, NESTED = "{participant}", "{class}/{participant}"
_OWN = ("participant", "session", "channel")


def channels(options: Mapping[str, Any]) -> int:
    """One per entry of `channels`, else one."""
    return len(options.get("channels") or ("",))


def read(place: str, root: Path, options: Mapping[str, Any]) -> Contents:
    """List the images that fit the pattern.

    The fields of a pattern are ``{participant}``, ``{session}``, ``{channel}`` and labels of any other name; ``*`` is any text. Without a
    pattern it is ``{participant}``, or ``{class}/{participant}`` where the images lie in subfolders.

    Raises:
        InputError: there is no such folder, no image that fits, the pattern is wrong, or it does not tell who is who.
    """
    if not root.is_dir():
        raise InputError(f"{place}: root {root} is not a folder", "correct root in datasets.yaml")
    given = options.get("pattern")
    pattern = str(given) if given else FLAT if any(map(_is_image, os.listdir(root))) else NESTED
    matcher, fields = _compiled(pattern, place, options)
    table, rows, problems = _table(place, root, options)
    scans: dict[tuple[tuple[str, str], ...], dict[str, Path]] = {}
    other = []
    for name in _files(root, pattern.count("/")):
        match = matcher.fullmatch(name)
        if match is None:
            other += [name] if _is_image(name) else []
            continue
        values = match.groupdict()
        channel = values.pop("channel", "")
        key = tuple(values.items()) if channel else (*values.items(), ("", name))
        scans.setdefault(key, {})[channel] = root / name
    order = [str(channel) for channel in options.get("channels") or ("",)]
    if other and scans:
        message = f"{len(other)} images do not fit the pattern {pattern}, e.g. {other[0]}"
        problems.append(Problem("unmatched-file", "", other[0], message))
    found: list[Found] = []
    identity = [hashlib.sha256(table.path.read_bytes()).hexdigest()] if table.columns else []
    records: list[Record] = []
    for key, files in sorted(scans.items()):
        values = {name: text for name, text in key if name}
        participant = bare(values["participant"])
        first = next(iter(files.values()))
        if absent := [channel for channel in order if channel not in files]:
            message = f"{first.relative_to(root)}: {participant} has no channel {' and no channel '.join(absent)}"
            problems.append(Problem("participant-without-image", participant, str(first.relative_to(root)), message))
            continue
        if rows and participant not in rows:
            message = f"{first.relative_to(root)}: {participant} has no row in {table.path.name}"
            problems.append(Problem("image-without-participant", participant, str(first.relative_to(root)), message))
        record = Record(first, 0, values, rows.get(participant))
        images = tuple(files[channel] for channel in order)
        own, wrong = look(participant, images, root)
        identity += own
        problems += wrong
        records.append(record)
        found.append(Found(participant, values.get("session", "").removeprefix("ses-"), images, record))
    if not found:
        hint = f"e.g. {other[0]} does not fit" if other else f"images end in {', '.join(EXTENSIONS)}"
        raise InputError(
            f"{place}: no image in {root} fits the pattern {pattern}", f"{hint}; write pattern: with {{participant}} where its id stands"
        )
    if not given:
        _told_apart(place, found)
    imaged = {scan.participant_id for scan in found}
    for participant, row in rows.items():
        if participant not in imaged:
            where = f"{table.path.name}:{row.line}"
            problems.append(Problem("participant-without-image", participant, where, f"{where}: {participant} has no image"))
    columns = tuple(dict.fromkeys([*fields, *table.columns]))
    participants = tuple(dict.fromkeys([*rows, *imaged]))
    everything = (*records, *(row for name, row in rows.items() if name not in imaged))
    return Contents(
        table.path, columns, everything, participants, tuple(found), tuple(problems), tuple(identity), _labels(options, fields, records)
    )


def _compiled(pattern: str, place: str, options: Mapping[str, Any]) -> tuple[re.Pattern[str], list[str]]:
    """The pattern as a regular expression, and its fields."""
    fields = re.findall(r"\{(\w+)\}", pattern)
    if "participant" not in fields:
        raise InputError(
            f"{place}, pattern: {pattern} has no {{participant}}", 'write it where the id stands, e.g. pattern: "{participant}_{session}"'
        )
    if ("channel" in fields) != bool(options.get("channels")):
        raise InputError(
            f"{place}: {{channel}} in pattern and the key channels need each other",
            'write e.g. pattern: "{participant}_{channel}" and channels: [dapi, gfp]',
        )
    text, seen = "", set[str]()
    for piece in re.split(r"(\{\w+\}|\*)", pattern):
        field = piece.strip("{}")
        if piece == "*":
            text += "[^/]*"
        elif piece.startswith("{"):
            text += f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)"
            seen.add(field)
        else:
            text += re.escape(piece)
    if not re.search(r"\.\w+$", pattern):
        text += f"(?i:{'|'.join(map(re.escape, EXTENSIONS))})"
    return re.compile(text), list(dict.fromkeys(fields))


def _files(root: Path, depth: int) -> list[str]:
    """Files at a depth below the root and above it, as paths relative to it."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        relative = os.path.relpath(folder, root)
        level = 0 if relative == "." else relative.count(os.sep) + 1
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if level < depth else []
        found += [name if level == 0 else f"{relative}/{name}" for name in sorted(names) if not name.startswith(".")]
    return found


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(tuple(extension.lower() for extension in EXTENSIONS))


def _told_apart(place: str, found: list[Found]) -> None:
    """Names such as ``scan1`` in every folder are no participants."""
    folders: dict[str, set[Path]] = {}
    for scan in found:
        folders.setdefault(scan.participant_id, set()).add(scan.images[0].parent)
    name, where = max(folders.items(), key=lambda item: len(item[1]))
    if len(where) > 1:
        raise InputError(
            f"{place}: {found[0].images[0].suffix} images called '{name}' lie in {len(where)} folders: is that one participant?",
            'say who is who: pattern: "{participant}/*" if a folder is a participant, "{class}/{participant}" if it is a class',
        )


def _table(place: str, root: Path, options: Mapping[str, Any]) -> tuple[Table, dict[str, Record], list[Problem]]:
    if not options.get("table"):
        return Table(root, (), ()), {}, []
    table = read_table(root / str(options["table"]))
    column = str(options.get("participant", "participant_id"))
    if column not in table.columns:
        raise InputError(f"{place}, participant: {table.path} has no column '{column}'", did_you_mean(column, table.columns))
    rows: dict[str, Record] = {}
    problems = []
    for record in table.records:
        participant, where = bare(record.get(column)), f"{table.path.name}:{record.line}"
        if not participant:
            problems.append(Problem("bad-label", "", where, f"{where}: column '{column}' is empty"))
        elif participant in rows:
            message = f"{participant} stands in lines {rows[participant].line} and {record.line}; the first counts"
            problems.append(Problem("duplicate", participant, where, message))
        else:
            rows[participant] = record
    return table, rows, problems


def _labels(options: Mapping[str, Any], fields: list[str], records: list[Record]) -> Mapping[str, Mapping[str, Any]]:
    """Fields of the pattern are categories, unless the entry says more."""
    values = {field: distinct(text for record in records if (text := record.get(field))) for field in fields if field not in _OWN}
    own = {field: {"column": field, "classes": names} for field, names in values.items() if 1 < len(names) < len(records)}
    given = options.get("labels")
    return own if given is None else {str(name): spec or own.get(str(name)) or {} for name, spec in given.items()}
