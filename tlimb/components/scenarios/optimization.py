"""Optimizer and schedule by class path: groups of parameters, each with its learning rate."""

import importlib
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from tlimb.components.contracts import Config, Network
from tlimb.components.scenarios.freezing import outermost
from tlimb.errors import InputError

_BY_STEP = ("OneCycleLR", "CyclicLR")
_PEAKS = {"max_lr", "base_lr"}
_NEVER_DECAYED = re.compile(r"pos(ition)?_?embed|position_bias|(cls|mask)_?token|log_?var|(^|\.)position$")


def build_optimizer(
    config: Config, module: nn.Module, *, rates: Mapping[nn.Parameter, float] | None = None, later: Collection[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimizer over all parameters that train at some time.

    They are in groups from the start, since groups that are added later cannot be resumed; a parameter without a gradient stays as it is
    and gets its state with its first gradient. Biases, norms and logarithms of variances (at most one axis), embeddings of positions and
    tokens get no weight decay. The first group has the optimizer's own learning rate.

    Args:
        config: {class_path, init_args}.
        module: Whose parameters with `requires_grad` train.
        rates: Learning rates of parameters that do not have the optimizer's own.
        later: Parameters that will train, but have no gradient yet.

    Raises:
        InputError: an argument is out of its range.
    """
    cls, arguments = _class(config), dict(config.get("init_args") or {})
    rates, coming = rates or {}, set(later)
    known = inspect.signature(cls).parameters
    decay = "weight_decay" in known
    found: dict[tuple[float | None, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad or parameter in coming:
            light = decay and (parameter.ndim <= 1 or bool(_NEVER_DECAYED.search(name)))
            found.setdefault((rates.get(parameter), light), []).append(parameter)
    groups = [
        {"params": found[rate, light], **({} if rate is None else {"lr": rate}), **({"weight_decay": 0.0} if light else {})}
        for rate, light in sorted(found, key=lambda key: (key[0] is not None, key[1]))
    ]
    on_cpu = all(parameter.device.type == "cpu" for members in found.values() for parameter in members)
    if on_cpu and "fused" in known and "foreach" not in arguments:
        # On a CPU the default is a loop over parameters. On a GPU it is not, and fused steps forbid clipping gradients of fp16.
        arguments.setdefault("fused", True)
    try:
        optimizer: torch.optim.Optimizer = cls(groups, **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"scenario.optimizer: {error}", f"arguments of {config['class_path']}: {_arguments(cls)}") from None
    return optimizer


def learning_rates(config: Config, network: Network, *, encoder_lr: float, layer_decay: float) -> dict[nn.Parameter, float]:
    """Learning rates of the encoder's parameters where they are not the optimizer's own.

    lr * encoder_lr * layer_decay ** d, with d = 1 for what is registered from the last of the encoder's outermost freeze points on, 2 for
    the point before it, and so on: discriminative fine-tuning (Howard & Ruder 2018).

    Args:
        config: Of the optimizer.
        network: Encoder and heads.
        encoder_lr: Factor for the whole encoder.
        layer_decay: Factor for each level.
    """
    if encoder_lr == 1 and layer_decay == 1:
        return {}
    points = outermost(network)
    lr, level, rates = base_rate(config), 0, {}
    for name, parameter in network.get_submodule("encoder").named_parameters():
        # What belongs to no point, such as a token, goes with the point before it.
        level = next((number for number, point in enumerate(points) if name.startswith(point + ".")), level)
        rates[parameter] = lr * encoder_lr * layer_decay ** (len(points) - level)
    return rates


def base_rate(config: Config) -> float:
    """The optimizer's own learning rate.

    Raises:
        InputError: it has none.
    """
    default = getattr(inspect.signature(_class(config)).parameters.get("lr"), "default", None)
    lr = (config.get("init_args") or {}).get("lr", default)
    if isinstance(lr, bool) or not isinstance(lr, int | float):
        raise InputError(f"scenario.optimizer: {config['class_path']} has no learning rate", "give scenario.optimizer.lr")
    return float(lr)


def build_schedule(config: Config, optimizer: torch.optim.Optimizer, *, epochs: int, steps: int, monitor: str, mode: str) -> dict[str, Any]:
    """The schedule as Lightning wants it: `T_max` is all epochs and `total_steps` all steps unless they are given.

    Rates that it sets itself (`max_lr`, `base_lr`) are those of the optimizer's own rate; other groups get their share.

    Raises:
        InputError: an argument is out of its range or absent.
    """
    cls, arguments = _class(config), dict(config.get("init_args") or {})
    known = inspect.signature(cls).parameters
    if "T_max" in known:
        arguments.setdefault("T_max", epochs)
    if "total_steps" in known and "epochs" not in arguments:
        arguments.setdefault("total_steps", steps)
    for name in _PEAKS & arguments.keys() & known.keys():
        if isinstance(arguments[name], int | float):
            own = optimizer.defaults["lr"]
            arguments[name] = [arguments[name] * (group["lr"] / own) for group in optimizer.param_groups]
    plateau = issubclass(cls, torch.optim.lr_scheduler.ReduceLROnPlateau)
    if plateau:
        arguments.setdefault("mode", mode)
    try:
        schedule = cls(optimizer, **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"scenario.schedule: {error}", f"arguments of {config['class_path']}: {_arguments(cls)}") from None
    interval = "step" if cls.__name__ in _BY_STEP else "epoch"
    return {"scheduler": schedule, "interval": interval, "frequency": 1, **({"monitor": monitor} if plateau else {})}


def _class(config: Config) -> Any:
    module, _, name = str(config["class_path"]).rpartition(".")
    return getattr(importlib.import_module(module), name)


def _arguments(cls: Any) -> str:
    return ", ".join(name for name in inspect.signature(cls).parameters if name not in ("params", "optimizer"))
