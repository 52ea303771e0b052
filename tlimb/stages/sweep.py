"""Sweeps and repeats: the axes of a recipe and the variants they span."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tlimb.catalogue.keys import applies, full_path
from tlimb.recipe.tree import Component, Items, Recipe, Repeat, Sweep, Value, plain, stage_names


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the grid: the path as written, the stage it is bound to (None: all), the full config path and the values."""

    written: str
    stage: str | None
    path: str
    values: tuple[Value, ...]

    def binds(self, name: str, *, trains: bool, has_weights: bool) -> bool:
        """Whether the axis sets something of the stage of that name."""
        return self.stage in (None, name) and applies(self.path, trains=trains, has_weights=has_weights)


def axes(recipe: Recipe) -> tuple[Axis, ...]:
    """The sweep's axes in the order of the recipe; continuous axes (which need a search) are left to it."""
    names = {name for name in stage_names(recipe) if name}
    found = []
    for statement in recipe.statements:
        if isinstance(statement, Sweep) and isinstance(statement.values, Items):
            head, _, rest = statement.path.partition(".")
            stage, path = (head, rest) if rest and head in names else (None, statement.path)
            found.append(Axis(statement.path, stage, full_path(path), statement.values.values))
    return tuple(found)


def points(grid: tuple[Axis, ...]) -> Iterator[tuple[int, ...]]:
    """Every point of the grid as the index of its value on each axis; the last axis varies fastest."""
    return itertools.product(*(range(len(axis.values)) for axis in grid))


def seeds(recipe: Recipe) -> tuple[int, ...]:
    """The seed offsets of `repeat`: 0 … N-1."""
    count = next((statement.count for statement in recipe.statements if isinstance(statement, Repeat)), 1)
    return tuple(range(count))


def settings(grid: tuple[Axis, ...], point: tuple[int, ...], text: str) -> Mapping[str, object]:
    """What makes a point: the value of each axis under the path as written."""
    return {axis.written: _shown(axis.values[index], text) for axis, index in zip(grid, point, strict=True)}


def _shown(value: Value, text: str) -> object:
    found = plain(value)
    return text[value.span.start : value.span.end] if isinstance(value, Component) and value.arguments else found
