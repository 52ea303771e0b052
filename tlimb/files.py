"""Files that are either whole or not there, and disks that take no more."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Any

from tlimb.errors import InputError, TlimbError

_SPARE = 2**20
"""Bytes below which a disk is as good as full."""


def write_text(path: Path, text: str) -> None:
    """Write a text file by one atomic rename, so that a reader or a kill never meets half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # half a file would keep a full disk full
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file; empty if the file is absent or broken, as a file of a copy that was cut off is."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def cannot_write(folder: Path, error: Exception) -> TlimbError | None:
    """The message of an error that means that a folder takes no more; None if the error is another one.

    Libraries that write files tell of a full disk in words of their own, so the disk is asked too.
    """
    text, free = str(error), _free(folder)
    if any(os.strerror(number) in text for number in (ENOSPC, EDQUOT, EFBIG)) or ("write" in text and free < _SPARE):
        return TlimbError(
            f"{folder} takes no more: the disk or a quota is full ({free / 2**20:.0f} MiB are free): {text}",
            "make room; the same command then goes on from the last checkpoint",
        )
    if isinstance(error, OSError) and error.errno in (EROFS, EACCES, EPERM) and str(folder) in str(error.filename):
        return InputError(f"{folder} cannot be written: {error.strerror}", "name another folder with --store")
    return None


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """While open, a full or read-only disk is told as such."""
    try:
        yield
    except OSError as error:
        raise (cannot_write(folder, error) or error) from None


def _free(folder: Path) -> int:
    """Bytes that are free where the folder is."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return _SPARE
    return state.f_bavail * state.f_frsize
