"""Formats of data sets: how a folder, a table or a generator lists participants and their images.

A format is a module with

- ``KEYS``: the keys of a `datasets.yaml` entry that only this format has;
- ``channels(options)``: images per scan;
- ``read(place, root, options) -> Contents``: what is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tlimb.catalogue.tables import Record


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one participant or file that a person should look at.

    Kinds: participant-without-image, image-without-participant, zero-byte, missing-content, bad-label, duplicate.
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
    """

    table: Path
    columns: tuple[str, ...]
    records: tuple[Record, ...]
    participants: tuple[str, ...]
    found: tuple[Found, ...]
    problems: tuple[Problem, ...]
    identity: tuple[str, ...]


class Format(Protocol):
    """The interface of the modules of this package."""

    KEYS: frozenset[str]

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
