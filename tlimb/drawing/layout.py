"""Where everything in a picture stands: layers from left to right, in cells of a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from tlimb.drawing import cells
from tlimb.drawing.channel import Wire, route
from tlimb.drawing.layers import Layers, layers
from tlimb.drawing.lines import Point, Route
from tlimb.drawing.picture import Link, Node, Picture

WIDEST, NARROWEST = 28, 12
LINES = 3
"""How many lines of text a box has at most."""
FRAME = 4
"""Cells of a box's width that are no text."""
SIGN = 2
"""Cells of a title that the glyph of its state and a blank take."""
PORT = 1
"""The row of a box where its links leave it and the first arrives."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node at its place; `x` and `y` are its left upper corner, `lines` what is written in it."""

    node: Node
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]

    def holds(self, x: int, y: int) -> bool:
        """Whether a cell is one of the box."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes, the routes from the cell right of one to the cell left of another, the layers of ids from left to right, each from top to
    bottom, and the size of it all.
    """

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    layers: tuple[tuple[str, ...], ...]
    width: int
    height: int

    def at(self, x: int, y: int) -> Box | None:
        """The box at a cell."""
        return next((box for box in self.boxes if box.holds(x, y)), None)


def lay_out(picture: Picture, width: int | None = None) -> Layout:
    """Place a picture; boxes are as wide as the width allows, from 28 cells down to 12. It may be wider than asked for even then."""
    found = layers(picture)
    widest = WIDEST
    while True:
        made = _place(picture, found, widest)
        excess = made.width - width if width is not None else 0
        if excess <= 0 or widest == NARROWEST:
            return made
        widest = max(NARROWEST, min(widest - 1, widest - excess // max(1, len(found.rows))))


@dataclass(slots=True)
class _Plan:
    """A layout in the making: heights, rows and texts by vertex."""

    picture: Picture
    found: Layers
    widest: int
    texts: list[tuple[str, ...]]
    arriving: list[list[list[int]]]
    """For each node, the groups of vertices whose links arrive there in one row."""
    heights: list[int]
    tops: list[int]

    @property
    def nodes(self) -> int:
        return len(self.picture.nodes)

    def port(self, vertex: int) -> int:
        """The row in which links leave a vertex."""
        return self.tops[vertex] + (PORT if vertex < self.nodes else 0)


def _place(picture: Picture, found: Layers, widest: int) -> Layout:
    room = widest - FRAME
    texts = [cells.pack(node.lines, room, LINES) for node in picture.nodes]
    arriving = [_arriving(found, node) for node in range(len(picture.nodes))]
    heights = [2 + max(1, len(lines), len(groups)) for lines, groups in zip(texts, arriving, strict=True)]
    heights += [1] * (len(found.owner) - len(heights))
    plan = _Plan(picture, found, widest, texts, arriving, heights, [0] * len(heights))
    _settle(plan)
    return _drawn(plan)


def _arriving(found: Layers, node: int) -> list[list[int]]:
    """Links that lead to this node alone arrive together; each other has a row of its own, as one could not tell where it goes else."""
    alone = [vertex for vertex in found.before[node] if len(found.after[vertex]) == 1]
    return [*([alone] if alone else []), *([vertex] for vertex in found.before[node] if len(found.after[vertex]) > 1)]


def _settle(plan: _Plan) -> None:
    """Rows of the vertices: each beside the topmost that leads to it, or below the one above it in its layer.

    A chain so runs straight along the top, and what is added at the end stands below and moves nothing.
    """
    rows, found = plan.found.rows, plan.found
    for _ in range(2):
        for row in rows:
            free = 0
            for vertex in row:
                offset = PORT if vertex < plan.nodes else 0
                wish = min((plan.port(other) for other in found.before[vertex]), default=plan.port(vertex))
                plan.tops[vertex] = max(free, wish - offset)
                free = plan.tops[vertex] + plan.heights[vertex]
        for row in reversed(rows):
            free = -1
            for vertex in reversed(row):
                offset = PORT if vertex < plan.nodes else 0
                wish = min((plan.port(other) for other in found.after[vertex]), default=0)
                lowest = wish - offset if free < 0 else min(wish - offset, free - plan.heights[vertex])
                plan.tops[vertex] = max(plan.tops[vertex], lowest)
                free = plan.tops[vertex]


def _drawn(plan: _Plan) -> Layout:
    found, nodes = plan.found, plan.picture.nodes
    ports = _ports(plan)
    lines: dict[tuple[int, int], list[Point]] = {}
    boxes: dict[int, Box] = {}
    roomy = 2 if plan.widest > (WIDEST + NARROWEST) // 2 else 1
    x = 0
    for layer, row in enumerate(found.rows):
        here = [vertex for vertex in row if vertex < len(nodes)]
        across = max((_width(nodes[vertex], plan.texts[vertex], plan.widest) for vertex in here), default=0)
        for vertex in here:
            boxes[vertex] = Box(nodes[vertex], x, plan.tops[vertex], across, plan.heights[vertex], plan.texts[vertex])
        x += across
        if layer + 1 < len(found.rows):
            x = _channel(plan, row, ports, lines, x, roomy)
    routes = [Route(link, _points(plan, lines, source, target)) for link, source, target in _numbered(plan.picture)]
    bottom = max((box.y + box.height for box in boxes.values()), default=0)
    lowest = max((y + 1 for route_ in routes for _, y in route_.points), default=0)
    named = tuple(tuple(nodes[vertex].id for vertex in row if vertex < len(nodes)) for row in found.rows)
    return Layout(tuple(boxes[vertex] for vertex in range(len(nodes))), tuple(routes), named, x, max(bottom, lowest))


def _width(node: Node, lines: Sequence[str], widest: int) -> int:
    """The narrowest box that shows all of the node, up to the widest: corner, line, glyph, title, ×N, line, corner."""
    title = cells.width(node.heading) + SIGN + FRAME + 1
    return max(NARROWEST, min(widest, max(title, *(cells.width(line) + FRAME for line in lines), FRAME)))


def _ports(plan: _Plan) -> dict[tuple[int, int], int]:
    """The row in which the link from one vertex arrives at another: by where it comes from, from top to bottom."""
    ports = {}
    for vertex in range(len(plan.found.owner)):
        if vertex >= plan.nodes:
            ports[plan.found.before[vertex][0], vertex] = plan.tops[vertex]
            continue
        groups = sorted(plan.arriving[vertex], key=lambda group: min(map(plan.port, group)))
        for place, group in enumerate(groups):
            for other in group:
                ports[other, vertex] = plan.tops[vertex] + PORT + place
    return ports


def _channel(
    plan: _Plan, row: Sequence[int], ports: dict[tuple[int, int], int], lines: dict[tuple[int, int], list[Point]], x: int, roomy: int
) -> int:
    """Route what leads from one layer to the next, from the cell at `x` on; the cell where the next layer begins."""
    wires: dict[tuple[int, ...], Wire] = {}
    pairs: list[tuple[int, int, Wire]] = []
    together: dict[int, list[int]] = {}
    for vertex in row:
        targets = plan.found.after[vertex]
        if len(targets) == 1 and targets[0] < plan.nodes:
            together.setdefault(targets[0], []).append(vertex)
        elif targets:
            wire = wires[vertex,] = Wire((plan.port(vertex),), tuple(ports[vertex, target] for target in targets))
            pairs += [(vertex, target, wire) for target in targets]
    for target, sources in together.items():
        wire = wires[-1, target] = Wire(tuple(map(plan.port, sources)), (ports[sources[0], target],))
        pairs += [(source, target, wire) for source in sources]
    columns = route(list(wires.values()))
    end = x + 2 + max(1, (columns - 1) * roomy + 1)
    for source, target, wire in pairs:
        points = [(x, plan.port(source))]
        part: Wire | None = wire
        while part is not None:
            if part.column is not None:
                turn = x + 1 + part.column * roomy
                after = ports[source, target] if part.rest is None else part.right[0]
                points += [(turn, points[-1][1]), (turn, after)]
            part = part.rest
        points.append((end - 1, ports[source, target]))
        lines[source, target] = points
    return end


def _numbered(picture: Picture) -> list[tuple[Link, int, int]]:
    number = {node.id: place for place, node in enumerate(picture.nodes)}
    return [(link, number[link.source], number[link.target]) for link in picture.links]


def _points(plan: _Plan, lines: dict[tuple[int, int], list[Point]], source: int, target: int) -> tuple[Point, ...]:
    """The corners of the line from one node to another, through the layers between them."""
    points: list[Point] = []
    vertex = source
    while vertex != target:
        after = plan.found.after[vertex]
        following = target if target in after else next(other for other in after if other >= plan.nodes)
        points += lines[vertex, following]
        vertex = following
    kept = points[:1]
    for place, point in enumerate(points[1:], 1):
        further = points[place + 1] if place + 1 < len(points) else None
        if point == kept[-1] or (further and _between(kept[-1], point, further)):
            continue
        kept.append(point)
    return tuple(kept)


def _between(first: Point, middle: Point, last: Point) -> bool:
    return any(first[axis] == middle[axis] == last[axis] for axis in (0, 1))
