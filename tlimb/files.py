"""Writing files that are either whole or not there."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a text file by one atomic rename, so that a reader or a kill never meets half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
