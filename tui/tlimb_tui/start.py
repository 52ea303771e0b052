"""Open the app on a recipe, or on a folder."""

from pathlib import Path

from tlimb_tui.app import TlimbApp
from tlimb_tui.workspace import Workspace


def start(path: Path | None, *, ascii_only: bool = False, store: Path | None = None, datasets: Path | None = None) -> int:
    """Run the app until it is left; returns the exit status."""
    workspace = Workspace.open(path, datasets=datasets, store=store) if path else Workspace(datasets=datasets, store=store)
    return TlimbApp(workspace, ascii_only=ascii_only).run() or 0
