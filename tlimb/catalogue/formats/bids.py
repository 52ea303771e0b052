"""BIDS folders: participants.tsv joined with the images of ``sub-*/[ses-*/]anat``."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tlimb.catalogue.formats import Contents, Found, Problem, bare, file_problem, several
from tlimb.catalogue.tables import Record, Table, read_table
from tlimb.errors import InputError

KEYS = frozenset({"image", "session"})
REQUIRED = {"root": "the top folder of the BIDS data set"}
LABEL_KEYS: frozenset[str] = frozenset()
NO_IMAGE = "participant-without-image"
EXTENSIONS = (".nii.gz", ".nii")
_FOLDERS = {"bold": "func", "sbref": "func", "dwi": "dwi", "asl": "perf", "pet": "pet", "epi": "fmap"}


def suffixes(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The suffixes of the images of a scan, e.g. ``("T1w", "FLAIR")``; T1w unless the entry says otherwise."""
    return several(options, "image", "T1w")


def channels(options: Mapping[str, Any]) -> int:
    """One per suffix."""
    return len(suffixes(options))


def read(place: str, root: Path, options: Mapping[str, Any]) -> Contents:
    """List the scans of a BIDS folder.

    Every image of a session is a scan of its own (runs). With several suffixes a scan has one image of each: where a session has more than
    one of a suffix, those whose other entities (``run-1``) are equal belong together.

    Raises:
        InputError: there is no such folder, no ``sub-*`` in it, no image of that suffix, or labels but no participants.tsv.
    """
    wanted, start = suffixes(options), len(str(root)) + 1
    session = None if options.get("session") is None else str(options["session"]).removeprefix("ses-")
    table, rows, problems = _participants(place, root, bool(options.get("labels")))
    visits = _root_sessions(root)
    columns = dict.fromkeys(table.columns) | {column: None for record in visits.values() for column in record.values}
    found: list[Found] = []
    identity = [_digest(table.path), _digest(root / "sessions.tsv")]
    subjects = _subfolders(root, "sub-")
    if not subjects:
        raise InputError(f"{place}: {root} holds no sub-* folder", "root must be the top folder of a BIDS data set")
    for subject in subjects:
        participant = bare(subject.name)
        images, own = _images(subject.path, wanted, session)
        for name, row in own.items():
            visits.setdefault((participant, name), row)
            columns.update(dict.fromkeys(row.values))
            identity.append(f"{participant}\0{name}\0{sorted(row.values.items())}")
        for visit, files in images.items():
            where = f"sub-{participant}" + (f"/ses-{visit}" if visit else "")
            scans, lacking = _scans(files, wanted)
            if lacking and any(files.values()):
                problems.append(Problem(NO_IMAGE, participant, where, f"{where} lacks {' and '.join(lacking)} for a scan"))
            for scan in scans:
                for path, size, mtime in scan:
                    relative = path[start:]
                    identity.append(f"{relative}\0{size}\0{mtime}")
                    if problem := file_problem(participant, relative, size):
                        problems.append(problem)
                record = _merged(rows.get(participant), visits.get((participant, visit)))
                found.append(Found(participant, visit, tuple(Path(path) for path, _, _ in scan), record))
    name = "/".join(wanted)
    if not found:
        there = ", ".join(image_suffixes(root)) or "none"
        raise InputError(f"{place}: {root} holds no image *_{name}.nii[.gz]", f"set image to one of the suffixes that are there: {there}")
    imaged = dict.fromkeys(scan.participant_id for scan in found)
    for participant, row in rows.items():
        if participant not in imaged:
            where = f"{table.path.name}:{row.line}"
            problems.append(Problem(NO_IMAGE, participant, where, f"{where}: sub-{participant} has no {name} image"))
    for participant in imaged:
        if rows and participant not in rows:
            message = f"sub-{participant} has an image, but no row in {table.path.name}"
            problems.append(Problem("image-without-participant", participant, f"sub-{participant}", message))
    by_visit = [record for (participant, _), row in visits.items() if (record := _merged(rows.get(participant), row))]
    participants = tuple(dict.fromkeys([*rows, *imaged]))
    records = (*rows.values(), *by_visit)
    return Contents(table.path, tuple(columns), records, participants, tuple(found), tuple(problems), tuple(identity))


def _participants(place: str, root: Path, needed: bool) -> tuple[Table, dict[str, Record], list[Problem]]:
    path = root / "participants.tsv"
    if not root.is_dir():
        raise InputError(f"{place}: root {root} is not a folder", "correct root in datasets.yaml")
    if not path.exists() and not needed:
        return Table(path, (), ()), {}, []
    table = read_table(path)
    if "participant_id" not in table.columns:
        raise InputError(f"{path}:1: column 'participant_id' is absent", f"columns: {', '.join(table.columns)}")
    rows: dict[str, Record] = {}
    problems = []
    for record in table.records:
        participant = bare(record.get("participant_id"))
        if not participant:
            problems.append(Problem("bad-label", "", f"{path.name}:{record.line}", f"{path.name}:{record.line}: participant_id is empty"))
        elif participant in rows:
            message = f"sub-{participant} stands in lines {rows[participant].line} and {record.line}; the first counts"
            problems.append(Problem("duplicate", participant, f"{path.name}:{record.line}", message))
        else:
            rows[participant] = record
    return table, rows, problems


def _root_sessions(root: Path) -> dict[tuple[str, str], Record]:
    path = root / "sessions.tsv"
    if not path.exists():
        return {}
    return {(bare(record.get("participant_id")), _session(record)): record for record in read_table(path).records}


def _session(record: Record) -> str:
    return record.get("session_id").removeprefix("ses-")


def _merged(participant: Record | None, visit: Record | None) -> Record | None:
    """The row of a session, completed by the participant's."""
    if participant is None or visit is None:
        return visit or participant
    return replace(visit, rest=participant)


def _subfolders(path: str | Path, prefix: str) -> list["os.DirEntry[str]"]:
    with os.scandir(path) as entries:
        return sorted((entry for entry in entries if entry.name.startswith(prefix) and entry.is_dir()), key=lambda entry: entry.name)


_File = tuple[str, int, int]


def _images(subject: str, wanted: tuple[str, ...], session: str | None) -> tuple[dict[str, dict[str, list[_File]]], dict[str, Record]]:
    """Images of a subject by session and suffix as (path, size, mtime in ns), and its own table of sessions."""
    with os.scandir(subject) as entries:
        names = {entry.name for entry in entries}
    visits = sorted(name for name in names if name.startswith("ses-"))
    tables = [name for name in names if name.endswith("_sessions.tsv")]
    records = {_session(record): record for name in tables for record in read_table(Path(subject, name)).records}
    images: dict[str, dict[str, list[_File]]] = {}
    for visit in visits or [""]:
        name = visit.removeprefix("ses-")
        if session is None or name == session:
            images[name] = {suffix: _files(os.path.join(subject, visit), suffix) for suffix in wanted}
    return images, records


def _files(folder: str, suffix: str) -> list[_File]:
    endings = tuple(f"_{suffix}{extension}" for extension in EXTENSIONS)
    path = os.path.join(folder, _FOLDERS.get(suffix.rsplit("_", 1)[-1], "anat"))
    files = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.endswith(endings) and not entry.name.startswith("."):
                    try:
                        status = entry.stat()
                        files.append((entry.path, status.st_size, status.st_mtime_ns))
                    except FileNotFoundError:
                        files.append((entry.path, -1, 0))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(files)


def _scans(files: Mapping[str, list[_File]], wanted: tuple[str, ...]) -> tuple[list[tuple[_File, ...]], list[str]]:
    """Scans with an image of every suffix, and the suffixes that some scan of the session lacks."""
    if all(len(files[suffix]) == 1 for suffix in wanted):
        return [tuple(files[suffix][0] for suffix in wanted)], []
    stems = {suffix: {os.path.basename(file[0]).rsplit(f"_{suffix}.", 1)[0]: file for file in files[suffix]} for suffix in wanted}
    every = sorted({stem for named in stems.values() for stem in named})
    scans = [tuple(stems[suffix][stem] for suffix in wanted) for stem in every if all(stem in stems[suffix] for suffix in wanted)]
    return scans, [suffix for suffix in wanted if any(stem not in stems[suffix] for stem in every)]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def image_suffixes(root: Path, subjects: int = 20) -> list[str]:
    """The suffixes of the images of the first subjects, sorted."""
    seen = set()
    for subject in _subfolders(root, "sub-")[:subjects]:
        for _, _, names in os.walk(subject.path):
            for name in names:
                stem = next((name.removesuffix(extension) for extension in EXTENSIONS if name.endswith(extension)), "")
                if "_" in stem:
                    seen.add(stem.rsplit("_", 1)[1])
    return sorted(seen)
