"""Image-level findings for `tlimb data check`: what the files hold, and which of them are damaged, constant or copies."""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.listing import Dataset
from tlimb.components.data import demo
from tlimb.components.data.reading import UnusableError, axis_codes, read_image


def inspect(dataset: Dataset) -> list[dict[str, Any]]:
    """Decode every image of a data set and report.

    Returns:
        Findings, JSON types only. First one of `kind` images for each combination of `orientation`, `shape`, `spacing_mm` and `dtype`,
        with its `count` and an example `file`. Then those of `kind` bad-image or duplicate: `participant_id`, `session`, `file`, `message`.
    """
    if dataset.format == "demo":
        demo.generate(dataset.root, dataset.options)
    looks: Counter[tuple[Any, ...]] = Counter()
    example: dict[tuple[Any, ...], str] = {}
    findings: list[dict[str, Any]] = []
    seen: dict[bytes, str] = {}
    for scan in dataset.listing().scans:
        for path in scan.images:
            file = str(path.relative_to(dataset.root)) if path.is_relative_to(dataset.root) else path.name
            where = {"participant_id": scan.participant_id, "session": scan.session, "file": file}
            try:
                image = read_image(path)
            except UnusableError as reason:
                findings.append({"kind": "bad-image", **where, "message": f"{file}: {reason}"})
                continue
            spacing = tuple(round(float(size), 3) for size in image.pixdim[: image.ndim - 1])
            look = (axis_codes(image), tuple(image.shape[1:]), spacing, _dtype(path))
            looks[look] += 1
            example.setdefault(look, file)
            # The decoded voxels, not the file: a copy may be compressed in another way.
            content = hashlib.sha256(image.array.tobytes()).digest()
            if (first := seen.setdefault(content, file)) != file:
                findings.append({"kind": "duplicate", **where, "message": f"{file} holds the same voxels as {first}"})
    summary = [
        {
            "kind": "images",
            "orientation": codes,
            "shape": list(shape),
            "spacing_mm": list(spacing),
            "dtype": dtype,
            "count": count,
            "file": example[codes, shape, spacing, dtype],
        }
        for (codes, shape, spacing, dtype), count in looks.most_common()
    ]
    return summary + findings


def _dtype(path: Path) -> str:
    """How the voxels of a NIfTI file are stored; empty for other files."""
    return str(nib.load(path).get_data_dtype()) if path.name.endswith((".nii", ".nii.gz")) else ""


def main() -> None:
    """`python -m tlimb.components.data.inspect DATASETS.yaml NAME`: the findings as JSON on standard output."""
    file, name = sys.argv[1:]
    json.dump(inspect(find_datasets(explicit=Path(file))[name]), sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
