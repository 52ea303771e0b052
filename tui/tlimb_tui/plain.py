"""Everything that is drawn, in ASCII characters: the last thing that happens to a line before it goes to the terminal."""

from functools import lru_cache

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from tlimb.drawing.cells import plain

_TWINS = {
    **dict.fromkeys("╭╮╰╯┌┐└┘┏┓┗┛╔╗╚╝├┤┬┴┼╋┣┫┳┻", "+"),
    **dict.fromkeys("─━═╌╍┄┅╴╶╸╺▁▔", "-"),
    **dict.fromkeys("│┃║▏▕▎▍▌▐╵╷╹╻", "|"),
    **dict.fromkeys("█▉▊▋▇▆▅▄▃▂▀", "#"),
    **dict.fromkeys("↑▲▴", "^"),
    **dict.fromkeys("↓▼▾", "v"),
    **dict.fromkeys("←◀◂", "<"),
    **dict.fromkeys("→▶▸", ">"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‘’", "'"),
    "–": "-",
    "●": "*",
    "±": "~",
    "\u00a0": " ",
}
_TABLE = str.maketrans(_TWINS)


@lru_cache(maxsize=4096)
def in_ascii(text: str) -> str:
    """The text with signs by their twins; as wide as it was."""
    return text if text.isascii() else plain(text.translate(_TABLE))


class AsciiFilter(LineFilter):
    """Changes all lines of all widgets, frames and scrollbars too."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments in ASCII."""
        return [Segment(in_ascii(text), style, control) for text, style, control in segments]
