"""Images of any number of channels: pictures in colour, TIFF stacks, NIfTI and NumPy arrays."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from tlimb.components.data.scan import UnusableError, verify

Array = NDArray[Any]
STACKS = ("depth", "channels")
COLOURS = ("keep", "grey", "rgb")
_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as in Pillow's conversion to grey."""


def read_picture(file: Path, *, stack: str | None = None, colour: str = "keep") -> tuple[NDArray[np.float32], Array | None]:
    """One file as (C, x, y) or (C, x, y, z) float32, with its affine (voxel to RAS mm) where it has one.

    Args:
        file: NIfTI, TIFF, NumPy or any picture that Pillow reads.
        stack: What an axis is that the file does not name: depth or channels; of a NIfTI or NumPy file the last axis.
        colour: keep, grey (luminance of three channels) or rgb (a single channel becomes three). Transparency is dropped.

    Raises:
        UnusableError: the file is absent, empty or damaged, has an axis without meaning, or values that are not numbers.
    """
    if not file.exists():
        raise UnusableError("the file does not exist")
    if file.stat().st_size == 0:
        raise UnusableError("the file is empty (0 bytes)")
    name, affine = file.name.lower(), None
    try:
        verify(file)
        if name.endswith((".nii", ".nii.gz")):
            array, affine = _nifti(file, stack)
        elif name.endswith((".tif", ".tiff")):
            array = _tiff(file, stack)
        elif name.endswith(".npy"):
            array = _channels_first(np.load(file, allow_pickle=False), stack)
        else:
            array = _pillow(file)
    except UnusableError:
        raise
    except Exception as error:  # whatever a damaged file makes a reader raise is a reason to name it
        raise UnusableError(f"the file cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    if array.ndim not in (3, 4) or not array.size:
        raise UnusableError(f"the image has the shape {_size(array)}, but a picture has 2 axes and a volume 3")
    if not np.isfinite(array).all():
        raise UnusableError("the image has voxels that are not numbers (NaN or infinite)")
    if colour == "grey" and len(array) == 3:
        array = np.tensordot(_LUMA, array.astype(np.float64), 1)[None]
    if colour == "rgb" and len(array) == 1:
        array = np.repeat(array, 3, axis=0)
    if {"grey": 1, "rgb": 3}.get(colour, len(array)) != len(array):
        raise UnusableError(f"an image of {len(array)} channels cannot become {colour}")
    return np.ascontiguousarray(array, dtype=np.float32), affine


def _pillow(file: Path) -> Array:
    with Pillow.open(file) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.mode in ("1", "LA", "La"):
            picture = picture.convert("L")
        elif picture.mode not in ("L", "I", "F") and not picture.mode.startswith("I;16"):
            picture = picture.convert("RGB")
        array = np.asarray(picture)
    return array.T[None] if array.ndim == 2 else array.transpose(2, 1, 0)


def _tiff(file: Path, stack: str | None) -> Array:
    """The first series of a TIFF; its axes are named by OME, ImageJ or the file's shape (Y, X, S for samples of a colour)."""
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        series = tiff.series[0]
        axes, array = series.axes, series.asarray()
    kept = [axis for axis, size in zip(axes, array.shape, strict=True) if size > 1 or axis in "XY"]
    array = array.reshape([size for axis, size in zip(axes, array.shape, strict=True) if size > 1 or axis in "XY"])
    unknown = [axis for axis in kept if axis not in "XYZCS"]
    if "T" in kept:
        raise UnusableError(f"the TIFF holds {array.shape[kept.index('T')]} points in time; save one file for each")
    if len(unknown) > 1 or (unknown and stack is None):
        raise UnusableError(
            f"the TIFF does not say what its {array.shape[kept.index(unknown[0])]} pages are: write stack=depth or stack=channels"
        )
    kept = ["Z" if axis in unknown and stack == "depth" else "C" if axis in unknown else axis for axis in kept]
    if len(set(kept)) < len(kept):
        raise UnusableError(f"the TIFF has two axes of the same meaning ({''.join(kept)})")
    colours, space = [axis for axis in "CS" if axis in kept], [axis for axis in "XYZ" if axis in kept]
    array = array.transpose([kept.index(axis) for axis in (*colours, *space)])
    if kept.count("S") and array.shape[len(colours) - 1] == 4:
        array = array[..., :3, :, :] if len(space) == 2 else array[..., :3, :, :, :]
    return array.reshape(-1, *array.shape[len(colours) :])


def _nifti(file: Path, stack: str | None) -> tuple[Array, Array | None]:
    image: Any = nib.load(file)
    array = np.asanyarray(image.dataobj)
    if array.dtype.names:  # RGB voxels
        array = np.stack([array[name] for name in array.dtype.names[:3]])
    else:
        while array.ndim > 3 and array.shape[-1] == 1:
            array = array[..., 0]
        array = _channels_first(array, stack if array.ndim > 3 else None)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    return array, image.affine if array.ndim == 4 else None


def _channels_first(array: Array, stack: str | None) -> Array:
    if stack == "channels" and array.ndim in (3, 4):
        return np.moveaxis(array, -1, 0)
    if array.ndim == 4:
        raise UnusableError(f"the image has 4 axes ({_size(array)}): write stack=channels if the last one is its channels")
    return array[None]


def _size(array: Array) -> str:
    return " x ".join(map(str, array.shape))
