"""What a stage trains: data, network, objective and scenario, connected as its config says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from tlimb.components.contracts import Network, Objective, Term
from tlimb.components.scenarios import Supervised
from tlimb.components.signatures import parameters_of
from tlimb.errors import InputError
from tlimb.train.compute import compile_encoders, lay_out
from tlimb.train.config import AUTO, arguments_of, component_class, heads_of
from tlimb.train.job import Job
from tlimb.train.network import WEIGHTS, build_network, fill_architecture, load_encoder, load_heads, read_weights
from tlimb.train.randomness import reseed


@dataclass(frozen=True, slots=True)
class Learner:
    """What a stage trains.

    Attributes:
        module: The data module, connected.
        network: With its start weights.
        scenario: How it learns.
        description: What its weights are stored with.
    """

    module: Any
    network: Network
    scenario: Supervised
    description: dict[str, Any]


def assemble(job: Job, *, synchronous: bool = False) -> Learner:
    """Connect the parts of a fit; equal in each process.

    Args:
        job: The stage.
        synchronous: BatchNorm takes its statistics from the batches of all devices.
    """
    config, targets = job.config, heads_of(job.config["targets"])
    module = connected(job, config["targets"])
    architecture = fill_architecture(config["architecture"], facts(module))
    network = build_network(architecture, targets, module.train_statistics, config["seed"])
    for name, folder in job.parent("weights").items():
        stored, tensors = read_weights(folder / WEIGHTS)
        load_encoder(network, tensors, name, stored.get("absent", ()))
        load_heads(network, tensors, _continued(job, stored), name)
    if synchronous:
        # Before the scenario, which remembers the modules that it freezes.
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    compute = config.get("compute") or {}
    lay_out(network, compute, module.spatial_dims)
    scenario = _scenario(job, network, module)
    compile_encoders(compute, *{network, scenario.learned}, terms=dict(scenario.terms))
    module.unlabelled_views = scenario.views
    return Learner(module, network, scenario, {"architecture": architecture, "targets": targets, "input_shape": list(module.input_shape)})


def connected(job: Job, targets: list[dict[str, Any]]) -> Any:
    """The data module of a stage."""
    config = job.config
    arguments = arguments_of(config["data"])
    if arguments.get("batch_size") == AUTO:
        arguments["batch_size"] = job.batch
    module = component_class("data", config["data"])(**arguments)
    module.connect(targets, config["split"], job.parent("data"), config["seed"], config.get("unlabelled") or ())
    return module


def facts(module: Any) -> dict[str, Any]:
    """What an architecture needs to know of the data."""
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
            as_trained(target, heads, job.config["name"])
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


def as_trained(target: Mapping[str, Any], heads: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, Any]:
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
