"""The epochs of a fit, in the process of the stage or in each of several that train together."""

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning import Callback
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger

from tlimb.components.signatures import parameters_of
from tlimb.errors import InputError, TlimbError
from tlimb.train.assembly import Learner
from tlimb.train.callbacks import Clock, Continuation, HistoryLogger, Progress, Selection
from tlimb.train.compute import on_cpu
from tlimb.train.config import STRATEGIES, arguments_of, component_class
from tlimb.train.job import Job

CHECKPOINT_S = 30.0
"""Time between two checkpoints; the variable TLIMB_CHECKPOINT_S says otherwise."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a training; the chosen weights lie in the folder of work.

    Attributes:
        best_epoch: That of the chosen weights, from 0.
        best: Its monitored value; NaN where it is no number.
        epochs: How many there were.
        stopped: The epoch, from 0, after which it was given up; None where it was not.
        resumed_from: The epoch that it went on from, from 0; None where it began anew.
        device: Where it was.
        steps_s: Time in steps, since it went on.
    """

    best_epoch: int
    best: float
    epochs: int
    stopped: int | None
    resumed_from: int | None
    device: str
    steps_s: float


def train(job: Job, learner: Learner, *, rank: int = 0, callbacks: Sequence[Callback] = (), **owned: Any) -> Trained:
    """Train and keep the weights of the best epoch.

    Args:
        job: The stage.
        learner: What is trained.
        rank: Number of this process among those that train together; only the first one writes.
        callbacks: That come first.
        owned: Further arguments of the Trainer, in place of those of its config.

    Raises:
        InputError: the config cannot be trained like that.
        StoppedError: the stage was asked to end.
    """
    selection = Selection(job.partial, learner.description)
    every_s = float(os.environ.get("TLIMB_CHECKPOINT_S", CHECKPOINT_S))
    continuation = Continuation(
        job.partial, digest=job.config["digest"], seed=job.config["seed"], rank=rank, stop=job.stop, selection=selection, every_s=every_s
    )
    history = HistoryLogger(job.partial / "history.csv", continuation.start)
    clock = Clock()
    telling = ([Progress(job.event)], [history, *further_loggers(job)]) if rank == 0 else ([], [])
    trainer = make_trainer(
        job, callbacks=[clock, *callbacks, *job.callbacks, selection, continuation, *telling[0]], logger=telling[1], **owned
    )
    if trainer.max_epochs == 0:
        selection.keep(learner.scenario.learned)
    else:
        _run(job, trainer, learner, selection)
    return Trained(
        best_epoch=selection.epoch,
        best=selection.best,
        epochs=history.epochs,
        stopped=selection.stopped,
        resumed_from=continuation.resumed_from,
        device=device_of(trainer),
        steps_s=clock.steps_s,
    )


def _run(job: Job, trainer: lightning.Trainer, learner: Learner, selection: Selection) -> None:
    job.stop.deferred = True
    try:
        trainer.fit(learner.scenario, datamodule=learner.module)
    except torch.OutOfMemoryError as error:
        raise TlimbError(
            f"the memory of the GPU is full: {str(error).split('. ')[0]}",
            "give a smaller batch, or batch=auto, which finds the largest that fits; precision=bf16 takes about half the memory",
        ) from error
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


def make_trainer(job: Job, **owned: Any) -> lightning.Trainer:
    """The Trainer of a stage, on one device unless `owned` says otherwise.

    Args:
        job: The stage.
        owned: Arguments in place of those of its config.

    Raises:
        InputError: the Trainer refuses them.
    """
    arguments = arguments_of(job.config["trainer"])
    given = {
        "log_every_n_steps": 0,
        # Sums on a CPU always run in the same order; on a GPU some operations have no deterministic form and only warn.
        "deterministic": None if on_cpu(arguments) else "warn",
        **arguments,
        "devices": _one(arguments.get("devices", 1)),
        "strategy": "auto" if arguments.get("strategy") in STRATEGIES else arguments.get("strategy", "auto"),
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": job.partial,
        **owned,
    }
    try:
        trainer: lightning.Trainer = component_class("trainer", job.config["trainer"])(**given)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise InputError(f"trainer: {error}") from error
    return trainer


def _one(devices: Any) -> Any:
    """The first of several devices."""
    return devices[:1] if isinstance(devices, list) else 1


def further_loggers(job: Job) -> list[Logger]:
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


def device_of(trainer: lightning.Trainer) -> str:
    """The name of the hardware."""
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def quieten() -> None:
    """Lightning's advice is for people who write loops themselves; it would fill the log of each stage."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=r".*lr_scheduler\.step\(\).*")
