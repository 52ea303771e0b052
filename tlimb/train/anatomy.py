"""Layers and parameters of architectures, for the side that loads no torch.

For each architecture config of a JSON list, which has the data's `input_shape` beside `class_path` where that is known, the answer has::

    {"layers": [[POINT, N], …], "own": {POINT: N}, "feature_dim": F, "encoder_parameters": E, "number_outputs": O}

`layers` are the freeze points in order; N counts the parameters registered from that point up to the next one, those of a shortcut with the
last point of its block (a point that holds others, such as layer4, has 0: its parameters stand at the points inside). `own` counts the
parameters inside each point. An architecture made for one size of images has the answer null while that size is not known. With H the
parameters of all heads, a linear head having F * K + K for K classes and F * O + O for a number, the trainable parameters are

- ``freeze none``: E + H; ``freeze all``: H;
- ``freeze X``: H + the sum of N in `layers` from X to the end;
- ``freeze only X``: H + E - own[X].
"""

import json
from collections.abc import Mapping
from typing import IO, Any

import torch

from tlimb.components.contracts import Encoder
from tlimb.components.signatures import parameters_of
from tlimb.errors import InputError
from tlimb.train.config import arguments_of, check_component, component_class
from tlimb.train.network import build_encoder


def anatomy(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The anatomy of one architecture; built without memory for its weights where it can be.

    Raises:
        InputError: there is no such class or argument.
    """
    arguments = arguments_of(config)
    shape = config.get("input_shape")
    config = {"class_path": config["class_path"], "init_args": arguments}
    check_component("architecture", config)
    if "input_shape" in parameters_of(component_class("architecture", config)) and arguments.setdefault("input_shape", shape) is None:
        return None
    try:
        with torch.device("meta"):
            encoder = build_encoder(config)
    except RuntimeError:  # some look at a value of a tensor while they are built, as MONAI's Swin does
        encoder = build_encoder(config)
    if not isinstance(encoder, Encoder):
        raise InputError(f"architecture: {config['class_path']} is no encoder", "see tlimb.components.contracts.Encoder")
    points = list(encoder.freeze_points())
    counts = [0] * len(points)
    own = {point: sum(parameter.numel() for parameter in encoder.get_submodule(point).parameters()) for point in points}
    current = -1
    for name, parameter in encoder.named_parameters():
        inside = [number for number, point in enumerate(points) if name.startswith(point + ".")]
        # What stands after the last point of its block, as a shortcut does, freezes and trains with that point.
        current = max([current, *inside])
        if current >= 0:
            counts[current] += parameter.numel()
    labels = getattr(encoder, "soft_labels", None)
    return {
        "layers": [list(item) for item in zip(points, counts, strict=True)],
        "own": own,
        "feature_dim": encoder.feature_dim,
        "encoder_parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "number_outputs": 1 if labels is None else labels.bins,
    }


def answer(questions: IO[str], answers: IO[str]) -> None:
    """Answer a JSON list of architecture configs by a JSON list."""
    json.dump([anatomy(config) for config in json.load(questions)], answers)
    answers.write("\n")
