"""Augmentations that look like faults of a scan: its lines of k-space are changed. Values outside the image wrap around, as in a scan."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from tlimb.components.augmentations.base import Augmentation, along_random_axis, spread, uniform
from tlimb.components.augmentations.spatial import random_angles, rotation, warp

_CENTRE = 0.02
"""Share of the lines, around the centre of k-space, that ghosting leaves as they are: they hold the mean."""


class Ghosting(Augmentation):
    """Ghosts along one axis, as of a pulse: every n-th line of k-space is weakened.

    Args:
        ghosts: Largest n; that of each image is from 2 to it.
        strength: Largest share by which lines are weakened.
        probability: Share of the images that are changed.
    """

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, ghosts: int = 8, strength: float = 0.5, probability: float = 0.5) -> None:
        super().__init__(probability)
        self.ghosts = int(self.within("ghosts", ghosts, 2))
        self.strength = self.within("strength", strength, 0, 1)

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        return along_random_axis(image, self._along_last)

    def _along_last(self, image: Tensor) -> Tensor:
        length = image.shape[-1]
        every = torch.randint(2, self.ghosts + 1, (len(image), 1)).to(image.device)
        line = torch.arange(length // 2 + 1, device=image.device)
        weakened = (line % every == 0) & (line > _CENTRE * length / 2)
        factor = 1 - uniform(0, self.strength, len(image), 1, like=image) * weakened
        spectrum = torch.fft.rfft(image, dim=-1) * factor.reshape(len(image), *[1] * (image.ndim - 2), -1)
        ghosted: Tensor = torch.fft.irfft(spectrum, n=length, dim=-1)
        return ghosted


class Spike(Augmentation):
    """Stripes over each image, as of a spike in k-space: a plane wave of random direction, wavelength and phase.

    Args:
        strength: Largest amplitude of the wave, in standard deviations of the image.
        probability: Share of the images that are changed.
    """

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, strength: float = 0.5, probability: float = 0.5) -> None:
        super().__init__(probability)
        self.strength = self.within("strength", strength, 0)

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        phase = spread(uniform(0, 2 * math.pi, len(image), like=image), image)
        for axis, length in enumerate(image.shape[2:], start=2):
            cycles = torch.randint(-(length // 2), length // 2 + 1, (len(image),)).to(image)
            place = (torch.arange(length).to(image) / length).reshape(-1, *[1] * (image.ndim - 1 - axis))
            phase = phase + 2 * math.pi * spread(cycles, image) * place
        sd = image.std(dim=tuple(range(2, image.ndim)), keepdim=True)
        return image + spread(uniform(0, self.strength, len(image), like=image), image) * sd * phase.cos()


class Motion(Augmentation):
    """The head moves during the scan: parts of k-space, line by line along one axis, come from moved images (Shaw et al. 2019).

    The centre of k-space, which says where the head is, comes from the image as it was.

    Args:
        degrees: Largest angle of a movement in each plane.
        translate: Largest shift of a movement along each axis, as a fraction of its length.
        count: Movements during a scan.
        probability: Share of the images that are changed.
    """

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(self, degrees: float = 5.0, translate: float = 0.03, count: int = 2, probability: float = 0.5) -> None:
        super().__init__(probability)
        self.degrees = self.within("degrees", degrees, 0, 180)
        self.translate = self.within("translate", translate, 0, 1)
        self.count = int(self.within("count", count, 1))

    def change(self, image: Tensor) -> Tensor:
        """See the class."""
        return along_random_axis(image, self._along_last)

    def _along_last(self, image: Tensor) -> Tensor:
        batch, axes, length = len(image), image.ndim - 2, image.shape[-1]
        moments = torch.rand(batch, self.count, 1)
        line = (torch.arange(length) + 0.5) / length
        position = (moments < line).sum(dim=1).to(image.device)  # after how many movements a line is scanned, (B, lines)
        still = position[:, length // 2]
        spectrum = torch.zeros_like(image, dtype=image.dtype.to_complex())
        for number in range(self.count + 1):
            angles = random_angles(self.degrees, image)
            shift = uniform(-self.translate, self.translate, batch, axes, like=image) * torch.tensor(image.shape[2:]).to(image)
            moved = warp(image, rotation(angles, axes), shift)
            moved = torch.where(spread(still == number, image), image, moved)
            lines = (position == number).reshape(batch, *[1] * (image.ndim - 2), length)
            spectrum += torch.fft.fftshift(torch.fft.fft(moved, dim=-1), dim=-1) * lines
        scanned: Tensor = torch.fft.ifft(torch.fft.ifftshift(spectrum, dim=-1), dim=-1).real
        return scanned
