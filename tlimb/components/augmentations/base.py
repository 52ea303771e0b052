"""`Augmentation`: what all train-time augmentations share."""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from tlimb.errors import InputError

_FULL = (torch.float32, torch.float64)


class Augmentation(nn.Module):
    """A random change of each image of a batch, drawn from torch's global generator.

    Numbers that say how an image is changed are drawn on the CPU wherever the images are, so that they are the same on every device.
    A subclass defines `change`; it may take it that its images are float32 or float64.

    Args:
        probability: Share of the images that are changed.
    """

    weak: ClassVar[bool] = False
    """Whether it keeps to what a weakly augmented view may show: flips, crops and affine maps."""
    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """Numbers of spatial axes for which it makes sense."""

    def __init__(self, probability: float = 1.0) -> None:
        super().__init__()
        self.probability = self.within("probability", probability, 0, 1)
        self.axes: str | None = None

    def connect(self, axes: str) -> None:
        """Tell what the axes of the images are.

        Args:
            axes: A letter for each spatial axis, the direction in which it grows, e.g. RAS for volumes, RA for axial slices; empty for
                images that have no anatomical axes.
        """
        self.axes = axes

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) to the same shape, dtype and device; the given images stay as they are.

        Raises:
            InputError: images with so many axes have no such augmentation.
        """
        if image.ndim - 2 not in self.dims:
            raise InputError(
                f"augment: {type(self).__name__} is not for images with {image.ndim - 2} axes",
                f"it is for {' or '.join(map(str, self.dims))}; leave it out",
            )
        chosen = torch.rand(len(image)) < self.probability
        if not chosen.any():
            return image
        rows = chosen.nonzero().squeeze(1).to(image.device)
        part = image if chosen.all() else image[rows]
        changed = self.change(part if part.dtype in _FULL else part.float()).to(image.dtype)
        return changed if chosen.all() else image.index_copy(0, rows, changed)

    def change(self, image: Tensor) -> Tensor:
        """Each image of (B, C, *S), changed in its own way."""
        raise NotImplementedError

    def within(self, name: str, value: float, low: float, high: float = math.inf) -> float:
        """An argument as a float.

        Raises:
            InputError: it is not from low to high.
        """
        if not low <= value <= high or math.isinf(value):
            upper = "" if math.isinf(high) else f" to {high:g}"
            raise InputError(f"augment: {name} {value:g} of {type(self).__name__} is out of range", f"{name} is from {low:g}{upper}")
        return float(value)


def uniform(low: float, high: float, *shape: int, like: Tensor) -> Tensor:
    """Uniform numbers from low to high, with the dtype and on the device of `like`."""
    return (low + (high - low) * torch.rand(shape)).to(like)


def spread(numbers: Tensor, image: Tensor) -> Tensor:
    """One number for each image (B,) in a shape that broadcasts over images (B, C, *S)."""
    return numbers.reshape(-1, *[1] * (image.ndim - 1))


def along_random_axis(image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change images along a spatial axis that is drawn for each; `change` finds that axis last."""
    axes = torch.randint(image.ndim - 2, (len(image),))
    result = torch.empty_like(image)
    for axis in range(image.ndim - 2):
        rows = (axes == axis).nonzero().squeeze(1).to(image.device)
        if len(rows):
            result[rows] = change(image[rows].movedim(axis + 2, -1)).movedim(-1, axis + 2)
    return result
