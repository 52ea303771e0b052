"""The catalogue as one value: components by kind and word, their parameters read from the committed signatures."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tlimb.catalogue.components import Component, Parameter
from tlimb.catalogue.own import Own, trusted_folders
from tlimb.catalogue.spelling import nearest as nearest
from tlimb.catalogue.weights import WeightsFile, find_weights
from tlimb.catalogue.words import WORDS
from tlimb.errors import InputError

ENTRY_POINTS = "tlimb.catalogue"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What component words mean; `signatures` maps a class path to what is recorded of its class, `recorded` to its parameters.

    Attributes:
        arguments: The parameters of all components of a kind, by name.
    """

    components: Mapping[tuple[str, str], Component]
    signatures: Mapping[str, Mapping[str, Any]]
    recorded: Mapping[str, tuple[Parameter, ...]]
    arguments: Mapping[str, Mapping[str, Parameter]]
    folder: Path = Path()
    """Where the relative paths of a recipe start."""

    def words(self, kind: str) -> list[str]:
        """All words of a kind, in the catalogue's order."""
        return [word for (of, word) in self.components if of == kind]

    def find(self, kind: str, word: str) -> Component | None:
        """The component of a word; a class path (with dots) stands for itself; None where neither is known.

        Raises:
            InputError: the source of a class path is not Python.
        """
        if found := self.components.get((kind, word)):
            return found
        for component in self.components.values():
            if component.kind == kind and component.class_path == word:
                return replace(component, word=word, arguments={})
        signature = self._signature(word) if "." in word else None
        if signature is None:
            return None
        parameters = self.parameters(word) or ()
        return Component(word, kind, word, {}, signature["help"], parameters, "own", spatial_dims=signature.get("spatial_dims"))

    @property
    def own(self) -> Own:
        """The user's own components."""
        return Own(self.folder, trusted_folders(), self.signatures)

    def parameters(self, class_path: str) -> tuple[Parameter, ...] | None:
        """Parameters of a class, or None for a class that is not known or takes arguments that are not."""
        signature = self._signature(class_path)
        if signature is None or signature.get("open"):
            return None
        return self.recorded[class_path] if class_path in self.recorded else _parameters(signature)

    def _signature(self, class_path: str) -> Mapping[str, Any] | None:
        return self.signatures.get(class_path) or self.own.signature(class_path)

    def weights(self, written: str, passport: str | None = None) -> WeightsFile:
        """The file of weights that a recipe names.

        Raises:
            InputError: it is not there, or its passport is wrong.
        """
        return find_weights(self._path(written), self._path(passport) if passport else None)

    def _path(self, written: str) -> Path:
        return Path(os.path.normpath(self.folder / Path(written).expanduser()))

    def of_patches(self, class_path: str) -> bool:
        """Whether an architecture encodes patches one by one, or a term of the loss needs one that does."""
        return bool(self.signatures.get(class_path, {}).get("patches"))

    def views(self, class_path: str) -> tuple[str, ...]:
        """Views of unlabelled images that a term of the loss needs."""
        return tuple((self._signature(class_path) or {}).get("views", ()))

    def loading(self, class_path: str) -> tuple[str, ...]:
        """Arguments of a DataModule that say how to load; all its others shape the prepared array."""
        return tuple((self._signature(class_path) or {}).get("loading", ()))


def _parameters(signature: Mapping[str, Any]) -> tuple[Parameter, ...]:
    return tuple(Parameter(**parameter) for parameter in signature["parameters"])


def build(entries: Iterable[Component], signatures: Mapping[str, Mapping[str, Any]]) -> Catalogue:
    """A catalogue of the entries; a word with two owners is an error that names both."""
    components: dict[tuple[str, str], Component] = {}
    recorded = {class_path: _parameters(signature) for class_path, signature in signatures.items()}
    for entry in entries:
        key = (entry.kind, entry.word)
        if key in components:
            raise InputError(
                f"two packages define the {entry.kind} '{entry.word}': {components[key].owner} and {entry.owner}",
                "Uninstall one of them, or use class paths instead of the word.",
            )
        known = recorded.get(entry.class_path)
        if known is not None and entry.auxiliary:
            # The term's own arguments come first: they are what a method is known by.
            known = (*recorded.get(entry.auxiliary, ()), *known)
        parameters = entry.parameters if known is None else tuple(p for p in known if p.name not in entry.arguments)
        components[key] = replace(entry, parameters=parameters)
    arguments: dict[str, dict[str, Parameter]] = {}
    for component in components.values():
        arguments.setdefault(component.kind, {}).update({parameter.name: parameter for parameter in component.parameters})
    return Catalogue(components, signatures, recorded, arguments)


def _plugins() -> Iterable[Component]:
    for point in entry_points(group=ENTRY_POINTS):
        for entry in point.load():
            yield replace(entry, owner=point.dist.name if point.dist else point.value)


def load_catalogue(folder: Path | None = None) -> Catalogue:
    """The catalogue of this installation, for recipes in a folder: the built-in words and those of installed plug-ins."""
    return _installed() if folder is None else replace(_installed(), folder=folder)


@cache
def _installed() -> Catalogue:
    signatures = json.loads((Path(__file__).parent / "signatures.json").read_text(encoding="utf-8"))
    return build([*WORDS, *_plugins()], signatures)
