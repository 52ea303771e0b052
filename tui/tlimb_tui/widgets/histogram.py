"""How the labels of a data set are distributed."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from tlimb.drawing.bars import bar, columns
from tlimb.run.data import label_line

HEIGHT = 4
NAMES = 14
"""Columns for the name of a class."""


def distributions(labels: Mapping[str, Mapping[str, Any]], width: int, colour: str, *, ascii_only: bool = False) -> Text:
    """All labels: numbers as a histogram, classes as bars."""
    said = Text()
    for name, label in labels.items():
        said.append(name, style="bold")
        said.append(f"  {_head(label)}\n")
        if histogram := label.get("histogram"):
            _histogram(said, histogram, width, colour, ascii_only=ascii_only)
        elif classes := label.get("classes"):
            _classes(said, classes, width, colour, ascii_only=ascii_only)
    return said


def _head(label: Mapping[str, Any]) -> str:
    """The line of the command line without what the bars say."""
    return label_line(label).partition("; ")[0] if label.get("classes") else label_line(label)


def _histogram(said: Text, histogram: Mapping[str, Any], width: int, colour: str, *, ascii_only: bool) -> None:
    counts, edges = histogram["counts"], histogram["edges"]
    each = max(1, min(3, (width - 2) // max(1, len(counts))))
    for line in columns(counts, HEIGHT, each, ascii_only=ascii_only):
        said.append(f"{line}\n", style=colour)
    first, last = f"{edges[0]:g}", f"{edges[-1]:g}"
    said.append(f"{first}{last.rjust(max(len(last) + 1, each * len(counts) - len(first)))}   most: {max(counts)}\n", style="dim")


def _classes(said: Text, classes: Mapping[str, int], width: int, colour: str, *, ascii_only: bool) -> None:
    most = max(classes.values(), default=0) or 1
    names = min(NAMES, max(map(len, classes), default=0))
    for name, count in classes.items():
        shown = name if len(name) <= names else name[: names - 1] + ("~" if ascii_only else "…")
        said.append(f"{shown.ljust(names)} ")
        said.append(bar(count / most, max(4, width - names - 8), ascii_only=ascii_only), style=colour)
        said.append(f" {count}\n")
