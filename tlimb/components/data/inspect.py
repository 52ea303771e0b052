"""File-level findings for `tlimb data check`: what images and tables hold, and which of them are damaged, constant or copies."""

import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.listing import Dataset
from tlimb.components.data import demo
from tlimb.components.data.pictures import read_picture
from tlimb.components.data.reading import axis_codes, read_image
from tlimb.components.data.scan import UnusableError
from tlimb.components.data.series import flat, is_series, read_table


@dataclass(frozen=True, slots=True)
class Look:
    """What files look like: `what` is images or tables, `shape` (x, y, z), with channels behind it, or (regions, time)."""

    what: str
    orientation: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    dtype: str


def inspect(dataset: Dataset) -> list[dict[str, Any]]:
    """Decode every file of a data set and report. Files that the listing already names as empty or absent are left out.

    Returns:
        Findings, JSON types only. First one of `kind` images for each look, with its `count` and an example `file`. Then those of `kind`
        bad-image, constant-regions or duplicate: `participant_id`, `session`, `file`, `message`.
    """
    if dataset.format == "demo":
        demo.generate(dataset.root, dataset.options)
    looks: Counter[Look] = Counter()
    example: dict[Look, str] = {}
    findings: list[dict[str, Any]] = []
    seen: dict[bytes, str] = {}
    listing = dataset.listing()
    told = {problem.file for problem in listing.problems if problem.kind in ("zero-byte", "missing-content")}
    for scan in listing.scans:
        for path in scan.images:
            file = str(path.relative_to(dataset.root)) if path.is_relative_to(dataset.root) else path.name
            if file in told:
                continue
            where = {"participant_id": scan.participant_id, "session": scan.session, "file": file}
            try:
                look, array = _read(path)
            except UnusableError as reason:
                findings.append({"kind": "bad-image", **where, "message": f"{file}: {reason}"})
                continue
            looks[look] += 1
            example.setdefault(look, file)
            # The decoded values, not the file: a copy may be compressed in another way.
            content = hashlib.sha256(array.tobytes()).digest()
            if (first := seen.setdefault(content, file)) != file:
                findings.append({"kind": "duplicate", **where, "message": f"{file} holds the same values as {first}"})
            if look.what == "tables" and (constant := int(flat(array).sum())):
                message = f"{file}: {constant} of {len(array)} regions are constant or empty; they become 0"
                findings.append({"kind": "constant-regions", **where, "message": message})
    summary = [
        {
            "kind": "images",
            "what": look.what,
            "orientation": look.orientation,
            "shape": list(look.shape),
            "spacing_mm": list(look.spacing_mm),
            "dtype": look.dtype,
            "count": count,
            "file": example[look],
        }
        for look, count in looks.most_common()
    ]
    return summary + findings


def _read(path: Path) -> tuple[Look, NDArray[Any]]:
    """A file's look and values."""
    if is_series(path):
        try:
            table = read_table(path)
        except UnusableError as reason:
            if "row=time" not in str(reason):
                raise
            table = read_table(path, row="region")
            return Look("tables, time and regions not told apart", "", table.shape, (), ""), table
        return Look("tables", "", table.shape, (), ""), table
    if path.name.endswith((".nii", ".nii.gz")):
        image = read_image(path)
        spacing = tuple(round(float(size), 3) for size in image.pixdim[: image.ndim - 1])
        return Look("images", axis_codes(image), tuple(image.shape[1:]), spacing, str(nib.load(path).get_data_dtype())), image.array
    array, _ = read_picture(path)
    if np.ptp(array) == 0:
        raise UnusableError(f"the image is constant (all pixels {array.flat[0]:g})")
    shape = array.shape[1:] if len(array) == 1 else (*array.shape[1:], len(array))
    return Look("images" if len(array) == 1 else "images of several channels", "", shape, (), ""), array


def main() -> None:
    """`python -m tlimb.components.data.inspect DATASETS.yaml NAME`: the findings as JSON on standard output."""
    file, name = sys.argv[1:]
    json.dump(inspect(find_datasets(explicit=Path(file))[name]), sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
