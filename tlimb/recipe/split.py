"""Cut a recipe into its statements, so that each is read on its own and a mistake in one does not reach the next."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from tlimb.errors import Diagnostic, Edit, Span

DEEPEST = 40
"""Brackets within brackets that a statement may have; the tree is built by recursion."""

_SCAN = re.compile(
    r"""(?P<mark>\A\ufeff)
      | (?P<newline>\r?\n)
      | (?P<blank>[ \t]+)
      | (?P<comment>\#[^\r\n]*)
      | (?P<string>"(?:[^"\\\r\n]|\\[^\r\n])*")
      | (?P<torn>"[^\r\n]*)
      | (?P<open>[(\[])
      | (?P<close>[)\]])
      | (?P<end>;)
      | (?P<other>[^\s"\#()\[\];]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)")
_BOUNDARY = r"(?![\w.\-])(?!\s*[=,)\]])"
"""What does not follow a word that starts a statement."""
_WORD = re.compile(rf"[^\W\d]\w*{_BOUNDARY}")
_CLOSER = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one statement from its first to its last character, comments and blanks around it left out."""

    span: Span
    problems: tuple[Diagnostic, ...]
    """What is wrong with its strings and brackets."""


def scan(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of every lexical piece of the text; together they cover it.

    Kinds: mark (byte order mark), newline, blank, comment, string, torn (unclosed string), open, close (brackets), end (`;`), other.
    """
    for match in _SCAN.finditer(text):
        yield match.lastgroup or "other", match.start(), match.end()


def split(text: str, verbs: Collection[str]) -> list[Piece]:
    """The statements of a recipe in order.

    A statement ends at `;` or before a line that starts at the margin. Inside brackets the margin does not matter, except that a
    line which starts with a verb ends the statement all the same: an unclosed bracket must not swallow the rest of the file.
    """
    words = frozenset(verbs)
    starts = [0, *(match.start() for match in _first_words(words).finditer(text, 1))]
    pieces: list[Piece] = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        for piece in _cut(text[start:end], words):
            pieces.append(_moved(piece, start) if start else piece)
    return pieces


@cache
def _first_words(verbs: frozenset[str]) -> re.Pattern[str]:
    """Where a line starts with a verb: whatever stands above, a statement starts there."""
    words = "|".join(sorted(re.escape(verb) for verb in verbs if verb.isidentifier()))
    return re.compile(rf"^(?=(?:{words}){_BOUNDARY})", re.MULTILINE)


@lru_cache(maxsize=2048)
def _cut(text: str, verbs: frozenset[str]) -> tuple[Piece, ...]:
    """As `split`, of a part of a recipe that starts with its first verb or where another part ends."""
    pieces: list[Piece] = []
    problems: list[Diagnostic] = []
    brackets: list[int] = []
    first, last = -1, -1
    margin = True

    def finish() -> None:
        nonlocal first
        if brackets and not problems:
            problems.append(_unclosed(text, brackets, last))
        if first >= 0:
            pieces.append(Piece(Span(first, last), tuple(problems)))
        problems.clear()
        brackets.clear()
        first = -1

    for kind, start, end in scan(text):
        if kind == "newline":
            margin = True
            continue
        if kind == "mark":
            continue
        if kind == "end":
            finish()
        elif kind not in ("blank", "comment"):
            if margin and first >= 0 and (not brackets or _starts_statement(text, start, verbs)):
                finish()
            first = start if first < 0 else first
            last = end
            if kind == "open":
                brackets.append(start)
                if len(brackets) == DEEPEST + 1:
                    problems.append(Diagnostic("too-deep", Span(start, end), f"more than {DEEPEST} brackets stand within each other"))
            elif kind == "close" and brackets:
                problems.extend(_mismatched(text, brackets.pop(), start))
            elif kind == "torn":
                problems.append(_torn(text, start, end))
            elif kind == "string":
                problems.extend(_bad_escapes(text, start, end))
        margin = False
    finish()
    return tuple(pieces)


def _moved(piece: Piece, offset: int) -> Piece:
    """A piece further on in the text."""
    problems = tuple(
        replace(
            problem,
            span=Span(problem.span.start + offset, problem.span.end + offset),
            fix=tuple(Edit(Span(edit.span.start + offset, edit.span.end + offset), edit.new) for edit in problem.fix),
        )
        for problem in piece.problems
    )
    return Piece(Span(piece.span.start + offset, piece.span.end + offset), problems)


def _starts_statement(text: str, start: int, verbs: Collection[str]) -> bool:
    word = _WORD.match(text, start)
    return word is not None and word.group() in verbs


def _unclosed(text: str, brackets: list[int], end: int) -> Diagnostic:
    closers = "".join(_CLOSER[text[position]] for position in reversed(brackets))
    start = brackets[0]
    return Diagnostic(
        "unclosed-bracket",
        Span(start, start + 1),
        f"'{text[start]}' is never closed",
        f"add '{closers}' at the end of the statement",
        (Edit(Span(end, end), closers),),
    )


def _mismatched(text: str, opened: int, closed: int) -> Iterator[Diagnostic]:
    closer = _CLOSER[text[opened]]
    if text[closed] != closer:
        span = Span(closed, closed + 1)
        message = f"'{text[opened]}' is closed by '{text[closed]}'"
        yield Diagnostic("mismatched-bracket", span, message, f"write '{closer}'", (Edit(span, closer),))


def _torn(text: str, start: int, end: int) -> Diagnostic:
    end = start + len(text[start:end].rstrip())
    return Diagnostic(
        "unclosed-string", Span(start, end), "the string is never closed", "add '\"' where it ends", (Edit(Span(end, end), '"'),)
    )


def _bad_escapes(text: str, start: int, end: int) -> Iterator[Diagnostic]:
    for match in _ESCAPE.finditer(text, start, end):
        if match.group(1) not in '"\\':
            message = f"'{match.group()}' is not an escape; strings know \\\" and \\\\"
            fix = Edit(Span(match.start(), match.start()), "\\")
            yield Diagnostic("bad-escape", Span(*match.span()), message, "write '\\\\' for a backslash", (fix,))
