"""Content addresses: equal work has an equal digest, wherever and in whichever order it was asked for."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

IDENTITY = (
    "tlimb",
    "kind",
    "seed",
    "targets",
    "unlabelled",
    "split",
    "data",
    "architecture",
    "objective",
    "auxiliaries",
    "scenario",
    "trainer",
    "compute",
    "dataset",
    "weights",
    "code",
)
WITHOUT_EFFECT = {"data": ("num_workers",), "trainer": ("logger",)}
"""Arguments that cannot change a result."""


def digest(config: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of the canonical JSON of what a `stage.yaml` says about the work (see docs/formats.md)."""
    identity: dict[str, Any] = {key: config[key] for key in IDENTITY if key in config}
    for section, ignored in WITHOUT_EFFECT.items():
        component = identity.get(section)
        if component and not component["init_args"].keys().isdisjoint(ignored):
            kept = {key: value for key, value in component["init_args"].items() if key not in ignored}
            identity[section] = {**component, "init_args": kept}
    identity["parents"] = [[parent["role"], parent["digest"], *parent.get("heads", ())] for parent in config["parents"]]
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
