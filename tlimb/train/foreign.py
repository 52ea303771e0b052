"""Files of weights from anywhere: opened without running code, taken out of what they are wrapped in, made TLIMB's own once."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tlimb.catalogue.weights import safetensors_header
from tlimb.errors import InputError

WRAPPERS = ("state_dict", "model_state_dict", "network_weights", "model", "net")
_LIGHTNING = "pytorch-lightning_version"


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file holds.

    Attributes:
        container: What kind of file it is, in words.
        tensors: By their names in the file.
        description: What TLIMB wrote beside them; empty for other files.
    """

    container: str
    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any] = field(default_factory=dict)


def read_foreign(path: Path) -> Foreign:
    """The tensors of a file; nothing in it is run.

    Raises:
        InputError: it cannot be read so, or holds no tensors.
    """
    if safetensors_header(path, path.stat().st_size) is not None:
        return _read_safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        if isinstance(error, pickle.UnpicklingError) and _is_pickle(path):
            raise InputError(
                f"{path.name} holds more than tensors, and opening it could run what its author put there",
                f"if you trust the author, convert it once: tlimb weights convert {path.name} --trust -o {path.stem}.safetensors",
            ) from None
        raise InputError(
            f"{path.name} is no file of weights: it is damaged, or neither safetensors nor written by torch.save", "see docs/weights.md"
        ) from None
    return _unwrapped(content, path)


def convert(path: Path, out: Path) -> Foreign:
    """Open a pickle that may run code, and write its tensors as safetensors.

    Raises:
        InputError: it cannot be opened, or holds no tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # whatever the author's code raises
        raise InputError(f"{path.name} cannot be opened: {type(error).__name__}: {error}", "install what it was written with") from None
    found = _unwrapped(content, path)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in found.tensors.items()}, out)
    return found


def _read_safetensors(path: Path) -> Foreign:
    try:
        with safe_open(path, framework="pt") as file:
            description = (file.metadata() or {}).get("tlimb")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path.name} is damaged: {error}", "copy or download it again") from None
    if not tensors:
        raise InputError(f"{path.name} holds no tensors", "name a file of weights")
    return Foreign("TLIMB's safetensors" if description else "safetensors", tensors, json.loads(description) if description else {})


def _unwrapped(content: Any, path: Path) -> Foreign:
    container = "a state_dict"
    if isinstance(content, Mapping) and _LIGHTNING in content:
        container = "a Lightning checkpoint"
    keys = []
    while isinstance(content, Mapping) and (key := next((key for key in WRAPPERS if _is_wrapped(content.get(key))), None)):
        keys.append(key)
        content = content[key]
    if isinstance(content, nn.Module):
        container, content = f"a whole {type(content).__name__}", content.state_dict()
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        held = f": its keys are {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else ""
        raise InputError(f"{path.name} holds no tensors{held}", f"a state_dict stands at the top or under {', '.join(WRAPPERS)}")
    return Foreign(container + (f" under '{'.'.join(keys)}'" if keys else ""), tensors)


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, nn.Module) or (isinstance(value, Mapping) and bool(value))


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(2)
    return start in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
