"""What auxiliary terms of the loss share."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Network, Step, View
from tlimb.errors import InputError


class AuxiliaryTerm(nn.Module):
    """A `Term` without parameters: subclasses say which views they need and what they add to the loss."""

    views: ClassVar[tuple[View, ...]] = ()
    encodes: ClassVar[bool] = False

    def connect(self, network: Network) -> None:
        """Make what depends on the network."""

    def forward(self, step: Step) -> Tensor:
        """The weighted term, a scalar."""
        raise NotImplementedError


def within(name: str, value: float, low: float, high: float = math.inf, *, below: bool = False, above: bool = False) -> float:
    """The value of a term's argument as a float.

    Args:
        name: Of the argument.
        value: As given.
        low: The smallest value that is allowed.
        high: The largest one.
        below: The largest value itself is not allowed.
        above: The smallest value itself is not allowed.

    Raises:
        InputError: it is out of range.
    """
    if low <= value <= high and not (above and value == low) and not (below and value == high):
        return float(value)
    upper = "" if math.isinf(high) else f" {'and below' if below else 'to'} {high:g}"
    raise InputError(f"{name} {value:g} is out of range", f"{name} is {'above' if above else 'from'} {low:g}{upper}")


def nothing(device: torch.device) -> Tensor:
    """Zero that a backward pass can start from, where a term has nothing to add."""
    return torch.zeros((), device=device, requires_grad=True)


def full_precision(device: torch.device) -> torch.autocast:
    """The context in which losses are computed: mixed precision is off, since similarities, variances and exponentials need float32."""
    return torch.autocast(device.type, enabled=False)


def labelled_and_unlabelled(step: Step) -> tuple[Tensor, Tensor]:
    """Features of labelled images (B, F) and of the first view of unlabelled ones (U, F), float32; no rows where one of them is absent."""
    if step.labelled is not None and step.unlabelled:
        return step.labelled.features.float(), step.unlabelled[0].features.float()
    device = next(step.network.parameters()).device
    return torch.zeros(0, 1, device=device), torch.zeros(0, 1, device=device)


def image_channels(encoder: nn.Module) -> tuple[int, int]:
    """Channels C and the number of spatial axes of the images that an encoder takes, read off its first convolution.

    Raises:
        InputError: it has no convolution.
    """
    for module in encoder.modules():
        for axes, kind in enumerate((nn.Conv1d, nn.Conv2d, nn.Conv3d), start=1):
            if isinstance(module, kind):
                return module.in_channels, axes
    raise InputError(
        f"{type(encoder).__name__} has no convolution, so that the channels of its images are unknown",
        "let its first layer be a torch.nn.Conv1d, Conv2d or Conv3d",
    )
