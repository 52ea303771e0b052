"""What a syntax error means, in words of the language: what was expected, where, and how to mend it."""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lark import Lark, Token, UnexpectedCharacters, UnexpectedInput
from lark.parsers.lalr_interactive_parser import InteractiveParser

from tlimb.catalogue.verbs import CLAUSES
from tlimb.errors import Diagnostic, Edit, Span

KEYWORDS = {word.upper(): word for word in (*CLAUSES, "only", "at", "lr", "overlap", "for", "into", "in", "by", "log")}
_SIGNS = {
    "EQUALS": "=",
    "_COMMA": ",",
    "_PLUS": "+",
    "_TIMES": "*",
    "_LPAR": "(",
    "_RPAR": ")",
    "_LBRACKET": "[",
    "_RBRACKET": "]",
    "_RANGE": "..",
}
_KINDS = {
    "PATH": "a name",
    "NUMBER": "a number",
    "SIZE": "a size such as 96x96",
    "STRING": "a string",
    "CONSTANT": "true, false, none or off",
    "LABEL": "'.' and a label",
}
_AFTER = {
    "ON": "a data set",
    "USING": "a data set",
    "TO": "a data set",
    "FOR": "a data set",
    "_PLUS": "a data set",
    "_TIMES": "a data set",
    "WITH": "a setting such as lr=1e-3",
    "AS": "a name",
    "FROM": "a stage or a file in quotes",
    "VIA": "a method",
    "FREEZE": "a layer",
    "UNFREEZE": "a layer",
    "ONLY": "a layer",
    "AT": "an epoch number",
    "LR": "a number",
    "ELASTIC": "a number",
    "OVERLAP": "a reason in quotes",
    "BY": "a metric such as val.mae",
    "INTO": "a part such as 'base 0.8'",
    "IN": "a list or range such as [1, 2] or 1..5",
    "EQUALS": "a value",
    "version": "a version number",
    "about": 'an entry such as title="…"',
    "data": "a data component",
    "augment": "an augmentation",
    "split": "a data set",
    "set": "a setting",
    "sweep": "a setting",
    "search": "a search method",
    "repeat": "a number",
}
"""What stands after a terminal, or after the verb of a form, where one word says it."""

_NUMBER_LIKE = re.compile(r"-?\.?[0-9][\w.]*")
_WORD_LIKE = re.compile(r"[^\W\d][\w.\-]*")
_QUOTES = "'‘’“”„«»`"


@dataclass(frozen=True, slots=True)
class _Failure:
    """Where the parse of a statement stopped."""

    text: str
    form: str
    before: tuple[Token, ...]
    """The tokens read until there."""
    accepts: frozenset[str]
    """The terminals that may come next."""
    start: int
    unreadable: bool
    """No terminal at all begins here."""

    @property
    def found(self) -> str:
        """The word or sign that could not be read; empty at the end of the statement."""
        match = _WORD_LIKE.match(self.text, self.start) or _NUMBER_LIKE.match(self.text, self.start)
        if match:
            return match.group()
        return ".." if self.text.startswith("..", self.start) else self.text[self.start : self.start + 1]

    @property
    def span(self) -> Span:
        """The span of `found`."""
        return Span(self.start, self.start + len(self.found))


def explain(parser: Lark, text: str, form: str, *, verb: str, verbs: Mapping[str, str]) -> Diagnostic:
    """The diagnostic of a statement that does not parse.

    Args:
        parser: the grammar's parser.
        text: the statement, its verb blanked out.
        form: the start rule.
        verb: the statement's verb.
        verbs: all verbs, to notice a statement that runs into the next.
    """
    failure = _failure(parser, text, form)
    assert failure is not None
    if failure.unreadable or (_NUMBER_LIKE.match(failure.found[1:]) and failure.found[0] == "."):
        return _unreadable(failure)
    failure = _misread_clause(parser, failure)
    after = failure.before[-1] if failure.before else verb
    message = f"expected {_expected(failure)} after '{after}'"
    if not failure.found:
        return Diagnostic("incomplete-statement", failure.span, message)
    code = "unknown-clause" if "WITH" in failure.accepts and _WORD_LIKE.match(failure.found) else "unexpected-text"
    hint, fix = next(_advice(parser, failure, verbs), ("", ()))
    return Diagnostic(code, failure.span, f"{message}, found '{failure.found}'", hint, fix)


def _failure(parser: Lark, text: str, form: str) -> _Failure | None:
    """Parse again, token by token, and see where it stops; None where the text is right."""
    state = parser.parse_interactive(text, start=form)
    try:
        tokens = list(state.iter_parse())
    except UnexpectedInput as error:
        return _stop(parser, text, form, error.pos_in_stream or 0, unreadable=isinstance(error, UnexpectedCharacters))
    if "$END" in _accepts(state):
        return None
    return _stop(parser, text, form, _end(tokens[-1]) if tokens else len(text))


def _stop(parser: Lark, text: str, form: str, start: int, *, unreadable: bool = False) -> _Failure:
    """The failure at `start`, with the parser's state before it."""
    state = parser.parse_interactive(text[:start], start=form)
    before = tuple(state.iter_parse())
    return _Failure(text, form, before, _accepts(state), start, unreadable)


def _misread_clause(parser: Lark, failure: _Failure) -> _Failure:
    """Where a clause word was read as a name (``on with lr=1``), or a misspelt one as the architecture, the mistake lies there."""
    if not failure.before:
        return failure
    last = failure.before[-1]
    misspelt = len(failure.before) == 1 and failure.form == "training" and difflib.get_close_matches(last, CLAUSES, 1, 0.7)
    if last.type == "PATH" and (last in CLAUSES or misspelt) and failure.form == "training":
        return _stop(parser, failure.text, failure.form, last.start_pos or 0)
    return failure


def _expected(failure: _Failure) -> str:
    place = failure.before[-1].type if failure.before else failure.form
    if place in _AFTER:
        return _AFTER[place]
    accepts = set(failure.accepts)
    names: list[str] = []
    if {"STRING", "NUMBER", "PATH"} <= accepts:
        accepts -= {"STRING", "NUMBER", "PATH", "SIZE", "CONSTANT", "_LBRACKET"}
        names.append("a value")
    if place == "training" and "PATH" in accepts:
        accepts.remove("PATH")
        names.append("an architecture")
    names += [f"'{name}'" for terminal, name in (_SIGNS | KEYWORDS).items() if terminal in accepts and name not in CLAUSES]
    names += [name for terminal, name in _KINDS.items() if terminal in accepts]
    if "WITH" in accepts:
        names.append("a clause such as 'on' or 'with'")
    elif "$END" in accepts:
        names.append("the end of the statement")
    names = names[:5]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _advice(parser: Lark, failure: _Failure, verbs: Mapping[str, str]) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    """Ways out, the likeliest first: a hint and the edits that do it."""
    text, found, span = failure.text, failure.found, failure.span
    margin = text.rfind("\n", 0, span.start) + 1
    if found in verbs and margin and not text[margin : span.start].strip():
        hint = f"a line that starts with white space continues the statement above; start '{found}' at the margin"
        yield hint, (Edit(Span(margin, span.start), ""),)
    if found in verbs and "$END" in failure.accepts:
        end = _end(failure.before[-1]) if failure.before else span.start
        yield "';' or a new line ends a statement", (Edit(Span(end, end), ";"),)
    words = [word for terminal, word in KEYWORDS.items() if terminal in failure.accepts]
    for word in difflib.get_close_matches(found, words, 1) if found not in CLAUSES else ():
        yield f"did you mean '{word}'?", (Edit(span, word),)
    if found == "..":
        yield "a range stands only in 'sweep PATH in LOW..HIGH'", ()
    literals = [
        name for terminal, name in (_SIGNS | KEYWORDS).items() if terminal in failure.accepts and (name not in CLAUSES or name == "with")
    ]
    edits = [(f"write '{name}' before '{found}'", _inserted(failure, name)) for name in literals]
    if not _WORD_LIKE.match(found):
        edits += [(f"write '{name}' instead", Edit(span, name)) for name in literals]
        edits.insert(0 if found in (")", "]") else len(edits), ("leave it out", Edit(span, "")))
    for hint, edit in edits:
        if _failure(parser, text[: edit.span.start] + edit.new + text[edit.span.end :], failure.form) is None:
            yield hint, (edit,)


def _inserted(failure: _Failure, name: str) -> Edit:
    if name == "," and failure.before:
        return Edit(Span(_end(failure.before[-1]), _end(failure.before[-1])), name)
    return Edit(Span(failure.start, failure.start), f"{name} " if name not in ("(", "[", "..") else name)


def _unreadable(failure: _Failure) -> Diagnostic:
    """The diagnostic of a place where no terminal begins."""
    found, span = failure.found, failure.span
    if _NUMBER_LIKE.match(found):
        hint = (
            f"write '0{found}'"
            if found.startswith(".")
            else "numbers are written 10, 0.5 or 1e-4, sizes 96x96; a name starts with a letter"
        )
        return Diagnostic("bad-number", span, f"'{found}' is not a number", hint)
    if _WORD_LIKE.match(found):
        fix = Edit(span, found.replace("-", "_"))
        return Diagnostic("bad-name", span, f"'{found}' is not a name", f"names have letters, digits and '_': '{fix.new}'", (fix,))
    if found == "." and failure.before and failure.before[-1].type == "PATH" and _end(failure.before[-1]) == failure.start:
        return Diagnostic("incomplete-statement", span, f"expected a name after '{failure.before[-1]}.'")
    hint = "strings stand in double quotes" if found in _QUOTES else ""
    return Diagnostic("stray-character", span, f"the character {shown(found)} has no meaning here", hint)


def shown(character: str) -> str:
    """A character in quotes; by its Unicode name where it may look like another or like nothing."""
    if not character.isprintable():
        return unicodedata.name(character, f"U+{ord(character):04X}")
    return f"'{character}'" if character.isascii() else f"'{character}' ({unicodedata.name(character, 'unnamed')})"


def _accepts(state: InteractiveParser) -> frozenset[str]:
    accepts: set[str] = state.accepts()  # type: ignore[no-untyped-call]
    return frozenset(accepts)


def _end(token: Token) -> int:
    assert token.end_pos is not None
    return token.end_pos
