"""A layout as SVG: the boxes of the terminal in pixels. It needs nothing else, and is light or dark as its reader is."""

from collections.abc import Iterator
from html import escape

from tlimb.drawing import cells
from tlimb.drawing.layout import Box, Layout
from tlimb.drawing.lines import Route, drawn
from tlimb.drawing.marks import IDLE, PRESSING, SIGNS
from tlimb.drawing.segments import Look
from tlimb.recipe.render import visible

ACROSS, DOWN = 8, 20
"""Pixels of a cell."""
MARGIN, CORNER, INSET = 12, 6, 2
_PARTING = "├┤┬┴┼"

_LIGHT: dict[str, str] = {"paper": "#ffffff", "ink": "#1c2128", "soft": "#59636e", "line": "#818b98", "box": "#f6f8fa"}
_DARK: dict[str, str] = {"paper": "#0d1117", "ink": "#e6edf3", "soft": "#9198a1", "line": "#6e7681", "box": "#161b22"}
_LIGHT_STATES: dict[str, str] = {"": "#59636e", "cyan": "#0b6e8c", "yellow": "#8a5d00", "green": "#1a7f37", "red": "#c11f2e"}
_DARK_STATES: dict[str, str] = {"": "#9198a1", "cyan": "#56c4de", "yellow": "#e3b341", "green": "#56d364", "red": "#ff7b72"}


def svg(layout: Layout, look: Look, title: str = "The graph of a recipe") -> str:
    """The text of an SVG file."""
    width, height = layout.width * ACROSS + 2 * MARGIN, layout.height * DOWN + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
        ' aria-labelledby="title desc">',
        f'<title id="title">{_text(title)}</title>',
        f'<desc id="desc">{_text(_told(layout))}</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        f'<g transform="translate({MARGIN} {MARGIN})">',
        *(_line(route) for route in layout.routes),
        *_joints(layout),
        *(part for box in layout.boxes for part in _box(box, look)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _style() -> str:
    rules = [
        "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}",
        ".title{font-weight:600}.edge{fill:none;stroke-width:1.5}.data{stroke-dasharray:4 3}.box{stroke-width:1.25}",
        *_colours(_LIGHT, _LIGHT_STATES),
        "@media(prefers-color-scheme:dark){",
        *_colours(_DARK, _DARK_STATES),
        "}",
    ]
    return "".join(rules)


def _colours(base: dict[str, str], states: dict[str, str]) -> Iterator[str]:
    yield f".paper{{fill:{base['paper']}}}.title{{fill:{base['ink']}}}.text{{fill:{base['soft']}}}"
    yield f".box{{fill:{base['box']};stroke:{base['line']}}}.edge{{stroke:{base['line']}}}.head,.joint{{fill:{base['line']}}}"
    for state, sign in SIGNS.items():
        yield f".{state}{{fill:{states[sign.colour]}}}"
        if state in PRESSING:
            yield f".box.{state}{{fill:{base['box']};stroke:{states[sign.colour]}}}"


def _box(box: Box, look: Look) -> Iterator[str]:
    face, mark = look.face(box.node), look.marks.get(box.node.id, IDLE)
    left, top = box.x * ACROSS, box.y * DOWN
    frame = f"box {mark.state}" if face.pressing else "box"
    round_ = 0 if box.node.kind in ("data", "weights") else CORNER
    lines = [f"{box.node.title}{face.fold}", *([f"{SIGNS[mark.state].word} {mark.detail}".strip()] if face.glyph else []), *box.node.lines]
    yield f"<g><title>{_text(chr(10).join(lines))}</title>"
    yield (
        f'<rect class="{frame}" x="{left}" y="{top + INSET}" width="{box.width * ACROSS}" height="{box.height * DOWN - 2 * INSET}"'
        f' rx="{round_}"/>'
    )
    sign = f"{face.glyph} " if face.glyph else ""
    heading = cells.elide(box.node.title, box.width - 4 - len(sign) - len(face.fold))
    used = len(sign) + cells.width(heading) + len(face.fold)
    if sign:
        yield _written(left + 2 * ACROSS, top + 20, face.glyph, mark.state)
    yield _written(left + (2 + len(sign)) * ACROSS, top + 20, f"{heading}{face.fold}", "title")
    for row, line in enumerate(box.lines, 1):
        yield _written(left + 2 * ACROSS, top + row * DOWN + 19, line, "text")
    if face.detail:
        beside = used + 2 + cells.width(face.detail) <= box.width - 4
        y = top + 20 if beside else top + (box.height - 1) * DOWN + 14
        detail = cells.elide(face.detail, box.width - 4)
        yield _written(left + (box.width - 2) * ACROSS, y, detail, mark.state, end=True)
    yield "</g>"


def _written(x: float, y: float, text: str, style: str, *, end: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ""
    return f'<text class="{style}" x="{x:g}" y="{y:g}"{anchor}>{_text(text)}</text>'


def _line(route: Route) -> str:
    """A line with round corners, from the side of one box to that of the other, and its head."""
    points = [_middle(x, y) for x, y in route.points]
    (x1, y1), (x2, y2) = points[0], points[-1]
    points[0], points[-1] = (x1 - ACROSS / 2, y1), (x2, y2)
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = _towards(corner, before), _towards(corner, after)
        path += f"L{ax:g} {ay:g}Q{corner[0]:g} {corner[1]:g} {bx:g} {by:g}"
    path += f"L{x2 - ACROSS / 4:g} {y2:g}"
    tip = x2 + ACROSS / 2
    head = f"M{tip:g} {y2:g}l-8 -4.5v9z"
    kind = "edge data" if route.link.kind == "data" else "edge"
    return f'<path class="{kind}" d="{path}"/><path class="head" d="{head}"/>'


def _middle(x: int, y: int) -> tuple[float, float]:
    return (x + 0.5) * ACROSS, (y + 0.5) * DOWN


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The point a little way from a corner to another point."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    share = min(CORNER / (abs(dx) + abs(dy)), 0.5)
    return corner[0] + dx * share, corner[1] + dy * share


def _joints(layout: Layout) -> Iterator[str]:
    """Dots where lines part or meet; where they only cross there is none."""
    for y, row in drawn(layout.routes, arrows=True).items():
        for x, cell in row.items():
            if cell.glyph in _PARTING:
                across, down = _middle(x, y)
                yield f'<circle class="joint" cx="{across:g}" cy="{down:g}" r="2.5"/>'


def _told(layout: Layout) -> str:
    """The graph in words, for those who do not see it."""
    titles = {box.node.id: box.node.title for box in layout.boxes}
    links = [f"{titles[route.link.source]} to {titles[route.link.target]}" for route in layout.routes]
    return f"Boxes: {', '.join(titles.values())}. Arrows: {', '.join(links) or 'none'}."


def _text(text: str) -> str:
    """Text as XML can hold it."""
    shown = "\n".join(map(visible, text.split("\n")))
    return escape(shown.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd"), quote=True)
