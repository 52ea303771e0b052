"""Where a stage works: a locked folder that becomes the result by one rename; its log, events and environment."""

import errno
import fcntl
import json
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tlimb import __version__
from tlimb.errors import InputError
from tlimb.seal import WORKING_FILES, damage, is_sealed, seal, set_aside

_LIBRARIES = ("torch", "lightning", "torchmetrics", "monai", "nibabel", "numpy", "safetensors")


def is_done(out: Path, digest: str) -> bool:
    """True if `out` is the finished stage; False if it is not there, or is damaged.

    Raises:
        InputError: `out` is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    trouble = damage(out, digest, contents=True)
    if trouble and not is_sealed(out, digest):
        raise InputError(f"{out} exists and is no finished stage {digest}: {trouble}", "name another folder with --out, or remove this one")
    return not trouble


@contextmanager
def workplace(out: Path, state: Path | None, digest: str) -> Iterator[Path | None]:
    """A folder for unfinished work that no other process works in; None if meanwhile another process has finished the stage.

    What an interrupted process left is found there again. On success `publish` moves it to `out`.
    """
    partial = state or out.parent / ".partial" / out.name
    while True:
        if is_done(out, digest):
            yield None
            return
        partial.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(lock, partial)
            # While one waited the folder may have become the result: then this is no longer the lock of `partial`.
            if not _is_same(lock, partial / "lock") or is_done(out, digest):
                continue
            if out.is_dir() and any(out.iterdir()):
                trouble = damage(out, digest, contents=True)
                print(f"{out}: {trouble}; it lies in {set_aside(out)} now and is computed again", file=sys.stderr)
            yield partial
            return
        finally:
            os.close(lock)


def _take(lock: int, partial: Path) -> None:
    """Wait for the lock, which the system releases when its process ends, and say in it whose it is now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise InputError(f"{partial}: the file system has no locks ({error.strerror})", "name a folder elsewhere with --store") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def publish(partial: Path, out: Path, digest: str) -> None:
    """Make the folder of work the result, by one rename; what was needed to go on is removed when nothing more can happen to it."""
    seal(partial, digest)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.rename(out)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = out.with_name(f".{out.name}.{os.getpid()}")
        shutil.copytree(partial, copy)
        copy.rename(out)
        shutil.rmtree(partial)
    for pattern in WORKING_FILES:
        for file in filter(Path.is_file, out.glob(pattern)):
            file.unlink()


@contextmanager
def captured(log: Path) -> Iterator[None]:
    """All that this process prints goes to the log, that of compiled libraries too."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("a", encoding="utf-8", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            for descriptor, number in zip(kept, (1, 2), strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)


def record(partial: Path, event: dict[str, Any]) -> None:
    """Append an event to `events.jsonl`."""
    with (partial / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")


def write_atomic(path: Path, text: str) -> None:
    """Write a file that is either whole or not there."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file that is either whole or not there; NaN is no JSON and raises."""
    write_atomic(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def environment(began: float, **more: Any) -> dict[str, Any]:
    """What ran the stage: versions, hardware, time; no host, user or path.

    Args:
        began: As `time.monotonic` says, since a clock may be set while a stage runs.
        more: Goes in too.
    """
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "format": 1,
        "tlimb": __version__,
        "python": platform.python_version(),
        "libraries": _versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "start": (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "peak_memory_mb": round(peak / 2**20, 1),
        **more,
    }


@cache
def _versions() -> dict[str, str]:
    """Of the libraries that decide results; looking them up takes longer than a tiny epoch."""
    return {name: version(name) for name in _LIBRARIES}
