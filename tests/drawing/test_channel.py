"""Columns of wires in the room between two layers."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from tlimb.drawing.channel import Wire, route


@st.composite
def wires(draw: st.DrawFn) -> list[Wire]:
    lefts = draw(st.lists(st.integers(0, 12), unique=True, min_size=1, max_size=8))
    rights = draw(st.lists(st.integers(0, 12), unique=True, min_size=len(lefts), max_size=len(lefts)))
    return [Wire((left,), (right,)) for left, right in zip(lefts, rights, strict=True)]


def pieces(wire: Wire, columns: int) -> list[tuple[str, int, int, int]]:
    """A wire as straight pieces: way, the row or column it keeps, from, to."""
    found, x = [], -1
    part: Wire | None = wire
    while part is not None:
        if part.column is not None:
            found += [("across", part.left[0], x, part.column), ("along", part.column, part.low, part.high)]
            x = part.column
        last, part = part, part.rest
    return [*found, ("across", last.right[0], x, columns)]


@given(wires())
def test_no_two_wires_are_one_on_the_other(drawn: list[Wire]) -> None:
    columns = route(drawn)
    for one, other in combinations(drawn, 2):
        for way, kept, start, end in pieces(one, columns):
            for its_way, its_kept, its_start, its_end in pieces(other, columns):
                if way == its_way and kept == its_kept:
                    assert end < its_start or its_end < start


def test_two_wires_that_change_places_need_a_detour() -> None:
    drawn = [Wire((1,), (5,)), Wire((5,), (1,))]
    assert route(drawn) == 3
    assert [wire.rest is not None for wire in drawn].count(True) == 1


def test_straight_wires_need_no_column() -> None:
    assert route([Wire((1,), (1,)), Wire((4,), (4,))]) == 0
