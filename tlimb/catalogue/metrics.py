"""The metrics: their names, what they say, which way is better. Nothing else in TLIMB spells a metric's properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from tlimb.errors import InputError

Task = Literal["regression", "classification"]
Direction = Literal["min", "max"]

PARTS = ("val", "test")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        direction: Which way is better.
        unit_of_target: Whether the value has the target's unit (years for an age); False for ratios and squared units.
        best: The value of a perfect prediction.
    """

    name: str
    task: Task
    direction: Direction
    help: str
    label: str
    unit_of_target: bool = False
    best: float = 1.0


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("mae", "regression", "min", "Mean absolute error.", "mean absolute error", unit_of_target=True, best=0.0),
        Metric("mse", "regression", "min", "Mean squared error (the square of the target's unit).", "mean squared error", best=0.0),
        Metric("rmse", "regression", "min", "Root of the mean squared error.", "root mean squared error", unit_of_target=True, best=0.0),
        Metric("r2", "regression", "max", "Share of variance explained, 1 - SSres/SStot; below 0 is worse than the mean.", "R²"),
        Metric("pearson_r", "regression", "max", "Pearson correlation of prediction and truth.", "Pearson r"),
        Metric("accuracy", "classification", "max", "Share of right answers.", "accuracy"),
        Metric("balanced_accuracy", "classification", "max", "Mean over the classes of the share found (recall).", "balanced accuracy"),
        Metric(
            "auroc",
            "classification",
            "max",
            "Area under the ROC curve; with more than two classes the mean over one-against-the-rest.",
            "area under the ROC curve",
        ),
        Metric("f1", "classification", "max", "Harmonic mean of precision and recall, mean over the classes (macro).", "F1"),
        Metric(
            "cross_entropy", "classification", "min", "Mean negative log probability of the true class (nats).", "cross-entropy", best=0.0
        ),
    )
}

DEFAULT: Mapping[str, str] = {"number": "mae", "category": "balanced_accuracy"}
"""The metric a target of that kind is judged by when the recipe names none."""

TASK: Mapping[str, Task] = {"number": "regression", "category": "classification"}
"""The task a target of that kind poses."""


def split_metric(name: str) -> tuple[str, str | None, str]:
    """Take ``PART.METRIC`` or ``PART.TARGET.METRIC`` apart.

    Returns:
        Part (``val`` or ``test``), target or None, and the metric's key in `METRICS`.

    Raises:
        InputError: The name is not of that form, or no such part or metric exists.
    """
    pieces = name.split(".")
    if len(pieces) < 2 or not all(pieces):
        raise InputError(f"'{name}' is not the name of a metric", "write PART.METRIC or PART.TARGET.METRIC, e.g. val.mae or val.age.mae")
    part, metric = pieces[0], pieces[-1]
    if part not in PARTS:
        raise InputError(f"'{name}' names no part of the data", f"a metric starts with one of: {', '.join(PARTS)}")
    if metric not in METRICS:
        near = get_close_matches(metric, METRICS, n=1)
        raise InputError(
            f"no metric '{metric}' in '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""), f"there are: {', '.join(METRICS)}"
        )
    return part, ".".join(pieces[1:-1]) or None, metric


def metric_of(name: str) -> Metric:
    """The metric that a full name such as ``val.age.mae`` or ``hcp.test.auroc`` ends in."""
    return METRICS[name.rsplit(".", 1)[-1]]


def metric_names(kind: str) -> tuple[str, ...]:
    """Names of the metrics of a target of that kind (``number`` or ``category``)."""
    return tuple(metric.name for metric in METRICS.values() if metric.task == TASK[kind])
