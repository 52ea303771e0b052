"""From a config to a network: what the data say is filled in, weights of a parent are loaded."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from tlimb.components.architectures import CategoryHead, NumberHead, SoftNumberHead
from tlimb.components.contracts import Network
from tlimb.components.signatures import parameters_of
from tlimb.errors import InputError, TlimbError
from tlimb.train.config import arguments_of, component_class
from tlimb.train.matching import match
from tlimb.train.randomness import reseed

FORMAT = 1
WEIGHTS = "model.safetensors"


def fill_architecture(config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture with the arguments that follow from the data.

    Args:
        config: ``{class_path, init_args}``.
        facts: `in_channels`, `spatial_dims` and `input_shape` of the data; those that the class takes are filled in.

    Raises:
        InputError: the config says otherwise than the data.
    """
    arguments = arguments_of(config)
    known = parameters_of(component_class("architecture", config))
    for name, value in facts.items():
        if name not in known:
            continue
        given = arguments.setdefault(name, value)
        if given != value:
            raise InputError(
                f"architecture.{name} is {given}, but the data have {value}",
                f"leave architecture.{name} out, so that it follows from the data, or change the data",
            )
    return {"class_path": config["class_path"], "init_args": arguments}


def build_encoder(config: Mapping[str, Any]) -> nn.Module:
    """The encoder of an architecture config.

    Raises:
        InputError: an argument is out of its range.
    """
    try:
        encoder: nn.Module = component_class("architecture", config)(**arguments_of(config))
    except (TypeError, ValueError) as error:
        raise InputError(f"architecture: {config['class_path']}: {error}") from error
    return encoder


def build_network(
    config: Mapping[str, Any], targets: Sequence[Mapping[str, Any]], statistics: Mapping[str, Mapping[str, float]], seed: int
) -> Network:
    """Encoder and a head for each target, with random weights.

    Encoder and each head have a seed of their own: another head does not change where the encoder starts.

    Args:
        config: The filled architecture.
        targets: As in `stage.yaml`.
        statistics: Mean and sd of the training values of numbers by target; absent where weights are loaded afterwards.
        seed: Of the stage.
    """
    reseed(seed, "encoder")
    encoder = build_encoder(config)
    network = Network(encoder, {})
    for target in targets:
        name = str(target["name"])
        reseed(seed, "heads", name)
        features, dropout = network.encoder.feature_dim, network.encoder.dropout
        labels = getattr(encoder, "soft_labels", None)
        if target["kind"] == "number" and labels is not None:
            network.heads[name] = SoftNumberHead(features, labels, dropout)
        elif target["kind"] == "number":
            known = statistics.get(name, {})
            network.heads[name] = NumberHead(features, known.get("mean", 0.0), known.get("sd", 1.0), dropout)
        else:
            network.heads[name] = CategoryHead(features, tuple(map(str, target["classes"])), dropout)
    return network


def save_network(network: Network, path: Path, description: Mapping[str, Any]) -> None:
    """Write `model.safetensors`, whole or not at all; equal networks give equal bytes."""
    save_tensors(network.state_dict(), path, description)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path, description: Mapping[str, Any]) -> None:
    """Write tensors as a `model.safetensors`."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary = path.with_name(f".{path.name}")
    save_file(tensors, temporary, {"tlimb": json.dumps({"format": FORMAT, **description}, sort_keys=True)})
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)  # safetensors lets nobody else read what it writes
    temporary.replace(path)


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Description and tensors of a `model.safetensors`.

    Raises:
        InputError: the file is absent, damaged, or of a newer format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get("tlimb", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: weights cannot be read: {error}", "run the stage that makes them again") from None
    if description.get("format", 0) > FORMAT:
        raise InputError(f"{path}: written by a newer TLIMB (format {description['format']})", "update TLIMB")
    return description, tensors


def fill_encoder(network: Network, tensors: Mapping[str, torch.Tensor], source: str, absent: Collection[str] = ()) -> None:
    """Give the encoder a parent's weights, adapted where it can (another size of images); heads stay as they are.

    Args:
        network: Whose encoder it is.
        tensors: Of a `model.safetensors`.
        source: What to call it in messages.
        absent: The encoder's tensors that the parent is known not to have: they stay random.

    Raises:
        InputError: a tensor is missing, left over, or of another shape.
    """
    encoder = network.get_submodule("encoder")
    found = match(encoder, {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name.startswith("encoder.")})
    for note in found.notes:
        print(f"weights of {source}: {note}")
    if found.unexpected or found.mismatched or set(found.missing) - set(absent):
        raise InputError(
            f"the weights of {source} do not fit this encoder ({found.share:.0%} of it match): {found.problems()}",
            "use the same architecture with the same arguments and channels as the stage that made the weights",
        )
    encoder.load_state_dict({**encoder.state_dict(), **found.tensors})


def load_encoder(network: Network, tensors: Mapping[str, torch.Tensor], source: str, absent: Collection[str] = ()) -> None:
    """Start the encoder from a parent's weights: `fill_encoder`, and a look whether it made a difference.

    Raises:
        InputError: a tensor is missing, left over, or of another shape.
        TlimbError: nothing was changed.
    """
    encoder = network.get_submodule("encoder")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    fill_encoder(network, tensors, source, absent)
    if all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items()):
        raise TlimbError(f"loading the weights of {source} changed nothing", "these are the random weights that the encoder starts from")


def load_heads(network: Network, tensors: Mapping[str, torch.Tensor], names: Sequence[str], source: str) -> None:
    """Start heads from those of a parent.

    Raises:
        InputError: the parent has no such head.
    """
    for name in names:
        inside = f"heads.{name}."
        given = {key.removeprefix(inside): tensor for key, tensor in tensors.items() if key.startswith(inside)}
        if not given or name not in network.heads:
            raise InputError(f"the weights of {source} have no head for '{name}'", "leave it out of parents.heads: a new head is made then")
        network.heads[name].load_state_dict(given)
