"""From text to tree: every statement that can be read, and every mistake of syntax at once."""

import difflib
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, cast

from lark import Lark, Token, UnexpectedInput
from lark.parsers.lalr_interactive_parser import InteractiveParser

from tlimb.assets import asset
from tlimb.catalogue.verbs import FORMS as FORM_OF
from tlimb.errors import Diagnostic, Edit, Span
from tlimb.recipe.build import Builder
from tlimb.recipe.mistakes import explain, shown
from tlimb.recipe.split import split
from tlimb.recipe.tree import ParsedRecipe, Recipe, Statement

FORMS = ("version", "about", "data", "augment", "split", "set", "sweep", "search", "repeat", "rank", "training")
"""The forms of a statement: the start rules of the grammar."""

_TABLE = frozenset(FORM_OF.items())
"""Always the same object: the caches below compare it for each statement."""
_PLAIN = (str, int, bool, str | None, int | None, float | None, int | float)
"""Types of fields that hold no span."""
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
    readings = read(text, verbs)
    statements = tuple(reading.statement for reading in readings if reading.statement is not None)
    diagnostics = sorted((problem for reading in readings for problem in reading.problems), key=lambda problem: problem.span)
    return ParsedRecipe(Recipe(text, statements, newline(text)), tuple(diagnostics))


@dataclass(frozen=True, slots=True)
class Reading:
    """One statement as it was read: where it stands, its node (None where it could not be read) and what is wrong with its syntax."""

    span: Span
    statement: Statement | None
    problems: tuple[Diagnostic, ...]


def read(text: str, verbs: Mapping[str, str] | None = None) -> list[Reading]:
    """As `parse`, statement by statement; what has been read before, at the same place or at another, is not read again."""
    table = _TABLE if verbs is None else frozenset(verbs.items())
    verbs = FORM_OF if verbs is None else verbs
    readings = []
    for piece in split(text, verbs):
        if piece.problems:
            readings.append(Reading(piece.span, None, piece.problems))
        else:
            readings.append(Reading(piece.span, *_read_at(text[piece.span.start : piece.span.end], piece.span.start, table)))
    return readings


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
    return list(read_tokens(statement, form))


def read_tokens(statement: str, form: str) -> Iterator[Token]:
    """As `tokens`, one after the other up to the first that is wrong."""
    return interactive(statement, form).iter_parse()


def interactive(statement: str, form: str) -> InteractiveParser:
    """The parser in front of a statement's text after its verb: it can be asked what it would accept."""
    return grammar().parse_interactive(_without_verb(statement), start=form)


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
    return (shifted(statement, start), shifted(problems, start)) if start else (statement, problems)


def shifted(node: Any, offset: int) -> Any:
    """The same node or tuple of nodes, `offset` characters further on. Most of the time of a keystroke goes here."""
    kind = type(node)
    if kind is Span:
        return Span(node.start + offset, node.end + offset)
    if kind is tuple:
        return tuple([shifted(item, offset) for item in node]) if node else node
    parts = _parts(cast(Hashable, kind))
    if not parts:
        return node
    values = []
    for name, holds in parts:
        value = getattr(node, name)
        if holds == "span":
            value = Span(value.start + offset, value.end + offset)
        elif holds:
            value = shifted(value, offset)
        values.append(value)
    return kind(*values)


@cache
def _parts(kind: Hashable) -> tuple[tuple[str, str], ...]:
    """The fields of a node, each with what it holds: a span, nothing that moves, or what has to be looked at; none of what is no node."""
    if not isinstance(kind, type) or not is_dataclass(kind):
        return ()
    return tuple((field.name, "span" if field.type is Span else "" if field.type in _PLAIN else "any") for field in fields(kind))
