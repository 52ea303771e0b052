"""What the app remembers from one time to the next: the recipes that were opened last, and the theme."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from tlimb.files import read_json, write_text

KEPT = 12


def _file() -> Path:
    return user_state_path("tlimb") / "app.json"


def _put(name: str, value: Any) -> None:
    """Write one thing down; where that cannot be done, it is not remembered."""
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_text(_file(), json.dumps(read_json(_file()) | {name: value}, indent=1) + "\n")


def recent() -> list[Path]:
    """Recipes that still exist, the latest first."""
    names = read_json(_file()).get("recent")
    return [Path(name) for name in names if isinstance(name, str) and Path(name).is_file()] if isinstance(names, list) else []


def remember(path: Path) -> None:
    """Put a recipe in front."""
    _put("recent", [str(path.resolve()), *(str(other) for other in recent() if other != path.resolve())][:KEPT])


def last_theme() -> str:
    """The theme that was chosen last; empty if none was."""
    name = read_json(_file()).get("theme")
    return name if isinstance(name, str) else ""


def remember_theme(name: str) -> None:
    """Begin with this theme the next time."""
    if name != last_theme():
        _put("theme", name)
