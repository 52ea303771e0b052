"""The stage graph of a plan as a small picture: one box per stage name, however many variants there are."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

_BOX, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 168, 46, 44, 14, 6


@dataclass(slots=True)
class _Node:
    label: str
    kind: str
    digests: set[str] = field(default_factory=set)
    parents: set[str] = field(default_factory=set)


def flow_chart(plan: Mapping[str, Any], finished: Collection[str]) -> str:
    """SVG of the stages from left to right; a box says how many stages it stands for and how many are finished."""
    names = {str(stage["digest"]): f"{stage['kind']} {stage['name']}" for stage in plan["stages"]}
    nodes: dict[str, _Node] = {}
    for stage in plan["stages"]:
        node = nodes.setdefault(names[stage["digest"]], _Node(str(stage["name"]), str(stage["kind"])))
        node.digests.add(stage["digest"])
        node.parents |= {names[parent] for parent in stage["parents"] if parent in names} - {names[stage["digest"]]}
    if not nodes:
        return ""
    layers = _layers(nodes)
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for name in nodes:
        layer = layers[name]
        places[name] = (_EDGE + layer * (_BOX + _GAP_X), _EDGE + rows.get(layer, 0) * (_HEIGHT + _GAP_Y))
        rows[layer] = rows.get(layer, 0) + 1
    edges = [_edge(places[parent], places[name]) for name, node in nodes.items() for parent in sorted(node.parents)]
    boxes = [_box(places[name], node, len(node.digests & set(finished))) for name, node in nodes.items()]
    width = 2 * _EDGE + (max(rows) + 1) * (_BOX + _GAP_X) - _GAP_X
    height = 2 * _EDGE + max(rows.values()) * (_HEIGHT + _GAP_Y) - _GAP_Y
    return (
        f'<svg class="chart flow" viewBox="0 0 {width} {height}" style="width:{width}px" role="img" '
        f'aria-label="The stages and what each needs"><title>The stages and what each needs</title>{"".join(edges)}{"".join(boxes)}</svg>'
    )


def _layers(nodes: Mapping[str, _Node]) -> dict[str, int]:
    """Longest way from a node without parents; stages of one name that feed each other stand where the first does."""
    layers: dict[str, int] = {}

    def place(name: str, above: frozenset[str]) -> int:
        if name not in layers:
            layers[name] = 1 + max((place(parent, above | {name}) for parent in nodes[name].parents - above), default=-1)
        return layers[name]

    for name in nodes:
        place(name, frozenset({name}))
    return layers


def _edge(parent: tuple[int, int], child: tuple[int, int]) -> str:
    x1, y1, x2, y2 = parent[0] + _BOX, parent[1] + _HEIGHT / 2, child[0], child[1] + _HEIGHT / 2
    bend = _GAP_X / 2
    return f'<path class="edge" d="M{x1} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2} {y2:g}"/>'


def _box(place: tuple[int, int], node: _Node, done: int) -> str:
    x, y = place
    total = len(node.digests)
    state = ("done" if done else "not done") if total == 1 else f"{done} of {total} done"
    name = node.label if len(node.label) <= 21 else node.label[:20] + "…"
    style = "full" if done == total else "open"
    return (
        f'<g><rect class="box {style}" x="{x}" y="{y}" width="{_BOX}" height="{_HEIGHT}" rx="6"/>'
        f'<text class="node" x="{x + 10}" y="{y + 19}">{escape(name)}</text>'
        f'<text class="tick" x="{x + 10}" y="{y + 36}">{escape(f"{node.kind} · {state}")}</text></g>'
    )
