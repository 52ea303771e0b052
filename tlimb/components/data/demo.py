"""Images of the built-in data set `demo`: an analytic brain whose size follows sex and whose ventricles and cortex follow age.

Everything is a soft function of position, so that a voxel at a border holds the mixture that a 4 mm voxel would (partial volume). In mm,
RAS+, the origin in the brain's centre:

- brain: an ellipsoid of semi-axes (68, 86, 62) mm times a head scale of 1.03 (M) or 0.97 (F) with sd 0.025, its surface folded by sulci;
- cortex: 4.6 mm thick at 20 years, 0.02 mm a year less, sd 0.25 mm; sulci and the fissure between the hemispheres widen by the same;
- lateral ventricles: 1 to 2.6 times as large from 20 to 80 years, times a lognormal subject factor of sd 0.2;
- cerebellum and brain stem, so that no two directions look alike;
- white matter darkens with age; gain, bias field and noise vary between subjects, pose by about 2 mm and 2 degrees;
- another scanner, where the data set has a shift: another contrast of the tissues, a stronger field and noise, the same brains.
"""

import csv
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tlimb.catalogue.formats import demo as catalogue

SHAPE = (40, 48, 40)
SPACING_MM = 4.0
Array = NDArray[np.float32]


def generate(root: Path, options: Mapping[str, Any]) -> None:
    """Write the BIDS folder `root`, if it does not exist; it appears by one rename, so that it is never half there."""
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        rows = catalogue.table(options)
        _, seed = catalogue.size(options)
        shift = catalogue.shift(options)
        for row in rows:
            name = row["participant_id"]
            folder = temporary / name / "anat"
            folder.mkdir(parents=True)
            _save(draw(age=float(row["age"]), sex=row["sex"], key=f"{seed}/{name}", shift=shift), folder / f"{name}_T1w.nii.gz")
        with (temporary / "participants.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, catalogue.COLUMNS, delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        columns = {"age": {"Units": "years"}, "sex": {"Levels": {"F": "female", "M": "male"}}}
        (temporary / "participants.json").write_text(json.dumps(columns, indent=2) + "\n", encoding="utf-8")
        description = {"Name": "TLIMB demo: analytic brains", "BIDSVersion": "1.9.0", "DatasetType": "raw", "License": "CC0"}
        (temporary / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        os.rename(temporary, root)
    except OSError:
        if not root.exists():  # else another process was faster, with the same bytes
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def draw(*, age: float, sex: str, key: str, shift: float = 0.0) -> NDArray[np.int16]:
    """The skull-stripped T1-weighted image of one participant, (R, A, S) = (40, 48, 40) voxels of 4 mm, 0 outside the brain.

    Args:
        age: Years.
        sex: F or M.
        key: Seeds everything that age and sex do not decide.
        shift: Of the scanner, 0 to 2.
    """
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    years = age - 20
    scale = (1.03 if sex == "M" else 0.97) * (1 + 0.025 * random.standard_normal())
    cortex_mm = 4.6 - 0.02 * years + 0.25 * random.standard_normal()
    sulcus_mm = 6.6 - cortex_mm
    ventricle = ((1 + 1.6 * years / 60) * np.exp(0.2 * random.standard_normal())) ** (1 / 3)
    x, y, z = _coordinates(random)
    phase = random.uniform(0, 2 * np.pi, 6)
    waves = (
        np.sin(x / 7 + phase[0]) * np.cos(y / 8 + phase[1])
        + np.sin(y / 7 + phase[2]) * np.cos(z / 8 + phase[3])
        + np.sin(z / 7 + phase[4]) * np.cos(x / 8 + phase[5])
    )

    cerebrum = np.minimum(_depth(x, y, z - 4, (68 * scale, 86 * scale, 62 * scale)), z + 36 * scale + 12 * np.cos(y / 40))
    cerebellum = _depth(x, y + 46 * scale, z + 40 * scale, (48 * scale, 30 * scale, 22 * scale))
    stem = np.minimum(12 * scale - np.hypot(x, y + 20 * scale), np.minimum(z + 68 * scale, -z))
    brain = _inside(np.maximum(np.maximum(cerebrum, cerebellum), stem))

    sulci = np.maximum(7 * np.abs(waves) - sulcus_mm / 2, cerebrum - 14)
    callosum = _depth(x, y, z - 2, (500, 46 * scale, 26 * scale))
    fissure = np.maximum(np.abs(x) - sulcus_mm / 2, callosum)
    pial = np.minimum(cerebrum, np.minimum(sulci, fissure))
    gray = np.maximum(np.maximum(_inside(pial), _inside(cerebellum - 1)), _inside(stem))
    white = np.maximum(np.maximum(_inside(pial - cortex_mm), _inside(cerebellum - 8)), _inside(stem - 2))
    thalami = [_depth(x - side * 12, y + 8, z - 1, (9, 14, 9)) for side in (-1, 1)]
    thalamus = np.maximum(*map(_inside, thalami))
    horns = [
        _depth(x - side * across, y - forward, z - up, (5.5 * ventricle, length * ventricle, 7 * ventricle))
        for side in (-1, 1)
        for across, forward, up, length in ((9, 12, 14, 26), (19, -26, 8, 15))
    ]
    fluid = np.maximum.reduce([_inside(horn) for horn in horns])

    intensity = np.full(SHAPE, 260.0, dtype=np.float32)
    for membership, value in ((gray, 640.0), (white, 1000.0 - 1.2 * years), (thalamus, 720.0), (fluid, 220.0)):
        intensity += membership * (value - intensity)
    slope = random.normal(0, 0.0008, 3)
    intensity *= (1 + slope[0] * x + slope[1] * y + slope[2] * z) * random.uniform(0.85, 1.15)
    intensity = np.hypot(intensity + random.normal(0, 22, SHAPE), random.normal(0, 22, SHAPE))
    if shift:
        intensity = _rescanned(intensity, z, shift, random)
    return np.where(brain > 0.5, np.maximum(intensity, 1), 0).astype(np.int16)


def _rescanned(intensity: Array, z: Array, shift: float, random: np.random.Generator) -> Array:
    """The image as another scanner sees it: a power law for the contrast, a field along the body axis, Rician noise."""
    contrast = 1000 * (intensity / 1000) ** (1 - 0.45 * shift) * (1 + 0.004 * shift * z)
    noise = random.normal(0, 40 * shift, (2, *SHAPE))
    return np.asarray(np.hypot(contrast + noise[0], noise[1]), dtype=np.float32)


def _coordinates(random: np.random.Generator) -> tuple[Array, Array, Array]:
    """Position of each voxel in the brain's own axes, mm: the grid's, after a small turn about x and z and a small shift."""
    axes = [((np.arange(size) - (size - 1) / 2) * SPACING_MM).astype(np.float32) for size in SHAPE]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    nod, turn = np.deg2rad(random.normal(0, 2, 2))
    y, z = y * np.cos(nod) - z * np.sin(nod), y * np.sin(nod) + z * np.cos(nod)
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    shift = random.normal(0, 2, 3)
    return x - shift[0], y - shift[1], z - shift[2] - 6


def _depth(x: Array, y: Array, z: Array, axes: tuple[float, float, float]) -> Array:
    """About how deep a point lies below an ellipsoid's surface, mm; negative outside."""
    radius = np.sqrt((x / axes[0]) ** 2 + (y / axes[1]) ** 2 + (z / axes[2]) ** 2)
    return np.asarray((1 - radius) * np.min(axes) / np.maximum(radius, 0.3), dtype=np.float32)


def _inside(depth_mm: Array) -> Array:
    """The share of a voxel at that depth that lies inside."""
    return np.asarray(np.clip(depth_mm / SPACING_MM + 0.5, 0, 1), dtype=np.float32)


def _save(image: NDArray[np.int16], path: Path) -> None:
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = [-(size - 1) / 2 * SPACING_MM for size in SHAPE]
    nifti = nib.Nifti1Image(image, affine)
    nifti.header.set_xyzt_units("mm")
    # mtime=0: the same image is the same bytes
    path.write_bytes(gzip.compress(nifti.to_bytes(), compresslevel=4, mtime=0))
