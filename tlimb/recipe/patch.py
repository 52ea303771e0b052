"""Patches of a recipe's text: apply them, take them back, cut a statement or a clause out of its line."""

from collections.abc import Iterable, Sequence

from tlimb.errors import Edit, Span
from tlimb.recipe.split import scan

_BLANKS = " \t"


def apply(text: str, edits: Iterable[Edit]) -> tuple[str, tuple[Edit, ...]]:
    """The text with all edits made, and the edits that take it back.

    Edits at the same place are made in the order given.

    Raises:
        ValueError: two edits overlap.
    """
    parts: list[str] = []
    inverse: list[Edit] = []
    position = length = 0
    for edit in sorted(edits, key=lambda edit: edit.span):
        if edit.span.start < position:
            raise ValueError(f"edits overlap at {edit.span.start}")
        kept = text[position : edit.span.start]
        parts += [kept, edit.new]
        length += len(kept)
        inverse.append(Edit(Span(length, length + len(edit.new)), text[edit.span.start : edit.span.end]))
        length += len(edit.new)
        position = edit.span.end
    return "".join(parts) + text[position:], tuple(inverse)


def cut_statements(text: str, spans: Iterable[Span]) -> list[Edit]:
    """Edits that remove statements with their lines, or with one `;` where others share the line."""
    merged: list[Span] = []
    for span in sorted(_statement_cut(text, span) for span in spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return [Edit(span, "") for span in merged]


def words(text: str, span: Span, new: str) -> Edit:
    """The edit that writes words in place of a span, with blanks where they, or what is left, would run into its neighbours."""
    before, after = text[span.start - 1 : span.start], text[span.end : span.end + 1]
    if not new:
        return Edit(span, " " if _joined(before, after) else "")
    return Edit(span, " " * _joined(before, new[0]) + new + " " * _joined(new[-1], after))


def _joined(before: str, after: str) -> bool:
    """Whether two characters would belong to one word."""
    return bool(before and after) and all(character.isalnum() or character in '_.-"' for character in (before, after))


def cut_clause(text: str, span: Span) -> Edit:
    """The edit that removes a clause and the blanks before it, or its line where it stands there alone."""
    start, end = _left(text, span.start), _right(text, span.end)
    if start == 0 or text[start - 1] != "\n":
        return words(text, Span(start, span.end), "")
    if end < len(text) and text[end] not in "\r\n":
        return Edit(Span(span.start, end), "")
    return Edit(Span(_before_newline(text, start), end), "")


def cut_item(items: Sequence[Span], index: int) -> Edit:
    """The edit that removes one of several items, with the comma that parts it from its neighbour."""
    if index:
        return Edit(Span(items[index - 1].end, items[index].end), "")
    return Edit(Span(items[0].start, items[1].start), "")


def insert_statement(text: str, behind: Span | None, statement: str, newline: str) -> Edit:
    """The edit that puts a statement behind another: on a line of its own, or behind a `;` where others follow on the line."""
    if behind is None:
        start = newline if text and not _starts_line(text, len(text)) else ""
        return Edit(Span(len(text), len(text)), start + statement + newline)
    end = _right(text, behind.end)
    if text[end : end + 1] != ";":
        line_end = line_end_of(text, end)
        return Edit(Span(line_end, line_end), newline + statement)
    if "#" in statement or "\n" in statement:
        return Edit(Span(behind.end, behind.end), f"{newline}{statement}{newline}")
    return Edit(Span(behind.end, behind.end), f"; {statement}")


def comment_statements(text: str, spans: Sequence[Span], others: Sequence[Span], newline: str) -> list[Edit]:
    """Edits that turn statements into comment lines: in their place or, where they share a line, above it.

    Args:
        text: the recipe.
        spans: the statements.
        others: all statements of the recipe; no comment is put inside one.
        newline: the line ending.
    """
    edits: list[Edit] = []
    shared: list[Span] = []
    for span in spans:
        first = _line_start(text, span.start)
        if alone(text, span):
            starts = [first, *(place for place in range(first + 1, span.end) if text[place - 1] == "\n")]
            edits += [Edit(Span(start, start), "# ") for start in starts if text[start : line_end_of(text, start)].strip()]
            continue
        for other in reversed(others):
            if other.start < first < other.end:
                first = _line_start(text, other.start)
        lines = text[span.start : span.end].replace("\r\n", "\n").split("\n")
        edits.append(Edit(Span(first, first), "".join(f"# {line}{newline}" for line in lines)))
        shared.append(span)
    return edits + cut_statements(text, shared)


def comments(text: str) -> list[Span]:
    """The comments that have a line for themselves, from their sign to the end of the line."""
    found: list[Span] = []
    margin = True
    for kind, start, end in scan(text):
        if kind == "comment" and margin:
            found.append(Span(start, end))
        margin = kind in ("newline", "mark") or (margin and kind == "blank")
    return found


def alone(text: str, span: Span) -> bool:
    """Whether nothing but blanks and a comment shares the statement's lines."""
    start, end = _left(text, span.start), _right(text, span.end)
    return _starts_line(text, start) and (end == len(text) or text[end] in "\r\n#")


def line_end_of(text: str, position: int) -> int:
    """Where the line of that position ends, before its newline."""
    end = text.find("\n", position)
    return len(text) if end < 0 else _before_newline(text, end + 1)


def _statement_cut(text: str, span: Span) -> Span:
    start, end = _left(text, span.start), _right(text, span.end)
    if alone(text, span):
        line_end = text.find("\n", end)
        return Span(start, line_end + 1) if line_end >= 0 else Span(_before_newline(text, start), len(text))
    if text[end : end + 1] == ";":
        following = _right(text, end + 1)
        return span if text[following : following + 1] in ("", "\r", "\n", "#") else Span(span.start, following)
    return Span(start - 1, span.end)


def _left(text: str, position: int) -> int:
    while position and text[position - 1] in _BLANKS:
        position -= 1
    return position


def _right(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


def _line_start(text: str, position: int) -> int:
    while not _starts_line(text, position):
        position -= 1
    return position


def _starts_line(text: str, position: int) -> bool:
    """Whether a line starts there; a byte order mark at the start of the text counts as nothing."""
    return position == 0 or text[position - 1] == "\n" or text[:position] == "\ufeff"


def _before_newline(text: str, position: int) -> int:
    """The place before the newline that ends at `position`."""
    if text[:position].endswith("\r\n"):
        return position - 2
    return position - 1 if position and text[position - 1] == "\n" else position
