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
    edges = {name: _needed(name, nodes) for name in nodes}
    layers = _layers(nodes, edges)
    rows: dict[str, int] = {}
    for name in sorted(nodes, key=lambda name: layers[name]):
        taken = {row for other, row in rows.items() if layers[other] == layers[name]}
        wish = next((rows[parent] for parent in sorted(edges[name]) if parent in rows), 0)
        rows[name] = next(row for row in (wish, *range(len(nodes))) if row not in taken)
    places = {name: (_EDGE + layers[name] * (_BOX + _GAP_X), _EDGE + rows[name] * (_HEIGHT + _GAP_Y)) for name in nodes}
    lines = [_edge(places[parent], places[name]) for name in nodes for parent in sorted(edges[name])]
    boxes = [_box(places[name], node, len(node.digests & set(finished))) for name, node in nodes.items()]
    width = 2 * _EDGE + (max(layers.values()) + 1) * (_BOX + _GAP_X) - _GAP_X
    height = 2 * _EDGE + (max(rows.values()) + 1) * (_HEIGHT + _GAP_Y) - _GAP_Y
    return (
        f'<svg class="chart flow" viewBox="0 0 {width} {height}" style="width:{width}px" role="img" '
        f'aria-label="The stages and what each needs"><title>The stages and what each needs</title>{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _needed(name: str, nodes: Mapping[str, _Node]) -> set[str]:
    """Parents of a node without those that another parent needs already: what is implied is not drawn."""
    parents = nodes[name].parents
    return {parent for parent in parents if not any(parent in _ancestors(other, nodes) for other in parents - {parent})}


def _ancestors(name: str, nodes: Mapping[str, _Node]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = nodes[waiting.pop()].parents - found - {name}
        found |= new
        waiting += new
    return found


def _layers(nodes: Mapping[str, _Node], edges: Mapping[str, set[str]]) -> dict[str, int]:
    """Longest way from a node without parents; such a node itself stands just before the first that needs it."""
    layers: dict[str, int] = {}

    def place(name: str, above: frozenset[str]) -> int:
        if name not in layers:
            layers[name] = 1 + max((place(parent, above | {name}) for parent in edges[name] - above), default=-1)
        return layers[name]

    for name in nodes:
        place(name, frozenset({name}))
    for name in nodes:
        children = [layers[other] for other in nodes if name in edges[other]]
        if not edges[name] and children:
            layers[name] = min(children) - 1
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
