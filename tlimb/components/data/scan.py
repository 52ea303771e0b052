"""What reading a scan gives, and what is said of a file that cannot be used; loads no imaging library."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


class UnusableError(Exception):
    """An image that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A scan that was read.

    Attributes:
        image: (C, R, A, S) float32, (C, x, y) of a picture, or (C, T) of time series.
        fill: What background is in `image`, (C,).
        spacing_mm: Voxel size by axis.
        volume_ml: Foreground (> 0 in the first channel), on the grid of the file; 1 mm thick for pictures, 0 for time series.
        flat: Channels without signal, which are 0.
    """

    image: Image
    fill: Image
    spacing_mm: tuple[float, ...]
    volume_ml: float
    flat: int = 0


def verify(file: Path) -> None:
    """Decompress to the end, where the checksum is."""
    if file.suffix == ".gz":
        with gzip.open(file) as stream:
            while stream.read(1 << 22):
                pass
