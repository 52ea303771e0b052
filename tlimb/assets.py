"""Where the grammar, the shipped recipes and the Nextflow templates lie: in the wheel, or in a checkout."""

from importlib.resources import files
from pathlib import Path


def asset(*parts: str) -> Path:
    """Path of a shipped file or folder, e.g. ``asset("grammar", "tlr.lark")``.

    In a wheel the folders stand under ``tlimb/_assets``; in a checkout or an editable install, beside the package.
    """
    package = Path(str(files("tlimb")))
    installed = package / "_assets"
    return (installed if installed.is_dir() else package.parent).joinpath(*parts)
