"""Objectives for labelled targets. Rows without a label count nothing; a batch without any label of a target adds exactly 0."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlimb.components.contracts import Batch
from tlimb.errors import InputError

_NUMBER_LOSSES: Mapping[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}


class RegressionObjective(nn.Module):
    """Loss of numbers on the standardised scale: the mean over labelled rows, summed over targets.

    For a head with soft labels it is the Kullback-Leibler divergence from label to prediction, sum_k q_k log(q_k / p_k).

    Args:
        loss: mse (squared), mae (absolute) or huber (squared within one standard deviation, linear beyond); of no effect on soft labels.
    """

    def __init__(self, loss: str = "mse") -> None:
        super().__init__()
        if loss not in _NUMBER_LOSSES:
            raise InputError(f"objective: there is no regression loss '{loss}'", f"losses: {', '.join(_NUMBER_LOSSES)}")
        self.loss = loss

    def forward(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The loss of the outputs against the batch's standardised targets, or soft labels."""
        return torch.stack([self.one(output, batch["targets"][name]) for name, output in outputs.items()]).sum()

    def one(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of one target, (B,) against (B,), or log-probabilities (B, bins) against soft labels (B, bins); NaN where missing."""
        rows = labelled(target)
        loss = _NUMBER_LOSSES[self.loss] if target.ndim == 1 else F.kl_div
        return loss(output[rows], target[rows].to(output.dtype), reduction="sum") / rows.sum().clamp(min=1)


class ClassificationObjective(nn.Module):
    """Cross-entropy of categories: the mean over labelled rows, summed over targets.

    Args:
        label_smoothing: Share of the probability that is spread over all classes.
        class_weights: none, or balanced: each class counts the same however rare, by N / (K n_k) of the training rows.
    """

    def __init__(self, label_smoothing: float = 0.0, class_weights: str = "none") -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(f"objective: label_smoothing is {label_smoothing}; it is from 0 to below 1", "e.g. label_smoothing=0.1")
        if class_weights not in ("none", "balanced"):
            raise InputError(f"objective: class_weights is '{class_weights}'; it is none or balanced", "e.g. class_weights=balanced")
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self._weights: dict[str, list[float]] = {}

    def connect(self, class_counts: Mapping[str, Sequence[int]]) -> None:
        """Tell how many training rows each class has, by target."""
        if self.class_weights == "balanced":
            self._weights = {
                name: [sum(counts) / (len(counts) * count) if count else 0.0 for count in counts] for name, counts in class_counts.items()
            }

    def forward(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The loss of the logits (B, K) against the batch's class indices."""
        return torch.stack([self.one(name, output, batch["targets"][name]) for name, output in outputs.items()]).sum()

    def one(self, name: str, output: Tensor, target: Tensor) -> Tensor:
        """Loss of one target, logits (B, K) against (B,) with -1 where missing."""
        rows = labelled(target)
        weights = output.new_tensor(self._weights[name]) if name in self._weights else None
        total = F.cross_entropy(output[rows], target[rows], weights, reduction="sum", label_smoothing=self.label_smoothing)
        return total / rows.sum().clamp(min=1)


class MultitaskObjective(nn.Module):
    """Weighted sum of the losses of several targets, each by its kind: sum over targets t of w_t L_t.

    Args:
        weights: Factor w_t by target; 1 for those that are absent.
        loss: Of numbers, see `RegressionObjective`.
        label_smoothing: Of categories, see `ClassificationObjective`.
        class_weights: Of categories, see `ClassificationObjective`.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        loss: str = "mse",
        label_smoothing: float = 0.0,
        class_weights: str = "none",
    ) -> None:
        super().__init__()
        self.weights = {name: float(weight) for name, weight in (weights or {}).items()}
        self.number = RegressionObjective(loss)
        self.category = ClassificationObjective(label_smoothing, class_weights)

    def connect(self, class_counts: Mapping[str, Sequence[int]]) -> None:
        """See `ClassificationObjective.connect`."""
        self.category.connect(class_counts)

    def forward(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The weighted sum; targets that are float are numbers, or soft labels of one; int64 are class indices."""
        losses = [self.weights.get(name, 1.0) * self.one(name, output, batch["targets"][name]) for name, output in outputs.items()]
        return torch.stack(losses).sum()

    def one(self, name: str, output: Tensor, target: Tensor) -> Tensor:
        """Loss of one target, without its weight."""
        return self.number.one(output, target) if target.is_floating_point() else self.category.one(name, output, target)


def labelled(target: Tensor) -> Tensor:
    """(B,) bool: which rows have a label; where not, numbers (B,) and rows of soft labels (B, bins) are NaN, class indices (B,) -1."""
    if not target.is_floating_point():
        return target >= 0
    return ~(target if target.ndim == 1 else target[:, 0]).isnan()
