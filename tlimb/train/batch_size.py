"""`batch=auto`: the largest power of two that a GPU has memory for, found when a stage starts and kept for all its attempts.

What is tried is the stage itself: two steps of its training with its own images, all layers training. So the number depends on the GPU; it
stands in `results.json`, and with it as `batch` the stage gives the same results elsewhere. On a CPU, whose memory is no such limit, and
where nothing is trained, it is the usual one.
"""

import copy
import gc
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from tlimb.errors import InputError
from tlimb.train.assembly import assemble, connected
from tlimb.train.compute import on_cpu
from tlimb.train.config import AUTO, Config, arguments_of, device_count
from tlimb.train.folder import write_json
from tlimb.train.job import Job
from tlimb.train.stopping import Stop
from tlimb.train.training import make_trainer

FILE = "batch.json"
USUAL = 16
"""Where no GPU is trained on; also where the search begins."""

STEPS = 8
"""Of an epoch, at least: a few images in one batch would be one step."""

SHARE = 0.9
"""Of a GPU's memory that may be used: what other kernels need, and gaps between tensors, differ a little from step to step."""


def settle_batch(job: Job) -> None:
    """Give the job its batch, where its config leaves it open: that of an earlier attempt, or what is found now.

    Raises:
        InputError: not even one image fits.
    """
    if arguments_of(job.config["data"]).get("batch_size") != AUTO:
        return
    arguments = arguments_of(job.config["trainer"])
    if job.config["kind"] != "fit" or arguments.get("max_epochs") == 0 or on_cpu(arguments):
        job.batch = USUAL
        print(f"batch=auto: {job.batch} images, as always where no GPU trains")
        return
    with suppress(OSError, ValueError, KeyError):
        job.batch = int(json.loads((job.partial / FILE).read_bytes())["batch"])
        print(f"batch=auto: {job.batch} images, as before")
        return
    job.batch = _largest(job)
    write_json(job.partial / FILE, {"batch": job.batch})
    print(f"batch=auto: {job.batch} images for each device")


def _largest(job: Job) -> int:
    trial = replace(job, config=_all_trains(job.config), event=lambda event: None, notes={})
    images = len(connected(replace(trial, batch=1), job.config["targets"]).train_dataloader())
    most: int = max(1, images // (STEPS * device_count(arguments_of(job.config["trainer"]))))
    size = min(USUAL, 1 << most.bit_length() - 1)
    if _fits(trial, size):
        while 2 * size <= most and _fits(trial, 2 * size):
            size *= 2
        return size
    while size > 1:
        size //= 2
        if _fits(trial, size):
            return size
    raise InputError(
        "batch=auto: not even one image fits on the GPU",
        "make the images smaller (data.size), or the network; precision=bf16 takes about half the memory",
    )


def _all_trains(config: Config) -> Config:
    """The stage as it is when it needs most memory, without what costs time and needs none."""
    config = copy.deepcopy(config)
    scenario = config["scenario"].setdefault("init_args", {})
    if scenario.pop("unfreeze", None) or scenario.pop("gradual", None):
        scenario.pop("freeze", None)
        scenario.pop("gradual", None)
    scenario.pop("schedule", None)
    config.get("compute", {}).pop("compile", None)
    return config


def _fits(job: Job, size: int) -> bool:
    """Whether two steps, the second of which has the optimizer's state, leave the memory that is to be left."""
    fitting = False
    try:
        fitting = _used_by_two_steps(replace(job, batch=size)) <= SHARE
    except torch.OutOfMemoryError:
        pass
    finally:
        gc.collect()
        torch.cuda.empty_cache()
    print(f"batch=auto: {size} images {'fit' if fitting else 'are too many'}")
    return fitting


def _used_by_two_steps(job: Job) -> float:
    learner = assemble(job)
    trainer = make_trainer(job, logger=False, callbacks=[_Listening(job.stop)], max_steps=2, limit_val_batches=0)
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(trainer.strategy.root_device)
    trainer.fit(learner.scenario, datamodule=learner.module)
    return used_share(trainer.strategy.root_device, learner.network, device_count(arguments_of(job.config["trainer"])))


def used_share(device: torch.device, network: torch.nn.Module, devices: int) -> float:
    """The largest share of a GPU's memory that was in use; several devices need room for the gradients of all parameters once more."""
    gradients = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters()) if devices > 1 else 0
    return (torch.cuda.max_memory_reserved(device) + gradients) / torch.cuda.get_device_properties(device).total_memory


class _Listening(Callback):
    """Signals reach the stage, not Lightning, which takes them over when a training starts."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop.install()


def noted(job: Job) -> dict[str, Any]:
    """What `results.json` says of a batch that the config left open."""
    return {} if job.batch is None else {"batch": job.batch}
