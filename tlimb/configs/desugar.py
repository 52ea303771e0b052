"""One step of a recipe -> its stage config: defaults, then the recipe's settings, then what follows from the data."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tlimb.catalogue.keys import DEFAULTS, full_path
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import DEFAULT
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.tables import Label
from tlimb.configs.components import assign, converted, copied, instantiate
from tlimb.errors import Span
from tlimb.recipe.tree import Component, Target
from tlimb.stages.plan import Setting, Step

FORMAT = 1
DEFAULT_DATA = Component(DEFAULTS["data"], (), Span(0, 0), Span(0, 0))
AUGMENT = ("flip", "affine", "gamma", "noise", "cutout")
SERIES_AUGMENT = ("noise", "cutout")
"""What makes views of an image, or of time series, where a method needs them and the recipe does not say."""
ELASTIC = "tlimb.components.objectives.ElasticPenalty"
STATISTICS_ONLY = "tlimb.components.scenarios.AdaptiveBatchNorm"
PER_EPOCH = {"torch.optim.lr_scheduler.CosineAnnealingLR": "T_max", "torch.optim.lr_scheduler.LinearLR": "total_iters"}
"""Schedules that last as long as the training unless told otherwise, and the argument that says how long."""

RATES = "scenario.optimizer."
"""Numbers under this path stand in the config as they are, and nothing else follows from them but whether they are given."""

Config = dict[str, Any]


def prepare_config(step: Step, dataset: Dataset, catalogue: Catalogue, settings: Iterable[Setting]) -> Config:
    """The stage that decodes a data set once for the DataModule of a step: only the arguments that shape the array."""
    data = data_config(step, catalogue, settings)
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
    first = {target["name"]: target for target in reversed(targets)}
    targets = [{**target, "classes": first[target["name"]]["classes"]} for target in targets]  # of one head, in one order
    unlabelled = [{"dataset": target.dataset, "part": target.part} for target in step.unlabelled]
    named = list(dict.fromkeys(str(item["dataset"]) for item in (*targets, *unlabelled)))
    data = data_config(step, catalogue, settings)
    config: Config = {
        "tlimb": FORMAT,
        "kind": "fit" if step.verb.trains else "evaluate",
        "name": step.name,
        "seed": 0,
        "parents": parents,
        "targets": targets,
        **({"unlabelled": unlabelled} if unlabelled else {}),
        "split": {name: copied(splits[name]) for name in named},
        "data": data,
        "architecture": _architecture(step, catalogue, data, datasets[named[0]], parent),
    }
    if step.verb.trains:
        if targets:
            config["objective"] = _objective(targets)
        config |= _method(step, settings, catalogue)
        config["scenario"]["init_args"] |= {"monitor": monitor(targets), "optimizer": _optimizer(catalogue)}
        _continue_heads(config, step, parent)
    config["trainer"] = {
        "class_path": "lightning.Trainer",
        "init_args": {"max_epochs": DEFAULTS["trainer.max_epochs"]} if step.verb.trains else {},
    }
    # A component replaces its arguments, so it comes before the settings of single fields.
    for path, value in sorted(settings, key=lambda setting: setting[0].count(".")):
        apply(config, path, converted(catalogue, path, value))
    config["seed"] += seed
    _finish(config, {path for path, _ in settings}, catalogue)
    _finish_statistics(config, step)
    config["about"] = dict(about)
    return config


def with_rates(config: Config, rates: Mapping[str, Any], parents: Sequence[Mapping[str, Any]]) -> Config:
    """The config of a stage that differs in numbers of its optimizer and in its parents; it shares everything else.

    Args:
        config: Of a stage of the same step, with other numbers at the same paths.
        rates: By full path, below `RATES`.
        parents: As `stage_config` takes them.
    """
    arguments = config["scenario"]["init_args"]
    given = {path.removeprefix(RATES): value for path, value in rates.items()}
    optimizer = {**arguments["optimizer"], "init_args": {**arguments["optimizer"]["init_args"], **given}}
    heads = {entry["role"]: {"heads": entry["heads"]} for entry in config["parents"] if "heads" in entry}
    return {
        **config,
        "parents": [{**entry, **heads.get(entry["role"], {})} for entry in parents],
        "scenario": {**config["scenario"], "init_args": {**arguments, "optimizer": optimizer}},
    }


def apply(config: Config, path: str, value: Any) -> None:
    """Give a stage's config one of its settings."""
    if path.startswith("weights.") or path == "scenario":
        return  # of the stage that reads the file, and chosen before
    section, _, rest = path.partition(".")
    if section == "objective" and section not in config:
        return  # a stage without labels
    if section == "auxiliaries" and not isinstance(value, Mapping):
        term = rest.partition(".")[0]
        if term != "elastic" and term not in config.get(section, {}):
            return  # another stage has that term
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


def monitor(targets: Sequence[Mapping[str, Any]]) -> str:
    """The validation metric of a stage with these targets that its best epoch is chosen by; its loss where it has no targets."""
    if not targets:
        return "val.loss"
    metric = DEFAULT[targets[0]["kind"]]
    return f"val.{metric}" if len({target["name"] for target in targets}) == 1 else f"val.{targets[0]['name']}.{metric}"


def _method(step: Step, settings: Iterable[Setting], catalogue: Catalogue) -> Config:
    """The scenario, and the auxiliary term that a method brings: its arguments go to the one that has them."""
    chosen = [value for path, value in settings if path == "scenario" and isinstance(value, Component)]
    if step.method is None:  # a method of the catalogue is for statements with `via`, a scenario of the user's own for any
        chosen = [value for value in chosen if "." in value.name]
    method = chosen[-1] if chosen else step.method
    if method is None:
        entry = catalogue.components["scenario", step.verb.scenario or ""]
        return {"scenario": {"class_path": entry.class_path, "init_args": dict(entry.arguments)}}
    found = catalogue.find("method", method.name)
    config = instantiate(catalogue, "method", method)
    if found is None or found.auxiliary is None:
        return {"scenario": config}
    of_term = {parameter.name for parameter in catalogue.parameters(found.auxiliary) or ()}
    given = config["init_args"]
    term = {"class_path": found.auxiliary, "init_args": {name: value for name, value in given.items() if name in of_term}}
    scenario = {**config, "init_args": {name: value for name, value in given.items() if name not in of_term}}
    return {"auxiliaries": {found.word.rpartition(".")[2]: term}, "scenario": scenario}


def _optimizer(catalogue: Catalogue) -> Config:
    """The optimizer of a stage whose recipe names none."""
    prefix = "scenario.optimizer"
    given = {path.removeprefix(f"{prefix}."): value for path, value in DEFAULTS.items() if path.startswith(f"{prefix}.")}
    return {"class_path": catalogue.components["optimizer", DEFAULTS[prefix]].class_path, "init_args": given}


def _continue_heads(config: Config, step: Step, parent: Mapping[str, Any] | None) -> None:
    """A stage that goes on with the same task on other images keeps the heads that mean the same."""
    if parent is None or not step.verb.keeps_heads:
        return
    known = {target["name"]: (target["kind"], target["classes"]) for target in parent["targets"]}
    heads = [target["name"] for target in config["targets"] if known.get(target["name"]) == (target["kind"], target["classes"])]
    if heads:
        config["parents"] = [{**entry, "heads": heads} if entry["role"] == "weights" else entry for entry in config["parents"]]


def _finish(config: Config, given: Collection[str], catalogue: Catalogue) -> None:
    """What follows from the other settings."""
    _finish_elastic(config, given)
    _finish_method(config, catalogue)
    _finish_compute(config)
    scenario = config.get("scenario", {}).get("init_args", {})
    schedule = scenario.get("schedule")
    if schedule and (argument := PER_EPOCH.get(schedule["class_path"])):
        schedule["init_args"].setdefault(argument, config["trainer"]["init_args"]["max_epochs"])
    if scenario.get("freeze", "") is None:
        del scenario["freeze"]


def _finish_elastic(config: Config, given: Collection[str]) -> None:
    """The pull towards the start weights; weight decay would pull to zero at the same time."""
    term = config.get("auxiliaries", {}).get("elastic")
    if term is None or "class_path" in term:
        return
    if term.get("alpha") is None:
        del config["auxiliaries"]["elastic"]
        return
    config["auxiliaries"]["elastic"] = {"class_path": ELASTIC, "init_args": term}
    if not {"scenario.optimizer", "scenario.optimizer.weight_decay"} & set(given):
        config["scenario"]["init_args"]["optimizer"]["init_args"]["weight_decay"] = 0.0


def _finish_method(config: Config, catalogue: Catalogue) -> None:
    """Augmentations where a method compares views of an image."""
    views = max((catalogue.views(term["class_path"]) for term in config.get("auxiliaries", {}).values()), key=len, default=())
    if len(views) > 1 and "augment" not in config["data"]["init_args"]:
        module = catalogue.find("data", config["data"]["class_path"])
        dims = module.spatial_dims if module else None
        words = [Component(word, (), Span(0, 0), Span(0, 0)) for word in (SERIES_AUGMENT if dims == 1 else AUGMENT)]
        config["data"]["init_args"]["augment"] = [instantiate(catalogue, "augmentation", word) for word in words]


def _finish_compute(config: Config) -> None:
    """Only what is not as usual, under one name: the stage is the same with and without a setting at its default."""
    given = {name: "inductor" if name == "compile" and value is True else value for name, value in config.pop("compute", {}).items()}
    if kept := {name: value for name, value in given.items() if value not in (None, False)}:
        config["compute"] = dict(sorted(kept.items()))


def _finish_statistics(config: Config, step: Step) -> None:
    """No epochs where only the statistics of a trained network are to change, unless the statement itself asks for some."""
    continued = {head for parent in config["parents"] for head in parent.get("heads", ())}
    trained = {target["name"] for target in config["targets"]} <= continued
    here = step.statement.clause("with")
    given = {full_path(argument.key) for argument in here.payload} if here else set()  # type: ignore[union-attr]
    if trained and "trainer.max_epochs" not in given and config.get("scenario", {}).get("class_path") == STATISTICS_ONLY:
        config["trainer"]["init_args"]["max_epochs"] = 0


def data_config(step: Step, catalogue: Catalogue, settings: Iterable[Setting]) -> Config:
    """The DataModule of a step, as its settings make it."""
    config = {"data": instantiate(catalogue, "data", step.data or DEFAULT_DATA)}
    if step.augment:
        config["data"]["init_args"]["augment"] = [instantiate(catalogue, "augmentation", component) for component in step.augment]
    for path, value in settings:
        if path.startswith("data."):
            assign(config, path, converted(catalogue, path, value))
    return config["data"]


def _architecture(step: Step, catalogue: Catalogue, data: Config, dataset: Dataset, parent: Mapping[str, Any] | None) -> Config:
    if parent is not None:
        continued: Config = copied(parent["architecture"])
        return continued
    assert step.architecture is not None
    return fitted_to_data(instantiate(catalogue, "architecture", step.architecture), catalogue, data, dataset)


def fitted_to_data(config: Config, catalogue: Catalogue, data: Config, dataset: Dataset) -> Config:
    """An architecture with the channels and dimensions of the data, where it takes them and does not say otherwise."""
    entry = catalogue.find("data", data["class_path"])
    inferred: dict[str, Any] = {"in_channels": dataset.channels} if entry is None or entry.one_channel else {}
    if entry and entry.spatial_dims:
        inferred["spatial_dims"] = entry.spatial_dims
    known = catalogue.parameters(config["class_path"])
    names = {parameter.name for parameter in known} if known else set()
    return {**config, "init_args": {**{key: value for key, value in inferred.items() if key in names}, **config["init_args"]}}


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
    if len({target["name"] for target in targets}) > 1:
        return {"class_path": f"{module}.MultitaskObjective", "init_args": {"weights": {t["name"]: t["weight"] for t in targets}}}
    name = "RegressionObjective" if targets[0]["kind"] == "number" else "ClassificationObjective"
    return {"class_path": f"{module}.{name}", "init_args": {}}
