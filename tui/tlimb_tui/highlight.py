"""Which words of a recipe are what, for colours: from the grammar's own tokens, so that a data set called `with` is no clause."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, TypeAlias

from lark import UnexpectedInput

from tlimb.catalogue.verbs import FORMS
from tlimb.recipe.parse import read_tokens, verb_of
from tlimb.recipe.split import scan

Kind: TypeAlias = Literal["verb", "clause", "key", "name", "number", "string", "constant", "comment", "sign"]
Word: TypeAlias = tuple[int, int, Kind]

_KINDS: dict[str, Kind] = {
    "PATH": "name",
    "LABEL": "name",
    "NUMBER": "number",
    "SIZE": "number",
    "STRING": "string",
    "CONSTANT": "constant",
    "EQUALS": "sign",
}


@lru_cache(maxsize=2048)
def words(statement: str) -> tuple[Word, ...]:
    """The words of a statement with their offsets, as far as it can be read; comments within it are left out."""
    verb = verb_of(statement)
    if verb not in FORMS:
        return ()
    found: list[Word] = [(0, len(verb), "verb")]
    try:
        for token in read_tokens(statement, FORMS[verb]):
            kind: Kind = _KINDS.get(token.type) or ("sign" if token.type.startswith("_") else "clause")
            if token.type == "EQUALS" and found[-1][2] == "name":
                found[-1] = (*found[-1][:2], "key")
            found.append((token.start_pos or 0, token.end_pos or 0, kind))
    except UnexpectedInput:
        pass  # the rest stays plain while it is being typed
    return tuple(found)


def comments(line: str) -> Iterator[Word]:
    """The comment of a line; one within a string is none."""
    if "#" in line:
        for kind, start, end in scan(line):
            if kind == "comment":
                yield start, end, "comment"
