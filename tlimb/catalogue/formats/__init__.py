"""Formats of data sets: how a folder, a table or a generator lists participants and their images.

A format is a module with

- ``KEYS``: the keys of a `datasets.yaml` entry that only this format has, and ``REQUIRED``: those it cannot do without;
- ``LABEL_KEYS``: the keys of a label that only this format has;
- ``channels(options)``: images per scan;
- ``read(place, root, options) -> Contents``: what is there.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tlimb.catalogue.tables import Record

NO_FAMILIES = "no-families"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one participant or file that a person should look at.

    Kinds: participant-without-image, image-without-participant, zero-byte, missing-content, bad-label, duplicate, unmatched-file,
    no-families.
    """

    kind: str
    participant_id: str
    file: str
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """One scan: its images (a file per channel) and the row of the table that describes it."""

    participant_id: str
    session: str
    images: tuple[Path, ...]
    record: Record | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a format found.

    Attributes:
        table: The file the labels stand in, for messages.
        columns: Its columns.
        records: Its rows, also of participants without images.
        participants: Ids in the table or with an image.
        found: The scans.
        problems: What is wrong.
        identity: Strings that change when table or images change; the data set's fingerprint is made of them.
        labels: What to read for each label, in place of the entry's `labels`; None leaves them as they are.
        family: The column whose members share a role where the entry names none.
    """

    table: Path
    columns: tuple[str, ...]
    records: tuple[Record, ...]
    participants: tuple[str, ...]
    found: tuple[Found, ...]
    problems: tuple[Problem, ...]
    identity: tuple[str, ...]
    labels: Mapping[str, Mapping[str, Any]] | None = None
    family: str | None = None


class Format(Protocol):
    """The interface of the modules of this package."""

    KEYS: frozenset[str]
    REQUIRED: Mapping[str, str]
    LABEL_KEYS: frozenset[str]

    @staticmethod
    def channels(options: Mapping[str, Any]) -> int: ...

    @staticmethod
    def read(place: str, root: Path, options: Mapping[str, Any]) -> Contents: ...


def bare(participant: str) -> str:
    """A participant's id without ``sub-``: the same person is the same in a BIDS folder and in a table."""
    return participant.strip().removeprefix("sub-")


def file_problem(participant: str, file: str, size: int) -> Problem | None:
    """What is wrong with an image file of that size; -1 stands for a link whose target is absent."""
    if size == 0:
        return Problem("zero-byte", participant, file, f"{file} is empty (0 bytes)")
    if size < 0:
        return Problem("missing-content", participant, file, f"{file} is a link to a file that is not here (datalad get?)")
    return None


def several(options: Mapping[str, Any], key: str, default: str) -> tuple[str, ...]:
    """One word or a list of them, as words."""
    given = options.get(key)
    return tuple(map(str, given)) if isinstance(given, list) else (str(default if given is None else given),)


def state(path: str | Path) -> tuple[int, int] | None:
    """Size and mtime in ns of a file; size -1 for a link to nothing; None if there is no such file."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return (-1, 0) if os.path.islink(path) else None
    return status.st_size, status.st_mtime_ns


def look(participant: str, files: Sequence[Path], root: Path) -> tuple[list[str], list[Problem]]:
    """Identity and problems of the existing image files of a scan."""
    identity, problems = [], []
    for file in files:
        name = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
        size, mtime = state(file) or (-1, 0)
        identity.append(f"{name}\0{size}\0{mtime}")
        if problem := file_problem(participant, name, size):
            problems.append(problem)
    return identity, problems
