"""An image of few pixels in a terminal: two pixels a cell by half blocks, or a letter a cell by its ink."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Colour: TypeAlias = tuple[int, int, int]
RAMP = " .:-=+*#%@"
"""Letters from dark to bright on a dark ground."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image, row after row from the upper left.

    Attributes:
        width: In pixels.
        height: In pixels.
        colours: One for each pixel.
        name: What it shows.
        border: What lies at its left, right, upper and lower border; empty where it is not known.
        cross: Column and row of the place that is looked at.
    """

    width: int
    height: int
    colours: tuple[Colour, ...]
    name: str = ""
    border: str = ""
    cross: tuple[int, int] | None = None

    @classmethod
    def read(cls, plane: Mapping[str, Any]) -> "Pixels":
        """From a plane of tlimb/components/data/look.py."""
        data = base64.b64decode(plane["pixels"])
        colours = zip(data[::3], data[1::3], data[2::3], strict=True) if plane["rgb"] else zip(data, data, data, strict=True)
        cross = plane.get("cross")
        return cls(plane["width"], plane["height"], tuple(colours), plane["name"], plane["border"], tuple(cross) if cross else None)

    def rows(self) -> Iterator[tuple[Colour, ...]]:
        """The rows of pixels."""
        for start in range(0, self.width * self.height, self.width):
            yield self.colours[start : start + self.width]

    def half_blocks(self) -> Iterator[list[tuple[Colour, Colour | None]]]:
        """Rows of cells: the upper and the lower pixel of each; the lower one is None below the last row."""
        rows = list(self.rows())
        for number in range(0, len(rows), 2):
            lower: tuple[Colour | None, ...] = rows[number + 1] if number + 1 < len(rows) else (None,) * self.width
            yield list(zip(rows[number], lower, strict=True))

    def letters(self) -> Iterator[str]:
        """Rows of letters, a pixel across and two down each."""
        rows = list(self.rows())
        for number in range(0, len(rows), 2):
            pair = rows[number : number + 2]
            levels = [sum(sum(row[column]) for row in pair) / (3 * len(pair)) for column in range(self.width)]
            yield "".join(RAMP[min(len(RAMP) - 1, int(level / 256 * len(RAMP)))] for level in levels)
