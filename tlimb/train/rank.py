"""One of the processes that train a stage together, each on a device of its own; `tlimb.train.devices` starts and watches them.

All of them start from the same weights, take their shares of each batch, compute the loss of the whole batch and so choose the same epoch.
The first one writes.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tlimb.catalogue.datasets import find_datasets
from tlimb.errors import InputError, TlimbError
from tlimb.train.assembly import assemble
from tlimb.train.compute import compiling, on_cpu
from tlimb.train.config import arguments_of
from tlimb.train.devices import HOST
from tlimb.train.job import Job
from tlimb.train.stopping import SIGNALS, Stop, StoppedError
from tlimb.train.training import Trained, quieten, train

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another one that is alive."""

_PR_SET_PDEATHSIG = 1


def take_part() -> NoReturn:
    """Train as standard input says, and end the process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    request = json.loads(sys.stdin.readline() or os._exit(1))
    # Replies have a descriptor of their own: whatever else is printed must not come between them. Of what all print alike, one is enough.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2 if request["rank"] == 0 else os.open(os.devnull, os.O_WRONLY), 1)
    stop = _Asked()
    stop.install()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()

    def reply(document: dict[str, Any]) -> None:
        replies.write(json.dumps(document) + "\n")
        replies.flush()

    status = 1
    try:
        trained = _train(request, stop, reply)
        if request["rank"] == 0:
            reply({"event": "trained", "trained": asdict(trained)})
        status = 0
    except StoppedError as stopped:
        reply({"event": "stopped"})
        status = stopped.exit_status
    except TlimbError as error:
        reply({"event": "failed", "known": True, "message": error.message, "hint": error.hint, "status": error.exit_status})
    except Exception as error:  # whatever it is, the stage has to know
        traceback.print_exc()
        reply({"event": "failed", "known": False, "message": f"{type(error).__name__}: {error}", "hint": "", "status": 1})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # after a failure, libraries would wait for the other processes


class _Asked(Stop):
    """The stage says when to stop: signals that reach all processes of a terminal or a job are its own."""

    def install(self) -> None:
        """Take the signals over, from Lightning too."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _listen(stop: Stop) -> None:
    for _ in sys.stdin:
        stop.requested = True
    os._exit(1)


def _train(request: Mapping[str, Any], stop: Stop, event: Callable[[dict[str, Any]], None]) -> Trained:
    quieten()
    torch.set_num_threads(request["threads"])
    partial, rank, count = Path(request["partial"]), int(request["rank"]), int(request["count"])
    config = yaml.safe_load((partial / "stage.yaml").read_text(encoding="utf-8"))
    parents = {digest: Path(folder) for digest, folder in request["parents"].items()}
    job = Job(config, partial, parents, lambda: find_datasets(partial), stop, event, request["threads"], batch=request["batch"])

    arguments = arguments_of(config["trainer"])
    cpu, devices = on_cpu(arguments), arguments["devices"]
    if not cpu:
        device, there = int(devices[rank]) if isinstance(devices, list) else rank, torch.cuda.device_count()
        if device >= there:
            raise InputError(f"trainer.devices is {devices!r}: here are {there} GPUs", "use fewer devices, or trainer.accelerator=cpu")
        torch.cuda.set_device(device)
    store = TCPStore(HOST, request["port"], is_master=False)
    distributed.init_process_group("gloo" if cpu else "nccl", store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    strategy = DDPStrategy(
        cluster_environment=_Place(rank, count),
        # Terms, several targets and layers that are freed later leave some parameters without a gradient in some steps.
        find_unused_parameters=arguments.get("strategy") != "ddp_find_unused_parameters_false",
        broadcast_buffers=False,  # `_Alike` does, where all processes are at the same place
    )
    learner = assemble(job, synchronous=bool(arguments.get("sync_batchnorm")))
    with compiling(job):
        trained = train(
            job,
            learner,
            rank=rank,
            callbacks=[_Alike()],
            accelerator="cpu" if cpu else "gpu",
            devices=count if cpu else devices,
            strategy=strategy,
            sync_batchnorm=False,
        )
    distributed.destroy_process_group()
    return trained


class _Place(LightningEnvironment):
    """Where this process stands among the others, whatever a cluster's variables say of its jobs."""

    def __init__(self, rank: int, count: int) -> None:
        super().__init__()
        self._rank, self._count = rank, count

    @property
    def creates_processes_externally(self) -> bool:
        """They are there."""
        return True

    def world_size(self) -> int:
        """The number of processes."""
        return self._count

    def global_rank(self) -> int:
        """The number of this process."""
        return self._rank

    def local_rank(self) -> int:
        """There is one machine."""
        return self._rank

    def node_rank(self) -> int:
        """There is one machine."""
        return 0

    def set_world_size(self, size: int) -> None:
        """It stays."""

    def set_global_rank(self, rank: int) -> None:
        """It stays."""


class _Alike(Callback):
    """Where an epoch begins or is validated, running statistics are those of the first process, from its share of the batches."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before a checkpoint, so that going on from it is the same."""
        _copy_buffers(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All processes validate the network that is kept."""
        _copy_buffers(pl_module)


def _copy_buffers(module: LightningModule) -> None:
    for buffer in module.buffers():
        distributed.broadcast(buffer, 0)
