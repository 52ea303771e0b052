"""A text that is read: YAML or Nextflow with colours, some lines marked."""

import re
from collections.abc import Collection, Iterator
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.text import Text
from textual.binding import BindingType
from textual.geometry import Offset
from textual.strip import Strip
from textual.widgets import TextArea

from tlimb_tui.actions import without_taken
from tlimb_tui.views import View

Language = Literal["yaml", "nextflow"]
Word = tuple[int, int, str]

_YAML = re.compile(
    r"""(?P<comment>\#.*)|(?P<string>"(?:\\.|[^"\\])*"|'(?:''|[^'])*')"""
    r"""|(?P<key>[\w.\-]+)(?=:(?:\s|$))|(?P<constant>\b(?:null|true|false)\b)"""
    r"""|(?P<number>(?<![\w.\-])[-+]?\d[\d_]*(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.]))"""
)
_NEXTFLOW = re.compile(
    r"""(?P<comment>//.*)|(?P<string>'''|\"\"\"|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<verb>\b(?:process|workflow|include|def|tuple|val|path|tag|label|afterScript)\b)"""
    r"""|(?P<clause>\b(?:input|output|script|stub|main):)|(?P<constant>\$\{[^}]*\})"""
    r"""|(?P<number>(?<![\w.\-])\d+(?:\.\d+)?(?![\w.]))"""
)
_PATTERNS = {"yaml": _YAML, "nextflow": _NEXTFLOW}


def words(line: str, language: Language) -> Iterator[Word]:
    """The words of a line that have a colour."""
    for found in _PATTERNS[language].finditer(line):
        if found.lastgroup:
            yield found.start(), found.end(), found.lastgroup


class Code(TextArea, View, inherit_bindings=False):
    """A text to read, select and copy."""

    BINDINGS: ClassVar[list[BindingType]] = [*without_taken(TextArea.BINDINGS, "app", "configs")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"code--{kind}" for kind in ("verb", "clause", "key", "number", "string", "constant", "comment", "mark")
    }
    DEFAULT_CSS = """
    Code {
        padding: 0;
        & .code--verb { color: $text-primary; text-style: bold; }
        & .code--clause { color: $text-accent; }
        & .code--key { color: $text-secondary; }
        & .code--number { color: $text-warning; }
        & .code--string { color: $text-success; }
        & .code--constant { color: $text-warning; }
        & .code--comment { color: $text-muted; text-style: italic; }
        & .code--mark { color: $primary; text-style: bold; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, read_only=True, show_line_numbers=True, soft_wrap=False)
        self.kind: Language = "yaml"
        self.marked: frozenset[int] = frozenset()

    def show(self, text: str, language: Language, marked: Collection[int] = (), *, keep: bool = False) -> None:
        """Show a text, with marks at some lines, counted from 0; `keep` leaves cursor and scrolling where they are."""
        self.kind = language
        changed = text != self.text
        if changed:
            place, scrolled = self.cursor_location, self.scroll_offset
            self.load_text(text)
            if keep:
                self.move_cursor((min(place[0], self.document.line_count - 1), 0))
                self.scroll_to(scrolled.x, scrolled.y, animate=False)
        self.mark(marked)
        if changed and not keep and marked and min(marked) >= max(self.size.height, 12):
            self.move_cursor((min(marked), 0), center=True)

    def mark(self, lines: Collection[int]) -> None:
        """Mark these lines."""
        self.marked = frozenset(lines)
        self._line_cache.clear()
        self.refresh()

    def get_line(self, line_index: int) -> Text:
        """A line with its colours."""
        line = super().get_line(line_index)
        for first, last, kind in words(line.plain, self.kind):
            line.stylize(self.get_component_rich_style(f"code--{kind}", partial=True), first, last)
        return line

    def render_line(self, y: int) -> Strip:
        """A line with its mark between number and text."""
        strip = super().render_line(y)
        place = self.scroll_offset.y + y
        if place not in self.marked:
            return strip
        width = self.gutter_width
        style = self.get_component_rich_style("code--mark", partial=True)
        mark = Strip([Segment("|" if self.tlimb.ascii_only else "▌", style)])
        return Strip.join([strip.crop(0, width - 1), mark, strip.crop(width)])

    def notify_style_update(self) -> None:
        """Colours of another theme."""
        self._line_cache.clear()
        super().notify_style_update()

    def line_at(self, offset: Offset) -> int:
        """The line at a place of the widget."""
        return min(self.document.line_count - 1, self.scroll_offset.y + offset.y)
