"""One step of a recipe -> its stage config: defaults, then the recipe's settings, then what follows from the data."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import DEFAULT
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.tables import Label
from tlimb.configs.components import assign, converted, instantiate
from tlimb.errors import Span
from tlimb.recipe.tree import Component, Target
from tlimb.stages.plan import Setting, Step

FORMAT = 1
DEFAULT_DATA = Component("crop_center", (), Span(0, 0), Span(0, 0))
OPTIMIZER = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.001, "weight_decay": 0.01}}
EPOCHS = 10
PER_EPOCH = {"torch.optim.lr_scheduler.CosineAnnealingLR": "T_max", "torch.optim.lr_scheduler.LinearLR": "total_iters"}
"""Schedules that last as long as the training unless told otherwise, and the argument that says how long."""

Config = dict[str, Any]


def prepare_config(step: Step, dataset: Dataset, catalogue: Catalogue, settings: Iterable[Setting]) -> Config:
    """The stage that decodes a data set once for the DataModule of a step: only the arguments that shape the array."""
    data = _data(step, catalogue, settings)
    loading = catalogue.loading(data["class_path"])
    data["init_args"] = {key: value for key, value in data["init_args"].items() if key not in loading}
    return {
        "tlimb": FORMAT,
        "kind": "prepare",
        "name": dataset.name,
        "seed": 0,
        "parents": [],
        "dataset": {"name": dataset.name, "fingerprint": dataset.listing().fingerprint},
        "data": data,
    }


def stage_config(
    step: Step,
    settings: tuple[Setting, ...],
    seed: int,
    *,
    catalogue: Catalogue,
    datasets: Mapping[str, Dataset],
    splits: Mapping[str, Mapping[str, Any]],
    parents: list[dict[str, str]],
    parent: Mapping[str, Any] | None,
    about: Mapping[str, Any],
) -> Config:
    """The config of a training or evaluating step.

    Args:
        settings: The step's settings and the sweep's, the last one wins.
        seed: Added to the step's own seed: the number of the repetition.
        parents: The `parents` entry of the stage.
        parent: Config of the stage whose network it continues, or None.
    """
    targets = [_target(target, datasets[target.dataset].labels[target.label]) for target in _labelled(step, datasets, parent)]
    data = _data(step, catalogue, settings)
    config: Config = {
        "tlimb": FORMAT,
        "kind": "fit" if step.verb.trains else "evaluate",
        "name": step.name,
        "seed": 0,
        "parents": parents,
        "targets": targets,
        "split": {name: copy.deepcopy(splits[name]) for name in dict.fromkeys(target["dataset"] for target in targets)},
        "data": data,
        "architecture": _architecture(step, catalogue, data, datasets[targets[0]["dataset"]], parent),
    }
    if step.verb.trains:
        config["objective"] = _objective(targets)
        monitor = DEFAULT[targets[0]["kind"]]
        scenario = catalogue.components["scenario", step.verb.scenario or ""]
        config["scenario"] = {
            "class_path": scenario.class_path,
            "init_args": {
                **scenario.arguments,
                "monitor": f"val.{monitor}" if len(targets) == 1 else f"val.{targets[0]['name']}.{monitor}",
                "optimizer": copy.deepcopy(OPTIMIZER),
            },
        }
    config["trainer"] = {"class_path": "lightning.Trainer", "init_args": {"max_epochs": EPOCHS} if step.verb.trains else {}}
    # A component replaces its arguments, so it comes before the settings of single fields.
    for path, value in sorted(settings, key=lambda setting: setting[0].count(".")):
        _apply(config, path, converted(catalogue, path, value), catalogue)
    config["seed"] += seed
    _finish(config)
    config["about"] = dict(about)
    return config


def _apply(config: Config, path: str, value: Any, catalogue: Catalogue) -> None:
    if path == "architecture":
        shared = {
            key: config["architecture"]["init_args"][key]
            for key in ("spatial_dims", "in_channels")
            if key in config["architecture"]["init_args"]
        }
        config["architecture"] = {**value, "init_args": {**value["init_args"], **shared}}
    elif path == "scenario.optimizer":
        lr = config["scenario"]["init_args"]["optimizer"]["init_args"]["lr"]
        assign(config, path, {**value, "init_args": {"lr": lr, **value["init_args"]}})
    elif path.startswith("split."):
        for split in config["split"].values():
            assign({"split": split}, path, value)
    elif path.startswith("scenario.schedule.") and not config["scenario"]["init_args"].get("schedule"):
        return
    else:
        assign(config, path, value)


def _finish(config: Config) -> None:
    """What follows from the other settings."""
    scenario = config.get("scenario", {}).get("init_args", {})
    schedule = scenario.get("schedule")
    if schedule and (argument := PER_EPOCH.get(schedule["class_path"])):
        schedule["init_args"].setdefault(argument, config["trainer"]["init_args"]["max_epochs"])
    if scenario.get("freeze", "") is None:
        del scenario["freeze"]


def _data(step: Step, catalogue: Catalogue, settings: Iterable[Setting]) -> Config:
    config = {"data": instantiate(catalogue, "data", step.data or DEFAULT_DATA)}
    if step.augment:
        config["data"]["init_args"]["augment"] = [instantiate(catalogue, "augmentation", component) for component in step.augment]
    for path, value in settings:
        if path.startswith("data."):
            assign(config, path, converted(catalogue, path, value))
    return config["data"]


def _architecture(step: Step, catalogue: Catalogue, data: Config, dataset: Dataset, parent: Mapping[str, Any] | None) -> Config:
    if parent is not None:
        return copy.deepcopy(dict(parent["architecture"]))
    assert step.architecture is not None
    config = instantiate(catalogue, "architecture", step.architecture)
    entry = next((c for c in catalogue.components.values() if c.kind == "data" and c.class_path == data["class_path"]), None)
    inferred: dict[str, Any] = {"in_channels": dataset.channels}
    if entry and entry.spatial_dims:
        inferred["spatial_dims"] = entry.spatial_dims
    known = catalogue.parameters(config["class_path"])
    names = {parameter.name for parameter in known} if known else set()
    config["init_args"] = {**{key: value for key, value in inferred.items() if key in names}, **config["init_args"]}
    return config


def _labelled(step: Step, datasets: Mapping[str, Dataset], parent: Mapping[str, Any] | None) -> list[Any]:
    """The targets with a label; an evaluation on a bare data set tests every head that the data set has a label for."""
    found: list[Target] = []
    heads = [target["name"] for target in parent["targets"]] if parent else []
    for target in step.targets:
        if target.label is not None:
            found.append(target)
        else:
            labels = [head for head in heads if head in datasets[target.dataset].labels]
            found.extend(
                Target(target.dataset, target.part, label, None, target.span, target.dataset_span, target.part_span, None)
                for label in labels
            )
    return found


def _target(target: Target, label: Label) -> dict[str, Any]:
    return {
        "name": target.label,
        "dataset": target.dataset,
        "part": target.part,
        "label": target.label,
        "kind": label.kind,
        "unit": label.unit,
        "classes": list(label.classes) if label.classes else None,
        "weight": 1.0 if target.weight is None else float(target.weight),
    }


def _objective(targets: list[dict[str, Any]]) -> Config:
    module = "tlimb.components.objectives"
    if len(targets) > 1:
        return {"class_path": f"{module}.MultitaskObjective", "init_args": {"weights": {t["name"]: t["weight"] for t in targets}}}
    name = "RegressionObjective" if targets[0]["kind"] == "number" else "ClassificationObjective"
    return {"class_path": f"{module}.{name}", "init_args": {}}
