"""Small stages on made-up images; one thread, since tests fork processes and compare bits."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

torch.set_num_threads(1)

AGE = {"name": "age", "dataset": "made", "part": None, "label": "age", "kind": "number", "unit": "years", "classes": None, "weight": 1.0}
SEX = {
    "name": "sex",
    "dataset": "made",
    "part": None,
    "label": "sex",
    "kind": "category",
    "unit": None,
    "classes": ["F", "M"],
    "weight": 1.0,
}
_MODULE = "tlimb.components"


def stage(*targets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A fit of a few small epochs; `changes` are by dotted path with `__` for the dot, init_args left out."""
    several = len(targets) > 1
    kind = "Multitask" if several else "Regression" if targets[0]["kind"] == "number" else "Classification"
    metric = "mae" if targets[0]["kind"] == "number" else "cross_entropy"
    config: dict[str, Any] = {
        "tlimb": 1,
        "kind": "fit",
        "name": "fit",
        "digest": "",
        "seed": 3,
        "parents": [],
        "targets": copy.deepcopy(list(targets)),
        "split": {"made": {"parts": [], "val": 0.2, "test": 0.2, "seed": 0}},
        "data": {"class_path": "made_data.MadeDataModule", "init_args": {"batch_size": 8}},
        "architecture": {
            "class_path": f"{_MODULE}.architectures.ResNet",
            "init_args": {"depth": 10, "widen_factor": 0.125, "dropout": 0.2},
        },
        "objective": {"class_path": f"{_MODULE}.objectives.{kind}Objective", "init_args": {}},
        "scenario": {
            "class_path": f"{_MODULE}.scenarios.Supervised",
            "init_args": {
                "monitor": f"val.{targets[0]['name']}.{metric}" if several else f"val.{metric}",
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.01}},
            },
        },
        "trainer": {"class_path": "lightning.Trainer", "init_args": {"max_epochs": 3, "accelerator": "cpu"}},
    }
    for path, value in changes.items():
        place, *_ = [config]
        *above, name = path.split("__")
        for piece in above:
            place = place[piece]
            place = place.get("init_args", place)
        place[name] = value
    del config["digest"]
    return config


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a config to a file."""

    def write_config(config: dict[str, Any], name: str = "stage.yaml") -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return path

    return write_config
