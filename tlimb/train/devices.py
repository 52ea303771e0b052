"""Training on several devices: a process for each, watched by that of the stage, which alone knows folders, events and results.

Each process reads the place where the others meet and its number as one JSON line on its standard input, which then stays open: a line
``stop`` asks it to save and end, and when it closes the process ends at once. Its standard output holds JSON lines: ``epoch`` events of the
first process, then ``trained`` with what `Trained` holds, ``stopped``, or ``failed`` with message, hint and status.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import IO, Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tlimb.errors import InputError, TlimbError
from tlimb.train.compute import on_cpu
from tlimb.train.config import arguments_of, device_count
from tlimb.train.job import Job
from tlimb.train.stopping import StoppedError
from tlimb.train.training import Trained

COMMAND = (sys.executable, "-m", "tlimb.train", "rank")
HOST = "127.0.0.1"
POLL_S = 0.2
"""How often one looks whether the stage has to stop."""

GRACE_S = 5.0
"""How long the other processes may take to say why they end when one has failed."""

Inbox = SimpleQueue[tuple[int, dict[str, Any] | None]]


def train_on_devices(job: Job) -> Trained:
    """Train in one process for each device.

    Raises:
        InputError: the config cannot be trained like that.
        TlimbError: a process has failed; all others have ended too.
        StoppedError: the stage was asked to end.
    """
    arguments = arguments_of(job.config["trainer"])
    count = device_count(arguments)
    if on_cpu(arguments) and arguments.get("sync_batchnorm"):
        raise InputError("trainer.sync_batchnorm: BatchNorm is shared by GPUs only", "leave it out, or train on GPUs")
    if not on_cpu(arguments):
        torch.cuda.empty_cache()  # a warm worker may hold memory that a process now needs
    # Held here, on a port that the system chooses: no process can take it before the first of them listens.
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    request = {
        "port": store.port,
        "count": count,
        "partial": str(job.partial),
        "parents": {digest: str(folder) for digest, folder in job.parents.items()},
        "threads": max(1, job.threads // count),
        "batch": job.batch,
    }
    inbox: Inbox = SimpleQueue()
    processes: list[_Process] = []
    job.stop.deferred = True
    try:
        processes += [_Process(inbox, rank, request, job.gpus) for rank in range(count)]
        return _watched(job, processes, inbox)
    finally:
        for process in processes:
            process.end()
        job.stop.deferred = False


class _Process:
    """A process of `tlimb.train.rank`; replies arrive in the inbox as (rank, reply), and (rank, None) when it has ended."""

    def __init__(self, inbox: Inbox, rank: int, request: Mapping[str, Any], gpus: str | None) -> None:
        self.rank = rank
        threads = str(request["threads"])
        environment = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TORCH_CPP_LOG_LEVEL": "ERROR",
            **({"CUDA_VISIBLE_DEVICES": gpus} if gpus else {}),
        }
        self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reader = threading.Thread(target=_read, args=(self._stdout, rank, inbox), daemon=True)
        self._reader.start()
        self._say({**request, "rank": rank})

    def stop(self) -> None:
        """Ask it to save and end."""
        self._say("stop")

    def status(self) -> int:
        """Its exit status, negative for a signal, once it has ended."""
        return self._process.wait()

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._stdin, self._stdout):
            with suppress(BrokenPipeError):
                pipe.close()

    def _say(self, document: Any) -> None:
        with suppress(BrokenPipeError):
            self._stdin.write(json.dumps(document).encode() + b"\n")
            self._stdin.flush()


def _read(replies: IO[bytes], rank: int, inbox: Inbox) -> None:
    for line in replies:
        inbox.put((rank, json.loads(line)))
    inbox.put((rank, None))


def _watched(job: Job, processes: list[_Process], inbox: Inbox) -> Trained:
    """Wait until all have ended in order, or one has not."""
    trained: Trained | None = None
    going, told = len(processes), False
    while going:
        if job.stop.requested and not told:
            told = True
            processes[0].stop()
        try:
            rank, reply = inbox.get(timeout=POLL_S)
        except Empty:
            continue
        if reply is None:
            going -= 1
            if processes[rank].status() != 0:
                raise _failure(job, processes, inbox, (rank, None))
        elif reply["event"] == "epoch":
            job.event(reply)
        elif reply["event"] == "trained":
            trained = Trained(**reply["trained"])
        elif reply["event"] == "stopped":
            raise StoppedError
        else:
            raise _failure(job, processes, inbox, (rank, reply))
    assert trained is not None
    return trained


def _failure(job: Job, processes: list[_Process], inbox: Inbox, first: tuple[int, dict[str, Any] | None]) -> BaseException:
    """Why training has failed: what ends one process ends the others too, so that not the first message says it, but the best."""
    if job.stop.requested:
        return StoppedError()
    messages, until = [first], time.monotonic() + GRACE_S
    while sum(reply is None for _, reply in messages) < len(processes) and (left := until - time.monotonic()) > 0:
        with suppress(Empty):
            messages.append(inbox.get(timeout=left))
    reports = [(rank, reply) for rank, reply in messages if reply is not None and reply["event"] == "failed"]
    for _, reply in reports:
        if reply["status"] == InputError.exit_status:
            return InputError(reply["message"], reply["hint"])
        if reply["known"]:
            return TlimbError(reply["message"], reply["hint"])
    for rank in [rank for rank, reply in messages if reply is None]:
        if (status := processes[rank].status()) < 0:
            name = signal.Signals(-status).name
            return TlimbError(
                f"device {rank} of {len(processes)}: its process was ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}",
                "run it again to go on from the last checkpoint",
            )
    if reports:
        rank, reply = reports[0]
        return TlimbError(f"device {rank} of {len(processes)}: {reply['message']}", "log.txt has the details")
    return TlimbError(f"device {first[0]} of {len(processes)}: its process ended without a word", "log.txt has the details")
