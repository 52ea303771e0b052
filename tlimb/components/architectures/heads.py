"""Heads: a linear layer from features to one target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Kind
from tlimb.errors import InputError

_REACH = 3.0
"""How many sigmas beyond its range a number may lie and still be a soft label."""


class NumberHead(nn.Module):
    """A number such as an age: the loss sees it standardised, predictions are in natural units.

    Args:
        features: F.
        mean: Of the training targets, natural units.
        sd: Of the training targets, natural units; a constant target is only centred.
        dropout: Rate of dropout on the features.
    """

    kind: Kind = "number"
    classes: tuple[str, ...] = ()
    mean: Tensor
    sd: Tensor

    def __init__(self, features: int, mean: float = 0.0, sd: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("sd", torch.tensor(sd if sd > 0 else 1.0, dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) to (B,), standardised."""
        output: Tensor = self.linear(self.dropout(features)).squeeze(-1)
        return output

    def encode(self, target: Tensor) -> Tensor:
        """(B,) natural units to standardised; NaN stays NaN."""
        return (target - self.mean) / self.sd

    def predict(self, output: Tensor) -> Tensor:
        """(B,) standardised to natural units."""
        return output * self.sd + self.mean


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """A range of a number in bins, and how wide around the truth its label spreads; all in the number's unit.

    Attributes:
        low: Start of the first bin.
        high: End of the last bin.
        width: Of a bin.
        sigma: Standard deviation of a label.
    """

    low: float
    high: float
    width: float = 1.0
    sigma: float = 1.0

    @classmethod
    def of(cls, limits: Sequence[float], width: float, sigma: float) -> "SoftLabels":
        """From the arguments of an architecture.

        Raises:
            InputError: the range is not two growing numbers, not a whole number of bins, or sigma is not positive.
        """
        if len(limits) != 2 or not limits[0] < limits[1]:
            raise InputError(f"architecture: soft_range is {list(limits)}; it is where it starts and where it ends", "e.g. [42, 82]")
        if width <= 0 or sigma <= 0:
            raise InputError(f"architecture: soft_bin {width}, soft_sigma {sigma}", "both are greater than 0")
        bins = (limits[1] - limits[0]) / width
        if round(bins) < 2 or abs(bins - round(bins)) > 1e-6:
            raise InputError(
                f"architecture: bins of {width:g} do not divide soft_range {list(limits)} into two or more",
                "change soft_bin, or the end of soft_range",
            )
        return cls(float(limits[0]), float(limits[1]), float(width), float(sigma))

    @property
    def bins(self) -> int:
        """How many."""
        return round((self.high - self.low) / self.width)


class SoftNumberHead(nn.Module):
    """A number such as an age as a distribution over bins (Peng et al., Medical Image Analysis 2021).

    The label of a number y is the mass of N(y, sigma) in each bin, divided by its sum. The authors leave the mass outside the range away;
    with it, labels near the ends would count less, and their loss would not be a divergence. The prediction is the mean over the bins'
    centres c_k: sum_k p_k c_k.

    Args:
        features: F.
        labels: Range, bins and spread.
        dropout: Rate of dropout on the features.
    """

    kind: Kind = "number"
    classes: tuple[str, ...] = ()
    edges: Tensor

    def __init__(self, features: int, labels: SoftLabels, dropout: float = 0.0) -> None:
        super().__init__()
        self.labels = labels
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, labels.bins)
        self.register_buffer("edges", torch.linspace(labels.low, labels.high, labels.bins + 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) to (B, bins) log-probabilities."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits.log_softmax(dim=-1)

    def encode(self, target: Tensor) -> Tensor:
        """(B,) natural units to (B, bins) probabilities; NaN gives a row of NaN.

        Raises:
            InputError: a number lies so far outside the range that no bin means it.
        """
        labels, reach = self.labels, _REACH * self.labels.sigma
        beyond = target[(target < labels.low - reach) | (target > labels.high + reach)]
        if len(beyond):
            raise InputError(
                f"a target of {float(beyond[0]):g} lies outside the soft labels' range {labels.low:g} to {labels.high:g}",
                "widen architecture.soft_range",
            )
        distance = (self.edges - target.to(self.edges.dtype).unsqueeze(-1)) / (labels.sigma * math.sqrt(2))
        left, right = distance[:, :-1], distance[:, 1:]
        # Twice the mass; above the truth by the upper tail, since a difference of two numbers close to 1 has no digits left.
        mass = torch.where(left > 0, left.erfc() - right.erfc(), (-right).erfc() - (-left).erfc())
        return mass / mass.sum(-1, keepdim=True)

    def predict(self, output: Tensor) -> Tensor:
        """(B, bins) log-probabilities to (B,) in natural units."""
        return output.exp() @ ((self.edges[:-1] + self.edges[1:]) / 2).to(output.dtype)


class CategoryHead(nn.Module):
    """A category such as a sex.

    Args:
        features: F.
        classes: Names in order of the class index.
        dropout: Rate of dropout on the features.
    """

    kind: Kind = "category"

    def __init__(self, features: int, classes: tuple[str, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, len(self.classes))

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) to (B, K) logits."""
        output: Tensor = self.linear(self.dropout(features))
        return output

    def encode(self, target: Tensor) -> Tensor:
        """Class indices as they are."""
        return target

    def predict(self, output: Tensor) -> Tensor:
        """(B, K) logits to probabilities."""
        return output.softmax(dim=-1)
