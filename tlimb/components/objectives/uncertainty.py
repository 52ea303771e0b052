"""`UncertaintyObjective`: the weights of several targets are learned."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Batch
from tlimb.components.objectives.supervised import MultitaskObjective, labelled
from tlimb.errors import InputError


class UncertaintyObjective(MultitaskObjective):
    """Losses of several targets, weighted by their uncertainty (Kendall, Gal & Cipolla 2018), which is learned: sum of w_t J_t.

    J_t = exp(-s_t) L_t / 2 + s_t / 2 for a number, exp(-s_t) L_t + s_t / 2 for a category or soft labels of a number; s_t = log sigma_t^2
    starts at 0. A target without labels in the batch adds exactly 0, and so does its s_t. The sum can be negative.

    Args:
        weights: Factor w_t by target, 1 by default; a stage gives those of its targets.
        loss: Of numbers: mse, mae or huber; mse is the one that the formula is derived for.
        label_smoothing: Of categories: share of the probability that is spread over all classes.
        class_weights: Of categories: none, or balanced: each class counts the same however rare.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        loss: str = "mse",
        label_smoothing: float = 0.0,
        class_weights: str = "none",
    ) -> None:
        super().__init__(weights, loss, label_smoothing, class_weights)
        # One axis: optimizers get it without weight decay, which would pull sigma to 1.
        self.log_variance = nn.Parameter(torch.zeros(len(self.weights)))

    def forward(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The weighted sum; outputs as in `MultitaskObjective`.

        Raises:
            InputError: an output has no weight, and so no uncertainty.
        """
        places = {name: place for place, name in enumerate(self.weights)}
        if unknown := outputs.keys() - places.keys():
            raise InputError(
                f"objective: no uncertainty for {', '.join(sorted(unknown))}", f"weights has: {', '.join(places) or 'nothing'}"
            )
        parts = []
        for name, output in outputs.items():
            target, log_variance = batch["targets"][name], self.log_variance[places[name]]
            loss, present = self.one(name, output, target), labelled(target).any()
            half = 1.0 if output.ndim == 2 else 0.5
            parts.append(self.weights[name] * present * (half * torch.exp(-log_variance) * loss + log_variance / 2))
        return torch.stack(parts).sum()
