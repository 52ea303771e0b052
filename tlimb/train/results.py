"""What a stage says in the end: predictions, baselines to compare with, counts."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tlimb.catalogue.metrics import DEFAULT, metric_names
from tlimb.components.contracts import Network
from tlimb.components.scenarios.evaluation import Array, Estimate, Units, named, score

Target = Mapping[str, Any]
_RIDGE = 1e-4
"""Keeps the logistic fit finite where head size separates the classes."""


def predictions_csv(network: Network, parts: Sequence[Units]) -> str:
    """`predictions.csv`: a row per participant's session."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["participant_id", "session", "part"]
    for target in network.heads:
        header += [target, f"{target}_pred", *(f"{target}_prob_{name}" for name in network.head(target).classes)]
    writer.writerow(header)
    for units in parts:
        for index, who in enumerate(units.who):
            cells: list[str] = [*who]
            for target, (truth, prediction) in units.estimates.items():
                classes = network.head(target).classes
                if classes:
                    answer = int(np.argmax(prediction[index]))
                    cells += [classes[int(truth[index])] if truth[index] >= 0 else "", classes[answer]]
                    cells += [f"{value:.9g}" for value in prediction[index]]
                else:
                    cells += ["" if math.isnan(truth[index]) else f"{truth[index]:.7g}", f"{prediction[index]:.9g}"]
            writer.writerow(cells)
    return text.getvalue()


def baselines(targets: Sequence[Target], volumes: Mapping[str, Mapping[str, Any]], monitor: str) -> dict[str, dict[str, float | None]]:
    """Test metrics of two predictors that see no image: a constant, and the head size (foreground volume) alone.

    Args:
        targets: As in `stage.yaml`.
        volumes: By role `volume_ml` (U,) and `truth` {target: (U,)}.
        monitor: A metric's full name; its test value is given beside the default metric of each target.

    Returns:
        By full metric name ``{"constant": …, "head_size": …}``.
    """
    train, test = volumes["train"], volumes["test"]
    result: dict[str, dict[str, float | None]] = {}
    for target in targets:
        name, kind = str(target["name"]), target["kind"]
        truth, held_out = (np.asarray(part["truth"][name], dtype=np.float64) for part in (train, test))
        known = ~np.isnan(truth) & (truth >= 0 if kind == "category" else True)
        size, new_size = _standardised(np.asarray(train["volume_ml"])[known], np.asarray(test["volume_ml"]))
        if kind == "number":
            constant = np.full(len(held_out), truth[known].mean())
            sized = _line(size, truth[known], new_size)
        else:
            labels = truth[known].astype(np.int64)
            shares = np.bincount(labels, minlength=len(target["classes"])) / len(labels)
            constant = np.tile(shares, (len(held_out), 1))
            sized = _logistic(size, labels, new_size, len(target["classes"]))
        wanted = {DEFAULT[kind], monitor.rsplit(".", 1)[-1]} & set(metric_names(kind))
        scores = {key: score(kind, Estimate(held_out, values)) for key, values in (("constant", constant), ("head_size", sized))}
        rows = {metric: {key: values[metric] for key, values in scores.items()} for metric in metric_names(kind) if metric in wanted}
        result |= named("test", name, len(targets), rows)
    return result


def _standardised(train: Array, test: Array) -> tuple[Array, Array]:
    mean, sd = train.mean(), train.std() or 1.0
    return (train - mean) / sd, (test - mean) / sd


def _line(x: Array, y: Array, new: Array) -> Array:
    """Least squares; x has mean 0."""
    slope = float(x @ y / (x @ x)) if (x @ x) > 0 else 0.0
    result: Array = y.mean() + slope * new
    return result


def _logistic(x: Array, y: np.ndarray[Any, np.dtype[np.int64]], new: Array, classes: int) -> Array:
    """Multinomial logistic regression of one variable: (U',) to probabilities (U', K)."""
    inputs, truth = torch.from_numpy(x)[:, None], torch.from_numpy(y)
    weight = torch.zeros(2, classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(inputs * weight[0] + weight[1], truth) + _RIDGE * weight.pow(2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    fitted = weight.detach()
    probabilities: Array = (torch.from_numpy(new)[:, None] * fitted[0] + fitted[1]).softmax(dim=1).numpy()
    return probabilities


def parameter_counts(network: Network) -> dict[str, int]:
    """Trainable and frozen parameters."""
    counts = {"trainable": 0, "frozen": 0}
    for parameter in network.parameters():
        counts["trainable" if parameter.requires_grad else "frozen"] += parameter.numel()
    return counts
