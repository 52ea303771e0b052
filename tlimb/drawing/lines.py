"""Lines between nodes as characters: joints where they part or meet, and nothing that looks like a joint where they only cross."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tlimb.drawing.picture import Link

RIGHT, DOWN, LEFT, UP = 1, 2, 4, 8
ACROSS, ALONG = LEFT | RIGHT, UP | DOWN
JOINTS = {
    RIGHT: "─",
    LEFT: "─",
    UP: "│",
    DOWN: "│",
    ACROSS: "─",
    ALONG: "│",
    RIGHT | DOWN: "╭",
    LEFT | DOWN: "╮",
    RIGHT | UP: "╰",
    LEFT | UP: "╯",
    ALONG | RIGHT: "├",
    ALONG | LEFT: "┤",
    ACROSS | DOWN: "┬",
    ACROSS | UP: "┴",
    ACROSS | ALONG: "┼",
}
DASHED = {"─": "┄", "│": "┆"}
ARROW = "▶"
TWINS = (
    {"─": "-", "━": "=", "│": "|", "┃": "#", "┄": ".", "┆": ":", "▶": ">"}
    | dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+")
    | dict.fromkeys("┏┓┗┛", "#")
)
"""Glyphs of lines and frames with their ASCII twins."""

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Route:
    """A link as corners of a line in cells, from its source to its target.

    Lines of different links have cells in common where they cross, where they leave the same node, or where they arrive at the same one.
    """

    link: Link
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A glyph, the routes that it is a part of, and what passes under it without touching it."""

    glyph: str
    routes: frozenset[int]
    data: bool
    under: "Cell | None" = None

    def shown(self, lit: frozenset[int]) -> tuple[str, str]:
        """Glyph and style, given the routes that are to stand out."""
        if self.under is not None and self.under.routes & lit and not self.routes & lit:
            return self.under.shown(lit)
        return self.glyph, "edge-lit" if self.routes & lit else "edge-data" if self.data else "edge"


def drawn(routes: Sequence[Route], *, arrows: bool) -> dict[int, dict[int, Cell]]:
    """The cells of all routes by row and column.

    Args:
        arrows: the routes run from the side of a box to the side of another, and end in an arrow.
    """
    masks: dict[Point, dict[int, int]] = {}
    for index, route in enumerate(routes):
        for start, end in pairwise(route.points):
            forward = (RIGHT if start[0] < end[0] else LEFT) if start[1] == end[1] else DOWN if start[1] < end[1] else UP
            back = {RIGHT: LEFT, LEFT: RIGHT, UP: DOWN, DOWN: UP}[forward]
            run = _run(start, end)
            for place, point in enumerate(run):
                mine = masks.setdefault(point, {})
                mine[index] = mine.get(index, 0) | (forward if place < len(run) - 1 else 0) | (back if place else 0)
        if arrows:
            for point in (route.points[0], route.points[-1]):
                mine = masks.setdefault(point, {})
                mine[index] = mine.get(index, 0) | (LEFT if point == route.points[0] else RIGHT)
    heads = {route.points[-1] for route in routes} if arrows else set()
    data = [route.link.kind == "data" for route in routes]
    found: dict[int, dict[int, Cell]] = {}
    for point, mine in masks.items():
        cell = _cell(mine, data)
        found.setdefault(point[1], {})[point[0]] = Cell(ARROW, cell.routes, cell.data) if point in heads else cell
    return found


def _run(start: Point, end: Point) -> list[Point]:
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        return [(x, y1) for x in (range(x1, x2 + 1) if x1 <= x2 else range(x1, x2 - 1, -1))]
    return [(x1, y) for y in (range(y1, y2 + 1) if y1 <= y2 else range(y1, y2 - 1, -1))]


def _cell(mine: Mapping[int, int], data: Sequence[bool]) -> Cell:
    ways = set(mine.values())
    if ways == {ACROSS, ALONG}:  # nobody turns here: they cross, and what goes up or down is on top
        under = _joint([index for index, way in mine.items() if way == ACROSS], ACROSS, data)
        return _joint([index for index, way in mine.items() if way == ALONG], ALONG, data, under)
    mask = 0
    for way in ways:
        mask |= way
    return _joint(mine, mask, data)


def _joint(routes: Iterable[int], mask: int, data: Sequence[bool], under: Cell | None = None) -> Cell:
    routes = frozenset(routes)
    glyph, dashed = JOINTS[mask], all(data[index] for index in routes)
    return Cell(DASHED.get(glyph, glyph) if dashed else glyph, routes, dashed, under)


def touching(routes: Sequence[Route]) -> dict[str | None, frozenset[int]]:
    """The routes to and from each node."""
    found: dict[str | None, set[int]] = {}
    for index, route in enumerate(routes):
        for node in (route.link.source, route.link.target):
            found.setdefault(node, set()).add(index)
    return {node: frozenset(mine) for node, mine in found.items()}
