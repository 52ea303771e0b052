"""A prepared data set on disk: `images.npy`, `index.csv` and `prepared.json` (see docs/formats.md)."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlimb.errors import InputError

FORMAT = 1
_AGAIN = "remove the folder and run the recipe again, which prepares the data anew"
COLUMNS = ("row", "participant_id", "session", "slice", "group", "site", "volume_ml")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` wrote, without the images.

    Attributes:
        images: Path of the float32 array (rows, C, space…); of time series (time of all rows, C).
        document: `prepared.json`.
        participants: By row.
        sessions: By row.
        volume_ml: Foreground volume by row, ml.
        labels: Cells by label: empty = missing.
    """

    images: Path
    document: Mapping[str, Any]
    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    volume_ml: NDArray[np.float64]
    labels: Mapping[str, tuple[str, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, space…) of a row, the longest one where they differ in length."""
        return (int(self.document["channels"]), *map(int, self.document["shape"]))

    @property
    def frames(self) -> NDArray[np.int64] | None:
        """Time points by row; None for images."""
        frames = self.document.get("frames")
        return None if frames is None else np.array(frames, dtype=np.int64)

    def values(self, target: Mapping[str, Any]) -> NDArray[Any]:
        """The truth of a target by row: float32 numbers (NaN = missing), or int64 class indices (-1 = missing).

        Raises:
            InputError: the data set has no such label, or a class that the target does not list.
        """
        label, name = str(target["label"]), self.document["dataset"]
        if label not in self.labels:
            raise InputError(
                f"target {target['name']}: the prepared data set {name} has no label '{label}'",
                f"it has: {', '.join(self.labels) or 'none'}",
            )
        cells = self.labels[label]
        if target["kind"] == "number":
            return np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float32)
        codes = {"": -1} | {str(class_name): index for index, class_name in enumerate(target["classes"])}
        if strange := sorted(set(cells) - codes.keys()):
            raise InputError(
                f"target {target['name']}: the data set {name} has the class '{strange[0]}'",
                f"the target's classes are {', '.join(target['classes'])}",
            )
        return np.array([codes[cell] for cell in cells], dtype=np.int64)


def read_prepared(folder: Path) -> Prepared:
    """Read index and description of a prepared data set.

    Raises:
        InputError: a file is absent, damaged or of a newer format.
    """
    try:
        document = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
        with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: absent, so this is no prepared data set", _AGAIN) from None
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}", _AGAIN) from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{folder}: index.csv or prepared.json is damaged ({error})", _AGAIN) from None
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise InputError(f"{folder / 'prepared.json'}: damaged (it has no format)", _AGAIN)
    if document["format"] > FORMAT:
        raise InputError(f"{folder}: prepared by a newer TLIMB (format {document['format']})", "update TLIMB")
    try:
        columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
        volumes = np.array([float(cell) for cell in columns["volume_ml"]], dtype=np.float64)
        labels = {name: columns[name] for name in document["labels"]}
        prepared = Prepared(folder / "images.npy", document, columns["participant_id"], columns["session"], volumes, labels)
    except (KeyError, ValueError) as error:
        raise InputError(f"{folder / 'index.csv'}: damaged ({error})", _AGAIN) from None
    try:
        shape = np.load(prepared.images, mmap_mode="r").shape
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{prepared.images}: damaged ({error})", _AGAIN) from None
    frames = prepared.frames
    expected = (len(rows), *prepared.shape) if frames is None else (int(frames.sum()), prepared.shape[0])
    if shape != expected:
        raise InputError(f"{prepared.images}: damaged (its shape is {shape}, not {expected})", _AGAIN)
    return prepared
