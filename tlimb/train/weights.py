"""The stage of kind weights: a foreign file becomes a `model.safetensors` that stages start from; and what `tlimb weights` tells."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tlimb.catalogue.layouts import bare, recognise
from tlimb.catalogue.registry import load_catalogue
from tlimb.components.signatures import parameters_of
from tlimb.errors import InputError
from tlimb.train.config import Config, arguments_of, component_class
from tlimb.train.foreign import Foreign, read_foreign
from tlimb.train.job import Job
from tlimb.train.matching import Match, match
from tlimb.train.network import WEIGHTS, build_encoder, save_tensors
from tlimb.train.randomness import reseed

ENOUGH = 0.95
"""The share of an encoder that a file must hold unless the recipe says otherwise."""


def adopt(job: Job) -> dict[str, Any]:
    """Read a file of weights for the stages that start from it; returns what `results.json` says of it."""
    config, how = job.config, job.config["weights"]
    path = _file(job, str(how["fingerprint"]))
    foreign = read_foreign(path)
    tensors = renamed(foreign.tensors, how.get("rename", {}))
    architecture = with_shape(config["architecture"], tensors, how.get("input_shape"))
    reseed(config["seed"], "encoder")
    encoder = build_encoder(architecture)
    layout = recognise(list(tensors))
    encoder_tensors, heads = _parts(foreign, tensors)
    found = match(encoder, encoder_tensors, channels=how.get("channels"))
    notes = [*found.notes, *([layout.note] if layout and layout.note else [])]
    print(f"{config['name']}: {foreign.container}" + (f", named like {layout.name}" if layout else ""))
    print("\n".join([*found.table(), *([f"note: {layout.note}"] if layout and layout.note else [])]))
    _check(found, how, config["name"])
    save_tensors(
        {**{f"encoder.{name}": tensor for name, tensor in found.tensors.items()}, **heads},
        job.partial / WEIGHTS,
        {
            "architecture": architecture,
            "targets": config.get("targets") or [],
            "input_shape": architecture["init_args"].get("input_shape"),
            "absent": [*found.missing, *(name for name, *_ in found.mismatched)],
        },
    )
    return {
        "subjects": {},
        "weights": {
            "container": foreign.container,
            "layout": layout.name if layout else None,
            "matched": len(found.tensors),
            "another_shape": [name for name, *_ in found.mismatched],
            "missing": list(found.missing),
            "left_out": list(found.unexpected),
            "share": round(found.share, 6),
            "notes": notes,
        },
    }


def inspect(path: Path, rename: Mapping[str, str], input_shape: list[int] | None) -> dict[str, Any]:
    """What a file holds and which architectures it fits."""
    foreign = read_foreign(path)
    tensors = renamed(foreign.tensors, rename)
    layout = recognise(list(tensors))
    modules: dict[str, list[Tensor]] = {}
    for name, tensor in tensors.items():
        modules.setdefault(".".join(bare(name).split(".")[:-1][:2]), []).append(tensor)
    stripped = Counter(name.removesuffix(bare(name)) for name in tensors if bare(name) != name)
    encoder_tensors, _ = _parts(foreign, tensors)
    return {
        "container": foreign.container,
        "layout": layout.name if layout else None,
        "note": layout.note if layout else "",
        "suggested": layout.architecture if layout else "",
        "prefixes": dict(stripped),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "modules": [
            {
                "module": module,
                "tensors": len(held),
                "parameters": sum(tensor.numel() for tensor in held),
                "shape": list(held[0].shape),
                "dtype": "/".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in held})),
            }
            for module, held in modules.items()
        ],
        "fits": _fits(encoder_tensors, foreign, layout.architecture if layout else "", input_shape),
        "description": dict(foreign.description),
    }


def renamed(tensors: Mapping[str, Tensor], rules: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors with each rule (pattern: replacement) applied to their names, in order.

    Raises:
        InputError: a pattern is none, or two tensors get the same name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = name
        for pattern, replacement in rules.items():
            try:
                new = re.sub(pattern, replacement, new)
            except (re.error, IndexError) as error:
                raise InputError(f"rename: '{pattern}': '{replacement}' is no replacement: {error}", "see docs/weights.md") from None
        if new in found:
            raise InputError(f"rename: two tensors become {new}", "make the patterns narrower")
        found[new] = tensor
    return found


def with_shape(architecture: Config, tensors: Mapping[str, Tensor], shape: list[int] | None) -> Config:
    """The architecture with the shape of images that the weights were made for, where it needs one.

    Raises:
        InputError: the shape is not known.
    """
    arguments = arguments_of(architecture)
    if "input_shape" in parameters_of(component_class("architecture", architecture)) and "input_shape" not in arguments:
        space = shape or _shape_of(tensors)
        if space is None:
            raise InputError(
                "the shape of the images that these weights were made for is not known",
                "say it in a passport.yaml beside the file: input: {shape: [160, 192, 160]}",
            )
        arguments["input_shape"] = [arguments.get("in_channels", 1), *space]
    return {"class_path": architecture["class_path"], "init_args": arguments}


def _shape_of(tensors: Mapping[str, Tensor]) -> list[int] | None:
    """Of a transformer's images: patches times their size, if as many patches lie along each axis."""
    known = {bare(name): tensor for name, tensor in tensors.items()}
    positions = known.get("patch_embedding.position_embeddings")
    patch = known.get("patch_embedding.patch_embeddings.weight")
    if positions is None or patch is None or patch.ndim < 3:
        return None
    sides = tuple(patch.shape[2:])
    along = round(positions.shape[1] ** (1 / len(sides)))
    return [along * side for side in sides] if along ** len(sides) == positions.shape[1] else None


def _parts(foreign: Foreign, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the encoder and, of TLIMB's own files, those of the heads."""
    if not foreign.description:
        return dict(tensors), {}
    heads = {name: tensor for name, tensor in tensors.items() if name.startswith("heads.")}
    return {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name not in heads}, heads


def _file(job: Job, fingerprint: str) -> Path:
    path = job.datasets().weights.get(fingerprint)
    if path is None or not path.is_file():
        raise InputError(
            f"the file of weights with SHA-256 {fingerprint[:16]}… is not here" + (f": no file {path}" if path else ""),
            "plan the recipe again beside the file, or write under .weights of datasets.yaml where it lies (docs/weights.md)",
        )
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != fingerprint:
            raise InputError(f"{path.name} is not the file this stage was planned for: its content has changed", "plan again (tlimb run)")
    return path


def _check(found: Match, how: Mapping[str, Any], name: str) -> None:
    """Refuse what would train something else than the recipe says."""
    if any(not tensor.isfinite().all() for tensor in found.tensors.values() if tensor.is_floating_point()):
        raise InputError(f"the weights in {name} hold values that are no numbers", "the training that made them has failed")
    if "channels" not in how and any(given[:1] + given[2:] == own[:1] + own[2:] for _, given, own in found.mismatched):
        given, own = next((given, own) for _, given, own in found.mismatched if given[:1] + given[2:] == own[:1] + own[2:])
        raise InputError(
            f"the weights in {name} are for images of {given[1]} channels, the data have {own[1]}",
            "say what to do: with weights.channels=mean, repeat or partial (docs/weights.md)",
        )
    if found.share < ENOUGH and (not how.get("allow_partial") or not found.tensors):
        raise InputError(
            f"only {found.share:.0%} of the encoder is in {name}: {found.problems()}",
            "see which architectures it fits: tlimb weights inspect FILE; to go on all the same: with weights.allow_partial=true",
        )


def _fits(tensors: Mapping[str, Tensor], foreign: Foreign, suggested: str, shape: list[int] | None) -> list[dict[str, Any]]:
    """Each architecture of the catalogue, the share of it that is in the file and the share of the file it uses, best first."""
    first = next((tensor for name, tensor in tensors.items() if tensor.ndim > 2 and name.endswith("weight")), None)
    if first is None:
        return []
    catalogue = load_catalogue()
    data = {"spatial_dims": first.ndim - 2, "in_channels": first.shape[1]}
    candidates = [(word, *_entry(catalogue.find("architecture", word))) for word in catalogue.words("architecture")]
    if suggested.endswith("(shortcut=A)"):
        candidates = [
            (f"{word}(shortcut=A)", path, {**given, "shortcut": "A"}) if suggested == f"{word}(shortcut=A)" else (word, path, given)
            for word, path, given in candidates
        ]
    if own := foreign.description.get("architecture"):
        candidates.append(("as TLIMB wrote it", own["class_path"], own["init_args"]))
    found = []
    for word, class_path, given in candidates:
        config = {"class_path": class_path, "init_args": {**data, **given}}
        try:
            matched = match(
                _cheaply_built(with_shape(config, tensors, shape)), {name: tensor.to("meta") for name, tensor in tensors.items()}
            )
        except InputError:
            continue  # an architecture that cannot be built for such images does not fit them
        used = sum(tensor.numel() for tensor in matched.tensors.values()) / sum(tensor.numel() for tensor in tensors.values())
        if matched.share >= 0.01:
            found.append({"architecture": word, "share": round(matched.share, 4), "used": round(used, 4)})
    return sorted(found, key=lambda fit: (-fit["share"] * fit["used"], fit["architecture"]))


def _cheaply_built(config: Config) -> nn.Module:
    """The encoder without memory for its weights, where it can be built so (MONAI's Swin transformer cannot)."""
    try:
        with torch.device("meta"):
            return build_encoder(config)
    except RuntimeError:
        return build_encoder(config)


def _entry(component: Any) -> tuple[str, dict[str, Any]]:
    return component.class_path, dict(component.arguments)
