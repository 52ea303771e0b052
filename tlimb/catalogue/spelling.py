"""What a user most likely meant by a mistyped word."""

import difflib
from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate a user most likely meant, or None."""
    options = list(candidates)
    lowered = {option.casefold(): option for option in reversed(options)}
    found = difflib.get_close_matches(word.casefold(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


SHOWN = 40
"""Names that are listed; of more, only those close to the word."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'age'? known: age, sex"`` for a mistyped word."""
    names = sorted(known)
    near = nearest(word, names)
    guess = f"did you mean '{near}'? " if near else ""
    if len(names) > SHOWN:
        close = [name for name in names if word.casefold() in name.casefold() or name.casefold() in word.casefold()][:SHOWN]
        return f"{guess}known: {len(names)} names" + (f", among them {', '.join(close)}" if close else "")
    return f"{guess}known: {', '.join(names) or 'none'}"
