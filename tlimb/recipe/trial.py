"""What a change would do, before it is made: the lines that change, and the mistakes it brings."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import Catalogue
from tlimb.errors import Diagnostic, Edit
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply

_QUOTED = re.compile(r"'[^']*'")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that goes (``-``, numbered in the text as it is) or comes (``+``, numbered in the text to be)."""

    sign: Literal["-", "+"]
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A change that has not been made."""

    edits: tuple[Edit, ...]
    text: str
    """The recipe to be."""
    lines: tuple[Line, ...]
    problems: tuple[Diagnostic, ...]
    """Mistakes that the recipe does not have as it is; their spans count in the recipe to be."""


def mistakes(text: str, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> list[Diagnostic]:
    """Everything that is wrong with a recipe, by place."""
    read = parse(text)
    return sorted([*read.diagnostics, *check(read.recipe, catalogue, datasets)], key=lambda found: found.span)


def tried(
    text: str, edits: Sequence[Edit], catalogue: Catalogue, datasets: Mapping[str, Dataset], before: Iterable[Diagnostic] | None = None
) -> Trial:
    """Make a change on the side.

    Args:
        text: the recipe.
        edits: the change.
        catalogue: the catalogue.
        datasets: the data sets.
        before: the mistakes that the recipe has as it is, where they are known.
    """
    after, _ = apply(text, edits)
    had = Counter(_told(mistake) for mistake in (mistakes(text, catalogue, datasets) if before is None else before))
    problems = []
    for mistake in mistakes(after, catalogue, datasets):
        if had[_told(mistake)]:
            had[_told(mistake)] -= 1
        elif mistake.severity == "error":
            problems.append(mistake)
    return Trial(tuple(edits), after, changed_lines(text, after), tuple(problems))


def changed_lines(before: str, after: str) -> tuple[Line, ...]:
    """The lines that go and come, in the order of the text."""
    old, new = before.splitlines(), after.splitlines()
    found: list[Line] = []
    for kind, start, end, other, last in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            found += [Line("-", place + 1, old[place]) for place in range(start, end)]
            found += [Line("+", place + 1, new[place]) for place in range(other, last)]
    return tuple(found)


def _told(mistake: Diagnostic) -> tuple[str, str]:
    """A mistake without the names in its message: a change may give a stage another one."""
    return mistake.code, _QUOTED.sub("'…'", mistake.message)
