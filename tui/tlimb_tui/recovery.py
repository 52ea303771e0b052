"""Copies of what is typed and not saved, for when a terminal or a browser tab is closed under it."""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_state_path

from tlimb.files import read_json, write_text
from tlimb_tui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Kept:
    """A copy: the text, and when it was made (seconds since 1970)."""

    text: str
    at: float

    @property
    def when(self) -> str:
        """The time for people."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.at))


def keep(workspace: Workspace) -> None:
    """Make a copy; where none can be made, there is none."""
    with suppress(OSError):
        file = _file(workspace)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(file, json.dumps({"of": _place(workspace), "text": workspace.text, "at": time.time(), "pid": os.getpid()}))


def drop(workspace: Workspace) -> None:
    """The text is saved, or is not wanted."""
    with suppress(OSError):
        if read_json(_file(workspace)).get("pid") in (os.getpid(), None) or kept(workspace):
            _file(workspace).unlink(missing_ok=True)


def kept(workspace: Workspace) -> Kept | None:
    """The copy that an app left behind which is no more, if it is not what the file holds."""
    found = read_json(_file(workspace))
    text, at, pid = found.get("text"), found.get("at"), found.get("pid")
    if not isinstance(text, str) or not isinstance(at, int | float) or not isinstance(pid, int):
        return None
    return None if text == workspace.text or (pid != os.getpid() and _alive(pid)) else Kept(text, at)


def _place(workspace: Workspace) -> str:
    return str(workspace.path.resolve() if workspace.path is not None else workspace.folder / "untitled")


def _file(workspace: Workspace) -> Path:
    return user_state_path("tlimb") / "unsaved" / f"{hashlib.sha256(_place(workspace).encode()).hexdigest()[:16]}.json"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
