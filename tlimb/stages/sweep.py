"""Sweeps and repeats: the axes of a recipe and the points that they span."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tlimb.catalogue.keys import applies, full_path
from tlimb.recipe.tree import Component, Number, Range, Recipe, Repeat, Sweep, Value, plain, stage_names

Point: TypeAlias = tuple[int | float, ...]
"""A choice on each axis: the index of a listed value, or the number itself on a range."""

DIGITS = 6
"""Significant digits of a number that is drawn from a range: machines agree on these, and so on the digests of stages."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: the path as written, the stage it is bound to (None: all), the full config path and the values, a list or a range."""

    written: str
    stage: str | None
    path: str
    values: tuple[Value, ...] | Range

    def binds(self, name: str, *, trains: bool, has_weights: bool, from_file: bool = False) -> bool:
        """Whether the axis sets something of the stage of that name."""
        return self.stage in (None, name) and applies(self.path, trains=trains, has_weights=has_weights, from_file=from_file)

    @property
    def size(self) -> float:
        """How many values there are; infinite for numbers that need not be whole."""
        if not isinstance(self.values, Range):
            return len(self.values)
        return self.values.high - self.values.low + 1 if self.values.whole else math.inf

    def value(self, choice: int | float) -> Value:
        """The value of a choice."""
        return Number(choice, self.values.span) if isinstance(self.values, Range) else self.values[int(choice)]

    def nearest(self, number: float) -> int | float:
        """The number of the range that stands for a drawn one: whole, or of few digits."""
        assert isinstance(self.values, Range)
        low, high = self.values.low, self.values.high
        return min(max(round(number) if self.values.whole else rounded(number), low), high)


def rounded(number: float) -> float:
    """The number with `DIGITS` significant digits."""
    return float(f"{number:.{DIGITS}g}")


def axes(recipe: Recipe) -> tuple[Axis, ...]:
    """The sweep's axes in the order of the recipe."""
    names = {name for name in stage_names(recipe) if name}
    found = []
    for statement in recipe.statements:
        if isinstance(statement, Sweep):
            head, _, rest = statement.path.partition(".")
            stage, path = (head, rest) if rest and head in names else (None, statement.path)
            values = statement.values if isinstance(statement.values, Range) else statement.values.values
            found.append(Axis(statement.path, stage, full_path(path), values))
    return tuple(found)


def points(grid: tuple[Axis, ...]) -> Iterator[Point]:
    """Every point of a grid of listed values; the last axis varies fastest."""
    return itertools.product(*(range(int(axis.size)) for axis in grid))


def seeds(recipe: Recipe) -> tuple[int, ...]:
    """The seed offsets of `repeat`: 0 … N-1."""
    count = next((statement.count for statement in recipe.statements if isinstance(statement, Repeat)), 1)
    return tuple(range(count))


def settings(grid: tuple[Axis, ...], point: Point, text: str) -> Mapping[str, object]:
    """What makes a point: the value of each axis under the path as written."""
    return {axis.written: _shown(axis.value(choice), text) for axis, choice in zip(grid, point, strict=True)}


def _shown(value: Value, text: str) -> object:
    found = plain(value)
    return text[value.span.start : value.span.end] if isinstance(value, Component) and value.arguments else found
