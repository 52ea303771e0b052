"""One way to lay out a recipe. Only blanks, empty lines and `;` at line ends change."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from lark import Token

from tlimb.catalogue.verbs import FORMS
from tlimb.errors import RecipeError
from tlimb.recipe.parse import newline, parse, tokens, verb_of
from tlimb.recipe.split import Piece, scan, split

INDENT = "    "

_NONE_BEFORE = {"_LPAR", "_RPAR", "_RBRACKET", "_COMMA", "_RANGE", "_TIMES", "LABEL"}
_NONE_AFTER = {"_LPAR", "_LBRACKET", "_RANGE", "_TIMES"}
_EMPTY_LINES = re.compile(r"(\r?\n)(?:[ \t]*\r?\n){2,}")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A token, the blank it wants before it where it does not start a line, and whether it starts a statement."""

    start: int
    end: int
    blank: str
    first: bool


def format_recipe(text: str) -> str:
    """The recipe in the one layout; its tree, its comments and its line endings stay.

    Raises:
        RecipeError: the text has mistakes of syntax.
    """
    laid_out = _lay_out(text)
    assert meaning(laid_out) == meaning(text), "formatting changed the recipe"
    assert _comments(laid_out) == _comments(text), "formatting changed a comment"
    assert _lay_out(laid_out) == laid_out, "formatting is not stable"
    return laid_out


def meaning(text: str) -> tuple[Any, ...]:
    """The statements as plain tuples without their places: equal for recipes that differ only in layout.

    Raises:
        RecipeError: the text has mistakes of syntax.
    """
    parsed = parse(text)
    if parsed.diagnostics:
        raise RecipeError(list(parsed.diagnostics))
    return tuple(bare(statement) for statement in parsed.recipe.statements)


def bare(node: Any) -> Any:
    """A node of the tree as plain tuples without its spans."""
    if isinstance(node, tuple):
        return tuple(bare(item) for item in node)
    if is_dataclass(node) and not isinstance(node, type):
        values = (getattr(node, field.name) for field in fields(node) if not field.name.endswith("span"))
        return (type(node).__name__, *(bare(value) for value in values))
    return node


def _lay_out(text: str) -> str:
    parsed = parse(text)
    if parsed.diagnostics:
        raise RecipeError(list(parsed.diagnostics))
    out: list[str] = []
    line, position = "", 0
    for token in [*_placed(text), None]:
        gap = text[position : token.start if token else len(text)]
        for kind, piece, indented in _breaks(gap, at_start=position == 0):
            if kind == "newline":
                out.append(line.rstrip() + piece)
                line = ""
            elif kind == "mark":
                line = piece
            elif line.strip("\ufeff"):
                line = f"{line.rstrip()}  {piece}"
            else:
                line += (INDENT if indented or (token and not token.first) else "") + piece
        if token is None:
            break
        if not line.strip("\ufeff"):
            line += "" if token.first else INDENT
        elif token.first:
            line += "; "
        else:
            line += token.blank
        line += text[token.start : token.end]
        position = token.end
    out.append(line.rstrip())
    return _tidy("".join(out), newline(text))


def _tidy(text: str, ending: str) -> str:
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = _EMPTY_LINES.sub(r"\1\1", text.removeprefix(mark).strip("\r\n"))
    return mark + (body + ending if body else "")


def _placed(text: str) -> Iterator[_Placed]:
    for piece in split(text, FORMS):
        yield from _placed_statement(text, piece)


def _placed_statement(text: str, piece: Piece) -> Iterator[_Placed]:
    offset = piece.span.start
    statement = text[offset : piece.span.end]
    verb = verb_of(statement)
    form = FORMS[verb]
    yield _Placed(offset, offset + len(verb), "", True)
    before: Token | None = None
    wide = False
    for index, token in enumerate(tokens(statement, form)):
        assert token.start_pos is not None
        assert token.end_pos is not None
        was_wide, wide = wide, form == "set" and index == 1
        blank = " " if wide or was_wide or before is None or _apart(before.type, token.type) else ""
        yield _Placed(offset + token.start_pos, offset + token.end_pos, blank, False)
        before = token


def _apart(before: str, after: str) -> bool:
    """Whether a blank stands between two terminals; `set PATH = VALUE` is the one case that they do not decide."""
    if "EQUALS" in (before, after) or before in _NONE_AFTER or after in _NONE_BEFORE:
        return False
    return not (before == "PATH" and after == "_LBRACKET")


def _breaks(gap: str, *, at_start: bool) -> Iterator[tuple[str, str, bool]]:
    """Newlines, comments (and whether one is indented) and the byte order mark between two tokens."""
    margin, indented = at_start, False
    for kind, start, end in scan(gap):
        if kind == "blank":
            indented = margin
        elif kind != "end":
            yield kind, gap[start:end].rstrip(" \t"), indented
            indented = False
        margin = kind in ("newline", "mark")


def _comments(text: str) -> list[str]:
    return [text[start:end].rstrip() for kind, start, end in scan(text) if kind == "comment"]
