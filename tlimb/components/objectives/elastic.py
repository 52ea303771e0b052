"""`ElasticPenalty`: fine-tuned weights stay near the pre-trained ones."""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Network, Step
from tlimb.components.objectives.terms import AuxiliaryTerm, nothing, within
from tlimb.errors import InputError


class ElasticPenalty(AuxiliaryTerm):
    """Elastic penalty, L2-SP (Li, Grandvalet & Davoine 2018): alpha/2 * sum (w - w0)^2 + beta/2 * sum v^2.

    w are the encoder's weights that train, w0 their values before the first step, v the weights of the heads; sums, not means. Running
    statistics are no weights. It takes the place of weight decay, which would pull the encoder to 0 as well: let the optimizer have none.
    Optimizers that rescale gradients (Adam) rescale the penalty's too.

    Args:
        alpha: Pull of the encoder to its start.
        beta: Pull of the heads to 0.
        which: kernels (weights of convolutions and linear layers; no biases, no norms) or all.
    """

    def __init__(self, alpha: float = 0.1, beta: float = 0.01, which: Literal["kernels", "all"] = "kernels") -> None:
        super().__init__()
        self.alpha = within("elastic: alpha", alpha, 0)
        self.beta = within("elastic: beta", beta, 0)
        if which not in ("kernels", "all"):
            raise InputError(f"elastic: which '{which}' is unknown", "which is kernels or all")
        self.least_axes = 2 if which == "kernels" else 0

    def connect(self, network: Network) -> None:
        """Remember the encoder's weights: in buffers, so that a resumed training keeps them; frozen ones too, as they may train later."""
        for name, parameter in network.get_submodule("encoder").named_parameters():
            if parameter.ndim >= self.least_axes:
                self.register_buffer(_buffer(name), parameter.detach().clone())

    def forward(self, step: Step) -> Tensor:
        """The penalty of the weights as they are; its first part is exactly 0 before the first step."""
        encoder = step.network.get_submodule("encoder")
        moved = [
            parameter.float() - cast(Tensor, getattr(self, _buffer(name))).float()
            for name, parameter in encoder.named_parameters()
            if parameter.requires_grad and parameter.ndim >= self.least_axes
        ]
        heads = step.network.get_submodule("heads").parameters()
        new = [parameter.float() for parameter in heads if parameter.requires_grad and parameter.ndim >= self.least_axes]
        parts = [factor / 2 * _squares(tensors) for factor, tensors in ((self.alpha, moved), (self.beta, new)) if factor and tensors]
        return torch.stack(parts).sum() if parts else nothing(_device(step.network))


def _squares(tensors: list[Tensor]) -> Tensor:
    return torch.stack([tensor.square().sum() for tensor in tensors]).sum()


def _buffer(name: str) -> str:
    """A buffer's name holds no dots."""
    return f"start/{name.replace('.', '/')}"


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
