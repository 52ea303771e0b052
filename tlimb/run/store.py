"""The store: finished stages by digest, and what is known of those that are not finished."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from tlimb.errors import InputError
from tlimb.files import write_text
from tlimb.stages.graph import StageGraph

FORMAT = 1
State = Literal["new", "running", "done", "failed"]


class Store:
    """A folder with one sub-folder per finished stage; unfinished work lies under ``.partial`` (docs/formats.md)."""

    __slots__ = ("root",)

    def __init__(self, root: Path) -> None:
        """Open a store; nothing is written before `create`.

        Raises:
            InputError: the path is a file, or a newer TLIMB wrote the store.
        """
        self.root = Path(os.path.abspath(root))
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"the store {self.root} is not a folder", "name another folder with --store")
        found = _read_json(self.root / "store.json").get("format", FORMAT)
        if not isinstance(found, int) or found > FORMAT:
            raise InputError(
                f"the store {self.root} has format {found}; this TLIMB reads up to format {FORMAT}",
                "update TLIMB, or name another folder with --store",
            )

    def create(self) -> None:
        """Make the folder and state the format of the store in it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / "store.json").exists():
                write_json(self.root / "store.json", {"format": FORMAT})
        except OSError as error:
            raise InputError(f"the store {self.root} cannot be written: {error.strerror}", "name another folder with --store") from error

    def folder(self, digest: str) -> Path:
        """Where the finished stage lies."""
        return self.root / digest

    def partial(self, digest: str) -> Path:
        """Where the stage lies until it is finished."""
        return self.root / ".partial" / digest

    def results(self, digest: str) -> dict[str, Any]:
        """The `results.json` of a finished stage.

        Raises:
            InputError: the stage is not finished, or a newer TLIMB wrote its results.
        """
        document = _read_json(self.folder(digest) / "results.json")
        if document.get("digest") != digest:
            raise InputError(f"stage {digest} is not finished in {self.root}", "run the recipe first")
        if document.get("format", 0) > FORMAT:
            raise InputError(f"stage {digest} in {self.root} was written by a newer TLIMB", "update TLIMB")
        return document

    def is_done(self, digest: str) -> bool:
        """True if the stage is finished: its results are there and are its own."""
        return _read_json(self.folder(digest) / "results.json").get("digest") == digest

    def state(self, digest: str) -> State:
        """What is known of the stage: done, running (its lock is held), failed when last tried, or new."""
        if self.is_done(digest):
            return "done"
        partial = self.partial(digest)
        if _is_locked(partial / "lock"):
            return "running"
        return "failed" if (partial / "failed.json").exists() else "new"

    def states(self, graph: StageGraph) -> dict[str, str]:
        """The state of every stage of the graph by digest."""
        if not self.root.is_dir():
            return dict.fromkeys((stage.digest for stage in graph.stages), "new")
        return {stage.digest: self.state(stage.digest) for stage in graph.stages}

    def mark_failed(self, digest: str, message: str) -> None:
        """Leave word that the stage failed, for `state` and for whoever asks why."""
        self.partial(digest).mkdir(parents=True, exist_ok=True)
        write_json(self.partial(digest) / "failed.json", {"format": FORMAT, "digest": digest, "message": message})

    def failure(self, digest: str) -> str:
        """Why the stage failed when last tried; empty if it did not."""
        return str(_read_json(self.partial(digest) / "failed.json").get("message", ""))

    def begin(self, digest: str) -> Path:
        """The folder of unfinished work, without the mark of an earlier failure and without a broken result in its way."""
        partial = self.partial(digest)
        partial.mkdir(parents=True, exist_ok=True)
        (partial / "failed.json").unlink(missing_ok=True)
        if self.folder(digest).exists():
            shutil.rmtree(self.folder(digest))
        return partial


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file that is either whole or not there."""
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file; empty if the file is absent or broken, as a file of a copy that was cut off is."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_locked(path: Path) -> bool:
    """True if some process holds the file's lock; a shared lock of our own for an instant is how one finds out."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
