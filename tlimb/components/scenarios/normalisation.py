"""`AdaptiveBatchNorm`: the statistics of BatchNorm from another domain."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tlimb.components.contracts import Network
from tlimb.components.scenarios.supervised import Supervised
from tlimb.errors import InputError


class AdaptiveBatchNorm(Supervised):
    """AdaBN (Li et al. 2016): learn on the source, then take the running statistics of BatchNorm from images of the target.

    One pass over the target's training images in training mode, without gradient, gives each layer the mean over batches, weighted by
    their sizes, of their means and variances. Parameters stay bit for bit; the cheapest of the methods of domain adaptation, for networks
    with BatchNorm only. The best epoch is chosen by validation images of the source, before the statistics change.
    """

    def finish(self, network: Network, unlabelled: Callable[[], Any]) -> bool:
        """Take the statistics of the target.

        Raises:
            InputError: the network has no BatchNorm.
        """
        adapt(network, unlabelled())
        return True


def adapt(network: Network, loader: Any) -> None:
    """Replace the running statistics of all BatchNorm layers by those of a loader's images.

    Args:
        network: Changed in place; ends in eval mode.
        loader: Of batches with `image` (B, C, *S).

    Raises:
        InputError: the network has no BatchNorm.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats]
    if not norms:
        raise InputError(
            "via adabn: the network has no BatchNorm layers, so there are no statistics to adapt",
            "use resnet or sfcn, or via coral, mmd or dann",
        )
    device = next(network.parameters()).device
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    seen = 0
    with torch.no_grad():
        for batch in loader:
            image = batch["image"].to(device)
            if seen and len(image) == 1:  # a last batch of one image says little of a variance
                continue
            seen += len(image)
            for norm in norms:
                norm.momentum = len(image) / seen  # running averages become averages over all images
            network(image)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
