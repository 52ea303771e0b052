"""From a network's outputs to metrics: collected over the whole epoch, averaged by unit, never averaged over batches.

A unit is a participant's session; U units, N rows, K classes.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import classification, regression

from tlimb.catalogue.metrics import metric_names
from tlimb.components.contracts import Kind, Network

Array = NDArray[np.float64]
Metrics = dict[str, float | None]
_TINY = 1e-12


class Estimate(NamedTuple):
    """Truth (U,) and prediction, (U,) in natural units or (U, K) probabilities; missing truth is NaN, or -1 for a category."""

    truth: Array
    prediction: Array


@dataclass(slots=True)
class Table:
    """Predictions of rows, collected batch by batch."""

    rows: list[Tensor] = field(default_factory=list)
    truth: dict[str, list[Tensor]] = field(default_factory=dict)
    predictions: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, row: Tensor, truth: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> None:
        """Append a batch; tensors are moved to the CPU."""
        self.rows.append(row.cpu())
        for name, prediction in predictions.items():
            self.truth.setdefault(name, []).append(truth[name].cpu().double())
            self.predictions.setdefault(name, []).append(prediction.detach().cpu().double())

    def gathered(self) -> tuple[NDArray[np.int64], dict[str, Estimate]]:
        """All rows of all processes in order, each once (a sampler for several processes repeats some)."""
        mine = (
            torch.cat(self.rows).numpy() if self.rows else np.empty(0, dtype=np.int64),
            {name: (torch.cat(self.truth[name]).numpy(), torch.cat(values).numpy()) for name, values in self.predictions.items()},
        )
        parts = [mine]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [mine] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, mine)
        rows, first = np.unique(np.concatenate([part[0] for part in parts]), return_index=True)
        estimates = {
            name: Estimate(
                np.concatenate([part[1][name][0] for part in parts])[first],
                np.concatenate([part[1][name][1] for part in parts])[first],
            )
            for name in mine[1]
        }
        return rows, estimates


@dataclass(frozen=True, slots=True)
class Units:
    """Predictions by unit.

    Attributes:
        who: (participant_id, session, part) of each.
        estimates: By target.
    """

    who: tuple[tuple[str, str, str], ...]
    estimates: Mapping[str, Estimate]


def by_unit(who: Sequence[tuple[str, str, str]], estimates: Mapping[str, Estimate]) -> Units:
    """Average the predictions of each unit's rows; its truth is the same in all of them.

    Args:
        who: (participant_id, session, part) of each row.
        estimates: By target, of the rows.
    """
    order = {unit: number for number, unit in enumerate(dict.fromkeys(map(tuple, who)))}
    index = np.array([order[tuple(unit)] for unit in who], dtype=np.int64)
    counts = np.bincount(index, minlength=len(order)).astype(np.float64)
    first = np.unique(index, return_index=True)[1]
    result = {}
    for name, (truth, prediction) in estimates.items():
        total = np.zeros((len(order), *prediction.shape[1:]))
        np.add.at(total, index, prediction)
        result[name] = Estimate(truth[first], total / counts.reshape(-1, *(1 for _ in prediction.shape[1:])))
    return Units(tuple((str(a), str(b), str(c)) for a, b, c in order), result)


def score(kind: Kind, estimate: Estimate) -> Metrics:
    """All metrics of a target over the units that have a label; None where a metric is not defined (r2 of one unit, auroc of one class)."""
    labelled = ~np.isnan(estimate.truth) & (estimate.truth >= 0 if kind == "category" else True)
    truth, prediction = torch.from_numpy(estimate.truth[labelled]), torch.from_numpy(estimate.prediction[labelled])
    if len(truth) == 0:
        return dict.fromkeys(metric_names(kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns of what becomes None here
        values = _score_number(truth, prediction) if kind == "number" else _score_category(truth.long(), prediction)
    return {name: value if value is not None and np.isfinite(value) else None for name, value in values.items()}


def _score_number(truth: Tensor, prediction: Tensor) -> Metrics:
    mse = float(regression.mean_squared_error(prediction, truth))
    varied = len(truth) > 1 and bool((truth != truth[0]).any())
    moved = varied and bool((prediction != prediction[0]).any())
    return {
        "mae": float(regression.mean_absolute_error(prediction, truth)),
        "mse": mse,
        "rmse": mse**0.5,
        "r2": float(regression.r2_score(prediction, truth)) if varied else None,
        "pearson_r": float(regression.pearson_corrcoef(prediction, truth)) if moved else None,
    }


def _score_category(truth: Tensor, probability: Tensor) -> Metrics:
    classes = probability.shape[1]
    answer = probability.argmax(dim=1)
    confusion = classification.multiclass_confusion_matrix(answer, truth, classes).double()
    right, wanted, given = confusion.diagonal(), confusion.sum(dim=1), confusion.sum(dim=0)
    present, seen = wanted > 0, wanted + given > 0
    one_vs_rest = [
        float(classification.binary_auroc(probability[:, index], (truth == index).long()))
        for index in torch.nonzero(present).flatten().tolist()[-1 if classes == 2 else 0 :]  # of two classes the second, as in a report
    ]
    likelihood = probability.gather(1, truth[:, None]).clamp(min=_TINY)
    return {
        "accuracy": float(right.sum() / len(truth)),
        "balanced_accuracy": float((right / wanted)[present].mean()),
        "auroc": float(np.mean(one_vs_rest)) if int(present.sum()) > 1 else None,
        "f1": float((2 * right / (wanted + given))[seen].mean()),
        "cross_entropy": float(-likelihood.log().mean()),
    }


def score_all(network: Network, part: str, units: Units) -> Metrics:
    """Metrics of all heads by full name: ``val.mae``, or ``val.age.mae`` where there are several heads."""
    return {
        name: value
        for target, estimate in units.estimates.items()
        for name, value in named(part, target, len(network.heads), score(network.head(target).kind, estimate)).items()
    }


def named(part: str, target: str, targets: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics under their full names."""
    prefix = f"{part}.{target}" if targets > 1 else part
    return {f"{prefix}.{name}": value for name, value in values.items()}


def metric_choices(network: Network) -> list[str]:
    """What a stage with this network can be monitored by."""
    heads = network.heads
    return [
        "val.loss",
        *(name for target in heads for name in named("val", target, len(heads), dict.fromkeys(metric_names(network.head(target).kind)))),
    ]
