"""A picture as a Mermaid flowchart."""

from collections.abc import Mapping

from tlimb.drawing.marks import IDLE, SIGNS, Mark, headline
from tlimb.drawing.picture import NodeKind, Picture
from tlimb.recipe.render import visible

_SHAPES: Mapping[NodeKind, tuple[str, str]] = {
    "train": ("(", ")"),
    "evaluate": ("(", ")"),
    "data": ("[(", ")]"),
    "weights": ("[", "]"),
    "rank": ("{{", "}}"),
}
_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "&": "#amp;", "<": "#lt;", ">": "#gt;", "`": "#96;", "\\": "#92;"})


def mermaid(picture: Picture, marks: Mapping[str, Mark] | None = None) -> str:
    """The text of the chart; states are glyphs, and colours of the frames."""
    marks = marks or {}
    number = {node.id: f"n{place}" for place, node in enumerate(picture.nodes)}
    lines = ["flowchart LR"]
    states: dict[str, list[str]] = {}
    for node in picture.nodes:
        mark = marks.get(node.id, IDLE)
        label = "<br/>".join(_escaped(line) for line in (headline(node, mark), *node.lines))
        opening, closing = _SHAPES[node.kind]
        lines.append(f'    {number[node.id]}{opening}"{label}"{closing}')
        if SIGNS[mark.state].colour:
            states.setdefault(mark.state, []).append(number[node.id])
    for link in picture.links:
        dashed = link.kind == "data"
        label = f'|"{_escaped(link.label)}"|' if link.label else ""
        lines.append(f"    {number[link.source]} {'-.->' if dashed else '-->'}{label} {number[link.target]}")
    for state, nodes in states.items():
        lines.append(f"    classDef {state} stroke:{SIGNS[state].colour}")  # type: ignore[index]
        lines.append(f"    class {','.join(nodes)} {state}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return visible(text).translate(_ENTITIES)
