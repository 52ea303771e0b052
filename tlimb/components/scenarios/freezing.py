"""What `freeze` means: which parameters stay as they are, and which modules stay in eval mode."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn

from tlimb.components.contracts import Network
from tlimb.errors import InputError


@dataclass(frozen=True, slots=True)
class Frozen:
    """The frozen part of a network.

    Attributes:
        parameters: Get no gradient and no optimizer state.
        modules: Stay in eval mode: running statistics of BatchNorm move in training mode even where nothing has a gradient.
    """

    parameters: tuple[nn.Parameter, ...] = ()
    modules: tuple[nn.Module, ...] = ()


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


def _points_hint(freeze: str, points: Sequence[str]) -> str:
    """A near match, then the points of the outer levels in order: all of a deep network would fill the screen."""
    near = get_close_matches(freeze, points, n=1)
    shown = [point for point in points if point.count(".") < 2] if len(points) > 30 else list(points)
    below = "" if len(shown) == len(points) else " (and inside: " + ", ".join(points[-4:-2]) + ", …)"
    return (f"did you mean '{near[0]}'? " if near else "") + f"freeze points in order: none, {', '.join(shown)}{below}, all"
