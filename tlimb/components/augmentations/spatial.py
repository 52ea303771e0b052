"""Augmentations that move voxels. Voxels are taken to be cubes; what comes in from outside the image is 0."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tlimb.components.augmentations.base import Augmentation, uniform
from tlimb.errors import InputError

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
_PAIRS = {"lr": "LR", "ap": "AP", "si": "SI"}


class Affine(Augmentation):
    """Turn, scale, shift and shear each image about its centre, with linear interpolation.

    Args:
        degrees: Largest angle of the turn in each plane.
        scale: Largest change of the size, as a fraction: 0.1 scales by 0.9 to 1.1, all axes alike.
        translate: Largest shift along each axis, as a fraction of its length.
        shear: Largest shear: by how many voxels a line moves for each voxel along another axis.
        probability: Share of the images that are changed.
    """

    weak: ClassVar[bool] = True
    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(
        self, degrees: float = 10.0, scale: float = 0.1, translate: float = 0.05, shear: float = 0.0, probability: float = 1.0
    ) -> None:
        super().__init__(probability)
        self.degrees = self.within("degrees", degrees, 0, 180)
        self.scale = self.within("scale", scale, 0, 0.9)
        self.translate = self.within("translate", translate, 0, 1)
        self.shear = self.within("shear", shear, 0, 1)

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        count, axes = len(image), image.ndim - 2
        size = uniform(1 - self.scale, 1 + self.scale, count, 1, 1, like=image)
        slant = uniform(-self.shear, self.shear, count, axes, axes, like=image)
        eye = torch.eye(axes).to(image)
        turned = rotation(random_angles(self.degrees, image), axes)
        shift = uniform(-self.translate, self.translate, count, axes, like=image) * torch.tensor(image.shape[2:]).to(image)
        return warp(image, turned @ (eye + slant * (1 - eye)) * size, shift)


class ElasticDeformation(Augmentation):
    """Deform each image smoothly: random displacements on a coarse grid, interpolated linearly in between.

    Args:
        displacement: Largest displacement along each axis, as a fraction of its length.
        points: Points of the grid along each axis.
        probability: Share of the images that are changed.

    Raises:
        InputError: neighbouring points could pass each other.
    """

    def __init__(self, displacement: float = 0.03, points: int = 7, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.points = int(self.within("points", points, 2))
        self.displacement = self.within("displacement", displacement, 0)
        if 2 * displacement * (points - 1) >= 1:
            raise InputError(
                f"augment: with {points} points, a displacement of {displacement:g} would fold the image",
                f"displacement is below {1 / (2 * (points - 1)):.3g}, or there are fewer points",
            )

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        axes = image.ndim - 2
        # The grid's coordinates run from -1 to 1: twice the fraction.
        coarse = uniform(-2 * self.displacement, 2 * self.displacement, len(image), axes, *(self.points,) * axes, like=image)
        displacement = F.interpolate(coarse, size=image.shape[2:], mode=_MODES[axes], align_corners=True)
        return sample(image, centres(image) + displacement.movedim(1, -1))


class Flip(Augmentation):
    """Mirror images along one axis.

    Args:
        axis: lr (left and right), ap (front and back), si (top and bottom), or the number of an axis, from 0.
        probability: Share of the images that are mirrored.
    """

    weak: ClassVar[bool] = True

    def __init__(self, axis: str | int = "lr", probability: float = 0.5) -> None:
        super().__init__(probability)
        if axis not in _PAIRS and not (isinstance(axis, int) and 0 <= axis < 3):
            raise InputError(f"augment: there is no axis '{axis}' to flip", f"axis is {', '.join(_PAIRS)}, or a number from 0 to 2")
        self.axis = axis

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        return image.flip(self._index(image.ndim - 2) + 2)

    def _index(self, dims: int) -> int:
        if isinstance(self.axis, int):
            if self.axis >= dims:
                raise InputError(f"augment: images with {dims} axes have no axis {self.axis} to flip", f"axes are 0 to {dims - 1}")
            return self.axis
        letters = "RAS"[:dims] if self.axes is None and dims == 3 else self.axes or ""
        found = [index for index, letter in enumerate(letters) if letter in _PAIRS[self.axis]]
        if not found:
            known = ", ".join(name for name, pair in _PAIRS.items() if set(pair) & set(letters))
            raise InputError(
                f"augment: these images have no axis {self.axis} to flip", f"axis is {f'{known}, or ' if known else ''}0 to {dims - 1}"
            )
        return found[0]


class ResizedCrop(Augmentation):
    """Cut a random box out of each image and scale it to the image's size, with linear interpolation.

    Args:
        scale: Least share of each axis that the box keeps; all axes keep the same.
        probability: Share of the images that are changed.
    """

    weak: ClassVar[bool] = True

    def __init__(self, scale: float = 0.8, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.scale = self.within("scale", scale, 0.05, 1)

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        axes = image.ndim - 2
        kept = uniform(self.scale, 1, len(image), *(1,) * axes, 1, like=image)
        offset = uniform(-1, 1, len(image), *(1,) * axes, axes, like=image) * (1 - kept)
        return sample(image, centres(image) * kept + offset)


def random_angles(degrees: float, image: Tensor) -> Tensor:
    """An angle in radians for each plane of each image: (B, 1) for two axes, (B, 3) for three."""
    axes = image.ndim - 2
    radians = math.radians(degrees)
    return uniform(-radians, radians, len(image), axes * (axes - 1) // 2, like=image)


def rotation(angles: Tensor, axes: int) -> Tensor:
    """Rotations (B, axes, axes) as exp(A), A antisymmetric with the angles of the planes (0, 1), (0, 2), (1, 2) below its diagonal."""
    skew = angles.new_zeros(len(angles), axes, axes)
    column, row = torch.triu_indices(axes, axes, offset=1)
    skew[:, row, column] = angles
    skew[:, column, row] = -angles
    rotations: Tensor = torch.linalg.matrix_exp(skew)
    return rotations


def warp(image: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Images (B, C, *S) whose content at p has moved to c + M (p - c) + t.

    Args:
        image: c is its centre.
        matrix: M, (B, axes, axes), in voxels.
        shift: t, (B, axes), voxels.
    """
    half = torch.tensor(image.shape[2:]).to(image) / 2
    inverse = torch.linalg.inv(matrix)
    # In coordinates from -1 to 1 along each axis, where p - c is half the axis times the coordinate.
    normalized = inverse * half / half[:, None]
    origin = -(inverse @ shift[..., None]).squeeze(-1) / half
    flat = centres(image).reshape(-1, len(half))
    grid = flat @ normalized.transpose(1, 2) + origin[:, None]
    return sample(image, grid.reshape(len(image), *image.shape[2:], len(half)))


def centres(image: Tensor) -> Tensor:
    """Coordinates of the voxels of images (B, C, *S), (*S, axes), with -1 and 1 at the ends of each axis."""
    lines = [((2 * torch.arange(length) + 1) / length - 1).to(image) for length in image.shape[2:]]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)


def sample(image: Tensor, grid: Tensor) -> Tensor:
    """Values of images (B, C, *S) at coordinates (B, *S, axes) from -1 to 1, interpolated linearly, 0 outside."""
    if image.ndim == 3:  # torch samples planes and volumes only
        line = torch.stack([grid[..., 0], torch.zeros_like(grid[..., 0])], dim=-1)
        return F.grid_sample(image[:, :, None], line[:, None], align_corners=False).squeeze(2)
    return F.grid_sample(image, grid.flip(-1), align_corners=False)
