"""The document behind the editor: a file's text to the last character.

Textual's own document knows one kind of line ending and takes form feeds and Unicode's line separators for line breaks, so that a file
would change by being opened. Here a line ends at LF or CRLF, each line keeps its own ending, and what cannot be shown stands in the text
as it is and is drawn as a sign of the same length.
"""

import re
from bisect import bisect_right
from itertools import accumulate
from unicodedata import category

from textual.document._document import Document, EditResult, Location, Newline
from textual.geometry import Size

from tlimb.recipe.parse import newline

_LINE = re.compile(r"\r?\n")
_UNSHOWN = re.compile(r"[^\t\x20-\x7e\xa1-\xff]")
_SIGNS = {0x7F: "␡", 0x85: "␤", 0x2028: "␤", 0x2029: "␤"}


class RecipeDocument(Document):
    """A document whose `text` is what was given, changed only where it was edited."""

    def __init__(self, text: str) -> None:
        super().__init__("")
        self._newline: Newline = "\r\n" if newline(text) == "\r\n" else "\n"
        self._lines, self._ends = _split(text)
        self._changed()

    def _changed(self) -> None:
        self._text = "".join(part for pair in zip(self._lines, (*self._ends, ""), strict=True) for part in pair)
        self._shown = [shown(line) for line in self._lines]
        self._starts = [0, *accumulate(len(line) + len(end) for line, end in zip(self._lines, self._ends, strict=False))]

    @property
    def text(self) -> str:
        """The text of the file."""
        return self._text

    @property
    def lines(self) -> list[str]:
        """The lines as they are drawn; of the same lengths as those of the text."""
        return self._shown

    def __getitem__(self, line_index: int | slice) -> str | list[str]:  # type: ignore[override]
        return self._shown[line_index]

    def get_size(self, tab_width: int) -> Size:
        """Cells of the widest line, and the number of lines."""
        from textual._cells import cell_len

        return Size(max(cell_len(line.expandtabs(tab_width)) for line in self._shown), len(self._shown))

    def get_text_range(self, start: Location, end: Location) -> str:
        """The text between two locations."""
        first, last = sorted((self.get_index_from_location(start), self.get_index_from_location(end)))
        return self._text[first:last]

    def replace_range(self, start: Location, end: Location, text: str) -> EditResult:
        """Replace the text between two locations by `text`, whose line endings stay as they are."""
        (top, top_column), (bottom, bottom_column) = sorted((start, end))
        replaced = self.get_text_range(start, end)
        lines, ends = _split(text)
        column = len(lines[-1]) + (top_column if len(lines) == 1 else 0)
        lines[0] = self._lines[top][:top_column] + lines[0]
        lines[-1] += self._lines[bottom][bottom_column:]
        self._lines[top : bottom + 1] = lines
        self._ends[top:bottom] = ends
        self._changed()
        return EditResult((top + len(lines) - 1, column), replaced)

    def get_index_from_location(self, location: Location) -> int:
        """The offset in the text of a location; one beyond the text is its end."""
        row, column = location
        if row >= len(self._lines):
            return len(self._text)
        return self._starts[row] + min(column, len(self._lines[row]))

    def get_location_from_index(self, index: int) -> Location:
        """The location of an offset in the text; one within a line ending is before it.

        Raises:
            ValueError: the offset is beyond the text.
        """
        if not 0 <= index <= len(self._text):
            raise ValueError(f"the text has no offset {index}")
        row = bisect_right(self._starts, index) - 1
        return row, min(index - self._starts[row], len(self._lines[row]))


def shown(line: str) -> str:
    """A line with a sign in the place of each character that a terminal does not draw, or draws elsewhere."""
    return _UNSHOWN.sub(_sign, line)


def _sign(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code in _SIGNS:
        return _SIGNS[code]
    return "·" if category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs", "Cn", "Co", "Cs") else character


def _split(text: str) -> tuple[list[str], list[str]]:
    """Lines and the endings between them: one ending fewer than lines."""
    return _LINE.split(text), _LINE.findall(text)
