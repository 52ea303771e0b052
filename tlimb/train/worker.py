"""A warm worker: one process runs stage after stage, so that torch is imported once.

Requests are JSON lines on standard input::

    {"job": ID, "config": FILE, "out": DIR, "parents": [DIR], "datasets": FILE | null, "state": DIR | null, "threads": N | null,
     "gpus": "0,1" | null, "set": ["PATH=VALUE"]}

Replies are JSON lines on standard output: first ``{"event": "ready"}``, then for each job ``started``, ``epoch`` (with epoch, epochs,
metrics) and ``warning`` (message), and in the end ``finished`` (metrics) or ``failed`` (message, status as of `tlimb.train stage`). What a
stage prints goes to its `log.txt`. After a signal that stopped a stage the worker ends too, with the same status. When standard input ends
it ends at once, wherever it is: nobody is there any more to take the result, and an interrupted stage can go on later.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tlimb.errors import TlimbError
from tlimb.train.stage import run_stage
from tlimb.train.stopping import StoppedError

_PR_SET_PDEATHSIG = 1


def work() -> int:
    """Serve requests until standard input ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Replies have a descriptor of their own: whatever else is printed must not come between them.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(document: dict[str, Any]) -> None:
        replies.write(json.dumps(document) + "\n")
        replies.flush()

    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    reply({"event": "ready"})
    while True:
        request = requests.get()
        if status := _serve(request, reply):
            return status


def _read(requests: "SimpleQueue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        if line.strip():
            requests.put(json.loads(line))
    os._exit(0)


def _serve(request: dict[str, Any], reply: Any) -> int:
    """Run a job; returns the status to end with, or 0 to go on."""
    job = request["job"]

    def emit(event: dict[str, Any]) -> None:
        reply({"job": job, **event})

    def failed(message: str, status: int) -> None:
        reply({"job": job, "event": "failed", "message": message, "status": status})

    try:
        results = run_stage(
            Path(request["config"]),
            Path(request["out"]),
            parents=[Path(parent) for parent in request.get("parents") or ()],
            datasets=Path(request["datasets"]) if request.get("datasets") else None,
            threads=request.get("threads"),
            gpus=request.get("gpus"),
            state=Path(request["state"]) if request.get("state") else None,
            overrides=request.get("set") or (),
            emit=lambda event: emit(event) if event["event"] != "finished" else None,
        )
    except StoppedError as stopped:
        failed(str(stopped), stopped.exit_status)
        return stopped.exit_status
    except TlimbError as error:
        failed(str(error), error.exit_status)
    except Exception as error:  # whatever it is, it concerns this stage only: the next one can still run
        failed(f"{type(error).__name__}: {error}", 1)
    else:
        emit({"event": "finished", "metrics": results.get("metrics", {})})
    return 0
