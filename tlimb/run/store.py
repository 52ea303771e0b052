"""The store: finished stages by digest, and what is known of those that are not finished."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tlimb.errors import InputError
from tlimb.files import read_json, write_text, writing
from tlimb.seal import damage, set_aside
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
        found = read_json(self.root / "store.json").get("format", FORMAT)
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
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise InputError(
                f"the store {self.root} is read-only",
                "what is finished can be shown (tlimb results, tlimb status, tlimb report -o FILE); to compute, name another --store",
            )

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
        document = read_json(self.folder(digest) / "results.json")
        if document.get("digest") != digest:
            raise InputError(f"stage {digest} is not finished in {self.root}", "run the recipe first")
        if document.get("format", 0) > FORMAT:
            raise InputError(f"stage {digest} in {self.root} was written by a newer TLIMB", "update TLIMB")
        return document

    def is_done(self, digest: str, *, contents: bool = False) -> bool:
        """True if the stage is finished: its results are there, are its own and whole.

        Args:
            digest: Of the stage.
            contents: Whether its files are looked into, not only at.
        """
        return not damage(self.folder(digest), digest, contents=contents)

    def set_aside(self, digest: str) -> str:
        """Move a damaged result into ``.damaged``, so that the stage can be computed again; returns what to say of it, if there was one.

        Raises:
            InputError: the store cannot be written.
        """
        folder = self.folder(digest)
        if not folder.is_dir():
            return ""
        with writing(self.root), _locked(self.partial(digest)) as alone:
            trouble = damage(folder, digest, contents=True) if alone and folder.is_dir() else ""
            return f"its result is damaged: {trouble}; it lies in {set_aside(folder)} now" if trouble else ""

    def holder(self, digest: str) -> str:
        """Which process is at a running stage, as its lock says."""
        try:
            return (self.partial(digest) / "lock").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def state(self, digest: str) -> State:
        """What is known of the stage: done, running (its lock is held), failed when last tried, or new."""
        if self.is_done(digest):
            return "done"
        partial = self.partial(digest)
        if is_locked(partial / "lock"):
            return "running"
        return "failed" if (partial / "failed.json").exists() else "new"

    def states(self, graph: StageGraph) -> dict[str, str]:
        """The state of every stage of the graph by digest."""
        if not self.root.is_dir():
            return dict.fromkeys((stage.digest for stage in graph.stages), "new")
        return {stage.digest: self.state(stage.digest) for stage in graph.stages}

    def mark_failed(self, digest: str, message: str) -> None:
        """Leave word that the stage failed, for `state` and for whoever asks why."""
        with writing(self.root):
            self.partial(digest).mkdir(parents=True, exist_ok=True)
            write_json(self.partial(digest) / "failed.json", {"format": FORMAT, "digest": digest, "message": message})

    def failure(self, digest: str) -> str:
        """Why the stage failed when last tried; empty if it did not."""
        return str(read_json(self.partial(digest) / "failed.json").get("message", ""))

    def begin(self, digest: str) -> Path:
        """The folder of unfinished work, without the mark of an earlier failure."""
        partial = self.partial(digest)
        partial.mkdir(parents=True, exist_ok=True)
        (partial / "failed.json").unlink(missing_ok=True)
        return partial

    def clear(self, digest: str) -> None:
        """Remove what is left of the work on a finished stage, if another run came first."""
        shutil.rmtree(self.partial(digest), ignore_errors=True)


@contextmanager
def _locked(partial: Path) -> Iterator[bool]:
    """Hold the lock of a folder of work; False if another process does."""
    partial.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(partial / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file that is either whole or not there."""
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def is_locked(path: Path) -> bool:
    """True if some process holds the file's lock; a shared lock of our own for an instant is how one finds out."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks; who wants to work there is told by the stage
        return False
    finally:
        os.close(descriptor)
    return False
