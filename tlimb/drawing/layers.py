"""Layers of a picture: which node stands in which column, and in which order, so that few links cross (Sugiyama et al. 1981)."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tlimb.drawing.picture import Picture

SWEEPS = 8


@dataclass(slots=True)
class Layers:
    """Vertices in layers, each layer from top to bottom.

    A vertex is a number: that of its node, or a further one for a place in a layer that links from one node pass through on their way to
    later layers.
    """

    rows: list[list[int]]
    owner: list[int]
    """The node of each vertex: itself, or the one whose links pass through."""
    after: list[list[int]]
    """Vertices of the next layer that each vertex leads to."""
    before: list[list[int]]


def layers(picture: Picture) -> Layers:
    """Place the nodes of a picture in layers and order them."""
    number = {node.id: place for place, node in enumerate(picture.nodes)}
    children: list[list[int]] = [[] for _ in picture.nodes]
    parents: list[list[int]] = [[] for _ in picture.nodes]
    for source, target in dict.fromkeys((number[link.source], number[link.target]) for link in picture.links):
        children[source].append(target)
        parents[target].append(source)
    column = _columns(children, parents)
    found = Layers([[] for _ in range(max(column, default=-1) + 1)], list(range(len(column))), [[] for _ in column], [])
    through: list[list[tuple[int, int]]] = [[] for _ in found.rows]
    for node, targets in enumerate(children):
        last = node
        farthest = max((column[target] for target in targets), default=column[node])
        for layer in range(column[node] + 1, farthest + 1):
            found.after[last] += [target for target in targets if column[target] == layer]
            if layer < farthest:
                vertex = len(found.owner)
                found.owner.append(node)
                found.after.append([])
                through[layer].append((min(target for target in targets if column[target] > layer), vertex))
                found.after[last].append(vertex)
                last = vertex
    for node, layer in enumerate(column):
        found.rows[layer].append(node)
    for layer, passing in enumerate(through):
        found.rows[layer] = [vertex for _, vertex in sorted([*((node, node) for node in found.rows[layer]), *passing])]
    found.before = [[] for _ in found.owner]
    for vertex, targets in enumerate(found.after):
        for target in targets:
            found.before[target].append(vertex)
    _order(found)
    return found


def _columns(children: Sequence[Sequence[int]], parents: Sequence[Sequence[int]]) -> list[int]:
    """The longest way from a node without parents; such a node itself stands just before the first that needs it."""
    column: list[int] = []
    for above in parents:
        column.append(max((column[parent] + 1 for parent in above), default=0))
    for node, above in enumerate(parents):
        if not above and children[node]:
            column[node] = min(column[child] for child in children[node]) - 1
    return column


def _order(found: Layers) -> None:
    """Sort each layer; of equally few crossings the order nearest to that of the picture stays."""
    best, fewest = [list(row) for row in found.rows], _crossings(found)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        places = range(1, len(found.rows)) if forward else range(len(found.rows) - 2, -1, -1)
        for layer in places:
            fixed = found.rows[layer - 1 if forward else layer + 1]
            beside = found.before if forward else found.after
            place = {vertex: index / len(fixed) for index, vertex in enumerate(fixed)}
            row = found.rows[layer]
            key = {
                vertex: sum(place[other] for other in beside[vertex]) / len(beside[vertex]) if beside[vertex] else index / len(row)
                for index, vertex in enumerate(row)
            }
            row.sort(key=key.__getitem__)
        _exchange(found)
        crossings = _crossings(found)
        if crossings < fewest:
            best, fewest = [list(row) for row in found.rows], crossings
    found.rows = best


def _exchange(found: Layers) -> None:
    """Exchange neighbours in a layer where that saves crossings."""
    place = {vertex: index for row in found.rows for index, vertex in enumerate(row)}
    for row in found.rows:
        for index in range(len(row) - 1):
            above, below = row[index], row[index + 1]
            now = then = 0
            for beside in (found.before, found.after):
                ups, downs = [place[v] for v in beside[above]], [place[v] for v in beside[below]]
                now += sum(up > down for up in ups for down in downs)
                then += sum(up < down for up in ups for down in downs)
            if then < now:
                row[index], row[index + 1] = below, above
                place[above], place[below] = index + 1, index


def _crossings(found: Layers) -> int:
    return sum(_between(found, *pair) for pair in zip(found.rows, found.rows[1:], strict=False))


def _between(found: Layers, left: Iterable[int], right: Iterable[int]) -> int:
    """Pairs of links between two layers that cross."""
    place = {vertex: index for index, vertex in enumerate(right)}
    seen: list[int] = []
    count = 0
    for vertex in left:
        ends = sorted(place[other] for other in found.after[vertex])
        count += sum(len(seen) - bisect_right(seen, end) for end in ends)
        for end in ends:
            insort(seen, end)
    return count
