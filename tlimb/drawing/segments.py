"""A row of characters in segments, each with the name of a style; whoever shows them gives the styles colours."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeAlias

from tlimb.drawing import cells
from tlimb.drawing.marks import IDLE, PRESSING, SIGNS, Mark
from tlimb.drawing.picture import Node

Part: TypeAlias = tuple[int, str, str]
"""A column, what stands from there on, and its style."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters of one style: none, ``edge``, ``edge-data``, ``edge-lit``, ``box``, ``box-selected``, ``box-hovered``, ``title``,
    ``text``, ``dim``, ``letter`` or ``state-STATE``.
    """

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What may change without anything moving.

    Attributes:
        marks: The states of nodes; idle where none is given.
        letters: Of a node, its letter and, where it does not fit, the reason. Empty: there are no letters.
        words: Say the state in a word too, for those who see no colours.
        ascii_only: Draw with ASCII characters.
    """

    marks: Mapping[str, Mark] = field(default_factory=dict)
    selected: str | None = None
    hovered: str | None = None
    letters: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    words: bool = False
    ascii_only: bool = False

    def face(self, node: Node) -> "Face":
        """How a node looks."""
        mark = self.marks.get(node.id, IDLE)
        letter, reason = self.letters.get(node.id, ("", None))
        dim = bool(self.letters) and (not letter or reason is not None)
        told = node.id in self.marks or node.kind in ("train", "evaluate")
        word = mark.word if self.words and mark.state != "idle" else ""
        return Face(
            letter=letter,
            glyph=mark.glyph if told else "",
            style="dim" if dim else "letter" if letter else f"state-{mark.state}",
            fold=node.times,
            detail=reason or "" if dim else " ".join(filter(None, (word, mark.detail))),
            dim=dim,
            pressing=mark.state in PRESSING,
        )


@dataclass(frozen=True, slots=True)
class Face:
    """A node as it looks: its letter in connect mode, the glyph of its state, the style of both, how many it stands for, and what is to be
    said of its state.
    """

    letter: str
    glyph: str
    style: str
    fold: str
    detail: str
    dim: bool
    pressing: bool


def joined(parts: Iterable[Part], *, ascii_only: bool) -> list[Segment]:
    """Parts as one row: blanks between them, neighbours of one style together."""
    return [Segment(cells.plain(text) if ascii_only else text, style) for text, style in _runs(sorted(parts, key=itemgetter(0)))]


def _runs(parts: Iterable[Part]) -> Iterator[tuple[str, str]]:
    text, style, end = "", "", 0
    for x, glyphs, wanted in parts:
        for more, its in ((" " * (x - end), ""), (glyphs, wanted)):
            if its != style and more:
                if text:
                    yield text, style
                text, style = "", its
            text += more
        end = x + cells.width(glyphs)
    if text:
        yield text, style


def ansi(rows: Iterable[Iterable[Segment]]) -> str:
    """Rows as text with the colours of a terminal."""
    return "\n".join("".join(_painted(segment) for segment in row).rstrip() for row in rows)


def _painted(segment: Segment) -> str:
    code = _CODES.get(segment.style, "")
    return f"\x1b[{code}m{segment.text}\x1b[0m" if code and segment.text.strip() else segment.text


_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36"}
_CODES = {"title": "1", "dim": "2", "box": "2", "edge": "2", "edge-data": "2", "box-selected": "1", "edge-lit": "1", "letter": "1;7"}
_CODES |= {f"state-{state}": _COLOURS.get(sign.colour, "") for state, sign in SIGNS.items()}


def plain_text(rows: Iterable[Iterable[Segment]]) -> str:
    """Rows as text, without blanks at the ends of lines."""
    return "\n".join("".join(segment.text for segment in row).rstrip() for row in rows)
