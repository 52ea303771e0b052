"""Heads: a linear layer from features to one target."""

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Kind


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
