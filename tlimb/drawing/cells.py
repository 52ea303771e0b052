"""Text in the cells of a terminal: cut, filled and packed to a width."""

from collections.abc import Iterable

from tlimb.drawing import lines, marks
from tlimb.recipe.render import cell_width, visible

_TWINS = str.maketrans(lines.TWINS | marks.TWINS | {"×": "x", "•": "-", "…": "~", "→": ">", "·": "-"})


def width(text: str) -> int:
    """Cells that a text fills."""
    return len(text) if text.isascii() else cell_width(text)


def elide(text: str, room: int) -> str:
    """The text on one line, cut to the room with an ellipsis; control characters are made visible."""
    text = visible(text)
    if width(text) <= room:
        return text
    kept = ""
    for character in text:
        if width(kept) + width(character) >= room:
            break
        kept += character
    return f"{kept}…" if room > 0 else ""


def fill(text: str, room: int) -> str:
    """The text cut or filled with blanks to exactly the room."""
    text = elide(text, room)
    return text + " " * (room - width(text))


def pack(phrases: Iterable[str], room: int, most: int) -> tuple[str, ...]:
    """Phrases in lines of the room, several on one line where they fit; an ellipsis stands for those that have no room."""
    packed: list[str] = []
    for phrase in (elide(phrase, room) for phrase in phrases):
        if packed and width(packed[-1]) + 1 + width(phrase) <= room:
            packed[-1] += f" {phrase}"
        elif len(packed) < most:
            packed.append(phrase)
        else:
            packed[-1] = packed[-1] if packed[-1].endswith("…") else elide(f"{packed[-1]} …", room)
            break
    return tuple(packed)


def plain(text: str) -> str:
    """The text in as many ASCII characters: glyphs by their twins, what else is not ASCII by question marks."""
    return "".join(c if c.isascii() else "?" * cell_width(c) for c in text.translate(_TWINS))
