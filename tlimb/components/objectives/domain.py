"""Terms of unsupervised domain adaptation: features of labelled (source) and unlabelled (target) images come to look alike."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlimb.components.contracts import Network, Step, View
from tlimb.components.objectives.terms import AuxiliaryTerm, full_precision, labelled_and_unlabelled, nothing, within

_WIDTHS = tuple(2.0**power for power in range(-2, 3))


class DomainAdversarial(AuxiliaryTerm):
    """Domain-adversarial training, DANN (Ganin & Lempitsky 2015): a classifier learns to tell the domains apart, the encoder to mislead it.

    The mean of the cross-entropies of both domains. Its gradient reaches the encoder times -weight * tanh(5 p), p the share of the
    training that is done; the classifier learns from it as it is.

    Args:
        weight: Factor on the encoder's gradient at the end of the training.
        hidden: Width of the domain classifier.
    """

    views: ClassVar[tuple[View, ...]] = ("full",)

    def __init__(self, weight: float = 1.0, hidden: int = 256) -> None:
        super().__init__()
        self.weight = within("dann: weight", weight, 0)
        self.hidden = int(within("dann: hidden", hidden, 1))

    def connect(self, network: Network) -> None:
        """Make the domain classifier."""
        self.classifier = nn.Sequential(nn.Linear(network.encoder.feature_dim, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1))

    def forward(self, step: Step) -> Tensor:
        """The loss of the domain classifier."""
        source, target = labelled_and_unlabelled(step)
        if not len(source) or not len(target):
            return nothing(source.device)
        with full_precision(source.device):
            features = _Reversed.apply(torch.cat([source, target]), self.weight * math.tanh(5 * step.progress))
            logits = self.classifier(features).squeeze(1)
            # -log sigmoid(x) where the image is of the target domain, -log sigmoid(-x) where it is of the source domain.
            return (F.softplus(logits[: len(source)]).mean() + F.softplus(-logits[len(source) :]).mean()) / 2


class Coral(AuxiliaryTerm):
    """Deep CORAL (Sun & Saenko 2016): the distance of the covariances of the features of both domains, |C_s - C_t|_F^2 / (4 F^2).

    Covariances are unbiased (n - 1); means do not count.

    Args:
        weight: Factor on the loss.
    """

    views: ClassVar[tuple[View, ...]] = ("full",)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = within("coral: weight", weight, 0)

    def forward(self, step: Step) -> Tensor:
        """The loss; 0 where a domain has fewer than two images."""
        source, target = labelled_and_unlabelled(step)
        if min(len(source), len(target)) < 2:
            return nothing(source.device)
        with full_precision(source.device):
            difference = _covariance(source) - _covariance(target)
            return self.weight * difference.square().sum() / (4 * source.shape[1] ** 2)


class Mmd(AuxiliaryTerm):
    """Maximum mean discrepancy of the features of both domains, with several kernels (Long et al. 2015).

    mean k(s, s') + mean k(t, t') - 2 mean k(s, t) over all pairs, equal ones too: the V-statistic, which is never negative and 0 for
    equal samples. k = sum over i = -2..2 of exp(-d^2 / (w 2^i)), d the Euclidean distance and w the mean of d^2 over all pairs of
    different images of the batch, without gradient.

    Args:
        weight: Factor on the loss.
    """

    views: ClassVar[tuple[View, ...]] = ("full",)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = within("mmd: weight", weight, 0)

    def forward(self, step: Step) -> Tensor:
        """The loss."""
        source, target = labelled_and_unlabelled(step)
        if not len(source) or not len(target):
            return nothing(source.device)
        with full_precision(source.device):
            kernel = _kernel(torch.cat([source, target]))
            split = len(source)
            return self.weight * (kernel[:split, :split].mean() + kernel[split:, split:].mean() - 2 * kernel[:split, split:].mean())


class _Reversed(torch.autograd.Function):
    """Identity whose gradient is multiplied by -factor."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def _covariance(features: Tensor) -> Tensor:
    """(n, F) to (F, F)."""
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)


def _kernel(features: Tensor) -> Tensor:
    """(n, F) to (n, n)."""
    # Distances do not depend on the origin; near the mean, the difference of squares below loses fewer digits.
    centred = features - features.mean(dim=0).detach()
    squares = centred.square().sum(dim=1)
    distance = (squares[:, None] + squares[None, :] - 2 * centred @ centred.T).clamp(min=0)
    count = len(features)
    width = (distance.detach().sum() / (count * (count - 1))).clamp(min=torch.finfo(distance.dtype).tiny * 16)
    return torch.stack([torch.exp(-distance / (width * factor)) for factor in _WIDTHS]).sum(dim=0)
