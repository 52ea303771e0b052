"""The seal of a finished stage: what tells whether its folder still holds what was written."""

import json
import zlib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tlimb.files import write_text

SEAL = "files.json"
FORMAT = 1
WORKING_FILES = ("lock", "last.ckpt", "batch.json", "best-*.safetensors", "failed.json", ".*")
"""What a stage needs until it is finished."""

_UNSEALED = (*WORKING_FILES, SEAL, "log.txt", "events.jsonl", "environment.json")
"""Nothing is computed from the others, and the log goes on for a moment after the end."""

_END = 4096
"""Bytes at both ends of a file that its checksum covers: headers, and the end that a cut or a crash takes."""


def seal(folder: Path, digest: str) -> None:
    """Write down the sizes and checksums of a finished stage's files, for `damage`."""
    files = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and not any(fnmatch(file.name, pattern) for pattern in _UNSEALED):
            size = file.stat().st_size
            files[file.name] = [size, _checksum(file, size)]
    write_text(folder / SEAL, json.dumps({"format": FORMAT, "digest": digest, "files": files}, indent=1) + "\n")


def damage(folder: Path, digest: str, *, contents: bool = False) -> str:
    """What is wrong with the folder of a finished stage; empty if nothing is.

    Args:
        folder: That has been there a moment ago.
        digest: Of the stage.
        contents: Whether both ends of each file are read too; else only sizes are compared, which costs next to nothing.
    """
    results = _read_object(folder / "results.json")
    if results is None:
        return "its results.json is missing or broken"
    if results.get("digest") != digest:
        return f"its results.json is that of the stage {results.get('digest')}"
    if not (folder / SEAL).exists():  # written before there were seals
        return ""
    files = (_read_object(folder / SEAL) or {}).get("files")
    if not isinstance(files, dict):
        return f"its {SEAL} is broken"
    for name, (size, checksum) in files.items():
        try:
            found = (folder / name).stat().st_size
            if found != size:
                return f"its {name} has {found} bytes, not {size}"
            if contents and _checksum(folder / name, size) != checksum:
                return f"its {name} has other contents than were written"
        except OSError as error:
            return f"its {name} cannot be read: {error.strerror}"
    return ""


def is_sealed(folder: Path, digest: str) -> bool:
    """True if TLIMB has written the folder as that of the stage, whatever has become of it since."""
    return any((_read_object(folder / name) or {}).get("digest") == digest for name in (SEAL, "results.json"))


def set_aside(folder: Path) -> Path:
    """Move a damaged stage out of the way, into ``.damaged`` beside it; returns where it lies now."""
    place = folder.parent / ".damaged"
    place.mkdir(exist_ok=True)
    taken = {other.name for other in place.iterdir()}
    number = next(number for number in range(1, len(taken) + 2) if f"{folder.name}-{number}" not in taken)
    return folder.rename(place / f"{folder.name}-{number}")


def _checksum(file: Path, size: int) -> int:
    """CRC-32 of both ends of a file."""
    with file.open("rb") as stream:
        value = zlib.crc32(stream.read(_END))
        if size > _END:
            stream.seek(max(_END, size - _END))
            value = zlib.crc32(stream.read(_END), value)
    return value


def _read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file; None if the file is absent or broken."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
