"""`BioImageDataModule`: images of several channels in two or three dimensions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from monai.data import MetaTensor
from monai.transforms import Resize

from tlimb.components.data.base import BaseDataModule, Image, one_of
from tlimb.components.data.crop import checked, crop
from tlimb.components.data.pictures import COLOURS, STACKS, read_picture
from tlimb.components.data.reading import align, normalise
from tlimb.components.data.scan import UnusableError, Volume
from tlimb.errors import InputError

_FITS = ("crop", "resize", "contain")


class BioImageDataModule(BaseDataModule):
    """Images of any channels in 2-D or 3-D: colour pictures, microscopy stacks, volumes, or several files as channels.

    Reads TIFF, PNG, JPEG, BMP, NIfTI and NumPy files. A channel without signal becomes 0; an image without any cannot be used.

    Args:
        size: Pixels along x, y (and z); none keeps the images' own shape, which must then be the same for all.
        fit: How an image gets to `size`: crop (cropped or padded around its centre), resize (each axis scaled to it), or contain (scaled by
            one factor until it fits, and padded).
        colour: keep, grey (luminance of colour pictures) or rgb (a single channel becomes three).
        stack: What the pages of a TIFF are where it does not say, and the last axis of NIfTI and NumPy files: depth or channels.
        orientation: Axis codes of volumes after reading, for files that have an orientation (NIfTI); others stay as they are.
        spacing_mm: Voxel size to resample volumes with an orientation to, one number or one for each axis; none keeps each image's own.
        intensity: zscore (mean 0 and sd 1 over voxels > 0, the others 0), zscore_all (over all voxels), minmax (0 to 1), percentile (1st to
            99th of voxels > 0 to 0 to 1, clipped), mean (divided by the mean of voxels > 0), or none; each channel on its own.
        on_bad: What to do about images that cannot be used: error (name all of them and stop) or skip (go on without them and count them).
        batch_size: Rows in a batch.
        num_workers: Loader processes; 0 is fastest for prepared arrays.
        n: Use only the first n training participants; a smaller n is a subset of a larger one.
        augment: Train-time augmentations, each {class_path, init_args}, applied in order to a batch of images on the device.
        unlabelled_ratio: Unlabelled images for each labelled one in a batch, where a stage has both.
    """

    def __init__(
        self,
        size: Sequence[int] | None = None,
        fit: Literal["crop", "resize", "contain"] = "crop",
        *,
        colour: Literal["keep", "grey", "rgb"] = "keep",
        stack: Literal["depth", "channels"] | None = None,
        orientation: str = "RAS",
        spacing_mm: float | Sequence[float] | None = None,
        intensity: str | None = "zscore",
        on_bad: str = "error",
        batch_size: int = 16,
        num_workers: int = 0,
        n: int | None = None,
        augment: Sequence[Mapping[str, Any]] = (),
        unlabelled_ratio: int = 1,
    ) -> None:
        super().__init__(
            orientation=orientation,
            spacing_mm=spacing_mm,
            intensity=intensity,
            on_bad=on_bad,
            batch_size=batch_size,
            num_workers=num_workers,
            n=n,
            augment=augment,
            unlabelled_ratio=unlabelled_ratio,
        )
        one_of("fit", fit, _FITS)
        one_of("colour", colour, COLOURS)
        if stack is not None:
            one_of("stack", stack, STACKS)
        self.size = None if size is None else checked(size, (2, 3))
        self.fit = fit
        self.colour = colour
        self.stack = stack

    def read(self, files: Sequence[Path]) -> Volume:
        """The channels of all files of a scan, (C, x, y) or (C, x, y, z), each normalised on its own."""
        read = [read_picture(file, stack=self.stack, colour=self.colour) for file in files]
        array, affine = read[0]
        for file, (other, grid) in zip(files[1:], read[1:], strict=True):
            turned = affine is not None and grid is not None and not np.allclose(grid, affine, atol=0.01)
            if other.shape[1:] != array.shape[1:] or turned:
                raise UnusableError(f"{file.name} lies on another grid than {files[0].name}; register and resample it first")
        array = np.concatenate([channels for channels, _ in read])
        if (array == array.reshape(len(array), -1)[:, :1].reshape(-1, *(1 for _ in array.shape[1:]))).all():
            raise UnusableError("the image is constant")
        spacing: tuple[float, ...] = tuple(1.0 for _ in array.shape[1:])
        voxel_mm3 = 1.0 if affine is None else abs(float(np.linalg.det(affine[:3, :3])))
        foreground_ml = float((array[0] > 0).sum()) * voxel_mm3 / 1000
        if affine is not None:
            array, spacing = align(MetaTensor(array, affine=affine), self.orientation, self.spacing_mm)
        normalised: list[tuple[Image, float]] = []
        flat = 0
        for channel in array:
            try:
                normalised.append(normalise(channel, self.intensity))
            except UnusableError:
                normalised.append((np.zeros_like(channel), 0.0))
                flat += 1
        if flat == len(array):
            raise UnusableError("no channel of the image has signal")
        fill = np.array([background for _, background in normalised], dtype=np.float32)
        return Volume(np.stack([channel for channel, _ in normalised]), fill, spacing, foreground_ml, flat)

    def views(self, image: Image, fill: Image, spacing_mm: Sequence[float]) -> list[tuple[str, Image]]:
        """The image itself, in `size`."""
        if self.size is None:
            return [("", image)]
        if self.fit != "crop":
            if image.ndim != len(self.size) + 1:
                raise InputError(
                    f"data: size {'x'.join(map(str, self.size))} has {len(self.size)} axes, but the images have {image.ndim - 1}"
                )
            factor = min(want / have for want, have in zip(self.size, image.shape[1:], strict=True))
            scaled = [max(1, round(have * factor)) for have in image.shape[1:]] if self.fit == "contain" else list(self.size)
            mode = "bilinear" if image.ndim == 3 else "trilinear"
            image = np.asarray(Resize(scaled, mode=mode, anti_aliasing=True)(image).array, dtype=np.float32)
        return [("", crop(image, self.size, fill))]
