"""A user's own keys: ``keys.toml`` in the user's config folder gives actions other keys."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_config_path

from tlimb.catalogue.spelling import nearest
from tlimb_tui.actions import ACTIONS

FILE = "keys.toml"


@dataclass(frozen=True, slots=True)
class Keymap:
    """Keys by the names of actions, and what is wrong with the file."""

    keys: Mapping[str, str]
    problems: tuple[str, ...] = ()


def keymap_file() -> Path:
    """Where the file is looked for."""
    return user_config_path("tlimb") / FILE


def load_keymap(file: Path) -> Keymap:
    """The user's keys; an absent file means the default ones, and a line that is wrong is told and left out."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Keymap({})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Keymap({}, (f"{file}: cannot be read: {error}",))
    names = [action.name for action in ACTIONS]
    keys: dict[str, str] = {}
    problems = []
    for name, value in _flat(document):
        if name not in names:
            near = nearest(name, names)
            problems.append(f"{file}: no action '{name}'" + (f"; did you mean '{near}'?" if near else ""))
        elif not isinstance(value, str):
            problems.append(f"{file}: the keys of '{name}' must be text, such as \"ctrl+d,delete\"")
        else:
            keys[name] = value
    return Keymap(keys, tuple(problems))


def _flat(document: Mapping[str, object]) -> list[tuple[str, object]]:
    """Entries of tables too: ``[edit]`` with ``undo = "u"`` is ``edit.undo``."""
    found: list[tuple[str, object]] = []
    for name, value in document.items():
        found += [(f"{name}.{inner}", keys) for inner, keys in value.items()] if isinstance(value, dict) else [(name, value)]
    return found
