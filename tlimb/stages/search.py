"""The search of a recipe: how many points of its axes are tried, in which rounds, and the points of the first round."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tlimb.recipe.tree import About, Number, Recipe, Set, plain
from tlimb.recipe.tree import Search as Statement
from tlimb.stages.sweep import Axis, Point

ROUNDS = 32
"""At most: each is a part of the workflow of a compiled project."""

Limits: TypeAlias = Mapping[str, Mapping[int, float]]
"""For ranked steps by name: after which epochs, counted from 1, a trial is stopped whose best value so far is worse than the number."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched and how far it has come.

    Attributes:
        method: A catalogue word of kind search: random, tpe or gp.
        trials: How many points are tried in all.
        round: How many are asked for at once; later rounds depend on the results of earlier ones.
        seed: Where every draw comes from, together with the number of the round or the trial.
        metric: The validation metric that is improved.
        axes: Of the space.
        points: Those that are known, in the order of the trials.
        steps: Kind and name of the steps whose stages differ between trials, parents first; the others are computed once.
        asha: The reduction factor of early stopping; None where no trial is stopped.
        limits: Of that, the limits of each round that is known: none in the first one.
        source: What a later round is asked for with: see `canonical`; and the fingerprints of the files of weights that it names.
    """

    method: str
    trials: int
    round: int
    seed: int
    metric: str
    direction: Literal["min", "max"]
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    steps: tuple[tuple[str, str], ...]
    asha: int | None
    limits: tuple[Limits, ...]
    source: Mapping[str, Any]

    @property
    def rounds(self) -> int:
        """How many rounds there are."""
        return math.ceil(self.trials / self.round)

    @property
    def complete(self) -> bool:
        """Whether every point is known."""
        return len(self.points) >= self.trials

    def document(self) -> dict[str, Any]:
        """The search as it stands in the plan (docs/formats.md)."""
        return {
            "method": self.method,
            "trials": self.trials,
            "round": self.round,
            "seed": self.seed,
            "metric": self.metric,
            "direction": self.direction,
            "points": [list(point) for point in self.points],
            **({} if self.asha is None else {"asha": self.asha, "limits": [_as_json(limits) for limits in self.limits]}),
        }


def read_limits(document: Mapping[str, Any]) -> tuple[Limits, ...]:
    """The limits of the rounds in the document of a search (the inverse of `Search.document`)."""
    return tuple(
        {step: {int(epoch): value for epoch, value in found.items()} for step, found in limits.items()}
        for limits in document.get("limits", ())
    )


def statement(recipe: Recipe) -> Statement | None:
    """The recipe's search, if it has one."""
    return next((found for found in recipe.statements if isinstance(found, Statement)), None)


def size(axes: Iterable[Axis]) -> float:
    """How many different points the axes have."""
    return math.prod(axis.size for axis in axes)


def round_size(asked: Statement, trials: int) -> int:
    """How many trials a round has: as told, or a quarter up to 8, so that there are at most `ROUNDS`; all if nothing depends on results."""
    told = _argument(asked, "round")
    if asked.method == "random" and told is None and reduction(asked) is None:
        return trials
    return min(trials, told or max(math.ceil(trials / ROUNDS), min(math.ceil(trials / 4), 8)))


def reduction(asked: Statement) -> int | None:
    """The reduction factor by which trials are stopped early; None where they are not."""
    return _argument(asked, "asha")


def rungs(reduction: int, epochs: int) -> Iterator[int]:
    """The epochs up to the given one after which trials are compared: powers of the reduction factor."""
    epoch = 1
    while epoch <= epochs:
        yield epoch
        epoch *= reduction


def limit(values: Sequence[float], reduction: int, direction: Literal["min", "max"]) -> float | None:
    """The value that a trial must reach to be among the best 1/reduction of others (Li et al. 2020, Algorithm 2, of those known before).

    Args:
        values: Of the other trials.

    Returns:
        Their k-th best, k = ceil(n / reduction); None while there are fewer than `reduction`.
    """
    if len(values) < reduction:
        return None
    ordered = sorted(values, reverse=direction == "max")
    return ordered[math.ceil(len(ordered) / reduction) - 1]


def seed(recipe: Recipe) -> int:
    """The seed that the recipe sets for all its stages; 0 if it sets none."""
    given = [s.value.value for s in recipe.statements if isinstance(s, Set) and s.path == "seed" and isinstance(s.value, Number)]
    return int(given[-1]) if given else 0


def drawn(axes: Sequence[Axis], seed: int, known: Sequence[Point], count: int) -> tuple[Point, ...]:
    """Further points, uniform on each axis, that differ from each other and from those known.

    A draw depends on the seed and the number of the trial alone, so a longer search begins with the points of a shorter one.
    """
    found = list(known)
    for number in range(len(known), len(known) + count):
        attempt = 0
        while (point := tuple(_draw(axis, f"{seed}/{number}/{attempt}/{axis.written}") for axis in axes)) in found:
            attempt += 1
        found.append(point)
    return tuple(found[len(known) :])


def canonical(recipe: Recipe, overrides_from: int | None) -> dict[str, Any]:
    """The text without comments and `about`, which must not make later rounds be asked again, and where its overrides start."""
    kept = [statement for statement in recipe.statements if not isinstance(statement, About)]
    lines = [recipe.text[statement.span.start : statement.span.end] for statement in kept]
    own = sum(overrides_from is None or statement.span.start < overrides_from for statement in kept)
    return {"text": "\n".join([*lines, ""]), "overrides_from": len("\n".join([*lines[:own], ""]))}


def _as_json(limits: Limits) -> dict[str, dict[str, float]]:
    return {step: {str(epoch): value for epoch, value in found.items()} for step, found in limits.items()}


def _argument(asked: Statement, key: str) -> int | None:
    return next((int(plain(argument.value)) for argument in asked.arguments if argument.key == key), None)


def _draw(axis: Axis, key: str) -> int | float:
    share = int(hashlib.sha256(key.encode()).hexdigest()[:13], 16) / 16**13
    if isinstance(axis.values, tuple):
        return int(share * len(axis.values))
    # Half a step beyond both ends, so that the first and the last whole number are as likely as the others.
    margin = 0.5 if axis.values.whole else 0.0
    low, high = axis.values.low - margin, axis.values.high + margin
    return axis.nearest(low * (high / low) ** share if axis.values.log else low + share * (high - low))
