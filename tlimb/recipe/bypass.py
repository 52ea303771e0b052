"""Statements that stand in a recipe as comments, and how they come back. `edit.comment_out` makes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Edit, InputError, Span
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply, comments
from tlimb.recipe.references import NEW, Slot, rewire, slots, sources
from tlimb.recipe.split import scan
from tlimb.recipe.tree import Recipe, Set, Statement, Sweep, Training, stage_names


@dataclass(frozen=True, slots=True)
class Bypassed:
    """A statement that stands in the text as a comment."""

    span: Span
    """From its first comment sign to the end of its last line."""
    text: str
    node: Statement


def bypassed(recipe: Recipe) -> list[Bypassed]:
    """The statements that `comment_out`, or the user, turned into comments: whole lines that make a statement with all it needs."""
    inside = [(statement.span.start, statement.span.end) for statement in recipe.statements]
    found: list[Bypassed] = []
    lines = [line for line in comments(recipe.text) if not any(start < line.start < end for start, end in inside)]
    position = 0
    while position < len(lines):
        count, read = _statement_in(recipe.text, lines[position:])
        if read is not None:
            found.append(read)
        position += max(count, 1)
    return found


def uncomment(recipe: Recipe, statement: Bypassed) -> list[Edit]:
    """Make a comment a statement again, and with a stage those of its settings that are comments.

    A stage that continues what stands above it may continue the new one, as the text says; those with `from` keep what they continue.

    Raises:
        InputError: it would run into its neighbours.
    """
    number = sum(other.span.start < statement.span.start for other in recipe.statements)
    after = slots(recipe)
    after.insert(number, Slot(NEW, statement.node, statement.text))
    told = {
        child: source
        for child, source in sources(recipe).items()
        if isinstance(node := recipe.statements[child], Training) and node.clause("from") is not None
    }
    edits = rewire(recipe, after, told)
    own = edits.pop(NEW)
    back = [statement]
    if isinstance(statement.node, Training):
        name = stage_names(Recipe("", tuple(slot.node for slot in after), recipe.newline))[number]
        back += [
            other
            for other in bypassed(recipe)
            if isinstance(other.node, Set | Sweep) and other.node.path.partition(".")[0] == name and "." in other.node.path
        ]
    assert not own, "a statement that comes back keeps its text"
    found = [*(edit for changes in edits.values() for edit in changes), *(edit for other in back for edit in _back(recipe.text, other))]
    if len(parse(apply(recipe.text, found)[0]).recipe.statements) != len(parse(recipe.text).recipe.statements) + len(back):
        raise InputError("the comment would run into its neighbours", "take its comment signs away in the text")
    return found


def _statement_in(text: str, lines: Sequence[Span]) -> tuple[int, Bypassed | None]:
    """The statement in the first of some comment lines and those that go on with it, and how many lines that are."""
    bodies = [text[line.start : line.end].removeprefix("#").removeprefix(" ") for line in lines[:1]]
    for before, line in pairwise(lines):
        body = text[line.start : line.end].removeprefix("#").removeprefix(" ")
        if text[before.end : line.start].strip(" \t") not in ("\n", "\r\n") or not body.startswith((" ", "\t")):
            break
        bodies.append(body)
    read = parse("\n".join(bodies))
    node = read.recipe.statements[0] if len(read.recipe.statements) == 1 and not read.diagnostics else None
    if node is None or (isinstance(node, Training) and any(node.clause(word) is None for word in VERBS[node.verb].required)):
        return 1, None
    return len(bodies), Bypassed(Span(lines[0].start, lines[len(bodies) - 1].end), read.recipe.text, node)


def _back(text: str, statement: Bypassed) -> Iterator[Edit]:
    """The edits that take the comment signs away, and part the statement from one that starts on an indented line below."""
    span = statement.span
    for line in comments(text):
        if span.start <= line.start < span.end:
            yield Edit(Span(line.start, line.start + (2 if text[line.start + 1 : line.start + 2] == " " else 1)), "")
    following = next((span.end + start for kind, start, _ in scan(text[span.end :]) if kind not in ("blank", "newline", "comment")), None)
    if following is not None and text[following - 1] in " \t":
        last = text.rfind("\n", 0, span.end) + 1
        end = next((last + start for kind, start, _ in scan(text[last + 1 : span.end]) if kind == "comment"), None)
        place = span.end if end is None else last + 1 + len(text[last + 1 : end + 1].rstrip())
        yield Edit(Span(place, place), ";")
