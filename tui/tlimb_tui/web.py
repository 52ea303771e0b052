"""The app in a browser of this machine."""

import shlex
import sys
from pathlib import Path

from textual_serve.server import Server


def serve(path: Path | None, *, port: int, ascii_only: bool = False, store: Path | None = None, datasets: Path | None = None) -> None:
    """Serve the app on loopback until interrupted; each browser tab gets a process of its own."""
    command = [sys.executable, "-m", "tlimb", "tui", *([str(path)] if path else []), *(["--ascii"] if ascii_only else [])]
    for option, given in (("--store", store), ("--datasets", datasets)):
        if given is not None:
            command += [option, str(given)]
    Server(shlex.join(command), host="127.0.0.1", port=port, title="tlimb").serve()
