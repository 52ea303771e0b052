"""Hand-made stage graphs for the tests of both engines."""

import hashlib
import json
from typing import Any

from tlimb.stages.graph import Rank, Run, Stage, StageGraph, Variant


def stage(
    kind: str,
    name: str,
    parents: tuple[Stage, ...] = (),
    *,
    epochs: int = 2,
    lr: float = 0.001,
    title: str = "A title",
    devices: int = 1,
) -> Stage:
    """A stage whose digest is derived from everything but its title."""
    config: dict[str, Any] = {
        "tlimb": 1,
        "kind": kind,
        "name": name,
        "digest": "",
        "seed": 0,
        "parents": [
            {"role": "data" if parent.kind == "prepare" else "weights", "name": parent.name, "digest": parent.digest} for parent in parents
        ],
    }
    if kind == "prepare":
        config["dataset"] = {"name": name, "fingerprint": "f0"}
    else:
        config["targets"] = [
            {
                "name": "sex",
                "dataset": "ukb",
                "part": None,
                "label": "sex",
                "kind": "category",
                "unit": None,
                "classes": ["F", "M"],
                "weight": 1.0,
            }
        ]
        config["architecture"] = {
            "class_path": "tlimb.components.architectures.ResNet",
            "init_args": {"depth": 18, "spatial_dims": 2, "in_channels": 1},
        }
    if kind == "fit":
        optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": lr}}
        config["scenario"] = {
            "class_path": "tlimb.components.scenarios.Supervised",
            "init_args": {"monitor": "val.auroc", "freeze": "layer4", "optimizer": optimizer},
        }
        config["trainer"] = {"class_path": "lightning.Trainer", "init_args": {"max_epochs": epochs}}
        if devices > 1:
            config["trainer"]["init_args"] |= {"devices": devices, "strategy": "ddp"}
    digest = hashlib.sha256(json.dumps(config | {"name": ""}).encode()).hexdigest()[:16]
    config["digest"] = digest
    config["about"] = {"recipe": "small", "title": title}
    return Stage(digest=digest, name=name, kind=kind, parents=tuple(parent.digest for parent in parents), config=config)  # type: ignore[arg-type]


def graph(*stages: Stage, recipe: str = "small", about: dict[str, Any] | None = None) -> StageGraph:
    """The stages as a graph with one variant."""
    run = Run(seed=0, stages={stage.name: stage.digest for stage in stages}, leaves=(stages[-1].name,))
    variant = Variant(id="v1", settings={}, runs=(run,), stages=tuple(stage.digest for stage in stages))
    return StageGraph(
        recipe=recipe,
        text="pretrain resnet18 on ukb.age\n",
        about=about or {},
        rank=Rank("val.auroc", "max"),
        variants=(variant,),
        stages=stages,
    )


def sweep(variants: int = 2, *, lr: float = 0.001, title: str = "A title") -> StageGraph:
    """Two data sets, a pre-training and a fine-tuning per variant, and an evaluation of each on the other data set."""
    ukb, hcp = stage("prepare", "ukb", title=title), stage("prepare", "hcp", title=title)
    stages = [ukb, hcp]
    for number in range(variants):
        pretrain = stage("fit", "pretrain", (ukb,), lr=lr + number, title=title)
        finetune = stage("fit", "finetune", (ukb, pretrain), lr=lr + number, title=title)
        stages += [pretrain, finetune, stage("evaluate", "evaluate", (hcp, finetune), title=title)]
    return graph(*stages, about={"title": title})
