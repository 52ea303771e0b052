"""A warm worker process: requests go to its standard input and replies come from its standard output, one JSON object a line."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

COMMAND = (sys.executable, "-m", "tlimb.train", "worker")
"""The worker of the training side; tlimb/train.py documents the requests and replies."""

PATIENCE_S = 10.0
"""How long an idle worker may take to end."""

PR_SET_PDEATHSIG = 1


class Worker:
    """A process that runs one stage after another, so that torch is imported once.

    Replies arrive in the inbox as ``(worker, reply)``, and ``(worker, None)`` when the process has ended. What the process prints goes to
    the log of the stage that it is running.
    """

    def __init__(self, inbox: "SimpleQueue[Any]", *, environment: Mapping[str, str], command: Sequence[str] = COMMAND) -> None:
        self.job: str | None = None
        self.ready = False
        self._inbox = inbox
        self._log: IO[bytes] | None = None
        self._tail: deque[str] = deque(maxlen=12)
        # A session of its own: Ctrl-C in the terminal reaches only the scheduler, which then stops its workers in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tlimb.run.worker", str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        errors = threading.Thread(target=self._read_errors, daemon=True)
        self._threads = (errors, threading.Thread(target=self._read_replies, args=(errors,), daemon=True))
        for thread in self._threads:
            thread.start()

    def send(self, request: Mapping[str, Any], log: Path) -> None:
        """Start a stage; a process that has ended already is reported through the inbox, as always."""
        opened = log.open("ab", buffering=0)
        self.job = str(request["job"])
        self._close_log()
        self._log = opened
        self._tail.clear()
        with suppress(BrokenPipeError):
            self._pipe().write(json.dumps(request).encode() + b"\n")
            self._pipe().flush()

    def release(self) -> str:
        """The stage has ended: returns its digest. Its log stays open, since what it printed last may still be on the way."""
        job, self.job = self.job, None
        return job or ""

    def close(self) -> None:
        """No further requests: an idle worker ends."""
        with suppress(BrokenPipeError):
            self._pipe().close()

    def terminate(self) -> None:
        """Ask the process to save its state and end."""
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the process and wait for it: in order if it is idle, at once if it is not."""
        if self.job:
            self.kill()
        self.close()
        try:
            self._process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        self._close_log()

    def obituary(self) -> str:
        """Why the process ended, with its last words."""
        status = self._process.wait()
        if status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
            how += " (out of memory?)" if -status == signal.SIGKILL else ""
        else:
            how = f"ended with status {status}"
        words = "\n".join(self._tail).strip()
        return f"its process {how}" + (f":\n{words}" if words else "")

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log:
            log.close()

    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read_replies(self, errors: threading.Thread) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                reply = json.loads(line)
            except (ValueError, RecursionError):
                reply = None
            if isinstance(reply, dict):
                self._inbox.put((self, reply))
            else:
                self._print(line)
        errors.join()
        self._inbox.put((self, None))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._print(line)

    def _print(self, line: bytes) -> None:
        self._tail.append(line.decode(errors="replace").rstrip())
        # The stage may end, and its log be closed, between the test and the write. A full disk must not end the reading: the worker would
        # wait for ever.
        with suppress(ValueError, OSError):
            if self._log:
                self._log.write(line)


def main(arguments: Sequence[str]) -> None:
    """Become the worker command, in a process that gets SIGTERM when its parent ends, however that happens."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
