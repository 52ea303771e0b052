"""Ways through a graph by keys: along the links, and from neighbour to neighbour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from textual.geometry import Region

from tlimb.drawing.picture import Picture

Way = Literal["left", "right", "up", "down"]


@dataclass(slots=True)
class Walk:
    """The nodes of a picture at their places.

    Attributes:
        stacked: every node has a row of its own, so that up and down are the rows before and after.
    """

    picture: Picture
    places: Mapping[str, Region]
    stacked: bool
    parents: dict[str, list[str]] = field(init=False)
    children: dict[str, list[str]] = field(init=False)
    _anchor: tuple[str, str, list[str]] | None = field(init=False, default=None)
    """Where the last step came from, where it went, and what else it could have gone to."""

    def __post_init__(self) -> None:
        self.parents = {node.id: [] for node in self.picture.nodes}
        self.children = {node.id: [] for node in self.picture.nodes}
        for link in self.picture.links:
            self.children[link.source].append(link.target)
            self.parents[link.target].append(link.source)
        for beside in (*self.parents.values(), *self.children.values()):
            beside.sort(key=lambda node: (self.places[node].y, self.places[node].x))

    def step(self, node: str, way: Way) -> str | None:
        """The next node that way; None where there is none."""
        if way in ("left", "right"):
            beside = (self.parents if way == "left" else self.children)[node]
            return self._went(node, min(beside, key=lambda other: abs(self.places[other].y - self.places[node].y), default=None), beside)
        if self.stacked:
            order = [other.id for other in self.picture.nodes]
            place = order.index(node) + (1 if way == "down" else -1)
            return order[place] if 0 <= place < len(order) else None
        return self._nearest(node, way)

    def cycle(self, node: str, *, children: bool) -> str | None:
        """The first child (or parent); asked again from there, the next one of the same node."""
        if self._anchor is not None and self._anchor[1] == node and self._anchor[2] is self._beside(self._anchor[0], children=children):
            start, _, beside = self._anchor
            return self._went(start, beside[(beside.index(node) + 1) % len(beside)], beside)
        beside = self._beside(node, children=children)
        return self._went(node, beside[0] if beside else None, beside)

    def _beside(self, node: str, *, children: bool) -> list[str]:
        return (self.children if children else self.parents)[node]

    def _went(self, start: str, end: str | None, beside: list[str]) -> str | None:
        if end is not None:
            self._anchor = start, end, beside
        return end

    def _nearest(self, node: str, way: Way) -> str | None:
        """The nearest box above or below: among those of the same layer, which begin in the same column, or else of the nearest layer."""
        here = self.places[node]
        sign = 1 if way == "down" else -1
        found = [
            (abs(place.x - here.x), sign * (place.y - here.y), other)
            for other, place in self.places.items()
            if sign * (place.y - here.y) > 0
        ]
        return min(found)[-1] if found else None
