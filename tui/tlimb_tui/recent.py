"""The recipes that were opened last."""

import json
from contextlib import suppress
from pathlib import Path

from platformdirs import user_state_path

from tlimb.files import write_text

KEPT = 12


def _file() -> Path:
    return user_state_path("tlimb") / "recent.json"


def recent() -> list[Path]:
    """Recipes that still exist, the latest first."""
    try:
        names = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [Path(name) for name in names if isinstance(name, str) and Path(name).is_file()] if isinstance(names, list) else []


def remember(path: Path) -> None:
    """Put a recipe in front; where that cannot be written, nothing is remembered."""
    names = [str(path.resolve()), *(str(other) for other in recent() if other != path.resolve())]
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_text(_file(), json.dumps(names[:KEPT], indent=1) + "\n")
