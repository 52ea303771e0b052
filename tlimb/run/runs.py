"""Runs on a store: each says that it is there, what it computes and how it ended (docs/formats.md)."""

import fcntl
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tlimb.errors import TlimbError
from tlimb.files import read_json, writing
from tlimb.run.store import Store, is_locked, write_json

FORMAT = 1
FOLDER = ".runs"
KEPT = 20
"""Ended runs that are remembered."""

VARIABLE = "TLIMB_RUN"
"""Names, in the environment of a run that was started in the background, the folder made for it."""

RunState = Literal["running", "ended", "lost"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a recipe on a store.

    Attributes:
        id: Of this run; later runs have greater ones.
        recipe: Name of the recipe.
        engine: local or nextflow.
        pid: Its process.
        host: Where that is.
        started: Seconds since 1970.
        stages: Digests of what it computes; empty while it is planning.
        state: running, ended (in order, see `status`) or lost (it was killed, or never came to its stages: see `log`).
        ended: Seconds since 1970; None where it did not say so.
        status: Exit status; None where it did not say so.
        log: What it prints, if it was started in the background.
    """

    id: str
    recipe: str
    engine: str
    pid: int
    host: str
    started: float
    stages: frozenset[str] = field(default=frozenset(), repr=False)
    state: RunState = "running"
    ended: float | None = None
    status: int | None = None
    log: Path | None = None

    @property
    def here(self) -> bool:
        """Whether its process is on this machine."""
        return self.host == platform.node()


class Runs:
    """The runs of a store, read anew only where something has changed."""

    def __init__(self, store: Store) -> None:
        self._root = store.root / FOLDER
        self._known: dict[str, tuple[int, Run]] = {}

    def look(self) -> tuple[Run, ...]:
        """All runs that are remembered, the earliest first."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir() and not entry.name.startswith("."))
        except OSError:
            return ()
        found = [run for name in names if (run := self._read(name)) is not None]
        self._known = {run.id: self._known[run.id] for run in found}
        return tuple(sorted(found, key=lambda run: run.started))

    def _read(self, name: str) -> Run | None:
        folder = self._root / name
        try:
            stamp = (folder / "run.json").stat().st_mtime_ns
        except OSError:
            return None
        known = self._known.get(name)
        if known and known[0] == stamp and known[1].state != "running":
            return known[1]
        # The lock is asked before the file is read: a run writes its end while it still holds the lock.
        alive = is_locked(folder / "lock")
        run = _run(folder, read_json(folder / "run.json"), alive=alive)
        if run is not None:
            self._known[name] = (stamp, run)
        return run


def runs(store: Store) -> tuple[Run, ...]:
    """All runs on a store that are remembered, the earliest first."""
    return Runs(store).look()


def enrol(store: Store, recipe: str, engine: str) -> tuple[Path, int]:
    """Make the folder of a new run of this process; returns it and the descriptor of its lock.

    The run is at work as long as any process holds the descriptor open.
    """
    with writing(store.root):
        root = store.root / FOLDER
        root.mkdir(exist_ok=True)
        folder = root / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{os.getpid()}"
        folder.mkdir()
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks: one sees the run, not whether it still lives
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write(
            folder, {"id": folder.name, "recipe": recipe, "engine": engine, **_process(), "started": round(time.time(), 3), "stages": []}
        )
    _forget(store)
    return folder, lock


def entrust(folder: Path, pid: int) -> None:
    """Say that a run is another process, which has the lock."""
    _write(folder, {**read_json(folder / "run.json"), "pid": pid})


@contextmanager
def present(store: Store, recipe: str, engine: str, stages: Iterable[str]) -> Iterator["Presence"]:
    """While open, the store shows this process as a run of these stages; on leaving, how it ended."""
    named = os.environ.pop(VARIABLE, None)
    lock = None
    if named and (Path(named) / "run.json").exists():
        folder = Path(named)  # whoever started this process has left it the lock
    else:
        folder, lock = enrol(store, recipe, engine)
    presence = Presence(folder, engine=engine, recipe=recipe)
    presence.computes(stages)
    try:
        yield presence
    except BaseException as error:
        presence.status = error.exit_status if isinstance(error, TlimbError) else 1
        raise
    finally:
        presence.leave()
        if lock is not None:
            os.close(lock)


class Presence:
    """What a run says of itself.

    Attributes:
        status: The exit status it will have.
    """

    def __init__(self, folder: Path, *, engine: str, recipe: str) -> None:
        self.status: int | None = None
        self._folder = folder
        self._document = {**read_json(folder / "run.json"), **_process(), "engine": engine, "recipe": recipe}

    def computes(self, stages: Iterable[str]) -> None:
        """Say what is computed, from now on."""
        self._document["stages"] = list(stages)
        self._write()

    def leave(self) -> None:
        """Say that it is over."""
        self._document |= {"ended": round(time.time(), 3), "status": self.status}
        self._write()

    def _write(self) -> None:
        with suppress(OSError):  # a run must not fail for want of being seen
            _write(self._folder, self._document)


def _process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": platform.node()}


def _write(folder: Path, document: dict[str, Any]) -> None:
    write_json(folder / "run.json", {"format": FORMAT, **document})


def _run(folder: Path, document: dict[str, Any], *, alive: bool) -> Run | None:
    """The run as it is written; None where that cannot be read."""
    ended = document.get("ended")
    try:
        return Run(
            id=folder.name,
            recipe=str(document["recipe"]),
            engine=str(document["engine"]),
            pid=int(document["pid"]),
            host=str(document["host"]),
            started=float(document["started"]),
            stages=frozenset(map(str, document.get("stages") or ())),
            state="running" if alive and ended is None else "lost" if ended is None else "ended",
            ended=ended,
            status=document.get("status"),
            log=folder / "log.txt" if (folder / "log.txt").exists() else None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _forget(store: Store) -> None:
    """Remove the oldest of the runs that have ended."""
    over = [run for run in runs(store) if run.state != "running"]
    for run in over[: max(0, len(over) - KEPT)]:
        shutil.rmtree(store.root / FOLDER / run.id, ignore_errors=True)
