"""What a scan looks like on a screen of few pixels: three orthogonal slices, a picture, or time series as a carpet.

``python -m tlimb.components.data.look`` is a child process that answers requests, one JSON object a line on standard input::

    {"files": [PATH], "channel": 0, "frame": 0, "at": [x, y, z] | null, "size": [width, height], "demo": {"root", "options"} | null}

`files` are those of one scan, `size` the pixels that each slice, the picture or the carpet may have, `at` voxels in RAS+ (or a region). The
answer is a line on standard output, see `look`; ``{"error": MESSAGE}`` where the file cannot be shown. The file read last is kept.
"""

import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from PIL import Image

from tlimb.components.data import demo
from tlimb.components.data.pictures import read_picture
from tlimb.components.data.scan import UnusableError
from tlimb.components.data.series import flat, is_series, read_table

Array = NDArray[np.float32]
CLIP = 2.5
"""Standard deviations that a carpet shows."""
POINTS = 400
"""Of a line, at most."""
PLANES = (("sagittal", 0, "PASI"), ("coronal", 1, "LRSI"), ("axial", 2, "LRAP"))
"""Name of a slice, the axis that it cuts, and where its left, right, upper and lower border lie."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that was read.

    Attributes:
        kind: volume (x, y, z), picture (C, x, y) or series (regions, time).
        array: Finite numbers; a volume lies in RAS+ where the file says how it lies.
        spacing_mm: By axis; ones where it is not known.
        orientation: As stored, e.g. PSR; empty where it is not known.
        dtype: As stored.
        frames: Volumes in the file.
        window: What is black and what is white.
        notes: What else there is to say.
    """

    kind: str
    array: Array
    spacing_mm: tuple[float, ...]
    orientation: str
    dtype: str
    frames: int
    window: tuple[float, float]
    notes: tuple[str, ...]


def read(file: Path, frame: int = 0) -> Seen:
    """Read a file as it is stored, one volume of several.

    Raises:
        UnusableError: it cannot be shown; says why.
    """
    if not file.exists():
        raise UnusableError("the file does not exist")
    if file.stat().st_size == 0:
        raise UnusableError("the file is empty (0 bytes)")
    if is_series(file):
        return _series(file)
    if file.name.lower().endswith((".nii", ".nii.gz")):
        return _nifti(file, frame)
    array, _ = read_picture(file, stack="depth")
    spatial = array.ndim - 1
    if spatial == 3:
        return _seen("volume", array[0], (1.0,) * 3, "", "", 1)
    return _seen("picture", array, (1.0, 1.0), "", "", 1)


def look(seen: Seen, size: Sequence[int], at: Sequence[int] | None = None, frame: int = 0) -> dict[str, Any]:
    """What a screen shows of a file.

    Returns:
        `kind`, `shape`, `spacing_mm`, `orientation`, `dtype`, `frames`, `frame`, `at`, `value` (at that place), `window`, `notes` and
        `planes`: of each `name`, `width`, `height`, `pixels` (base64 of grey levels, row after row from the upper left; three for each
        pixel where `rgb`), `border` (letters at the left, right, upper and lower border, or empty) and `cross` (column and row of `at`, or
        null). Of series also `lines`: the values of one region and the mean of all, and `region`.
    """
    shape = seen.array.shape[1:] if seen.kind == "picture" else seen.array.shape
    told: dict[str, Any] = {
        "kind": seen.kind,
        "shape": list(shape),
        "channels": len(seen.array) if seen.kind == "picture" else 1,
        "spacing_mm": [round(size_mm, 3) for size_mm in seen.spacing_mm],
        "orientation": seen.orientation,
        "dtype": seen.dtype,
        "frames": seen.frames,
        "frame": frame,
        "window": list(seen.window),
        "notes": list(seen.notes),
        "at": None,
        "value": None,
    }
    width, height = max(2, int(size[0])), max(2, int(size[1]))
    if seen.kind == "series":
        return told | _carpet(seen.array, width, height, int(at[0]) if at else 0)
    if seen.kind == "picture":
        pixels = [_grey(channel.T, seen.window) for channel in (seen.array if len(seen.array) == 3 else seen.array[:1])]
        scale = min(width / shape[0], height / shape[1])
        return told | {"planes": [_plane("", pixels, (shape[0] * scale, shape[1] * scale), "", None)]}
    middle = [n // 2 for n in shape]
    place = [min(max(0, int(p)), n - 1) for p, n in zip(at if at and len(at) == 3 else middle, shape, strict=True)]
    mm = [n * s for n, s in zip(shape, seen.spacing_mm, strict=True)]
    scale = min(width / max(mm[0], mm[1]), height / max(mm[1], mm[2]))
    planes = []
    for name, axis, border in PLANES:
        across, up = (other for other in range(3) if other != axis)
        cut = np.take(seen.array, place[axis], axis=axis).T[::-1]
        cross = ((place[across] + 0.5) / shape[across], 1 - (place[up] + 0.5) / shape[up])
        extent = (mm[across] * scale, mm[up] * scale)
        planes.append(_plane(name, [_grey(cut, seen.window)], extent, border if seen.orientation else "", cross))
    return told | {"at": place, "value": float(seen.array[tuple(place)]), "planes": planes}


def _nifti(file: Path, frame: int) -> Seen:
    try:
        image: Any = nib.load(file)
        if isinstance(image, nib.Cifti2Image):
            raise UnusableError("this CIFTI file holds values of the cortical surface, which has no slices")
        shape = image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) not in (2, 3, 4):
            raise UnusableError(f"the image has {len(shape)} dimensions ({' x '.join(map(str, shape))}), but a volume has 3")
        frames = shape[3] if len(shape) == 4 else 1
        stored = image.dataobj[..., min(max(0, frame), frames - 1)] if len(shape) == 4 else np.asanyarray(image.dataobj).reshape(shape)
        if stored.dtype.names:
            stored = np.mean([stored[name].astype(np.float32) for name in stored.dtype.names[:3]], axis=0)
        stored = np.asarray(stored, dtype=np.float32)
        turned = nib.as_closest_canonical(nib.Nifti1Image(stored.reshape((*stored.shape, 1)[:3]), image.affine))
    except UnusableError:
        raise
    except Exception as error:  # whatever a damaged file makes a reader raise is a reason to name it
        raise UnusableError(f"the file cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    spacing = tuple(float(size) or 1.0 for size in turned.header.get_zooms()[:3])
    codes = "".join(map(str, aff2axcodes(image.affine)))
    return _seen("volume", np.asarray(turned.dataobj, dtype=np.float32), spacing, codes, str(image.get_data_dtype()), frames)


def _series(file: Path) -> Seen:
    notes: tuple[str, ...] = ()
    try:
        table = read_table(file)
    except UnusableError as reason:
        if "row=time" not in str(reason):
            raise
        table, notes = read_table(file, row="region"), ("the file does not tell time from regions: rows are shown as regions",)
    if constant := int(flat(table).sum()):
        notes += (f"{constant} of {len(table)} regions are constant or empty",)
    return Seen("series", np.nan_to_num(table).astype(np.float32), (), "", "", 1, (-CLIP, CLIP), notes)


def _seen(kind: str, array: NDArray[Any], spacing: tuple[float, ...], orientation: str, dtype: str, frames: int) -> Seen:
    notes: tuple[str, ...] = ()
    if not np.isfinite(array).all():
        notes += ("it has voxels that are not numbers; they are shown as 0",)
        array = np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
    inside = array[array != 0]
    low, high = map(float, np.percentile(inside, (1, 99))) if inside.size else (0.0, 0.0)
    if kind == "picture" or low > 0:
        low = min(low, float(array.min()))
    if high <= low:
        notes += (f"the image is constant (all voxels {array.flat[0]:g})",) if array.min() == array.max() else ()
        low, high = float(array.min()), float(array.max())
    return Seen(kind, np.asarray(array, dtype=np.float32), spacing, orientation, dtype, frames, (low, high), notes)


def _carpet(table: Array, width: int, height: int, region: int) -> dict[str, Any]:
    sd = table.std(axis=1, keepdims=True)
    scores = (table - table.mean(axis=1, keepdims=True)) / np.where(sd > 0, sd, 1)
    region = min(max(0, region), len(table) - 1)
    lines = {"region": _thinned(table[region]), "mean": _thinned(scores.mean(axis=0))}
    cross = (0.0, (region + 0.5) / len(table))
    plane = _plane("", [_grey(scores, (-CLIP, CLIP))], (min(width, table.shape[1] * 4), min(height, 4 * len(table))), "", cross)
    return {"planes": [plane], "lines": lines, "at": [region]}


def _thinned(values: Array) -> list[float]:
    """A line of few points: means of neighbours."""
    if len(values) <= POINTS:
        return [round(float(value), 5) for value in values]
    return [round(float(part.mean()), 5) for part in np.array_split(values, POINTS)]


def _grey(image: Array, window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    scaled = (image - low) / (high - low) if high > low else np.zeros_like(image)
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _plane(
    name: str, channels: list[NDArray[np.uint8]], extent: tuple[float, float], border: str, cross: tuple[float, float] | None
) -> dict[str, Any]:
    """An image of one or three channels, at the size of the screen."""
    width, height = (max(1, round(side)) for side in extent)
    smaller = width * height < channels[0].size
    method = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    made = [np.asarray(Image.fromarray(np.ascontiguousarray(channel)).resize((width, height), method)) for channel in channels]
    return {
        "name": name,
        "width": width,
        "height": height,
        "rgb": len(made) == 3,
        "pixels": base64.b64encode(np.stack(made, axis=-1).tobytes()).decode(),
        "border": border,
        "cross": [min(width - 1, int(cross[0] * width)), min(height - 1, int(cross[1] * height))] if cross else None,
    }


def answer(request: Mapping[str, Any], kept: dict[tuple[Any, ...], Seen]) -> dict[str, Any]:
    """The reply to a request; `kept` holds the file read last."""
    if request.get("demo"):
        demo.generate(Path(request["demo"]["root"]), request["demo"]["options"])
    files = request["files"]
    file = Path(files[min(max(0, int(request.get("channel") or 0)), len(files) - 1)])
    frame = int(request.get("frame") or 0)
    try:
        key = (str(file), frame, file.stat().st_mtime_ns if file.exists() else 0)
        if key not in kept:
            kept.clear()
            kept[key] = read(file, frame)
        return look(kept[key], request["size"], request.get("at"), frame)
    except UnusableError as reason:
        return {"error": f"{file.name}: {reason}"}
    except Exception as error:  # whatever it is, the next file may be right
        return {"error": f"{file.name}: {type(error).__name__}: {error}"}


def main() -> None:
    """Answer until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between the replies
    kept: dict[tuple[Any, ...], Seen] = {}
    for line in sys.stdin:
        json.dump(answer(json.loads(line), kept), replies)
        replies.write("\n")
        replies.flush()


if __name__ == "__main__":
    main()
