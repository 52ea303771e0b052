"""The kinds fit and evaluate: connect data, network, objective and scenario, and let Lightning run them."""

import os
from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning import Callback
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger

from tlimb.components.contracts import Network, Objective, Term
from tlimb.components.scenarios import Inference, Supervised
from tlimb.components.scenarios.evaluation import Units
from tlimb.components.signatures import parameters_of
from tlimb.errors import InputError
from tlimb.train.callbacks import Continuation, HistoryLogger, Progress, Selection
from tlimb.train.config import arguments_of, component_class
from tlimb.train.folder import write_atomic
from tlimb.train.job import Job
from tlimb.train.network import WEIGHTS, build_network, fill_architecture, load_encoder, load_heads, read_weights, save_network
from tlimb.train.randomness import reseed
from tlimb.train.results import baselines, parameter_counts, predictions_csv

CHECKPOINT_S = 30.0
"""Time between two checkpoints; the variable TLIMB_CHECKPOINT_S says otherwise."""


def fit(job: Job) -> dict[str, Any]:
    """Train, choose the best epoch by validation, predict validation and test with it; returns what `results.json` says of it."""
    config, targets = job.config, job.config["targets"]
    module = _connected(job, targets)
    architecture = fill_architecture(config["architecture"], _facts(module))
    network = build_network(architecture, targets, module.train_statistics, config["seed"])
    for name, folder in job.parent("weights").items():
        stored, tensors = read_weights(folder / WEIGHTS)
        load_encoder(network, tensors, name, stored.get("absent", ()))
        load_heads(network, tensors, _continued(job, stored), name)
    scenario = _scenario(job, network, module)
    module.unlabelled_views = scenario.views
    counts = parameter_counts(network)

    description = {"architecture": architecture, "targets": targets, "input_shape": list(module.input_shape)}
    selection = Selection(job.partial, description)
    every_s = float(os.environ.get("TLIMB_CHECKPOINT_S", CHECKPOINT_S))
    continuation = Continuation(
        job.partial, digest=config["digest"], seed=config["seed"], stop=job.stop, selection=selection, every_s=every_s
    )
    history = HistoryLogger(job.partial / "history.csv", continuation.start)
    trainer = _trainer(job, [selection, continuation, Progress(job.event)], [history, *_loggers(job)])
    if trainer.max_epochs == 0:
        selection.keep(scenario.learned)
    else:
        _trained(job, trainer, scenario, module, selection)
    job.notes |= {"device": _device(trainer), "resumed_from": continuation.resumed_from}

    network.load_state_dict(read_weights(selection.file)[1])
    if scenario.finish(network, module.unlabelled_dataloader):
        save_network(network, selection.file, description)
    parts = []
    metrics: dict[str, float | None] = {}
    if targets:
        inference = Inference(network, module.unit)
        for part, loader in (("val", module.val_dataloader), ("test", module.test_dataloader)):
            units, values = _tested(trainer, inference, part, loader())
            parts.append(units)
            metrics |= values
    else:
        metrics["val.loss"] = selection.best
    write_atomic(job.partial / "predictions.csv", predictions_csv(network, parts))
    selection.file.replace(job.partial / WEIGHTS)
    return {
        "metrics": metrics,
        "monitor": scenario.monitor,
        "best_epoch": selection.epoch + 1,
        "epochs": history.epochs,
        "subjects": module.subjects,
        "parameters": counts,
        "baselines": baselines(targets, module.volumes, scenario.monitor),
    }


def _trained(job: Job, trainer: lightning.Trainer, scenario: Supervised, module: Any, selection: Selection) -> None:
    job.stop.deferred = True
    try:
        trainer.fit(scenario, datamodule=module)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "BatchNorm cannot train on batches of one image of this size",
            "give more training subjects (n), batch=2 or more, or larger images",
        ) from error
    finally:
        job.stop.deferred = False
    if selection.epoch < 0:
        raise InputError("no epoch was validated, so none can be chosen", "validate at least once: trainer.check_val_every_n_epoch=1")


def evaluate(job: Job) -> dict[str, Any]:
    """Test the weights of a parent on the test participants; returns what `results.json` says of it."""
    config = job.config
    parent = job.parent("weights")
    if len(parent) != 1:
        raise InputError(f"an evaluation has one parent of role weights, not {len(parent)}", "name the stage whose weights are tested")
    name, folder = next(iter(parent.items()))
    description, tensors = read_weights(folder / WEIGHTS)
    heads = {target["name"]: target for target in description["targets"]}
    targets = [_as_trained(target, heads, name) for target in config["targets"]]
    module = _connected(job, targets)
    architecture = fill_architecture(description["architecture"], _facts(module))
    network = build_network(architecture, targets, {}, config["seed"])
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith("heads.") or key.split(".")[1] in network.heads}
    network.load_state_dict(kept)
    trainer = _trainer(job, [], _loggers(job))
    units, metrics = _tested(trainer, Inference(network, module.unit), "test", module.test_dataloader())
    job.notes["device"] = _device(trainer)
    write_atomic(job.partial / "predictions.csv", predictions_csv(network, [units]))
    return {"metrics": metrics, "subjects": module.subjects, "baselines": {}}


def _connected(job: Job, targets: list[dict[str, Any]]) -> Any:
    config = job.config
    module = component_class("data", config["data"])(**arguments_of(config["data"]))
    module.connect(targets, config["split"], job.parent("data"), config["seed"], config.get("unlabelled") or ())
    return module


def _facts(module: Any) -> dict[str, Any]:
    return {"in_channels": module.channels, "spatial_dims": module.spatial_dims, "input_shape": list(module.input_shape)}


def _scenario(job: Job, network: Network, module: Any) -> Supervised:
    config = job.config
    scenario: Supervised = component_class("scenario", config["scenario"])(
        network, _objective(job, module), module.unit, terms=_terms(job, network), **arguments_of(config["scenario"])
    )
    return scenario


def _terms(job: Job, network: Network) -> dict[str, Term]:
    """The auxiliary terms, each with random weights from a seed of its own."""
    terms: dict[str, Term] = {}
    for name, config in (job.config.get("auxiliaries") or {}).items():
        reseed(job.config["seed"], "auxiliaries", name)
        terms[name] = component_class(f"auxiliaries.{name}", config)(**arguments_of(config))
        terms[name].connect(network)
    return terms


def _continued(job: Job, stored: Mapping[str, Any]) -> list[str]:
    """The heads that go on from the parent, which must mean the same there."""
    names = [name for parent in job.config["parents"] if parent["role"] == "weights" for name in parent.get("heads") or ()]
    heads = {target["name"]: target for target in stored["targets"]}
    for target in job.config["targets"]:
        if target["name"] in names:
            _as_trained(target, heads, job.config["name"])
    return names


def _objective(job: Job, module: Any) -> Objective | None:
    """The objective, told of the targets' weights and of how often each class occurs; None where there is no target."""
    if not job.config["targets"]:
        return None
    config = job.config["objective"]
    cls, arguments = component_class("objective", config), arguments_of(config)
    if "weights" in parameters_of(cls):
        arguments.setdefault("weights", {target["name"]: target.get("weight", 1.0) for target in job.config["targets"]})
    objective: Objective = cls(**arguments)
    if hasattr(objective, "connect"):
        objective.connect({name: values["counts"] for name, values in module.train_statistics.items() if "counts" in values})
    return objective


def _trainer(job: Job, callbacks: list[Callback], loggers: list[Logger]) -> lightning.Trainer:
    arguments = arguments_of(job.config["trainer"])
    on_cpu = arguments.get("accelerator", "auto") == "cpu" or not torch.cuda.is_available()
    given = {
        "log_every_n_steps": 0,
        # Sums on a CPU always run in the same order; on a GPU some operations have no deterministic form and only warn.
        "deterministic": None if on_cpu else "warn",
        **arguments,
        "devices": 1 if arguments.get("devices", "auto") == "auto" else arguments["devices"],
        "logger": loggers,
        "callbacks": callbacks,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": job.partial,
    }
    try:
        trainer: lightning.Trainer = component_class("trainer", job.config["trainer"])(**given)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise InputError(f"trainer: {error}") from error
    return trainer


def _loggers(job: Job) -> list[Logger]:
    """Further loggers by class path; what they write to files stays inside the stage's folder."""
    given = arguments_of(job.config["trainer"]).get("logger") or []
    loggers = []
    for number, config in enumerate(given if isinstance(given, list) else [given]):
        place = f"trainer.logger.{number}"
        cls, arguments = component_class(place, config), arguments_of(config)
        known = parameters_of(cls)
        if "save_dir" in known and not arguments.get("tracking_uri"):
            arguments["save_dir"] = str(job.partial / str(arguments.get("save_dir") or "logs"))
        try:
            loggers.append(cls(**arguments))
        except (ImportError, TypeError) as error:
            raise InputError(
                f"{place}: {config['class_path']}: {error}", "install what it needs, e.g. pip install tlimb[tensorboard]"
            ) from None
    return loggers


def _tested(trainer: lightning.Trainer, inference: Inference, part: str, loader: Any) -> tuple[Units, dict[str, float | None]]:
    inference.part = part
    trainer.test(inference, dataloaders=loader, verbose=False)
    return inference.units, inference.metrics


def _as_trained(target: Mapping[str, Any], heads: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, Any]:
    """The target as the head of that name knows it: classes in the order of its outputs."""
    name = target["name"]
    if name not in heads:
        raise InputError(f"the stage '{source}' was not trained on '{name}'", f"its targets: {', '.join(heads)}")
    head = heads[name]
    if head["kind"] != target["kind"] or set(head.get("classes") or ()) != set(target.get("classes") or ()):
        raise InputError(
            f"'{name}' is {_described(target)} here, but {_described(head)} in stage '{source}'",
            "give the label the same classes in datasets.yaml",
        )
    if head.get("unit") and target.get("unit") and head["unit"] != target["unit"]:
        raise InputError(
            f"'{name}' is in {target['unit']} here, but in {head['unit']} in stage '{source}'", "give the label the same unit in the table"
        )
    return {**target, "classes": head.get("classes")}


def _described(target: Mapping[str, Any]) -> str:
    return "a number" if target["kind"] == "number" else f"one of {', '.join(map(str, target['classes']))}"


def _device(trainer: lightning.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
