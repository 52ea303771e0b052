"""`Contrastive`: two views of an image are alike, views of different images are not."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlimb.components.contracts import Network, Step, View
from tlimb.components.objectives.terms import AuxiliaryTerm, full_precision, nothing, within


class Contrastive(AuxiliaryTerm):
    """Contrastive loss of SimCLR (Chen et al. 2020), NT-Xent: each view finds the other view of its image among all views of a batch.

    l(i, j) = -log(exp(z_i.z_j / T) / sum over k != i of exp(z_i.z_k / T)), averaged over both views of all images; z is the projection of
    the features by two layers, of length 1. The projector serves the loss only. Larger batches hold more negatives; the batches of all
    devices count as one.

    Args:
        temperature: T; the smaller, the more the hardest other images count.
        hidden: Width of the projector's first layer; none: as many as features.
        projection: Width of the projection z.
        weight: Factor on the loss.
    """

    views: ClassVar[tuple[View, ...]] = ("full", "full")

    def __init__(self, temperature: float = 0.1, hidden: int | None = None, projection: int = 128, weight: float = 1.0) -> None:
        super().__init__()
        self.temperature = within("simclr: temperature", temperature, 0, above=True)
        self.hidden = None if hidden is None else int(within("simclr: hidden", hidden, 1))
        self.projection = int(within("simclr: projection", projection, 1))
        self.weight = within("simclr: weight", weight, 0)

    def connect(self, network: Network) -> None:
        """Make the projector."""
        features = network.encoder.feature_dim
        hidden = self.hidden or features
        self.projector = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, self.projection))

    def forward(self, step: Step) -> Tensor:
        """The loss of the first two views."""
        if len(step.unlabelled) < 2:
            return nothing(next(self.parameters()).device)
        first, second = (self.projector(view.features).float() for view in step.unlabelled[:2])
        with full_precision(first.device):
            return self.weight * nt_xent(first, second, self.temperature)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent of two views (B, D) each, a scalar; 0 for a single image, which has no negatives."""
    both = F.normalize(torch.cat([first, second]), dim=1)
    similarity = both @ both.T / temperature
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    partner = torch.arange(len(both), device=both.device).roll(len(first))
    positive = similarity.gather(1, partner[:, None]).squeeze(1)
    return (similarity.masked_fill(itself, -torch.inf).logsumexp(dim=1) - positive).mean()
