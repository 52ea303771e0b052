"""Optimizer and schedule by class path, for parameters that train."""

import importlib
import inspect
from typing import Any

import torch
from torch import nn

from tlimb.components.contracts import Config
from tlimb.errors import InputError

_BY_STEP = ("OneCycleLR", "CyclicLR")


def build_optimizer(config: Config, module: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over the trainable parameters; biases and norms (one axis) get no weight decay.

    Raises:
        InputError: an argument is out of its range.
    """
    cls, arguments = _class(config), dict(config.get("init_args") or {})
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if "weight_decay" in inspect.signature(cls).parameters:
        flat = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups = [{"params": [parameter for parameter in parameters if parameter.ndim > 1]}, {"params": flat, "weight_decay": 0.0}]
    try:
        optimizer: torch.optim.Optimizer = cls([group for group in groups if group["params"]], **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"scenario.optimizer: {error}", f"arguments of {config['class_path']}: {_arguments(cls)}") from None
    return optimizer


def build_schedule(config: Config, optimizer: torch.optim.Optimizer, *, epochs: int, steps: int, monitor: str, mode: str) -> dict[str, Any]:
    """The schedule as Lightning wants it: `T_max` is all epochs and `total_steps` all steps unless they are given.

    Raises:
        InputError: an argument is out of its range or absent.
    """
    cls, arguments = _class(config), dict(config.get("init_args") or {})
    known = inspect.signature(cls).parameters
    if "T_max" in known:
        arguments.setdefault("T_max", epochs)
    if "total_steps" in known and "epochs" not in arguments:
        arguments.setdefault("total_steps", steps)
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
