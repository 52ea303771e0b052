"""Line endings and other characters that editors and terminals treat each in their own way."""

import re

from tlimb.errors import Diagnostic, Edit, Span
from tlimb.recipe.parse import newline

_ENDINGS = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
"""Everything that some program takes for the end of a line."""
_NAMES = {
    "\n": "LF",
    "\r\n": "CRLF",
    "\r": "CR",
    "\x0b": "vertical tab",
    "\x0c": "form feed",
    "\x85": "next line (U+0085)",
    "\u2028": "line separator (U+2028)",
    "\u2029": "paragraph separator (U+2029)",
}


def uneven_lines(text: str) -> list[Diagnostic]:
    """A warning where lines end in different ways, with the fix that makes them all end as most do."""
    if text.isascii() and "\r" not in text and "\x0b" not in text and "\x0c" not in text:
        return []
    usual = newline(text)
    odd = [match for match in _ENDINGS.finditer(text) if match.group() != usual]
    if not odd:
        return []
    kinds = ", ".join(dict.fromkeys(_NAMES[match.group()] for match in odd))
    message = f"{len(odd)} line{'s' * (len(odd) > 1)} end in {kinds}, the others in {_NAMES[usual]}"
    fix = tuple(Edit(Span(*match.span()), usual) for match in odd)
    hint = f"kept as it is; the fix lets all lines end in {_NAMES[usual]}"
    return [Diagnostic("line-endings", Span(*odd[0].span()), message, hint, fix, "warning")]
