"""Order the variants of a recipe by a validation metric; what failed stands in the ranking too, with its reason."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlimb.catalogue.metrics import TASK, Direction, metric_of, split_metric
from tlimb.errors import InputError
from tlimb.results.read import Results, StageResult, read_predictions, read_results, targets_of, weights_parent

if TYPE_CHECKING:
    from tlimb.results.statistics import Sample

FORMAT = 1
_TOLERANCE = 1e-3
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric over the seeds of a row: mean, spread between seeds (None for a single run), 95 % subject bootstrap interval."""

    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A stage whose result is missing, and why."""

    variant: str
    stage: str
    seed: int
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One leaf stage of one variant, its seeds pooled.

    Attributes:
        rank: From 1; None if it could not be ranked.
        key: The metric that it is ranked by, under the name that the stage gives it; None if it has none such.
        digests: One per finished seed.
        seeds: How many seeds are finished.
        planned: How many seeds the recipe asks for.
        settings: Of the variant; where variants share the row, those in which they agree.
        shared: The other variants with the very same stages: the settings in which they differ do not reach this stage.
        failures: The seeds that are missing.
        stopped: The epochs after which a search has stopped seeds early; such a row has values, but no rank.
    """

    rank: int | None
    variant: str
    settings: Mapping[str, Any]
    stage: str
    digests: tuple[str, ...]
    seeds: int
    planned: int
    key: str | None
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, Mapping[str, float]]
    trainable: int | None
    frozen: int | None
    shared: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    stopped: tuple[int, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What one has to know of the row: why seeds are missing, and whether it was stopped early."""
        epochs = ", ".join(map(str, sorted(set(self.stopped))))
        share = f"{len(self.stopped)} of {self.seeds} seeds " if 0 < len(self.stopped) < self.seeds else ""
        stopped = (f"{share}stopped early at epoch {epochs}",) if self.stopped else ()
        return tuple(dict.fromkeys((*(failure.reason for failure in self.failures), *stopped)))

    @property
    def state(self) -> str:
        """``done``, ``partial`` (some seeds are missing) or ``failed``."""
        return "done" if self.seeds == self.planned else "partial" if self.seeds else "failed"

    def document(self) -> dict[str, Any]:
        """The row as it stands in ``tlimb results --json``."""
        return {
            "rank": self.rank,
            "variant": self.variant,
            "settings": dict(self.settings),
            "stage": self.stage,
            "digest": self.digests[0] if self.digests else None,
            "digests": list(self.digests),
            "seeds": self.seeds,
            "planned": self.planned,
            "state": self.state,
            "key": self.key,
            "parameters": {"trainable": self.trainable, "frozen": self.frozen},
            "metrics": {
                name: {"mean": value.mean, "sd": value.sd, "low": value.low, "high": value.high} for name, value in self.metrics.items()
            },
            "baselines": {metric: dict(values) for metric, values in self.baselines.items()},
            "shared": list(self.shared),
            "failures": [{"stage": f.stage, "seed": f.seed, "digest": f.digest, "reason": f.reason} for f in self.failures],
            "stopped_early": list(self.stopped),
        }


@dataclass(frozen=True, slots=True)
class Ranking:
    """The rows in order: ranked, then those stopped early, then those without the metric, then those without a result."""

    by: str
    direction: Direction
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    recipe: str = ""

    def document(self) -> dict[str, Any]:
        """The ranking as the JSON document of ``tlimb results --json``."""
        return {
            "format": FORMAT,
            "recipe": self.recipe,
            "by": self.by,
            "direction": self.direction,
            "rows": [row.document() for row in self.rows],
            "failures": [
                {"variant": f.variant, "stage": f.stage, "seed": f.seed, "digest": f.digest, "reason": f.reason} for f in self.failures
            ],
            "notes": list(self.notes),
        }


def rank(plan: Mapping[str, Any], store: Path | str, by: str | None = None) -> Ranking:
    """Rank the leaves of all variants of a plan by what their stages left in the store.

    Args:
        plan: The plan document (docs/formats.md).
        store: The folder of finished stages.
        by: A validation metric; the recipe's own if None.

    Raises:
        InputError: The metric is unknown, is not one of validation, or no leaf of the recipe measures it.
    """
    by = by or str(plan["rank"]["metric"])
    part, _, metric = split_metric(by)
    if part != "val":
        raise InputError(
            f"'{by}' may not choose between variants: a test metric that chose one no longer says how it does on new people",
            f"rank by val.{by.partition('.')[2]}; the test metrics stand beside it",
        )
    direction = metric_of(metric).direction
    stages = {str(stage["digest"]): stage for stage in plan["stages"]}
    leaves = [leaf for variant in plan["variants"] for leaf in _leaves(variant, stages)]
    _require_measured(by, leaves, stages)
    pool = _Pool(stages, read_results(store, list(stages)))
    rows = [pool.row(leaf, by) for leaf in _merge(leaves)]
    ordered = _order(rows, direction)
    failures = tuple(dict.fromkeys(failure for row in ordered for failure in row.failures))
    return Ranking(by, direction, ordered, failures, (*_notes(ordered, by, pool.notes), *_search_notes(plan)), str(plan.get("recipe", "")))


def resolve(by: str, names: Sequence[str]) -> str | None:
    """Find a metric under the name that a stage gives it: the target stands in the name only where a stage has several."""
    if by in names:
        return by
    part, target, metric = split_metric(by)
    if target:
        alone = f"{part}.{metric}"
        several = any(name.startswith(f"{part}.") and name.count(".") == 2 for name in names)
        return alone if alone in names and not several else None
    fits = [name for name in names if name.startswith(f"{part}.") and name.endswith(f".{metric}") and name.count(".") == 2]
    return fits[0] if len(fits) == 1 else None


@dataclass(frozen=True, slots=True)
class _LeafRun:
    seed: int
    digest: str
    evaluations: tuple[tuple[str, str], ...]
    """Name and digest of each `evaluate` stage that tests this leaf."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    variant: str
    settings: Mapping[str, Any]
    stage: str
    runs: tuple[_LeafRun, ...]
    shared: tuple[str, ...] = ()


def _leaves(variant: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]) -> list[_Leaf]:
    """The ranked stages of a variant, its runs gathered; an `evaluate` leaf stands for the stage that it evaluates."""
    runs: dict[str, list[_LeafRun]] = {}
    for run in variant["runs"]:
        names = {digest: name for name, digest in run["stages"].items()}
        evaluations: dict[str, list[tuple[str, str]]] = {}
        for name, digest in run["stages"].items():
            if stages[digest]["kind"] == "evaluate":
                evaluations.setdefault(_evaluated(digest, stages), []).append((name, digest))
        leaves = dict.fromkeys(_evaluated(run["stages"][name], stages) for name in run["leaves"])
        for digest in leaves:
            name = names.get(digest, stages[digest]["name"])
            runs.setdefault(name, []).append(_LeafRun(run["seed"], digest, tuple(evaluations.get(digest, ()))))
    return [_Leaf(variant["id"], variant["settings"], name, tuple(found)) for name, found in runs.items()]


def _merge(leaves: Sequence[_Leaf]) -> list[_Leaf]:
    """One leaf for all variants that share its stages; it keeps the settings in which they agree, as the others do not reach it."""
    owners: dict[tuple[object, ...], list[_Leaf]] = {}
    for leaf in leaves:
        owners.setdefault(tuple((run.digest, run.evaluations) for run in leaf.runs), []).append(leaf)
    merged = []
    for first, *others in owners.values():
        settings = {
            name: value for name, value in first.settings.items() if all(other.settings.get(name, _ABSENT) == value for other in others)
        }
        merged.append(replace(first, settings=settings, shared=tuple(other.variant for other in others)))
    return merged


def _evaluated(digest: str, stages: Mapping[str, Mapping[str, Any]]) -> str:
    while stages[digest]["kind"] == "evaluate" and (parent := weights_parent(stages[digest])) in stages:
        digest = str(parent)
    return digest


def _require_measured(by: str, leaves: Sequence[_Leaf], stages: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a metric that no leaf can ever have."""
    _, target, metric = split_metric(by)
    targets = [t for leaf in leaves for run in leaf.runs[:1] for t in targets_of(stages[run.digest])]
    fitting = [t for t in targets if TASK[t["kind"]] == metric_of(metric).task and target in (None, t["name"])]
    if targets and not fitting:
        known = ", ".join(dict.fromkeys(f"{t['name']} ({TASK[t['kind']]})" for t in targets))
        raise InputError(f"no ranked stage of this recipe has the metric '{by}'", f"their targets are: {known}")


class _Pool:
    """Rows from results; predictions that several rows share are read and resampled once."""

    def __init__(self, stages: Mapping[str, Mapping[str, Any]], results: Results) -> None:
        self.stages = stages
        self.results = results
        self.notes: list[str] = []
        self._samples: dict[str, dict[tuple[str, str], Sample]] = {}
        self._estimates: dict[tuple[str, ...], dict[str, Estimate]] = {}

    def row(self, leaf: _Leaf, by: str) -> Row:
        done = [run for run in leaf.runs if run.digest in self.results.finished]
        results = [self.results.finished[run.digest] for run in done]
        failures = [
            Failure(leaf.variant, leaf.stage, run.seed, run.digest, self._reason(run.digest))
            for run in leaf.runs
            if run.digest not in self.results.finished
        ]
        metrics = self._pooled(tuple(result.digest for result in results))
        for name in dict.fromkeys(name for run in done for name, _ in run.evaluations):
            tests = [(run.seed, digest) for run in done for evaluation, digest in run.evaluations if evaluation == name]
            finished = tuple(digest for _, digest in tests if digest in self.results.finished)
            metrics |= {f"{name}.{metric}": value for metric, value in self._pooled(finished).items()}
            failures += [
                Failure(leaf.variant, name, seed, digest, self._reason(digest)) for seed, digest in tests if digest not in finished
            ]
        return Row(
            rank=None,
            variant=leaf.variant,
            settings=leaf.settings,
            stage=leaf.stage,
            digests=tuple(result.digest for result in results),
            seeds=len(results),
            planned=len(leaf.runs),
            key=resolve(by, list(metrics)),
            metrics=metrics,
            baselines=_mean_baselines(results),
            trainable=_parameters(results, "trainable"),
            frozen=_parameters(results, "frozen"),
            shared=leaf.shared,
            failures=tuple(failures),
            stopped=tuple(result.stopped_early for result in results if result.stopped_early is not None),
        )

    def _pooled(self, digests: tuple[str, ...]) -> dict[str, Estimate]:
        """Metrics over the seeds, with intervals where the predictions allow them."""
        if digests not in self._estimates:
            results = [self.results.finished[digest] for digest in digests]
            names = list(dict.fromkeys(name for result in results for name in result.metrics if _known(name)))
            intervals = self._intervals(results) if results else {}
            estimates = {}
            for name in names:
                values = [result.metrics[name] for result in results if name in result.metrics]
                mean = math.fsum(values) / len(values)
                sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else None
                estimates[name] = Estimate(mean, sd, *intervals.get(name, (None, None)))
            self._estimates[digests] = estimates
        return dict(self._estimates[digests])

    def _intervals(self, results: Sequence[StageResult]) -> dict[str, tuple[float | None, float | None]]:
        from tlimb.results import statistics

        each = [self._sample(result) for result in results]
        found: dict[str, tuple[float | None, float | None]] = {}
        targets = {target for samples in each for _, target in samples}
        for part, target in dict.fromkeys(key for samples in each for key in samples):
            seeds = [samples[part, target] for samples in each if (part, target) in samples]
            stated_by = [result for result, samples in zip(results, each, strict=True) if (part, target) in samples]
            for metric, interval in statistics.intervals(seeds).items():
                name = f"{part}.{metric}" if len(targets) == 1 else f"{part}.{target}.{metric}"
                found[name] = (interval.low, interval.high)
                stated = [result.metrics[name] for result in stated_by if name in result.metrics]
                if stated and abs(sum(stated) / len(stated) - interval.value) > _TOLERANCE * max(1.0, abs(interval.value)):
                    self.notes.append(
                        f"{results[0].name} ({results[0].digest}): results.json says {name} = {sum(stated) / len(stated):.4g}, "
                        f"its predictions give {interval.value:.4g}"
                    )
        return found

    def _sample(self, result: StageResult) -> "dict[tuple[str, str], Sample]":
        from tlimb.results import statistics

        if result.digest not in self._samples:
            rows = read_predictions(result.folder)
            targets = targets_of(self.stages[result.digest])
            if not rows:
                self.notes.append(f"{result.name} ({result.digest}) has no predictions.csv: its metrics have no intervals")
            self._samples[result.digest] = statistics.samples(rows, targets) if rows else {}
        return self._samples[result.digest]

    def _reason(self, digest: str) -> str:
        """Why a stage is missing: its own failure, else that of the stage it waits for."""
        waiting, seen = [digest], set()
        while waiting:
            current = waiting.pop(0)
            if current in seen:
                continue
            seen.add(current)
            stage = self.stages.get(current, {})
            if reason := self.results.reasons.get(current):
                return reason if current == digest else f"{stage.get('name', current)}, which it needs: {reason}"
            waiting += [parent for parent in stage.get("parents", ()) if parent in self.results.reasons]
        return "not run yet"


def _known(name: str) -> bool:
    try:
        split_metric(name)
    except InputError:
        return False
    return True


def _order(rows: Sequence[Row], direction: Direction) -> tuple[Row, ...]:
    sign = 1 if direction == "min" else -1
    measured = sorted(
        (row for row in rows if row.key),
        key=lambda row: (
            sign * row.metrics[row.key or ""].mean,
            math.inf if row.trainable is None else row.trainable,
            natural(row.variant),
            natural(row.stage),
        ),
    )
    ranked = [row for row in measured if not row.stopped]
    stopped = [row for row in measured if row.stopped]
    others = sorted((row for row in rows if not row.key), key=lambda row: row.seeds == 0)
    return (*(replace(row, rank=index) for index, row in enumerate(ranked, 1)), *stopped, *others)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key by which v2 comes before v10."""
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in re.split(r"(\d+)", text) if piece]


def _notes(rows: Sequence[Row], by: str, pooled: Sequence[str]) -> tuple[str, ...]:
    notes = list(dict.fromkeys(pooled))
    if any(row.seeds == row.planned == 1 for row in rows):
        notes.append("Single run: one seed says nothing about the spread between seeds; `repeat 3` in the recipe does.")
    if partial := sum(row.state == "partial" for row in rows):
        notes.append(f"{partial} of {len(rows)} rows are ranked on fewer seeds than the recipe asks for.")
    if stopped := sum(bool(row.stopped) for row in rows):
        notes.append(f"{stopped} of {len(rows)} rows were stopped early as hopeless and are not ranked.")
    if unranked := sum(row.key is None and row.seeds > 0 for row in rows):
        notes.append(f"{unranked} of {len(rows)} rows have no {by} and are not ranked.")
    if failed := sum(row.seeds == 0 for row in rows):
        notes.append(f"{failed} of {len(rows)} rows have no result.")
    return tuple(notes)


def _search_notes(plan: Mapping[str, Any]) -> tuple[str, ...]:
    search = plan.get("search")
    if not search or len(plan["variants"]) >= search["trials"]:
        return ()
    return (f"The search is not over: {len(plan['variants'])} of its {search['trials']} trials are known.",)


def _parameters(results: Sequence[StageResult], which: str) -> int | None:
    return next((int(result.parameters[which]) for result in results if which in result.parameters), None)


def _mean_baselines(results: Sequence[StageResult]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for metric, values in result.baselines.items():
            for name, value in values.items():
                if value is not None and math.isfinite(value):
                    found.setdefault(metric, {}).setdefault(name, []).append(float(value))
    return {metric: {name: sum(values) / len(values) for name, values in names.items()} for metric, names in found.items()}
