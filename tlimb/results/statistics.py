"""Metrics, intervals and comparisons from predictions: numpy only, apart from the code that trains, so that one checks the other.

The unit of a metric is a participant's session; what is resampled is participants, since the sessions of one person are not independent.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tlimb.catalogue.metrics import METRICS, Direction
from tlimb.errors import InputError

DRAWS = 2000
LEVEL = 0.95
Verdict = Literal["helped", "no evidence", "hurt"]
Array = NDArray[np.float64]

_CHUNK = 4_000_000
"""Cells of the matrix of resampling counts that are held at once (32 MB)."""
_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True)
class Sample:
    """Truth and prediction of one target in one part, a row per participant's session (N rows, C classes).

    Attributes:
        participants: Whose row it is, (N,).
        truth: Values in the target's unit, or class indices, (N,).
        predicted: Values (N,), or probabilities (N, C).
        classes: Names of the classes; empty for a number.
    """

    participants: tuple[str, ...]
    truth: Array
    predicted: Array
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its confidence interval; the ends are None where resampling cannot give them."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """First arm minus second arm in one metric, over the participants that both predicted."""

    value: float
    low: float | None
    high: float | None
    participants: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval says which arm is larger."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def samples(rows: Sequence[Mapping[str, str]], targets: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Sample]:
    """Turn the rows of `predictions.csv` into samples by (part, target); several rows of one session are averaged.

    Rows without a truth are left out.

    Raises:
        InputError: A column is missing, a cell is no number, or a class is none of the target's.
    """
    found: dict[tuple[str, str], Sample] = {}
    for target in targets:
        name = str(target["name"])
        classes = tuple(map(str, target.get("classes") or ())) if target["kind"] == "category" else ()
        columns = [f"{name}_prob_{class_name}" for class_name in classes] or [f"{name}_pred"]
        groups: dict[str, dict[tuple[str, str], list[tuple[float, list[float]]]]] = {}
        for row in rows:
            try:
                cell = row[name]
                if cell in ("", "nan", None):
                    continue
                truth = float(classes.index(cell)) if classes else float(cell)
                predicted = [float(row[column]) for column in columns]
                key = (row["participant_id"], row.get("session") or "")
                groups.setdefault(row["part"], {}).setdefault(key, []).append((truth, predicted))
            except (KeyError, ValueError, TypeError) as error:
                raise InputError(
                    f"predictions of target {name} cannot be read: {error}", "delete the stage's folder and run the recipe again"
                ) from error
        for part, sessions in groups.items():
            every = [[values for _, values in entries] for entries in sessions.values()]
            predicted_values = np.array([values[0] if len(values) == 1 else np.mean(values, axis=0) for values in every])
            found[part, name] = Sample(
                participants=tuple(participant for participant, _ in sessions),
                truth=np.array([entries[0][0] for entries in sessions.values()]),
                predicted=predicted_values if classes else predicted_values[:, 0],
                classes=classes,
            )
    return found


def evaluate(sample: Sample) -> dict[str, float]:
    """All metrics of a sample that are defined for it (a correlation with a constant is not)."""
    position, participants = _positions([sample])
    values = _Resampler(sample, position, len(participants)).metrics(np.ones((1, len(participants))))
    return {name: float(value[0]) for name, value in values.items() if np.isfinite(value[0])}


def intervals(seeds: Sequence[Sample], *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL) -> dict[str, Interval]:
    """Every metric's mean over the seeds with its bias-corrected subject bootstrap interval (Efron 1981).

    The same participants are drawn for all seeds, so that the interval tells what other participants would change; the
    spread between seeds is another matter and is not in it.
    """
    position, participants = _positions(seeds)
    arms = [_Resampler(sample, position, len(participants)) for sample in seeds]
    points = _mean_metrics(arms, np.ones((1, len(participants))))
    drawn: dict[str, list[Array]] = {name: [] for name in points}
    if len(participants) > 1:
        for counts in _counts(len(participants), draws, seed):
            for name, values in _mean_metrics(arms, counts).items():
                drawn[name].append(values)
    return {
        name: Interval(float(point[0]), *_bias_corrected(float(point[0]), drawn[name], level))
        for name, point in points.items()
        if np.isfinite(point[0])
    }


def difference(
    first: Sequence[Sample],
    second: Sequence[Sample],
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference | None:
    """Metric of the first arm minus that of the second (each the mean over its seeds) with a paired bootstrap interval.

    Both arms see the same draw of participants, so what makes a participant hard for both cancels out.

    Returns:
        None if no participant was predicted by every seed of both arms, or the metric is not defined there.
    """
    every = [*first, *second]
    common = set.intersection(*(set(sample.participants) for sample in every)) if every else set()
    if not common or not first or not second:
        return None
    kept = [_only(sample, common) for sample in every]
    position, participants = _positions(kept)
    arms = [_Resampler(sample, position, len(participants)) for sample in kept]
    left, right = arms[: len(first)], arms[len(first) :]

    def differences(counts: Array) -> Array:
        one, two = _mean_metrics(left, counts, only=metric), _mean_metrics(right, counts, only=metric)
        return one[metric] - two[metric] if metric in one and metric in two else np.full(len(counts), np.nan)

    point = float(differences(np.ones((1, len(participants))))[0])
    if not math.isfinite(point):
        return None
    drawn = [differences(counts) for counts in _counts(len(participants), draws, seed)] if len(participants) > 1 else []
    return Difference(point, *_bias_corrected(point, drawn, level), len(participants))


def judge(gain: Difference, direction: Direction) -> Verdict:
    """What a difference (transfer minus control) says: helped or hurt only if its interval excludes zero."""
    if not gain.excludes_zero:
        return "no evidence"
    return "helped" if (gain.value < 0) == (direction == "min") else "hurt"


def confusion(sample: Sample) -> NDArray[np.int64]:
    """Counts of (true class, most probable class), (C, C)."""
    size = len(sample.classes)
    cells = sample.truth.astype(np.int64) * size + sample.predicted.argmax(axis=1)
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def roc(sample: Sample, positive: int) -> tuple[list[float], list[float]]:
    """False and true positive rates of one class against the rest, from the strictest threshold to the loosest."""
    order = np.argsort(-sample.predicted[:, positive], kind="stable")
    scores, hits = sample.predicted[order, positive], (sample.truth[order] == positive).astype(float)
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    found, false = np.cumsum(hits)[last], np.cumsum(1 - hits)[last]
    if not found[-1] or not false[-1]:
        return [], []
    return [0.0, *(false / false[-1]).tolist()], [0.0, *(found / found[-1]).tolist()]


class _Resampler:
    """The metrics of one sample under many resamplings at once.

    All but the area under the curve are functions of sums over rows, so one matrix product of counts (B, P) with
    per-participant sums (P, K) gives them for B resamplings.
    """

    def __init__(self, sample: Sample, position: Mapping[str, int], size: int) -> None:
        self.sample = sample
        self.rows = np.array([position[participant] for participant in sample.participants], dtype=np.int64)
        truth, predicted = sample.truth, sample.predicted
        if sample.classes:
            classes = len(sample.classes)
            columns = np.zeros((len(truth), classes * classes + 1))
            indices = truth.astype(np.int64)
            everyone = np.arange(len(truth))
            columns[everyone, indices * classes + predicted.argmax(axis=1)] = 1
            columns[:, -1] = -np.log(np.maximum(predicted[everyone, indices], _LEAST_PROBABILITY))
        else:
            # Sums of squares of centred values: of raw ages, variances would lose digits to cancellation.
            y, p = truth - truth.mean(), predicted - predicted.mean()
            error = predicted - truth
            columns = np.stack([np.ones_like(y), np.abs(error), error**2, y, y * y, p, p * p, y * p], axis=1)
        self.sums = np.zeros((size, columns.shape[1]))
        np.add.at(self.sums, self.rows, columns)

    def metrics(self, counts: Array, only: str | None = None) -> dict[str, Array]:
        """Every metric (or one) under each row of counts (B, P), as (B,) arrays; NaN where it is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if not self.sample.classes:
                found = self._regression(counts)
            else:
                found = self._classification(counts)
                if only in (None, "auroc"):
                    found["auroc"] = self._auroc(counts)
        return {name: found[name] for name in METRICS if name in found and only in (None, name)}

    def _regression(self, counts: Array) -> dict[str, Array]:
        n, absolute, squared, y, yy, p, pp, yp = (counts @ self.sums).T
        truth_ss, predicted_ss = yy - y * y / n, pp - p * p / n
        # A constant leaves rounding dust of either sign where zero is meant.
        truth_ss = np.where(truth_ss <= 1e-12 * yy, np.nan, truth_ss)
        predicted_ss = np.where(predicted_ss <= 1e-12 * pp, np.nan, predicted_ss)
        return {
            "mae": absolute / n,
            "mse": squared / n,
            "rmse": np.sqrt(squared / n),
            "r2": 1 - squared / truth_ss,
            "pearson_r": np.clip((yp - y * p / n) / np.sqrt(truth_ss * predicted_ss), -1, 1),
        }

    def _classification(self, counts: Array) -> dict[str, Array]:
        classes = len(self.sample.classes)
        sums = counts @ self.sums
        cells = sums[:, :-1].reshape(-1, classes, classes)
        hits, true, predicted = np.diagonal(cells, axis1=1, axis2=2), cells.sum(axis=2), cells.sum(axis=1)
        total = true.sum(axis=1)
        seen = true > 0
        recall = np.where(seen, hits / np.where(seen, true, 1), 0)
        # A class that is neither there nor predicted has no F1; it is left out of the mean.
        either = (true + predicted) > 0
        f1 = np.where(either, 2 * hits / np.where(either, true + predicted, 1), 0)
        return {
            "accuracy": hits.sum(axis=1) / total,
            "balanced_accuracy": recall.sum(axis=1) / seen.sum(axis=1),
            "f1": f1.sum(axis=1) / either.sum(axis=1),
            "cross_entropy": sums[:, -1] / total,
        }

    def _auroc(self, counts: Array) -> Array:
        classes = len(self.sample.classes)
        positives = [1] if classes == 2 else range(classes)
        areas = np.stack([self._area(counts, positive) for positive in positives])
        defined = np.isfinite(areas).sum(axis=0)
        return np.where(defined > 0, np.nansum(areas, axis=0) / np.where(defined, defined, 1), np.nan)

    def _area(self, counts: Array, positive: int) -> Array:
        """Chance that a member of the class scores above a non-member, ties counting half (Mann-Whitney)."""
        scores = self.sample.predicted[:, positive]
        order = np.argsort(scores, kind="stable")
        weights = counts[:, self.rows[order]]
        member = self.sample.truth[order] == positive
        starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
        inside = np.add.reduceat(weights * member, starts, axis=1)
        outside = np.add.reduceat(weights * ~member, starts, axis=1)
        below = np.cumsum(outside, axis=1) - outside
        area = (inside * (below + outside / 2)).sum(axis=1) / (inside.sum(axis=1) * outside.sum(axis=1))
        return np.asarray(area, dtype=np.float64)


def _mean_metrics(arms: Sequence[_Resampler], counts: Array, only: str | None = None) -> dict[str, Array]:
    each = [arm.metrics(counts, only) for arm in arms]
    shared = [name for name in each[0] if all(name in values for values in each)]
    return {name: np.mean([values[name] for values in each], axis=0) for name in shared}


def _positions(arms: Sequence[Sample]) -> tuple[dict[str, int], list[str]]:
    """Participants of all arms in an order that does not depend on the order of rows, and where each stands."""
    participants = sorted({participant for sample in arms for participant in sample.participants})
    return {participant: index for index, participant in enumerate(participants)}, participants


def _only(sample: Sample, participants: set[str]) -> Sample:
    kept = np.array([participant in participants for participant in sample.participants])
    names = tuple(participant for participant in sample.participants if participant in participants)
    return Sample(names, sample.truth[kept], sample.predicted[kept], sample.classes)


def _counts(participants: int, draws: int, seed: int) -> Iterator[Array]:
    """How often each participant is drawn in each resampling, (B, P) a chunk."""
    step = max(1, _CHUNK // participants)
    # Most stages of a recipe are tested on equally many people, so the last draws serve again.
    return iter(_drawn(participants, draws, seed)) if step >= draws else _draw(participants, draws, seed, step)


@lru_cache(maxsize=2)
def _drawn(participants: int, draws: int, seed: int) -> tuple[Array, ...]:
    return tuple(_draw(participants, draws, seed, draws))


def _draw(participants: int, draws: int, seed: int, step: int) -> Iterator[Array]:
    generator = np.random.default_rng(seed)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn = generator.integers(participants, size=(size, participants)) + np.arange(size)[:, None] * participants
        yield np.bincount(drawn.ravel(), minlength=size * participants).reshape(size, participants).astype(np.float64)


def _bias_corrected(point: float, chunks: Sequence[Array], level: float) -> tuple[float | None, float | None]:
    """Ends of the bias-corrected percentile interval; None if most resamplings leave the metric undefined."""
    drawn = np.concatenate(chunks) if chunks else np.empty(0)
    defined = drawn[np.isfinite(drawn)]
    if defined.size == 0 or defined.size < drawn.size / 2:
        return None, None
    # Sums in another order differ in the last digits; a draw that equals the point must count as a tie.
    near = np.isclose(defined, point, rtol=1e-12, atol=1e-12)
    share = float((np.count_nonzero((defined < point) & ~near) + np.count_nonzero(near) / 2) / defined.size)
    normal = NormalDist()
    shift = normal.inv_cdf(min(max(share, 0.5 / defined.size), 1 - 0.5 / defined.size))
    reach = normal.inv_cdf(0.5 + level / 2)
    low, high = np.quantile(defined, [normal.cdf(2 * shift - reach), normal.cdf(2 * shift + reach)])
    return float(low), float(high)
