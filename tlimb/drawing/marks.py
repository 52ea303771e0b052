"""The states of stages as everybody shows them: glyph, word and colour."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tlimb.drawing.picture import RANK, Node, Picture

State: TypeAlias = Literal["idle", "queued", "running", "done", "cached", "failed", "problem"]


@dataclass(frozen=True, slots=True)
class Sign:
    """How a state looks. The colour is one of the eight that every terminal has, or empty for the terminal's own."""

    glyph: str
    ascii: str
    word: str
    colour: str


SIGNS: dict[State, Sign] = {
    "idle": Sign("○", "o", "idle", ""),
    "queued": Sign("◌", ".", "queued", "cyan"),
    "running": Sign("◐", "*", "running", "yellow"),
    "done": Sign("✔", "v", "done", "green"),
    "cached": Sign("≡", "=", "cached", "green"),
    "failed": Sign("✖", "x", "failed", "red"),
    "problem": Sign("!", "!", "problem", "red"),
}

PRESSING: tuple[State, ...] = ("running", "failed", "problem")
"""States that a reader should see at once: the frame of a box has their colour too."""

_ORDER: tuple[State, ...] = ("done", "cached", "running", "queued", "failed", "problem", "idle")


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of a node, and what else there is to say of it in a word or two: an epoch ``4/10``, a metric, or the counts of a sweep."""

    state: State = "idle"
    detail: str = ""

    @property
    def glyph(self) -> str:
        """The state's glyph."""
        return SIGNS[self.state].glyph

    @property
    def word(self) -> str:
        """The state in a word."""
        return SIGNS[self.state].word


IDLE = Mark()


def fold(states: Iterable[State]) -> Mark:
    """The mark of a node that stands for several stages: what most needs to be known, and how many are in which state."""
    counts = Counter(states)
    total = counts.total()
    finished = counts["done"] + counts["cached"]
    state: State = "idle"
    pressing: tuple[State, ...] = ("problem", "failed", "running", "queued")
    if found := [candidate for candidate in pressing if counts[candidate]]:
        state = found[0]
    elif total and finished == total:
        state = "cached" if counts["cached"] == total else "done"
    return Mark(state, tally(counts) if len(counts) > 1 else "")


def tally(counts: "Counter[State]") -> str:
    """How many are in which state: ``6✔ 2◐ 1✖``; what is idle is not told where something else is."""
    shown = [state for state in _ORDER if counts[state] and (state != "idle" or counts.total() == counts["idle"])]
    return " ".join(f"{counts[state]}{SIGNS[state].glyph}" for state in shown)


def with_rank(picture: Picture, marks: Mapping[str, Mark]) -> dict[str, Mark]:
    """The marks and that of the rank, which has no stage: it is done when all that it ranks is."""
    ranked = {marks.get(link.source, IDLE).state for link in picture.links if link.target == RANK}
    return {RANK: Mark("done" if ranked <= {"done", "cached"} else "idle"), **marks} if ranked else dict(marks)


TWINS = {sign.glyph: sign.ascii for sign in SIGNS.values()}
"""Glyphs with their ASCII twins."""


def headline(node: Node, mark: Mark) -> str:
    """A node and its state in one line, for drawings that have no place of their own for a state."""
    sign = f"{mark.glyph} " if mark.state != "idle" else ""
    return f"{sign}{node.heading}{f' {mark.detail}' if mark.detail else ''}"
