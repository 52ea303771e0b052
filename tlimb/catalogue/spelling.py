"""What a user most likely meant by a mistyped word."""

import difflib
from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate a user most likely meant, or None."""
    options = list(candidates)
    lowered = {option.casefold(): option for option in reversed(options)}
    found = difflib.get_close_matches(word.casefold(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'age'? known: age, sex"`` for a mistyped word."""
    names = sorted(known)
    near = nearest(word, names)
    guess = f"did you mean '{near}'? " if near else ""
    return f"{guess}known: {', '.join(names) or 'none'}"
