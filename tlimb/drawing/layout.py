"""Where everything in a picture stands: layers from left to right, in cells of a terminal."""

from dataclasses import dataclass

from tlimb.drawing.picture import Link, Node, Picture

WIDEST, NARROWEST = 28, 12


@dataclass(frozen=True, slots=True)
class Box:
    """A node at its place; `x` and `y` are its left upper corner, `lines` what is written in it."""

    node: Node
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """A link as corners of a line, from the cell right of its source to the cell left of its target."""

    link: Link
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes and routes, the layers of ids from left to right, each from top to bottom, and the size of it all."""

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    layers: tuple[tuple[str, ...], ...]
    width: int
    height: int


def lay_out(picture: Picture, width: int | None = None) -> Layout:
    """Place a picture; boxes are as wide as the width allows, from 28 cells down to 12. It may be wider than asked for even then."""
    raise NotImplementedError
