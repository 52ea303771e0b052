"""What `freeze` and `unfreeze` mean: which parameters stay as they are, which modules stay in eval mode, and until when."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from tlimb.components.contracts import Network
from tlimb.errors import InputError


@dataclass(frozen=True, slots=True)
class Frozen:
    """The frozen part of a network.

    Attributes:
        parameters: Get no gradient.
        modules: Stay in eval mode: running statistics of BatchNorm move in training mode even where nothing has a gradient.
    """

    parameters: tuple[nn.Parameter, ...] = ()
    modules: tuple[nn.Module, ...] = ()

    def within(self, other: "Frozen") -> "Frozen":
        """What is frozen here and there."""
        parameters, modules = set(other.parameters), set(other.modules)
        return Frozen(
            tuple(parameter for parameter in self.parameters if parameter in parameters),
            tuple(module for module in self.modules if module in modules),
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """What is frozen from an epoch on, until the next phase.

    Attributes:
        epoch: Counted from 1, as in a recipe and in `history.csv`.
        frozen: Never more than in the phase before.
    """

    epoch: int
    frozen: Frozen


def frozen_part(network: Network, freeze: str | None, only: bool = False) -> Frozen:
    """The part of the encoder that `freeze` names; heads always train.

    Args:
        network: Encoder and heads.
        freeze: A freeze point: everything registered before it is frozen, itself and all after it train. None or ``none`` freezes
            nothing, ``all`` the whole encoder.
        only: Freeze that point alone.

    Raises:
        InputError: the encoder has no such freeze point.
    """
    if freeze is None or freeze == "none":
        return Frozen()
    encoder = network.get_submodule("encoder")
    if freeze == "all":
        return Frozen(tuple(encoder.parameters()), tuple(encoder.modules()))
    points = network.encoder.freeze_points()
    if freeze not in points:
        raise InputError(f"freeze: the encoder has no freeze point '{freeze}'", _points_hint(freeze, points))
    inside = freeze + "."
    if only:
        layer = encoder.get_submodule(freeze)
        return Frozen(tuple(layer.parameters()), tuple(layer.modules()))
    parameters, modules = [], []
    for name, parameter in encoder.named_parameters():
        if name.startswith(inside):
            break
        parameters.append(parameter)
    for name, module in encoder.named_modules():
        if name == freeze:
            break
        # A module that holds the point is not before it: its mode is its own, its children are judged one by one.
        if name and not inside.startswith(name + "."):
            modules.append(module)
    return Frozen(tuple(parameters), tuple(modules))


def phases(
    network: Network,
    freeze: str | None,
    only: bool = False,
    *,
    unfreeze: Mapping[str, Any] | None = None,
    gradual: int | None = None,
) -> tuple[Phase, ...]:
    """The phases of a training, in order; the first one begins with epoch 1.

    Args:
        network: Encoder and heads.
        freeze: As in `frozen_part`.
        only: As in `frozen_part`.
        unfreeze: {layer, epoch, lr}: the layer and all after it train from that epoch on; `lr` is not looked at here.
        gradual: Epochs between two phases of gradual unfreezing (Howard & Ruder 2018): each frees one more of the outermost freeze points,
            the last one first.

    Raises:
        InputError: nothing is frozen, nothing would be freed, or the values are out of range.
    """
    start = Phase(1, frozen_part(network, freeze, only))
    if unfreeze is None and gradual is None:
        return (start,)
    word = "gradual" if unfreeze is None else "unfreeze"
    if unfreeze is not None and gradual is not None:
        raise InputError("scenario.unfreeze and scenario.gradual exclude each other", "keep one of them")
    if not start.frozen.parameters:
        raise InputError(
            f"scenario.{word}: nothing is frozen, so nothing can be freed", "say what is frozen until then: freeze LAYER, or all"
        )
    if unfreeze is not None:
        layer, epoch = _read(unfreeze)
        freed = Frozen() if layer == "all" else start.frozen.within(frozen_part(network, layer))
        if len(freed.parameters) == len(start.frozen.parameters):
            raise InputError(
                f"scenario.unfreeze: '{layer}' and all after it train anyway, as freeze is '{freeze}'",
                f"unfreeze a layer before '{freeze}', or freeze more" if freeze != "all" else "name a layer with parameters",
            )
        return start, Phase(epoch, freed)
    assert gradual is not None
    if isinstance(gradual, bool) or not isinstance(gradual, int) or gradual < 1:
        raise InputError(
            f"scenario.gradual is {gradual}; it is a whole number of epochs from 1 on", "gradual=1 frees one more layer in each epoch"
        )
    found = [start]
    for point in [*reversed(outermost(network)[1:]), None]:  # the first point goes with whatever is registered before it
        freed = Frozen() if point is None else found[-1].frozen.within(frozen_part(network, point))
        if len(freed.parameters) < len(found[-1].frozen.parameters):
            found.append(Phase(1 + gradual * len(found), freed))
    return tuple(found)


def outermost(network: Network) -> tuple[str, ...]:
    """The freeze points of the encoder that lie in no other one, in order."""
    points = network.encoder.freeze_points()
    return tuple(point for point in points if not any(point.startswith(other + ".") for other in points))


def _read(unfreeze: Mapping[str, Any]) -> tuple[str, int]:
    """Layer and epoch."""
    if not {"layer", "epoch"} <= unfreeze.keys() <= {"layer", "epoch", "lr"}:
        raise InputError(f"scenario.unfreeze has {', '.join(unfreeze) or 'nothing'}", "it has layer and epoch, and may have lr")
    layer, epoch, lr = unfreeze["layer"], unfreeze["epoch"], unfreeze.get("lr")
    if layer is None or layer == "none":
        raise InputError(f"scenario.unfreeze.layer is {layer}; it is the first layer that trains, or all", "all frees the whole encoder")
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 1:
        raise InputError(f"scenario.unfreeze.epoch is {epoch}; it is a whole number from 1 on", "epochs are counted from 1")
    if lr is not None and not (isinstance(lr, int | float) and 0 < lr < math.inf):
        raise InputError(f"scenario.unfreeze.lr is {lr}; it is above 0", "leave it out for that of the optimizer")
    return str(layer), epoch


def _points_hint(freeze: str, points: Sequence[str]) -> str:
    """A near match, then the points of the outer levels in order: all of a deep network would fill the screen."""
    near = get_close_matches(freeze, points, n=1)
    shown = [point for point in points if point.count(".") < 2] if len(points) > 30 else list(points)
    below = "" if len(shown) == len(points) else " (and inside: " + ", ".join(points[-4:-2]) + ", …)"
    return (f"did you mean '{near[0]}'? " if near else "") + f"freeze points in order: none, {', '.join(shown)}{below}, all"
