"""Short keys of the language and the config paths they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """A short key: `path` is a dotted config path, class_path/init_args levels left out."""

    word: str
    path: str
    help: str
    transfers: bool = False
    """Whether it only means something where a stage starts from another one's weights."""


_KEYS = (
    Key("lr", "scenario.optimizer.lr", "learning rate"),
    Key(
        "batch",
        "data.batch_size",
        "images per training step of a device; auto: as many as a GPU has memory for, at least 8 steps an epoch; 16 on a CPU",
    ),
    Key("epochs", "trainer.max_epochs", "passes over the training subjects"),
    Key("seed", "seed", "where every random number of the stage comes from"),
    Key("weight_decay", "scenario.optimizer.weight_decay", "decay of weights (never of biases and norms)"),
    Key("dropout", "architecture.dropout", "dropout on the features before the heads"),
    Key("freeze", "scenario.freeze", "everything before this layer stays as it is", transfers=True),
    Key("elastic", "auxiliaries.elastic.alpha", "strength of the pull towards the weights the stage starts from (L2-SP)", transfers=True),
    Key("optimizer", "scenario.optimizer", "optimizer, e.g. adamw, sgd(momentum=0.9)"),
    Key("schedule", "scenario.schedule", "learning-rate schedule, e.g. cosine"),
    Key("patience", "scenario.patience", "epochs without improvement of the monitored metric before training stops"),
    Key(
        "precision",
        "trainer.precision",
        'number format: 32, bf16 (mixed), 16 (mixed, GPUs only), 64, or one of Lightning in quotes, e.g. "bf16-true"',
    ),
    Key("devices", "trainer.devices", "number of devices of one stage"),
    Key("strategy", "trainer.strategy", "how several devices share the work, e.g. ddp"),
    Key("channels_last", "compute.channels_last", "whether images and weights have their channels last in memory; equal to rounding"),
    Key("compile", "compute.compile", "whether, and by which backend, torch.compile compiles the encoder; equal to rounding"),
    Key("workers", "data.num_workers", "loader processes (0 is fastest for prepared arrays)"),
    Key("architecture", "architecture", "the network, e.g. resnet18"),
    Key("method", "scenario", "the method of training"),
    Key("n", "data.n", "number of training subjects"),
)

KEYS = {key.word: key for key in _KEYS}

SECTIONS = ("data", "architecture", "objective", "auxiliaries", "scenario", "trainer", "compute", "split", "seed", "weights")
"""Where a dotted config path may start."""

DEFAULTS: Mapping[str, Any] = {
    "data": "crop_center",
    "scenario.optimizer": "adamw",
    "scenario.optimizer.lr": 0.001,
    "scenario.optimizer.weight_decay": 0.01,
    "trainer.max_epochs": 10,
    "seed": 0,
}
"""What a stage has at a config path where a recipe says nothing; at all others it has the default of the component's parameter."""

KIND_AT = {
    "architecture": "architecture",
    "objective": "objective",
    "scenario": "method",
    "scenario.optimizer": "optimizer",
    "scenario.schedule": "schedule",
    "trainer.logger": "logger",
}
"""Paths whose value is itself a component, and the kind its word is looked up in."""


def kind_at(path: str) -> str | None:
    """The kind of component that stands at a path; None where none does."""
    return KIND_AT.get(path, "auxiliary" if path.startswith("auxiliaries.") and path.count(".") == 1 else None)


@cache
def full_path(path: str) -> str:
    """The config path that a short key or a dotted path stands for; ``init_args`` levels may be written or left out."""
    path = ".".join(piece for piece in path.split(".") if piece != "init_args")
    head, _, rest = path.partition(".")
    if head in SECTIONS or head not in KEYS:
        return path if head not in KEYS or rest or head in ("seed",) else KEYS[head].path
    return KEYS[head].path + (f".{rest}" if rest else "")


@cache
def applies(path: str, *, trains: bool, has_weights: bool, from_file: bool = False) -> bool:
    """Whether a stage has the setting at a full path.

    A stage that trains nothing has data, devices and a seed; one that starts from another stage's weights has its architecture, while a
    file may not say what its is; freezing and elastic penalties need weights to start from.
    """
    section = path.split(".", 1)[0]
    if any(key.transfers and key.path == path for key in KEYS.values()) or path.startswith("auxiliaries.elastic"):
        return trains and has_weights
    if section == "weights":
        return from_file
    if section == "architecture":
        return from_file or (trains and not has_weights)
    if not trains:
        return (section in ("data", "compute", "split", "seed") and path != "data.n") or path in EVALUATION_TRAINER
    return True


EVALUATION_TRAINER = ("trainer.accelerator", "trainer.devices", "trainer.precision")
"""Fields of the Trainer that matter where nothing is trained."""
