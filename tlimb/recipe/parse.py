"""From text to tree: every statement that can be read, and every mistake of syntax at once."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache, lru_cache
from typing import Any, TypeVar, cast

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
Node = TypeVar("Node")


def parse(text: str, verbs: Mapping[str, str] | None = None) -> ParsedRecipe:
    """Read a recipe.

    Args:
        text: the recipe; LF or CRLF.
        verbs: form of a statement (one of `FORMS`) by its verb; the catalogue's by default.

    Returns:
        The statements without mistakes of syntax (a repeated clause or key counts once), and the diagnostics sorted by place.
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
        statement, problems = _read(text[piece.span.start : piece.span.end], table)
        if statement is not None:
            statements.append(shifted(statement, piece.span.start))
        diagnostics.extend(shifted(problem, piece.span.start) for problem in problems)
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


def shifted(node: Node, offset: int) -> Node:
    """The same node, diagnostic or tuple of them, `offset` characters further on."""
    return cast(Node, _shifted(node, offset)) if offset else node


def _shifted(node: Any, offset: int) -> Any:
    if isinstance(node, Span):
        return Span(node.start + offset, node.end + offset)
    if isinstance(node, tuple):
        return tuple(_shifted(item, offset) for item in node)
    if is_dataclass(node) and not isinstance(node, type):
        return replace(node, **{name: _shifted(getattr(node, name), offset) for name in _names(type(node))})
    return node


@cache
def _names(node: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(node))
