"""The built-in data set `demo`: who takes part. Their images are computed from this table on first use."""

import os
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from platformdirs import user_cache_dir

from tlimb.catalogue.formats import Contents, Found
from tlimb.catalogue.tables import Record
from tlimb.errors import InputError

KEYS = frozenset({"participants", "seed", "shift"})
REQUIRED: Mapping[str, str] = {}
LABEL_KEYS: frozenset[str] = frozenset()
VERSION = 1
"""Of the images: a change of the generator is a new data set."""
COLUMNS = ("participant_id", "age", "sex", "site")
LABELS: Mapping[str, Mapping[str, Any]] = {"age": {"column": "age", "unit": "years"}, "sex": {"column": "sex", "classes": ["F", "M"]}}


def channels(options: Mapping[str, Any]) -> int:
    """One T1-weighted image."""
    return 1


def size(options: Mapping[str, Any]) -> tuple[int, int]:
    """How many participants, and the seed they are drawn with; 120 and 0 unless the entry says otherwise."""
    participants, seed = options.get("participants", 120), options.get("seed", 0)
    if not isinstance(participants, int) or not isinstance(seed, int) or not 1 <= participants <= 9999:
        raise InputError(f"demo: participants {participants!r} and seed {seed!r} must be whole numbers, participants from 1 to 9999")
    return participants, seed


def shift(options: Mapping[str, Any]) -> float:
    """How far the scanner is from the usual one: 0 is the usual one, 1 clearly another."""
    value = options.get("shift", 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        raise InputError(f"demo: shift {value!r} must be a number from 0 (the usual scanner) to 2")
    return float(value)


def folder(options: Mapping[str, Any]) -> Path:
    """Where the images are kept: the user's cache folder, or the one that TLIMB_CACHE names."""
    cache = Path(os.environ.get("TLIMB_CACHE") or user_cache_dir("tlimb"))
    return cache / "-".join(("demo", str(VERSION), *map(str, size(options)), *_shifted(options)))


def _shifted(options: Mapping[str, Any]) -> tuple[str, ...]:
    """What another scanner adds to names."""
    value = shift(options)
    return (f"shift{value:g}",) if value else ()


def table(options: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of participants.tsv: ages 20 to 80 years, sexes and sites evenly; a row does not depend on how many follow."""
    participants, seed = size(options)
    rows = []
    for number in range(1, participants + 1):
        draw = Random(f"{seed}/{number}")
        age, sex, site = f"{draw.uniform(20, 80):.1f}", draw.choice("FM"), draw.choice("AB")
        rows.append({"participant_id": f"sub-{number:04d}", "age": age, "sex": sex, "site": site})
    return rows


def read(place: str, root: Path, options: Mapping[str, Any]) -> Contents:
    """List the participants; the images need not exist yet."""
    path = root / "participants.tsv"
    records = tuple(Record(path, line, row) for line, row in enumerate(table(options), start=2))
    found = tuple(
        Found(name.removeprefix("sub-"), "", (root / name / "anat" / f"{name}_T1w.nii.gz",), record)
        for record in records
        for name in (record.values["participant_id"],)
    )
    identity = (f"demo {VERSION} {size(options)}", *_shifted(options))
    labels = LABELS if options.get("labels") is None else None
    return Contents(path, COLUMNS, records, tuple(scan.participant_id for scan in found), found, (), identity, labels)
