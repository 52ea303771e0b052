"""A data set that is a class of the user's, written down once as images and a table: ``python -m tlimb.train.collect``.

The class has ``__len__`` and ``__getitem__(index)``, which gives an image, an array (*S) or (C, *S), and the list of its labels, numbers or
texts, None where one is missing. Its attribute `labels` names them, and `participants` says whose image each is, so that all images of a
participant keep to one role. Both may be attributes or properties.
"""

import csv
import importlib
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tlimb.catalogue.own import trusted_folders
from tlimb.errors import InputError, TlimbError


def collect(dataset: Any, out: Path, *, spatial_dims: int | None = None) -> dict[str, Any]:
    """Write ``images/*.npy``, one for each channel, and ``participants.csv``; returns the entry for `datasets.yaml`.

    Args:
        dataset: An object as above.
        out: A folder, which is made.
        spatial_dims: 1 to 3 axes of the images; default 3 if all images have at least three axes, else 2.

    Raises:
        InputError: the object lacks a part of the interface, or gives something else.
    """
    for needed in ("__getitem__", "__len__", "labels", "participants"):
        if not hasattr(dataset, needed):
            raise InputError(f"{type(dataset).__name__} has no {needed}", "docs/own-components.md has a complete example")
    names, participants = [str(name) for name in dataset.labels], [str(name) for name in dataset.participants]
    if len(participants) != len(dataset) or not participants:
        raise InputError(
            f"{type(dataset).__name__} has {len(dataset)} images, but {len(participants)} participants", "give one for each image"
        )
    (out / "images").mkdir(parents=True, exist_ok=True)
    channels = None
    rows = []
    for index, participant in enumerate(participants):
        image, labels = dataset[index]
        array = np.asarray(image, dtype=np.float32)
        dims = spatial_dims or min(3, max(2, array.ndim))
        array = array[None] if array.ndim == dims else array
        if array.ndim != dims + 1 or len(labels) != len(names) or len(array) != (channels or len(array)):
            raise InputError(
                f"{type(dataset).__name__}[{index}] is an image of shape {np.shape(image)} with {len(labels)} labels",
                f"all images are (*S) or (C, *S) with {dims} axes of space and equal C, each with {len(names)} labels",
            )
        channels = len(array)
        files = [f"images/{index:06d}-{channel}.npy" for channel in range(channels)]
        for file, one in zip(files, array, strict=True):
            np.save(out / file, one)
        rows.append([participant, str(index), *files, *("" if _missing(label) else label for label in labels)])
    paths = [f"file_{channel}" for channel in range(channels or 0)]
    with (out / "participants.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["participant", "image", *paths, *names])
        table.writerows(rows)
    units: Mapping[str, str] = getattr(dataset, "units", {})
    return {
        "format": "table",
        "root": str(out.resolve()),
        "table": "participants.csv",
        "participant": "participant",
        "session": "image",
        "path": paths if len(paths) > 1 else paths[0],
        "labels": {name: {"column": name, **({"unit": units[name]} if name in units else {})} for name in names},
    }


def _missing(label: Any) -> bool:
    return label is None or (isinstance(label, float) and math.isnan(label))


def main(arguments: list[str]) -> int:
    """``CLASS FOLDER JSON``: the class path, where to write, the class's arguments."""
    class_path, folder, given = arguments
    sys.path.extend(str(trusted) for trusted in trusted_folders())
    module, _, name = class_path.rpartition(".")
    try:
        try:
            dataset = getattr(importlib.import_module(module), name)(**json.loads(given))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{class_path} cannot be made: {error}", "is it spelled right, and its folder trusted (--trust)?") from None
        print(json.dumps(collect(dataset, Path(folder))))
    except TlimbError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
