"""Two changes of one recipe brought together, statement by statement: what was typed here and what another program wrote to the file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from tlimb.errors import Edit, Span
from tlimb.recipe.parse import newline, read


@dataclass(frozen=True, slots=True)
class Merged:
    """The text that holds both changes, and the offsets of the places where both changed the same statements.

    There ours stands, and theirs as comments below.
    """

    text: str
    conflicts: tuple[int, ...]


def merge(base: str, ours: str, theirs: str) -> Merged:
    """Bring two changes of a base together."""
    pieces = [chunks(text) for text in (base, ours, theirs)]
    parts: list[str] = []
    conflicts: list[int] = []
    length = 0
    for old, mine, other in _regions(*pieces):
        if mine == other or other == old:
            part = "".join(mine)
        elif mine == old:
            part = "".join(other)
        else:
            conflicts.append(length)
            part = _both("".join(mine), "".join(other), newline(ours))
        parts.append(part)
        length += len(part)
    return Merged("".join(parts), tuple(conflicts))


def chunks(text: str) -> list[str]:
    """The text in pieces that each hold the lines of one statement, with the comments and empty lines above it."""
    starts = [0]
    end = 0
    for reading in read(text):
        if text.find("\n", end, reading.span.start) >= 0:
            starts.append(text.find("\n", end) + 1)
        end = reading.span.end
    if (last := text.find("\n", end)) >= 0:
        starts.append(last + 1)
    return [text[start:stop] for start, stop in zip(starts, [*starts[1:], len(text)], strict=True) if start < stop]


def _both(mine: str, other: str, line_end: str) -> str:
    """Ours, then theirs as comments."""
    kept = mine if mine.endswith("\n") or not mine else mine + line_end
    return kept + "".join(f"# on disk: {line}{line_end}" if line.strip() else line_end for line in other.splitlines())


def _regions(
    base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]
) -> Iterator[tuple[Sequence[str], Sequence[str], Sequence[str]]]:
    """The three texts cut at the pieces that all have; each region has its part of each."""
    left, right = _matches(base, ours), _matches(base, theirs)
    at, at_ours, at_theirs = 0, 0, 0
    for place in [*(place for place in range(len(base)) if place in left and place in right), None]:
        if place is None:
            yield base[at:], ours[at_ours:], theirs[at_theirs:]
            return
        yield base[at:place], ours[at_ours : left[place]], theirs[at_theirs : right[place]]
        yield base[place : place + 1], ours[left[place] : left[place] + 1], theirs[right[place] : right[place] + 1]
        at, at_ours, at_theirs = place + 1, left[place] + 1, right[place] + 1


def _matches(one: Sequence[str], other: Sequence[str]) -> dict[int, int]:
    """Where the pieces of one that the other has too stand in it, in order."""
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return {block.a + step: block.b + step for block in blocks for step in range(block.size)}


def difference(before: str, after: str) -> Edit:
    """The smallest single edit that makes one text of another."""
    start = _common(before, after, len(min(before, after, key=len)))
    tail = _common(before[::-1], after[::-1], len(min(before, after, key=len)) - start)
    return Edit(Span(start, len(before) - tail), after[start : len(after) - tail])


def _common(one: str, other: str, most: int) -> int:
    """How many characters two texts have in common at their start, at most as many as given."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low
