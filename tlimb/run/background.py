"""Runs that outlive the process that starts them."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlimb.errors import InputError, TlimbError
from tlimb.files import writing
from tlimb.run.runs import VARIABLE, Run, enrol, entrust, runs
from tlimb.run.store import Store

COMMAND: tuple[str, ...] = (sys.executable, "-m", "tlimb", "run")


@dataclass(frozen=True, slots=True)
class Options:
    """How a recipe is run; what is None or empty is left to `tlimb run`."""

    engine: str = "local"
    profile: str = ""
    jobs: int | None = None
    threads: int | None = None
    only: tuple[str, ...] = ()
    datasets: Path | None = None
    overrides: tuple[str, ...] = ()
    trusted: bool = False

    def arguments(self) -> list[str]:
        """As on the command line."""
        given: list[tuple[str, Any]] = [
            ("--engine", self.engine),
            ("--profile", self.profile),
            ("--jobs", self.jobs),
            ("--threads", self.threads),
        ]
        given += [("--datasets", self.datasets), *(("--only", word) for word in self.only), *(("--set", text) for text in self.overrides)]
        return [str(part) for name, value in given if value for part in (name, value)] + ["--trust"] * self.trusted


def start(recipe: Path, store: Store, options: Options | None = None) -> Run:
    """Start `tlimb run` in the background; what it prints goes to the run's log in the store.

    Args:
        recipe: The file.
        store: Where results go.
        options: How.

    Raises:
        InputError: the store cannot be written.
    """
    store.create()
    options = options or Options()
    folder, lock = enrol(store, recipe.stem, options.engine)
    arguments = [*COMMAND, str(recipe), "--store", str(store.root), *options.arguments()]
    try:
        with writing(store.root), (folder / "log.txt").open("wb") as log:
            # A session of its own, without a terminal: neither Ctrl-C nor the end of a login reaches it. It holds the lock from its first
            # moment on, so that it is seen as being at work while it still loads and plans.
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, VARIABLE: str(folder), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                pass_fds=(lock,),
            )
            entrust(folder, process.pid)
    finally:
        os.close(lock)
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay as a zombie when it ends
    found = next((run for run in runs(store) if run.id == folder.name), None)
    if found is None:
        raise TlimbError(f"the run {folder.name} has vanished", "look at what else writes to the store")
    return found


def stop(run: Run) -> None:
    """Ask a run to stop: the first time it saves what is unfinished and ends, the second time it ends at once.

    Raises:
        InputError: it has ended, or is on another machine.
    """
    if run.state != "running":
        raise InputError(f"the run {run.id} has ended already")
    if not run.here:
        raise InputError(f"the run {run.id} is on {run.host}", f"stop it there: kill -INT {run.pid}")
    try:
        os.kill(run.pid, signal.SIGINT)
    except ProcessLookupError:
        raise InputError(f"the run {run.id} has ended already") from None
    except PermissionError:
        raise InputError(f"the run {run.id} belongs to another user", f"ask for: kill -INT {run.pid}") from None
