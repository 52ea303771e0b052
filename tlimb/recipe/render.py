"""Diagnostics as text: the line, carets under the exact span, what to do."""

import unicodedata
from collections.abc import Iterable

from tlimb.errors import Diagnostic

_TAB = 4
_LINES_SHOWN = 3
_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "gutter": "\x1b[1;34m", "bold": "\x1b[1m"}
_PLAIN = "\x1b[0m"


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character, both from 1; the column counts characters."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def render(diagnostics: Iterable[Diagnostic], text: str, filename: str, color: bool = False) -> str:
    """All diagnostics by place, a blank line between two, without a final newline.

    Carets are aligned by the width of the characters in a terminal: tabs become blanks, wide characters count twice, combining
    ones not at all.
    """
    ordered = sorted(diagnostics, key=lambda diagnostic: (diagnostic.span, diagnostic.code))
    return "\n\n".join(_one(diagnostic, text, filename, color) for diagnostic in ordered)


def _one(diagnostic: Diagnostic, text: str, filename: str, color: bool) -> str:
    def paint(part: str, name: str) -> str:
        return f"{_COLOURS[name]}{part}{_PLAIN}" if color else part

    first, column = position(text, diagnostic.span.start)
    last, _ = position(text, max(diagnostic.span.start, diagnostic.span.end - 1))
    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity)
    lines = [head + paint(f": {diagnostic.message}", "bold")]
    gutter = len(str(last))
    lines.append(paint(f"{'':{gutter}} -->", "gutter") + f" {filename}:{first}:{column}")
    shown = range(first, last + 1) if last - first < _LINES_SHOWN else [first, 0, last]
    starts = _line_starts(text)
    for number in shown:
        if number == 0:
            lines.append(paint(f"{'…':>{gutter}} |", "gutter"))
            continue
        start = starts[number - 1]
        line = text[start : starts[number] - 1 if number < len(starts) else len(text)].removesuffix("\r")
        left = max(diagnostic.span.start - start, 0) if number == first else len(line) - len(line.lstrip())
        right = min(diagnostic.span.end - start, len(line))
        before, inside = visible(line[:left]), visible(line[left:right], cell_width(visible(line[:left])))
        after = (
            visible(line[right:], cell_width(before) + cell_width(inside)) if right >= left else visible(line[left:], cell_width(before))
        )
        lines.append(paint(f"{number:{gutter}} |", "gutter") + f" {before}{inside}{after}".rstrip())
        carets = " " * cell_width(before) + paint("^" * max(cell_width(inside), 1), diagnostic.severity)
        hint = diagnostic.hint.replace("\n", " ") if number == last else ""
        lines.append(paint(f"{'':{gutter}} |", "gutter") + f" {carets} {hint}".rstrip())
    return "\n".join(lines)


def _line_starts(text: str) -> list[int]:
    return [0, *(index + 1 for index, character in enumerate(text) if character == "\n")]


def visible(part: str, column: int = 0) -> str:
    """The text as a terminal can show it from that column on: tabs as blanks, control characters visible."""
    shown: list[str] = []
    for character in part:
        if character == "\t":
            character = " " * (_TAB - column % _TAB)
        elif unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            character = "\N{REPLACEMENT CHARACTER}"
        shown.append(character)
        column += cell_width(character)
    return "".join(shown)


def cell_width(part: str) -> int:
    """Cells of a terminal that the text fills."""
    return sum(
        0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in part
    )
