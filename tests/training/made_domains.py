"""Prepared data sets of made-up images, as a store holds them: 16 x 16 discs (F) and rings (M), whose radius tells age."""

import csv
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from conftest import SEX, stage
from numpy.typing import NDArray
from torch import Tensor, nn

from tlimb.components.data.batches import Batches
from tlimb.components.data.prepared import COLUMNS
from tlimb.train.stage import run_stage

Labels = Mapping[str, Sequence[Any]]
TERMS = "tlimb.components.objectives"
SCENARIOS = "tlimb.components.scenarios"


def discs(seed: int, count: int, *, gain: float = 1.0, bias: float = 0.0, noise: float = 0.3) -> tuple[NDArray[np.float32], Labels]:
    """Images (N, 1, 16, 16) as a scanner with that gain, additive bias and noise sees them, and their labels."""
    random = np.random.default_rng(seed)
    sex, age = random.integers(0, 2, count), random.uniform(20, 80, count)
    y, x = np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 16), indexing="ij")
    shift = random.uniform(-0.15, 0.15, (2, count, 1, 1))
    distance = np.hypot(y - shift[0], x - shift[1])
    radius = (0.5 + age / 300)[:, None, None]
    inside = (distance < radius) & ((sex == 0)[:, None, None] | (distance > 0.35))
    images = gain * inside + bias + noise * random.standard_normal(inside.shape)
    return images[:, None].astype(np.float32), {"age": age.round(1).tolist(), "sex": ["FM"[index] for index in sex]}


def prepare(store: Path, name: str, images: NDArray[np.float32], labels: Labels) -> dict[str, str]:
    """Write a finished stage of kind prepare into a store; returns its entry in `parents`."""
    digest = f"data-{name}"
    folder = store / digest
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    people = [f"p{number:03}" for number in range(len(images))]
    with (folder / "index.csv").open("w", newline="") as file:
        index = csv.writer(file)
        index.writerow([*COLUMNS, *labels])
        for row, person in enumerate(people):
            index.writerow([row, person, "", "", person, "", 1000 + row, *(values[row] for values in labels.values())])
    known = {"age": {"kind": "number", "unit": "years", "classes": None}, "sex": {"kind": "category", "unit": None, "classes": ["F", "M"]}}
    document = {
        "format": 1,
        "dataset": name,
        "shape": list(images.shape[2:]),
        "channels": images.shape[1],
        "spatial_dims": images.ndim - 2,
        "spacing_mm": None,
        "labels": {label: known[label] for label in labels},
        "participants": {person: person for person in people},
        "bad": [],
        "without_image": 0,
    }
    (folder / "prepared.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps({"format": 1, "digest": digest, "kind": "prepare"}))
    return {"role": "data", "name": name, "digest": digest}


def learning(
    scenario: str,
    *auxiliaries: tuple[str, Mapping[str, Any]],
    targets: Sequence[Mapping[str, Any]] = (SEX,),
    unlabelled: bool = True,
    arguments: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A stage that learns from the data set `source` and, without labels, from `target`; `changes` as of `stage`."""
    config = stage(*(targets or [SEX]), **changes)
    config["data"] = {"class_path": "tlimb.components.data.SliceDataModule", "init_args": {"batch_size": 8}}
    config["targets"] = [{**target, "dataset": "source"} for target in targets]
    config["split"] = {name: {"parts": [], "val": 0.25, "test": 0.25, "seed": 0} for name in ("source", "target")}
    config["parents"] = [{"role": "data", "name": name, "digest": f"data-{name}"} for name in ("source", "target")]
    config["scenario"]["class_path"] = f"{SCENARIOS}.{scenario}"
    config["scenario"]["init_args"] |= arguments or {}
    if not targets:
        del config["objective"]
        config["scenario"]["init_args"]["monitor"] = "val.loss"
    if unlabelled:
        config["unlabelled"] = [{"dataset": "target", "part": None}]
    else:
        config["split"], config["parents"] = {"source": config["split"]["source"]}, config["parents"][:1]
    if auxiliaries:
        config["auxiliaries"] = {name.lower(): {"class_path": f"{TERMS}.{name}", "init_args": dict(args)} for name, args in auxiliaries}
    return config


def run_and_die(path: Path, out: Path, epoch: int, number: int) -> None:
    """Run a stage in this process, which ends by force when the batch of that number (from 0) of an epoch (from 0) is read."""
    read = Batches.__iter__

    def dying(self: Batches) -> Any:
        for index, batch in enumerate(read(self)):
            if self.train and (self.epoch, index) == (epoch, number):
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    Batches.__iter__ = dying  # type: ignore[method-assign]
    run_stage(path, out)


class Noise:
    """An augmentation that draws from the global generator.

    Args:
        sd: Of the noise.
    """

    weak: ClassVar[bool] = False

    def __init__(self, sd: float = 0.1) -> None:
        self.sd = sd

    def __call__(self, image: Tensor) -> Tensor:
        return image + self.sd * torch.randn_like(image)


class Plain(nn.Module):
    """An encoder in which each image is on its own: no BatchNorm."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 4, 5, stride=2, padding=2)
        self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.feature_dim, self.dropout = 8, 0.0

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = torch.relu(self.second(torch.relu(self.first(image)))).mean(dim=(2, 3))
        return features

    def freeze_points(self) -> list[str]:
        return ["first", "second"]
