"""One scan from its files: MONAI reads, reorients and resamples; intensities are normalised here."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.data.image_reader import ImageReader, NibabelReader, NumpyReader, PILReader
from monai.data.utils import correct_nifti_header_if_necessary
from monai.transforms import EnsureChannelFirst, Orientation, Spacing
from monai.utils import OptionalImportError
from nibabel.filebasedimages import SerializableImage
from nibabel.orientations import aff2axcodes

from tlimb.components.data.scan import Image, UnusableError, Volume
from tlimb.errors import InputError

_AXES = (("L", "R"), ("P", "A"), ("I", "S"))
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def read_volume(files: Sequence[Path], *, orientation: str, spacing_mm: Sequence[float] | None, intensity: str) -> Volume:
    """Read, reorient, resample and normalise one scan, a file per channel.

    Raises:
        UnusableError: a file is absent, empty, damaged, of the wrong number of dimensions, not finite or constant, or the channels lie on
            different grids.
    """
    channels = [read_image(file) for file in files]
    first = channels[0]
    for file, channel in zip(files[1:], channels[1:], strict=True):
        if channel.shape != first.shape or not np.allclose(channel.affine, first.affine, atol=0.01):
            raise UnusableError(f"{file.name} lies on another grid than {files[0].name}; register and resample it first")
    spatial = first.ndim - 1
    foreground_ml = float((first.array > 0).sum()) * float(np.prod(np.asarray(first.pixdim[:spatial], dtype=np.float64))) / 1000
    image = MetaTensor(np.concatenate([channel.array for channel in channels]), affine=first.affine)
    array, spacing = align(image, orientation, spacing_mm)
    normalised = [normalise(channel, intensity) for channel in array]
    fill = np.array([background for _, background in normalised], dtype=np.float32)
    return Volume(np.stack([channel for channel, _ in normalised]), fill, spacing, foreground_ml)


def align(image: MetaTensor, orientation: str, spacing_mm: Sequence[float] | None) -> tuple[Image, tuple[float, ...]]:
    """A volume (C, space…) turned and resampled, and its voxel size; a picture (C, x, y) stays as it is."""
    spatial = image.ndim - 1
    if spatial == 3:
        image = Orientation(axcodes=orientation, labels=_AXES)(image)
        if spacing_mm is not None:
            image = Spacing(pixdim=tuple(spacing_mm), mode="bilinear", padding_mode="zeros")(image)
    return np.ascontiguousarray(image.array, dtype=np.float32), tuple(float(size) for size in image.pixdim[:spatial])


def read_image(file: Path) -> MetaTensor:
    """One image as it is stored, (1, space…) float32 with its affine (voxel to RAS mm).

    Raises:
        UnusableError: see `read_volume`.
    """
    if not file.exists():
        raise UnusableError("the file does not exist")
    if file.stat().st_size == 0:
        raise UnusableError("the file is empty (0 bytes)")
    reader = _reader(file)
    try:
        array, meta = reader.get_data(_opened(reader, file))
        image = EnsureChannelFirst()(MetaTensor(np.array(array, dtype=np.float32), meta=meta))
    except Exception as error:  # whatever a damaged file makes a reader raise is a reason to name it
        raise UnusableError(f"the file cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    if image.shape[0] != 1:
        raise UnusableError(
            f"the image has {image.ndim} dimensions ({' x '.join(map(str, (*image.shape[1:], image.shape[0])))}), but a volume has 3"
        )
    if image.ndim not in (3, 4) or min(image.shape) < 1:
        raise UnusableError(f"the image has the shape {' x '.join(map(str, image.shape[1:]))}, but a volume has 3 dimensions")
    if not np.isfinite(image.array).all():
        raise UnusableError("the image has voxels that are not numbers (NaN or infinite)")
    if image.array.min() == image.array.max():
        raise UnusableError(f"the image is constant (all voxels {image.array.flat[0]:g})")
    return image


def _opened(reader: ImageReader, file: Path) -> Any:
    """What a reader makes of a file. A compressed one is decompressed once, and to the end: nibabel stops after the last voxel, before the
    checksum that tells a damaged file."""
    whole = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else None
    opened = reader.read(file)
    if whole is None or not isinstance(opened, SerializableImage):
        return opened
    return correct_nifti_header_if_necessary(type(opened).from_bytes(whole))


def axis_codes(image: MetaTensor) -> str:
    """In which direction each axis of a volume grows, e.g. PSR; empty for a picture."""
    return "".join(aff2axcodes(np.asarray(image.affine))) if image.ndim == 4 else ""


def normalise(image: Image, rule: str) -> tuple[Image, float]:
    """Normalise one channel; returns it and what background (0 before) is afterwards. Rules: see `BaseDataModule`, `intensity`.

    Raises:
        UnusableError: there is no foreground, or it is constant.
    """
    if rule == "none":
        return image, 0.0
    if rule in ("zscore_all", "minmax"):
        low, high = (
            (float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64)))
            if rule == "zscore_all"
            else (float(image.min()), float(np.ptp(image)))
        )
        if high <= 0:
            raise UnusableError("the image is constant after resampling")
        return (image - low) / high, -low / high
    mask = image > 0
    inside = image[mask]
    if inside.size == 0:
        raise UnusableError("the image has no voxel above 0")
    if rule == "mean":
        return image / float(inside.mean(dtype=np.float64)), 0.0
    if rule == "percentile":
        low, high = map(float, np.percentile(inside, (1, 99)))
        if high <= low:
            raise UnusableError("the image is constant over its voxels above 0")
        return np.clip((image - low) / (high - low), 0, 1, dtype=np.float32), float(np.clip(-low / (high - low), 0, 1))
    mean, sd = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    if sd <= 1e-6 * abs(mean):
        raise UnusableError("the image is constant over its voxels above 0")
    return np.where(mask, (image - mean) / sd, 0).astype(np.float32), 0.0


def _reader(file: Path) -> ImageReader:
    name = file.name.lower()
    if name.endswith(_PICTURES):
        try:
            return PILReader(converter=_grey)
        except OptionalImportError as error:
            raise InputError(f"{file}: pictures need the package pillow", "pip install pillow") from error
    return NumpyReader() if name.endswith(".npy") else NibabelReader()


def _grey(picture: Any) -> Any:
    return picture.convert("F")
