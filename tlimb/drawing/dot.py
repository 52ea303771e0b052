"""A picture as a Graphviz digraph."""

from collections.abc import Mapping

from tlimb.drawing.marks import IDLE, SIGNS, Mark, headline
from tlimb.drawing.picture import NodeKind, Picture
from tlimb.recipe.render import visible

_SHAPES: Mapping[NodeKind, str] = {"train": "", "evaluate": "", "data": "cylinder", "weights": "note", "rank": "hexagon"}


def dot(picture: Picture, marks: Mapping[str, Mark] | None = None) -> str:
    """The text of the graph; states are glyphs, and colours of the frames."""
    marks = marks or {}
    number = {node.id: f"n{place}" for place, node in enumerate(picture.nodes)}
    lines = ["digraph recipe {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for node in picture.nodes:
        mark = marks.get(node.id, IDLE)
        label = "\\n".join(_escaped(line) for line in (headline(node, mark), *node.lines))
        extra = {"shape": _SHAPES[node.kind], "style": "solid" if _SHAPES[node.kind] else "", "color": SIGNS[mark.state].colour}
        told = "".join(f", {key}={value}" for key, value in extra.items() if value)
        lines.append(f'  {number[node.id]} [label="{label}"{told}];')
    for link in picture.links:
        options = [*(["style=dashed"] if link.kind == "data" else []), *([f'label="{_escaped(link.label)}"'] if link.label else [])]
        told = f" [{', '.join(options)}]" if options else ""
        lines.append(f"  {number[link.source]} -> {number[link.target]}{told};")
    return "\n".join([*lines, "}"])


def _escaped(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')
