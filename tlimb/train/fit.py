"""The kinds fit and evaluate: train what a stage describes, and test it."""

from typing import Any

import lightning

from tlimb.components.scenarios import Inference
from tlimb.components.scenarios.evaluation import Units
from tlimb.errors import InputError
from tlimb.train.assembly import as_trained, assemble, connected, facts
from tlimb.train.batch_size import noted, settle_batch
from tlimb.train.callbacks import Clock, best_file
from tlimb.train.compute import compile_encoders, lay_out, uncompiled
from tlimb.train.config import arguments_of, device_count, heads_of
from tlimb.train.devices import train_on_devices
from tlimb.train.folder import write_atomic
from tlimb.train.job import Job
from tlimb.train.network import WEIGHTS, build_network, fill_architecture, fill_encoder, load_heads, read_weights, save_network
from tlimb.train.results import baselines, parameter_counts, predictions_csv
from tlimb.train.training import device_of, further_loggers, make_trainer, train


def fit(job: Job) -> dict[str, Any]:
    """Train, choose the best epoch by validation, predict validation and test with it; returns what `results.json` says of it."""
    settle_batch(job)
    learner, targets = assemble(job), heads_of(job.config["targets"])
    module, network, scenario = learner.module, learner.network, learner.scenario
    counts = parameter_counts(network)
    arguments = arguments_of(job.config["trainer"])
    several = device_count(arguments) > 1 and arguments.get("max_epochs") != 0
    trained = train_on_devices(job) if several else train(job, learner)
    clock = Clock()

    best = best_file(job.partial, trained.best_epoch)
    network.load_state_dict(read_weights(best)[1])
    with uncompiled(job):
        changed = scenario.finish(network, lambda: module.unlabelled_dataloader())
    if changed:
        save_network(network, best, learner.description)
    parts = []
    metrics: dict[str, float | None] = {}
    if targets:
        trainer, inference = make_trainer(job, logger=False, callbacks=[clock]), Inference(network, module.unit)
        for part, loader in (("val", module.val_dataloader), ("test", module.test_dataloader)):
            units, values = _tested(trainer, inference, part, loader())
            parts.append(units)
            metrics |= values
    else:
        metrics["val.loss"] = trained.best
    job.notes |= {
        "device": trained.device,
        "resumed_from": trained.resumed_from,
        "steps_seconds": round(trained.steps_s + clock.steps_s, 3),
    }
    write_atomic(job.partial / "predictions.csv", predictions_csv(network, parts))
    document = {
        "metrics": metrics,
        "monitor": scenario.monitor,
        "best_epoch": trained.best_epoch + 1,
        "epochs": trained.epochs,
        **({} if trained.stopped is None else {"stopped_early": trained.stopped + 1}),
        **noted(job),
        "subjects": module.subjects,
        "parameters": counts,
        "baselines": baselines(targets, module.volumes, scenario.monitor),
    }
    best.replace(job.partial / WEIGHTS)  # last of all: without it the checkpoint is of no use
    return document


def evaluate(job: Job) -> dict[str, Any]:
    """Test the weights of a parent on the test participants; returns what `results.json` says of it."""
    settle_batch(job)
    config = job.config
    parent = job.parent("weights")
    if len(parent) != 1:
        raise InputError(f"an evaluation has one parent of role weights, not {len(parent)}", "name the stage whose weights are tested")
    name, folder = next(iter(parent.items()))
    description, tensors = read_weights(folder / WEIGHTS)
    heads = {target["name"]: target for target in description["targets"]}
    targets = [as_trained(target, heads, name) for target in config["targets"]]
    module = connected(job, targets)
    architecture = fill_architecture(_for_any_size(description["architecture"]), facts(module))
    network = build_network(architecture, heads_of(targets), {}, config["seed"])
    fill_encoder(network, tensors, name)
    load_heads(network, tensors, list(network.heads), name)
    lay_out(network, config.get("compute") or {}, module.spatial_dims)
    compile_encoders(config.get("compute") or {}, network)
    clock = Clock()
    trainer = make_trainer(job, callbacks=[clock, *job.callbacks], logger=further_loggers(job))
    units, metrics = _tested(trainer, Inference(network, module.unit), "test", module.test_dataloader())
    job.notes |= {"device": device_of(trainer), "steps_seconds": round(clock.steps_s, 3)}
    write_atomic(job.partial / "predictions.csv", predictions_csv(network, [units]))
    return {"metrics": metrics, "subjects": module.subjects, "baselines": {}}


def _for_any_size(architecture: dict[str, Any]) -> dict[str, Any]:
    arguments = {name: value for name, value in arguments_of(architecture).items() if name != "input_shape"}
    return {**architecture, "init_args": arguments}


def _tested(trainer: lightning.Trainer, inference: Inference, part: str, loader: Any) -> tuple[Units, dict[str, float | None]]:
    inference.part = part
    trainer.test(inference, dataloaders=loader, verbose=False)
    return inference.units, inference.metrics
