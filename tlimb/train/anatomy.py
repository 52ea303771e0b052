"""Layers and parameters of architectures, for the side that loads no torch.

For each architecture config of a JSON list the answer has::

    {"layers": [[POINT, N], …], "own": {POINT: N}, "feature_dim": F, "encoder_parameters": E}

`layers` are the freeze points in order; N counts the parameters registered from that point up to the next one, those of a shortcut with the
last point of its block (a point that holds others, such as layer4, has 0: its parameters stand at the points inside). `own` counts the
parameters inside each point. With H the parameters of all heads, a linear head having F * K + K for K classes and F + 1 for a number, the
trainable parameters are

- ``freeze none``: E + H; ``freeze all``: H;
- ``freeze X``: H + the sum of N in `layers` from X to the end;
- ``freeze only X``: H + E - own[X].
"""

import json
from collections.abc import Mapping
from typing import IO, Any

import torch

from tlimb.components.contracts import Encoder
from tlimb.errors import InputError
from tlimb.train.config import check_component
from tlimb.train.network import build_encoder


def anatomy(config: Mapping[str, Any]) -> dict[str, Any]:
    """The anatomy of one architecture; built without memory for its weights.

    Raises:
        InputError: there is no such class or argument.
    """
    check_component("architecture", config)
    with torch.device("meta"):
        encoder = build_encoder(config)
    if not isinstance(encoder, Encoder):
        raise InputError(f"architecture: {config['class_path']} is no encoder", "see tlimb.components.contracts.Encoder")
    points = list(encoder.freeze_points())
    counts = dict.fromkeys(points, 0)
    own = {point: sum(parameter.numel() for parameter in encoder.get_submodule(point).parameters()) for point in points}
    current = ""
    for name, parameter in encoder.named_parameters():
        owner = name.rpartition(".")[0]
        if owner in counts:
            current = owner
        if current:
            counts[current] += parameter.numel()
    total = sum(parameter.numel() for parameter in encoder.parameters())
    return {"layers": [list(item) for item in counts.items()], "own": own, "feature_dim": encoder.feature_dim, "encoder_parameters": total}


def answer(questions: IO[str], answers: IO[str]) -> None:
    """Answer a JSON list of architecture configs by a JSON list."""
    json.dump([anatomy(config) for config in json.load(questions)], answers)
    answers.write("\n")
