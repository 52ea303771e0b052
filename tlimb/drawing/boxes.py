"""A layout as boxes of characters: segments with the name of a style each, or plain text."""

from collections.abc import Mapping
from dataclasses import dataclass

from tlimb.drawing.layout import Layout
from tlimb.drawing.marks import Mark


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters of one style: ``""``, ``edge``, ``edge-data``, ``edge-lit``, ``box``, ``box-selected``, ``box-dim``, ``title``, ``text``,
    ``letter`` or ``state-STATE``.
    """

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What may change without anything moving: states, selection, the letters of connect mode, and the characters to draw with.

    `letters` maps a node to its letter and, where it does not fit, the reason.
    """

    marks: Mapping[str, Mark]
    selected: str | None = None
    hovered: str | None = None
    letters: Mapping[str, tuple[str, str | None]] | None = None
    ascii_only: bool = False


def render(layout: Layout, look: Look) -> list[list[Segment]]:
    """All lines."""
    raise NotImplementedError


def text(layout: Layout, marks: Mapping[str, Mark], *, ascii_only: bool = False) -> str:
    """Plain text."""
    raise NotImplementedError
