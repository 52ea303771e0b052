"""From text to tree: every statement that can be read, and every mistake of syntax at once."""

import difflib
import re
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, cast

from lark import Lark, Token, UnexpectedInput

from tlimb.assets import asset
from tlimb.catalogue.verbs import FORMS as FORM_OF
from tlimb.errors import Diagnostic, Edit, Span
from tlimb.recipe.build import Builder
from tlimb.recipe.mistakes import explain, shown
from tlimb.recipe.split import split
from tlimb.recipe.tree import ParsedRecipe, Recipe, Statement

FORMS = ("version", "about", "data", "augment", "split", "set", "sweep", "search", "repeat", "rank", "training")
"""The forms of a statement: the start rules of the grammar."""

_VERB = re.compile(r"[^\W\d]\w*(?:[.\-]\w+)*")


def parse(text: str, verbs: Mapping[str, str] | None = None) -> ParsedRecipe:
    """Read a recipe.

    Args:
        text: the recipe; LF or CRLF.
        verbs: form of a statement (one of `FORMS`) by its verb; the catalogue's by default.

    Returns:
        The statements without mistakes of syntax (of a repeated clause the first), and the diagnostics sorted by place.
        Spans are character offsets into `text`.
    """
    verbs = FORM_OF if verbs is None else verbs
    table = frozenset(verbs.items())
    statements: list[Statement] = []
    diagnostics: list[Diagnostic] = []
    for piece in split(text, verbs):
        if piece.problems:
            diagnostics.extend(piece.problems)
            continue
        statement, problems = _read_at(text[piece.span.start : piece.span.end], piece.span.start, table)
        if statement is not None:
            statements.append(statement)
        diagnostics.extend(problems)
    diagnostics.sort(key=lambda diagnostic: diagnostic.span)
    return ParsedRecipe(Recipe(text, tuple(statements), newline(text)), tuple(diagnostics))


def newline(text: str) -> str:
    """The line ending that the text mostly uses."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def verb_of(statement: str) -> str:
    """The first word of a statement's text; empty where it starts with something else."""
    match = _VERB.match(statement)
    return match.group() if match else ""


def tokens(statement: str, form: str) -> list[Token]:
    """The tokens of a statement after its verb, with offsets from the start of the statement.

    Raises:
        UnexpectedInput: the statement is wrong.
    """
    return list(grammar().parse_interactive(_without_verb(statement), start=form).iter_parse())


@cache
def grammar() -> Lark:
    """The parser, made when it is first needed."""
    return Lark(asset("grammar", "tlr.lark").read_text(encoding="utf-8"), parser="lalr", start=list(FORMS), propagate_positions=True)


@lru_cache(maxsize=4096)
def _read(text: str, verbs: frozenset[tuple[str, str]]) -> tuple[Statement | None, tuple[Diagnostic, ...]]:
    """Read one statement; spans count from its start, so that the result holds wherever it stands."""
    forms = dict(verbs)
    verb = verb_of(text)
    if verb not in forms:
        return None, (_unknown_statement(text, verb, forms),)
    try:
        parsed = grammar().parse(_without_verb(text), start=forms[verb])
    except UnexpectedInput:
        return None, (explain(grammar(), _without_verb(text), forms[verb], verb=verb, verbs=forms),)
    builder = Builder(text, verb)
    return builder.transform(parsed), tuple(builder.problems)


def _without_verb(statement: str) -> str:
    verb = verb_of(statement)
    return " " * len(verb) + statement[len(verb) :]


def _unknown_statement(text: str, verb: str, verbs: Mapping[str, str]) -> Diagnostic:
    known = f"statements start with {', '.join(sorted(verbs))}"
    if not verb:
        return Diagnostic("unknown-statement", Span(0, 1), f"expected a statement, found {shown(text[0])}", known)
    span = Span(0, len(verb))
    message = f"no statement starts with '{verb}'"
    close = difflib.get_close_matches(verb, verbs, 1)
    if not close:
        return Diagnostic("unknown-statement", span, message, known)
    return Diagnostic("unknown-statement", span, message, f"did you mean '{close[0]}'?", (Edit(span, close[0]),))


@lru_cache(maxsize=1024)
def _read_at(text: str, start: int, verbs: frozenset[tuple[str, str]]) -> tuple[Statement | None, tuple[Diagnostic, ...]]:
    """Read the statement that starts there in the recipe."""
    statement, problems = _read(text, verbs)
    return (_shifted(statement, start), _shifted(problems, start)) if start else (statement, problems)


def _shifted(node: Any, offset: int) -> Any:
    """The same node or tuple of nodes, `offset` characters further on. Most of the time of a keystroke goes here."""
    kind = type(node)
    if kind is Span:
        return Span(node.start + offset, node.end + offset)
    if kind is tuple:
        return tuple([_shifted(item, offset) for item in node])
    names = _fields(cast(Hashable, kind))
    return kind(*[_shifted(getattr(node, name), offset) for name in names]) if names else node


@cache
def _fields(kind: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if isinstance(kind, type) and is_dataclass(kind) else ()
