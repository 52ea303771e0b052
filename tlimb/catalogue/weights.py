"""Files of weights as the compile side sees them: what a recipe's path stands for, without torch and without running a pickle."""

import difflib
import hashlib
import json
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tlimb.catalogue.tables import did_you_mean
from tlimb.errors import InputError

PASSPORT = "passport.yaml"
CHANNELS = ("mean", "repeat", "partial")
"""What may be done where the images have other channels than those the weights were trained on."""
_PASSPORT = {
    "tlimb": int,
    "architecture": (str, dict),
    "input": dict,
    "targets": dict,
    "licence": str,
    "cohorts": list,
    "rename": dict,
}
_INPUT = ("orientation", "spacing_mm", "shape", "skull_strip", "intensity", "channels")
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights.

    Attributes:
        path: Where it lies; stands in no file that is shared.
        fingerprint: SHA-256 of its content.
        names: Of its tensors (or of whatever a pickle names), to recognise its layout; empty where they cannot be read without torch.
        description: What TLIMB wrote into it: architecture, targets, input_shape; empty for other files.
        passport: The content of its passport.
    """

    path: Path
    fingerprint: str
    names: tuple[str, ...] = ()
    description: Mapping[str, Any] = field(default_factory=dict)
    passport: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


def find_weights(path: Path, passport: Path | None = None) -> WeightsFile:
    """The file at a path, with its passport: the one named, else ``NAME.passport.yaml`` or ``passport.yaml`` beside it.

    Raises:
        InputError: there is no such file, or a passport is wrong.
    """
    if not path.is_file():
        there = [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, there, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "a relative path starts at the recipe's folder"
        raise InputError(f"no file {path}" if path.parent.is_dir() else f"no folder {path.parent}", hint)
    if passport is not None and not passport.is_file():
        raise InputError(f"no passport {passport}", "a relative path starts at the recipe's folder")
    beside = (path.with_name(f"{path.stem}.{PASSPORT}"), path.with_name(PASSPORT))
    found = passport or next((file for file in beside if file.is_file()), None)
    stamp = path.stat()
    try:
        fingerprint, names, description = _read(path, stamp.st_size, stamp.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return WeightsFile(path, fingerprint, names, description, read_passport(found) if found else {})


def read_passport(path: Path) -> dict[str, Any]:
    """A passport, checked; see docs/weights.md.

    Raises:
        InputError: it is not YAML, or has keys or values that mean nothing.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}", "docs/weights.md has an example") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: a passport is a mapping", "docs/weights.md has an example")
    for key, value in document.items():
        if key not in _PASSPORT:
            raise InputError(f"{path}: unknown key '{key}'", did_you_mean(str(key), _PASSPORT))
        if not isinstance(value, _PASSPORT[key]):  # type: ignore[arg-type]
            raise InputError(f"{path}: '{key}' is {value!r}", "docs/weights.md has an example")
    if document.get("tlimb", 1) > 1:
        raise InputError(f"{path}: a passport of format {document['tlimb']}", "update TLIMB")
    for key in document.get("input", {}):
        if key not in _INPUT:
            raise InputError(f"{path}: input has no '{key}'", did_you_mean(str(key), _INPUT))
    return document


@lru_cache(maxsize=32)
def _read(path: Path, size: int, _mtime_ns: int) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
    """Fingerprint, names and description; a checker asks at every key press, so it is kept while size and time stand still."""
    with path.open("rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
    header = safetensors_header(path, size)
    if header is not None:
        try:
            description = json.loads((header.get("__metadata__") or {}).get("tlimb", "{}"))
        except ValueError:
            description = {}
        return fingerprint, tuple(name for name in header if name != "__metadata__"), description
    return fingerprint, _pickled_names(path), {}


def safetensors_header(path: Path, size: int) -> dict[str, Any] | None:
    """The header of a safetensors file; None for any other file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
            return None
        text = file.read(length)
    if not text.startswith(b"{"):
        return None
    try:
        header = json.loads(text)
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


def _pickled_names(path: Path) -> tuple[str, ...]:
    """The texts inside a torch archive, read as data: the instructions of its pickle are listed, not followed."""
    if not zipfile.is_zipfile(path):
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            inside = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            pickle = archive.read(inside) if inside else b""
        return tuple(dict.fromkeys(value for _, value, _ in pickletools.genops(pickle) if isinstance(value, str) and "." in value))
    except (zipfile.BadZipFile, ValueError, OSError):
        return ()
