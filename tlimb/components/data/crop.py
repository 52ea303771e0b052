"""`CropCenterDataModule`: whole images, cropped or padded around their centre."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlimb.components.data.base import BaseDataModule, Image
from tlimb.errors import InputError


class CropCenterDataModule(BaseDataModule):
    """Whole images, cropped or padded around their centre.

    Args:
        size: Voxels along each axis; none keeps the images' own shape, which must then be the same for all.
        orientation: Axis codes of the images after reading: the direction in which each axis grows.
        spacing_mm: Voxel size to resample to, one number or one for each axis; none keeps each image's own.
        intensity: zscore (mean 0 and sd 1 over voxels > 0, the others 0), zscore_all (over all voxels), minmax (0 to 1), percentile (1st to
            99th of voxels > 0 to 0 to 1, clipped), mean (divided by the mean of voxels > 0), or none.
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
        *,
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
        self.size = None if size is None else checked(size, (2, 3))

    @property
    def axes(self) -> str:
        """Of the volumes; 2-D images have no known orientation."""
        return self.orientation if self.size is None or len(self.size) == 3 else ""

    def views(self, image: Image, fill: Image, spacing_mm: Sequence[float]) -> list[tuple[str, Image]]:
        """The image itself, in `size`."""
        return [("", image if self.size is None else crop(image, self.size, fill))]


def checked(size: Sequence[int], dims: tuple[int, ...]) -> tuple[int, ...]:
    """The size as a tuple; `InputError` unless it has as many positive numbers as `dims` allows."""
    if len(size) not in dims or min(size) < 1:
        raise InputError(
            f"data: size is {'x'.join(map(str, size))}; it is {' or '.join(map(str, dims))} whole numbers from 1 on",
            f"e.g. size={'x'.join(['96'] * dims[0])}",
        )
    return tuple(map(int, size))


def crop(image: Image, size: Sequence[int], fill: Image) -> Image:
    """Crop or pad (C, space…) to (C, *size) around the centre voxel; padding is `fill` (C,).

    Raises:
        InputError: image and size differ in their number of axes.
    """
    if image.ndim != len(size) + 1:
        raise InputError(f"data: size {'x'.join(map(str, size))} has {len(size)} axes, but the images have {image.ndim - 1}")
    result = np.empty((image.shape[0], *size), dtype=np.float32)
    result[:] = fill.reshape(-1, *(1 for _ in size))
    source, target = [slice(None)], [slice(None)]
    for have, want in zip(image.shape[1:], size, strict=True):
        shared = min(have, want)
        # Halves of both grids from their own centres: odd sizes shift by at most half a voxel, the same way in crop and pad.
        source.append(slice(have // 2 - shared // 2, have // 2 - shared // 2 + shared))
        target.append(slice(want // 2 - shared // 2, want // 2 - shared // 2 + shared))
    result[tuple(target)] = image[tuple(source)]
    return result
