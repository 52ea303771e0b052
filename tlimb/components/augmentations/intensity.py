"""Augmentations that change values. Voxels that are exactly 0 are background where it matters."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from tlimb.components.augmentations.base import Augmentation, spread, uniform


class Noise(Augmentation):
    """Add independent Gaussian noise to all voxels.

    Args:
        sd: Largest standard deviation; that of each image is drawn from 0 to it. Normalised images have one of about 1.
        probability: Share of the images that are changed.
    """

    def __init__(self, sd: float = 0.1, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.sd = self.within("sd", sd, 0)

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        return image + spread(uniform(0, self.sd, len(image), like=image), image) * torch.randn_like(image)


class BiasField(Augmentation):
    """Multiply each image by a smooth field, as an inhomogeneous coil does: exp of a random polynomial (Van Leemput et al. 1999).

    The least value of an image's foreground counts as no signal; background stays 0.

    Args:
        strength: Largest coefficient of the polynomial, whose coordinates run from -1 to 1.
        order: Degree of the polynomial.
        probability: Share of the images that are changed.
    """

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, strength: float = 0.3, order: int = 3, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.strength = self.within("strength", strength, 0)
        self.order = int(self.within("order", order, 1, 10))

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        axes = image.ndim - 2
        powers = torch.arange(self.order + 1)
        degree = torch.stack(torch.meshgrid(*(powers,) * axes, indexing="ij")).sum(0)
        coefficients = uniform(-self.strength, self.strength, len(image), *degree.shape, like=image)
        field = coefficients * ((degree > 0) & (degree <= self.order)).to(image)
        for length in image.shape[2:]:
            line = torch.linspace(-1, 1, length).to(image)
            field = torch.tensordot(field, line ** powers.to(image)[:, None], dims=([1], [0]))
        inside, low, _ = foreground(image)
        return torch.where(inside, low + (image - low) * field.exp()[:, None], image)


class Gamma(Augmentation):
    """Change the contrast of each image: its values, scaled to 0 to 1, to the power of gamma; range and background stay.

    Args:
        log_range: Largest |log gamma|.
        probability: Share of the images that are changed.
    """

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, log_range: float = 0.3, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.log_range = self.within("log_range", log_range, 0, 5)

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        gamma = spread(uniform(-self.log_range, self.log_range, len(image), like=image).exp(), image)
        inside, low, high = foreground(image)
        span = (high - low).clamp(min=torch.finfo(image.dtype).tiny)
        return torch.where(inside, low + span * ((image - low) / span).clamp(0, 1) ** gamma, image)


class Cutout(Augmentation):
    """Set random boxes of each image to 0 (DeVries & Taylor 2017); of a time series: spans of time.

    Args:
        size: Length of a box along each axis, as a fraction of it.
        count: Boxes in each image; they may overlap.
        probability: Share of the images that are changed.
    """

    def __init__(self, size: float = 0.25, count: int = 1, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.size = self.within("size", size, 0, 1)
        self.count = int(self.within("count", count, 0))

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        axes = image.ndim - 2
        kept = torch.ones(len(image), 1, *image.shape[2:], dtype=torch.bool, device=image.device)
        for _ in range(self.count):
            box = torch.ones_like(kept)
            for axis, length in enumerate(image.shape[2:]):
                edge = round(self.size * length)
                start = (torch.rand(len(image)) * (length - edge + 1)).floor().to(image.device)
                place = torch.arange(length, device=image.device)
                along = (place >= start[:, None]) & (place < start[:, None] + edge)
                box &= along.reshape(len(image), 1, *(length if other == axis else 1 for other in range(axes)))
            kept &= ~box
        return image * kept


def foreground(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which voxels of (B, C, *S) are not exactly 0, and the least and the largest of their values by channel, (B, C, 1, …)."""
    inside, space = image != 0, tuple(range(2, image.ndim))
    none = ~inside.any(dim=space, keepdim=True)
    low = image.masked_fill(~inside, math.inf).amin(dim=space, keepdim=True)
    high = image.masked_fill(~inside, -math.inf).amax(dim=space, keepdim=True)
    return inside, low.masked_fill(none, 0), high.masked_fill(none, 0)
