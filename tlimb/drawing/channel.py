"""The room between two layers: each wire has a column of its own for its way up or down, so that no two are ever one on the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Wire:
    """What joins some rows on the left with some on the right: one row with several, or several with one."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    column: int | None = None
    """None where it runs straight."""
    rest: "Wire | None" = None
    """Where it goes on, in a column further right, on its way around another wire: this one's `right` is then the other's `left`."""
    low: int = field(init=False, default=0)
    high: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        rows = (*self.left, *self.right)
        self.low, self.high = min(rows), max(rows)

    @property
    def straight(self) -> bool:
        """Whether it stays in its row."""
        return self.low == self.high


def route(wires: Sequence[Wire]) -> int:
    """Give the wires columns; no two have a row on the left in common, nor one on the right.

    Where a row is the left end of one wire and the right end of another, the first must turn off before the second turns in. Where that
    goes in a circle, a wire takes a detour over a free row.

    Returns:
        How many columns there are.
    """
    waiting = [wire for wire in wires if not wire.straight]
    placed: list[Wire] = []
    columns = 0
    for wire in _sorted(waiting, taken={row for each in wires for row in (*each.left, *each.right)}):
        wire.column = 1 + max((other.column or 0 for other in placed if _meet(wire, other)), default=-1)
        placed.append(wire)
        columns = max(columns, wire.column + 1)
    return columns


def _meet(one: Wire, other: Wire) -> bool:
    return one.low <= other.high and other.low <= one.high


def _sorted(waiting: list[Wire], taken: set[int]) -> list[Wire]:
    """The wires from left to right: what must stand before what, and among those free to choose what crosses least."""
    ordered: list[Wire] = []
    gain = {id(wire): sum(_crossings(wire, other) - _crossings(other, wire) for other in waiting if other is not wire) for wire in waiting}
    while waiting:
        starts = {row: wire for wire in waiting for row in wire.left}
        free = [wire for wire in waiting if all(starts.get(row, wire) is wire for row in wire.right)]
        if free:
            chosen = min(free, key=lambda wire: gain[id(wire)])
            waiting.remove(chosen)
        else:
            chosen, rest = _detour(waiting, taken)
            waiting[waiting.index(chosen)] = rest
            gain[id(rest)] = 0
        for other in waiting:
            if other is not chosen.rest:
                gain[id(other)] -= _crossings(other, chosen) - _crossings(chosen, other)
        ordered.append(chosen)
    return ordered


def _detour(waiting: list[Wire], taken: set[int]) -> tuple[Wire, Wire]:
    """Split the shortest of the wires that wait for each other: it goes to a free row first, and on from there later."""
    wire = min(waiting, key=lambda wire: (len(wire.left) + len(wire.right), wire.high - wire.low))
    start = wire.left[0]
    row = next(row for step in range(1, len(taken) + 2) for row in (start + step, start - step) if row >= 0 and row not in taken)
    taken.add(row)
    wire.rest = Wire((row,), wire.right)
    wire.right = (row,)
    wire.__post_init__()
    return wire, wire.rest


def _crossings(one: Wire, other: Wire) -> int:
    """How often two wires cross if the first stands left of the second."""
    return sum(one.low < row < one.high for row in other.left) + sum(other.low < row < other.high for row in one.right)
