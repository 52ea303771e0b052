"""A layout as boxes of characters."""

from collections.abc import Iterator

from tlimb.drawing import cells
from tlimb.drawing.layout import Box, Layout
from tlimb.drawing.lines import drawn, touching
from tlimb.drawing.segments import Face, Look, Segment, joined, plain_text
from tlimb.recipe.render import visible

ROUND, SQUARE, HEAVY = ("╭─╮", "│ │", "╰─╯"), ("┌─┐", "│ │", "└─┘"), ("┏━┓", "┃ ┃", "┗━┛")


class Drawing:
    """A layout, ready to be drawn line by line."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._edges = drawn(layout.routes, arrows=True)
        self._touching = touching(layout.routes)
        self._boxes: list[list[Box]] = [[] for _ in range(layout.height)]
        for box in layout.boxes:
            for y in range(box.y, box.y + box.height):
                self._boxes[y].append(box)

    def line(self, y: int, look: Look) -> list[Segment]:
        """One line, as long as what is on it."""
        lit = self._touching.get(look.selected, frozenset())
        parts = [(x, *cell.shown(lit)) for x, cell in self._edges.get(y, {}).items()]
        for box in self._boxes[y] if 0 <= y < self.layout.height else ():
            x = box.x
            for text, style in _row(box, y - box.y, look):
                parts.append((x, text, style))
                x += cells.width(text)
        return joined(parts, ascii_only=look.ascii_only)


def render(layout: Layout, look: Look) -> list[list[Segment]]:
    """All lines."""
    drawing = Drawing(layout)
    return [drawing.line(y, look) for y in range(layout.height)]


def text(layout: Layout, look: Look) -> str:
    """Plain text."""
    return plain_text(render(layout, look))


def _row(box: Box, row: int, look: Look) -> Iterator[tuple[str, str]]:
    """One row of a box, from border to border."""
    face, selected = look.face(box.node), box.node.id == look.selected
    frame = "box-selected" if selected else "dim" if face.dim else "box-hovered" if box.node.id == look.hovered else "box"
    if face.pressing and frame == "box":
        frame = face.style
    top, side, bottom = HEAVY if selected else SQUARE if box.node.kind in ("data", "weights") else ROUND
    if row == 0:
        yield from _top(box, face, top, frame)
    elif row == box.height - 1:
        inner = box.width - 2
        told = "" if _fits_above(box, face) else cells.elide(face.detail, inner - 3)
        yield bottom[0] + bottom[1] * (inner - (cells.width(told) + 3 if told else 0)), frame
        if told:
            yield f" {told} ", face.style
            yield bottom[1], frame
        yield bottom[2], frame
    else:
        line = box.lines[row - 1] if row <= len(box.lines) else ""
        yield f"{side[0]} ", frame
        yield cells.fill(line, box.width - 4), "dim" if face.dim else "text"
        yield f" {side[2]}", frame


def _top(box: Box, face: Face, top: str, frame: str) -> Iterator[tuple[str, str]]:
    """The upper border: sign, title, and the state's detail where there is room."""
    sign = _sign(face)
    room = box.width - 2 - len(sign) - len(face.fold)
    title = cells.elide(box.node.title, room)
    room -= cells.width(title)
    lead = top[1] if room > 0 else ""
    gap = " " if room > 1 else ""
    yield top[0] + lead, frame
    yield sign, face.style
    yield title + face.fold, "dim" if face.dim else "title"
    room -= len(lead) + len(gap)
    if face.detail and _fits_above(box, face):
        yield f"  {face.detail}", face.style
        room -= cells.width(face.detail) + 2
    yield gap, ""
    yield top[1] * room + top[2], frame


def _fits_above(box: Box, face: Face) -> bool:
    """Whether the detail has room beside the title: both, the sign, four cells of frame, and blanks between."""
    texts = (_sign(face), visible(box.node.title), face.fold, face.detail)
    return not face.dim and sum(map(cells.width, texts)) + 7 <= box.width


def _sign(face: Face) -> str:
    return f"[{face.letter}] " if face.letter else f"{face.glyph} "
