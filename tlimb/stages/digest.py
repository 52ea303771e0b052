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
    return Digests()(config)


class Digests:
    """Digests of many configs: the text of a part that several of them hold is made once. What was seen must not change any more."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Any, str]] = {}
        """By identity, with the part itself, whose place in memory must not go to another one."""
        self._plain: dict[tuple[type, Any], str] = {}

    def __call__(self, config: Mapping[str, Any]) -> str:
        """The same as `digest`."""
        texts = {key: self._text(key, config[key]) for key in IDENTITY if key in config}
        parents = [[parent["role"], parent["digest"], *parent.get("heads", ())] for parent in config["parents"]]
        texts["parents"] = _canonical(parents)
        inside = ",".join(f'"{key}":{texts[key]}' for key in sorted(texts))
        return hashlib.sha256(f"{{{inside}}}".encode()).hexdigest()[:16]

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, dict | list):
            plain = type(value), value  # 1, 1.0 and true are equal
            if plain not in self._plain:
                self._plain[plain] = _canonical(value)
            return self._plain[plain]
        found = self._texts.get(id(value))
        if found is None:
            found = self._texts[id(value)] = value, _canonical(_with_effect(key, value))
        return found[1]


def _with_effect(section: str, component: Any) -> Any:
    """A section without the arguments that cannot change a result."""
    ignored = WITHOUT_EFFECT.get(section, ())
    if not ignored or component["init_args"].keys().isdisjoint(ignored):
        return component
    return {**component, "init_args": {key: value for key, value in component["init_args"].items() if key not in ignored}}


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
