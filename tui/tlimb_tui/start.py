"""Open the app on a recipe, or on a folder."""

import os
import sys
from pathlib import Path

from tlimb.catalogue.own import trust
from tlimb.errors import InputError
from tlimb_tui.app import TlimbApp
from tlimb_tui.keymap import keymap_file, load_keymap
from tlimb_tui.workspace import Workspace


def start(
    path: Path | None, *, ascii_only: bool = False, trusted: bool = False, store: Path | None = None, datasets: Path | None = None
) -> int:
    """Run the app until it is left; returns the exit status.

    Args:
        path: A recipe (one that does not exist yet is begun), or a folder to browse; None: the folder one is in.
        ascii_only: Draw with ASCII characters.
        trusted: The modules in the recipe's folder may be run.
        store: Where results lie.
        datasets: The datasets.yaml to use.

    Raises:
        InputError: the recipe cannot be read, or there is no terminal.
    """
    if trusted:
        given = path if path is not None else Path.cwd()
        trust((given if given.is_dir() else given.parent).resolve())
    workspace, folder = opened(path, store, datasets)
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and "TEXTUAL_DRIVER" not in os.environ:
        raise InputError("the app needs a terminal", "in a browser: tlimb tui --web; as text: tlimb graph, check, status and results")
    app = TlimbApp(workspace, browse=folder, ascii_only=ascii_only, keymap=load_keymap(keymap_file()))
    return app.run() or app.return_code or 0


def opened(path: Path | None, store: Path | None, datasets: Path | None) -> tuple[Workspace, Path | None]:
    """What the app begins with: a recipe, and the folder to browse, if any.

    Raises:
        InputError: the recipe cannot be read.
    """
    folder = path if path is not None and path.is_dir() else Path.cwd() if path is None else None
    if path is None or folder is not None:
        workspace = Workspace(None, folder=folder, datasets=datasets, store=store, lazy=True)
    elif path.exists():
        workspace = Workspace.open(path, datasets=datasets, store=store, lazy=True)
    elif path.parent.is_dir():
        workspace = Workspace(path, datasets=datasets, store=store, lazy=True)
    else:
        raise InputError(f"{path}: there is no folder {path.parent}", "make it first, or name another place")
    return workspace, folder
