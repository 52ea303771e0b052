"""Rows against each other: is the first really better than the second, and did transfer beat training from scratch?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlimb.catalogue.metrics import metric_of, split_metric
from tlimb.results.ranking import Ranking, Row
from tlimb.results.read import StageResult, read_predictions, read_results, targets_of, weights_parent
from tlimb.results.statistics import Difference, Sample, Verdict, difference, judge, samples

Target = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transferred row beside its control arm, by the test metric of the ranking's name (validation where there is no test)."""

    row: Row
    control: Row
    key: str
    gain: Difference
    """Transfer minus control."""
    verdict: Verdict


class Comparison:
    """Reads each stage's predictions once and compares rows of a ranking on the same participants."""

    def __init__(self, plan: Mapping[str, Any], store: Path | str, ranking: Ranking) -> None:
        self.ranking = ranking
        self.stages: dict[str, Mapping[str, Any]] = {str(stage["digest"]): stage for stage in plan["stages"]}
        self.results: Mapping[str, StageResult] = read_results(store, list(self.stages)).finished
        self._samples: dict[str, dict[tuple[str, str], Sample]] = {}

    def target(self, row: Row) -> Target | None:
        """The target that the row is ranked by; the stage's first where it has no such metric."""
        targets = targets_of(self.stages[row.digests[0]]) if row.digests else ()
        name = split_metric(row.key)[1] if row.key else None
        return next((target for target in targets if name in (None, target["name"])), None)

    def samples(self, row: Row, part: str, target: str) -> list[Sample]:
        """Truth and predictions of every finished seed of the row."""
        found = []
        for digest in row.digests:
            if digest not in self._samples:
                self._samples[digest] = samples(read_predictions(self.results[digest].folder), targets_of(self.stages[digest]))
            if sample := self._samples[digest].get((part, target)):
                found.append(sample)
        return found

    def gap(self, row: Row, other: Row, key: str) -> Difference | None:
        """Row minus other in a metric; None if they have no participants of the same target in common."""
        first, second = self.target(row), self.target(other)
        if not first or not second or _label(first) != _label(second):
            return None
        part, _, metric = split_metric(key)
        return difference(self.samples(row, part, first["name"]), self.samples(other, part, second["name"]), metric)

    def behind(self, row: Row) -> Difference | None:
        """How far a ranked row is from the first one, by the metric that ranks."""
        best = self.ranking.rows[0]
        return self.gap(row, best, row.key) if row is not best and row.key else None

    def clear_winner(self) -> bool:
        """Whether the first row differs from the second by more than other participants could explain."""
        ranked = [row for row in self.ranking.rows if row.rank]
        gap = self.behind(ranked[1]) if len(ranked) > 1 else None
        return gap is not None and gap.excludes_zero

    def from_scratch(self, row: Row) -> bool:
        """Whether the row's network starts from random weights."""
        stage = self.stages[row.digests[0]]
        arguments = ((stage.get("config") or {}).get("architecture") or {}).get("init_args") or {}
        return weights_parent(stage) is None and not (arguments.get("pretrained") or arguments.get("weights"))

    def control(self, row: Row) -> Row | None:
        """The best-ranked row that learns the same from scratch; one of the same variant goes before."""
        target = self.target(row)
        fitting = [
            other
            for other in self.ranking.rows
            if target
            and other.digests
            and not other.stopped
            and self.from_scratch(other)
            and (theirs := self.target(other))
            and _label(theirs) == _label(target)
        ]
        variants = {row.variant, *row.shared}
        return next((other for other in fitting if variants & {other.variant, *other.shared}), fitting[0] if fitting else None)

    def transfer(self, row: Row, control: Row | None = None) -> Transfer | None:
        """Judge a transferred row; None for a control arm, one stopped early, and where there is none to compare with."""
        if not row.key or row.stopped or self.from_scratch(row) or not (control := control or self.control(row)):
            return None
        for part in ("test", "val"):
            key = f"{part}.{row.key.partition('.')[2]}"
            if key in row.metrics and (gain := self.gap(row, control, key)):
                return Transfer(row, control, key, gain, judge(gain, metric_of(key).direction))
        return None

    def headline(self) -> Transfer | None:
        """The best transferred row against the best control of its target: both chosen by validation, judged by test."""
        ranked = [row for row in self.ranking.rows if row.rank]
        for row in ranked:
            if not self.from_scratch(row) and (target := self.target(row)):
                controls = [
                    other for other in ranked if self.from_scratch(other) and (t := self.target(other)) and _label(t) == _label(target)
                ]
                return self.transfer(row, controls[0]) if controls else None
        return None


def _label(target: Target) -> tuple[Any, ...]:
    return target.get("dataset"), target.get("part"), target["label"] if "label" in target else target["name"]
