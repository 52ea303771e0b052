"""Component configs: dictionaries of class_path and init_args, and setting a field of one by its dotted path."""

from collections.abc import Mapping
from typing import Any

from tlimb.catalogue.keys import kind_at
from tlimb.catalogue.registry import Catalogue
from tlimb.recipe.tree import Component, Value, plain

ComponentConfig = dict[str, Any]


def instantiate(catalogue: Catalogue, kind: str, component: Component) -> ComponentConfig:
    """The config of a component as written in a recipe; a class path the catalogue does not know stands for itself."""
    entry = catalogue.find(kind, component.name)
    class_path, preset = (entry.class_path, entry.arguments) if entry else (component.name, {})
    return {"class_path": class_path, "init_args": {**preset, **{a.key: plain(a.value) for a in component.arguments}}}


def assign(config: dict[str, Any], path: str, value: Any) -> None:
    """Set a field in place; ``init_args`` levels are entered by themselves, missing mappings made on the way."""
    *above, name = path.split(".")
    place = config
    for piece in above:
        place = _inside(place.setdefault(piece, {}))
    _inside(place)[name] = value


def converted(catalogue: Catalogue, path: str, value: Value) -> Any:
    """The config value of a recipe's value at a path."""
    kind = kind_at(path)
    if isinstance(value, Component) and (kind or value.arguments):
        return instantiate(catalogue, kind or "", value)
    return plain(value)


def copied(value: Any) -> Any:
    """A copy of a value of JSON types that shares no mapping or list with it."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def _inside(place: Mapping[str, Any]) -> dict[str, Any]:
    inside = place["init_args"] if "class_path" in place else place
    assert isinstance(inside, dict)
    return inside
