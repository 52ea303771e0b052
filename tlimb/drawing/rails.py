"""A picture as rails: one node a row, as the log of a version control system draws its commits."""

from dataclasses import dataclass

from tlimb.drawing import cells
from tlimb.drawing.lines import Route, drawn, touching
from tlimb.drawing.picture import Node, Picture
from tlimb.drawing.segments import Face, Look, Part, Segment, joined, plain_text

TITLE = 24
"""Cells that titles have at most."""
GAP = 2
BARE = "•"
"""A node without a state."""


@dataclass(frozen=True, slots=True)
class Rails:
    """Nodes from top to bottom, the column of each, the lines between them, and how many columns there are."""

    nodes: tuple[Node, ...]
    columns: tuple[int, ...]
    routes: tuple[Route, ...]
    width: int


def lay_out(picture: Picture) -> Rails:
    """Give each node a lane: that of a node whose last child it is, or a free one right of a node that it needs.

    A node stands right below another one only if it needs it: one could not tell else.
    """
    place = {node.id: row for row, node in enumerate(picture.nodes)}
    last: dict[int, int] = {}
    above: list[set[int]] = [set() for _ in picture.nodes]
    for link in picture.links:
        source, target = place[link.source], place[link.target]
        last[source] = max(last.get(source, 0), target)
        above[target].add(source)
    lanes: list[int | None] = []
    lane_of: list[int] = []
    for row in range(len(picture.nodes)):
        beside = [lane for lane, held in enumerate(lanes) if held in above[row]]
        ending = [lane for lane in beside if last[lanes[lane] or 0] == row]
        above_it = lane_of[-1] // 2 if lane_of else None
        free = (lane for lane in range(beside[0] if beside else 0, len(lanes)) if lanes[lane] is None and lane != above_it)
        mine = ending[0] if ending else next(free, len(lanes))
        for lane in ending:
            lanes[lane] = None
        if mine == len(lanes):
            lanes.append(None)
        lanes[mine] = row if row in last else None
        lane_of.append(2 * mine)
    routes = []
    for link in picture.links:
        source, target = place[link.source], place[link.target]
        routes.append(Route(link, ((lane_of[source], source), (lane_of[source], target), (lane_of[target], target))))
    return Rails(picture.nodes, tuple(lane_of), tuple(routes), max(1, 2 * len(lanes) - 1))


class Drawing:
    """Rails, ready to be drawn row by row."""

    def __init__(self, rails: Rails) -> None:
        self.rails = rails
        self.height = len(rails.nodes)
        self._edges = drawn(rails.routes, arrows=False)
        self._touching = touching(rails.routes)
        self._measured: tuple[Look, int, int] | None = None

    def line(self, row: int, look: Look, width: int | None = None) -> list[Segment]:
        """One row; titles, states and texts stand below each other, and texts are cut to the width."""
        if not 0 <= row < self.height:
            return []
        rails, node = self.rails, self.rails.nodes[row]
        face = look.face(node)
        lit = self._touching.get(look.selected, frozenset())
        at = rails.columns[row]
        parts: list[Part] = [(x, *cell.shown(lit)) for x, cell in self._edges.get(row, {}).items() if x != at]
        parts.append((at, face.letter or face.glyph or BARE, face.style))
        return joined(parts + self._texts(node, face, look, width), ascii_only=look.ascii_only)

    def _texts(self, node: Node, face: Face, look: Look, width: int | None) -> list[Part]:
        _, titles, details = self._measure(look)
        x = self.rails.width + GAP
        if width is not None:
            titles = max(1, min(titles, width - x))
        parts: list[Part] = [(x, cells.elide(node.title, titles - len(face.fold)) + face.fold, "dim" if face.dim else "title")]
        x += titles + GAP
        for text, room, style in ((face.detail, details, face.style), (" ".join(node.lines), None, "dim" if face.dim else "text")):
            left = room if width is None else width - x if room is None else min(room, width - x)
            if text and (left is None or left > 0):
                parts.append((x, text if left is None else cells.elide(text, left), style))
            x += room + GAP if room else 0
        return parts

    def _measure(self, look: Look) -> tuple[Look, int, int]:
        """Cells of the widest title and of the widest detail."""
        if self._measured is None or self._measured[0] is not look:
            nodes = self.rails.nodes
            faces = [look.face(node) for node in nodes]
            titles = max((cells.width(node.title) + len(face.fold) for node, face in zip(nodes, faces, strict=True)), default=0)
            self._measured = look, min(TITLE, titles), max((cells.width(face.detail) for face in faces), default=0)
        return self._measured


def render(rails: Rails, look: Look, width: int | None = None) -> list[list[Segment]]:
    """All rows."""
    drawing = Drawing(rails)
    return [drawing.line(row, look, width) for row in range(drawing.height)]


def text(rails: Rails, look: Look, width: int | None = None) -> str:
    """Plain text."""
    return plain_text(render(rails, look, width))
