"""`SliceDataModule`: 2-D slices of volumes."""

from collections.abc import Mapping, Sequence
from typing import Any

from tlimb.components.data.base import BaseDataModule, Image, one_of
from tlimb.components.data.crop import checked, crop
from tlimb.errors import InputError

_ACROSS = {"sagittal": "LR", "coronal": "PA", "axial": "IS"}


class SliceDataModule(BaseDataModule):
    """One or more parallel slices of each volume; predictions of a volume's slices are averaged.

    Args:
        plane: axial, coronal or sagittal.
        size: Pixels along the two axes of a slice; none keeps the images' own shape, which must then be the same for all.
        position: Where the middle slice lies, as a fraction of the axis: 0.5 is the centre, and 1 the superior, anterior or right end.
        count: Slices of each volume.
        step_mm: Distance between neighbouring slices.
        orientation: Axis codes of the images after reading: the direction in which each axis grows.
        spacing_mm: Voxel size to resample to, one number or one for each axis; none keeps each image's own.
        intensity: zscore (mean 0 and sd 1 over voxels > 0, the others 0), zscore_all (over all voxels), minmax (0 to 1), percentile (1st to
            99th of voxels > 0 to 0 to 1, clipped), mean (divided by the mean of voxels > 0), or none; computed over the volume.
        on_bad: What to do about images that cannot be used: error (name all of them and stop) or skip (go on without them and count them).
        batch_size: Rows in a batch.
        num_workers: Loader processes; 0 is fastest for prepared arrays.
        n: Use only the first n training participants; a smaller n is a subset of a larger one.
        augment: Train-time augmentations, each {class_path, init_args}, applied in order to a batch of images on the device.
        unlabelled_ratio: Unlabelled images for each labelled one in a batch, where a stage has both.
    """

    def __init__(
        self,
        plane: str = "axial",
        size: Sequence[int] | None = None,
        *,
        position: float = 0.5,
        count: int = 1,
        step_mm: float = 4.0,
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
        one_of("plane", plane, tuple(_ACROSS))
        if not 0 <= position <= 1 or count < 1 or step_mm <= 0:
            raise InputError(
                f"data: position {position}, count {count}, step_mm {step_mm}", "position is from 0 to 1, count from 1, step_mm above 0"
            )
        self.axis = next(axis for axis, code in enumerate(orientation) if code in _ACROSS[plane])
        self.reverse = orientation[self.axis] in "LPI"
        self.plane = plane
        self.size = None if size is None else checked(size, (2,))
        self.position = position
        self.count = count
        self.step_mm = step_mm

    @property
    def axes(self) -> str:
        """Of the slices."""
        return "".join(code for code in self.orientation if code not in _ACROSS[self.plane])

    def views(self, image: Image, fill: Image, spacing_mm: Sequence[float]) -> list[tuple[str, Image]]:
        """The slices, named by their index in the oriented volume."""
        if image.ndim != 4:
            raise InputError(
                f"data: the images have {image.ndim - 1} axes, so there are no {self.plane} slices",
                "use data crop for images that are slices already",
            )
        length = image.shape[self.axis + 1]
        middle = round((length - 1) * (1 - self.position if self.reverse else self.position))
        step = max(1, round(self.step_mm / spacing_mm[self.axis]))
        indices = [middle + step * (number - (self.count - 1) // 2) for number in range(self.count)]
        if indices[0] < 0 or indices[-1] >= length:
            raise InputError(
                f"data: {self.count} {self.plane} slices {step} voxels apart around slice {middle} leave the volume of {length}",
                "use fewer slices or a smaller step_mm",
            )
        slices = [(str(index), image.take(index, axis=self.axis + 1)) for index in indices]
        return [(name, view if self.size is None else crop(view, self.size, fill)) for name, view in slices]
