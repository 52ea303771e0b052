"""Tables (CSV, TSV) with a column of image paths and label columns."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlimb.catalogue.formats import Contents, Found, Problem, bare, file_problem, several, state
from tlimb.catalogue.tables import did_you_mean, read_table
from tlimb.errors import InputError

KEYS = frozenset({"table", "path", "participant", "session"})
REQUIRED = {"table": "the CSV or TSV file, relative to root"}
LABEL_KEYS: frozenset[str] = frozenset()


def columns(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns with image paths; `path` unless the entry says otherwise."""
    return several(options, "path", "path")


def channels(options: Mapping[str, Any]) -> int:
    """One per path column."""
    return len(columns(options))


def read(place: str, root: Path, options: Mapping[str, Any]) -> Contents:
    """List the scans of a table; each row is one scan.

    Raises:
        InputError: the table is absent or wrong, or lacks the column of the path, the participant or the session.
    """
    table = read_table(root / str(options["table"]))
    paths, participant_column = columns(options), str(options.get("participant", "participant_id"))
    session_column = options.get("session")
    for key, column in [("path", path) for path in paths] + [("participant", participant_column), ("session", session_column)]:
        if column is not None and column not in table.columns:
            raise InputError(f"{place}, {key}: {table.path} has no column '{column}'", did_you_mean(str(column), table.columns))
    found: list[Found] = []
    problems: list[Problem] = []
    identity = [hashlib.sha256(table.path.read_bytes()).hexdigest()]
    seen: dict[tuple[str, ...], int] = {}
    for record in table.records:
        where = f"{table.path.name}:{record.line}"
        participant = bare(record.get(participant_column))
        cells = tuple(record.get(path) for path in paths)
        if not participant:
            problems.append(Problem("bad-label", "", where, f"{where}: column '{participant_column}' is empty"))
            continue
        if not all(cells):
            problems.append(Problem("participant-without-image", participant, where, f"{where}: {participant} has no image path"))
            continue
        if (first := seen.setdefault(cells, record.line)) != record.line:
            problems.append(Problem("duplicate", participant, where, f"{where}: the image of line {first} again; the first counts"))
            continue
        states = [state(root / cell) for cell in cells]
        if absent := [cell for cell, state in zip(cells, states, strict=True) if state is None]:
            problems.append(Problem("participant-without-image", participant, absent[0], f"{where}: {absent[0]} does not exist"))
            continue
        for cell, found_state in zip(cells, states, strict=True):
            size, mtime = found_state or (0, 0)
            identity.append(f"{cell}\0{size}\0{mtime}")
            if problem := file_problem(participant, cell, size):
                problems.append(problem)
        session = record.get(str(session_column)).removeprefix("ses-") if session_column else ""
        found.append(Found(participant, session, tuple(root / cell for cell in cells), record))
    if not found:
        first_problem = f": {problems[0].message}" if problems else ""
        raise InputError(f"{place}: none of the images of {table.path} exists{first_problem}", "paths in the table are relative to root")
    named = dict.fromkeys(name for record in table.records if (name := bare(record.get(participant_column))))
    return Contents(table.path, table.columns, table.records, tuple(named), tuple(found), tuple(problems), tuple(identity))
