"""Keep references true while statements come, go, move and change their names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from tlimb.errors import Edit, Span
from tlimb.recipe.clauses import place_of, put_words
from tlimb.recipe.patch import cut_clause, words
from tlimb.recipe.tree import Name, Rank, Recipe, Search, Set, Statement, Sweep, Text, Training, stage_names, stage_parents

Source: TypeAlias = int | str | None
"""What a stage continues: a statement by its number, a checkpoint file, or nothing."""

NEW = -1
"""The number of a statement that the recipe does not have yet."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A statement of the recipe to be: its number in the recipe as it is, its node, and the text its spans count in."""

    number: int
    node: Statement
    text: str


def slots(recipe: Recipe) -> list[Slot]:
    """The recipe as it is."""
    return [Slot(number, node, recipe.text) for number, node in enumerate(recipe.statements)]


def sources(recipe: Recipe) -> dict[int, Source]:
    """What each training statement continues, by `from` or by standing below; one with an unknown name is left out."""
    parents = stage_parents(recipe)
    found: dict[int, Source] = {}
    for number, node in enumerate(recipe.statements):
        if isinstance(node, Training):
            clause = node.clause("from")
            if clause and isinstance(clause.payload, Text):
                found[number] = clause.payload.value
            elif clause is None or parents[number] is not None:
                found[number] = parents[number]
    return found


def settings_of(recipe: Recipe, number: int) -> list[int]:
    """The `set` and `sweep` statements that name the stage of that statement."""
    name = stage_names(recipe)[number]
    return [
        other
        for other, node in enumerate(recipe.statements)
        if name is not None and isinstance(node, Set | Sweep) and node.path.partition(".")[0] == name and "." in node.path
    ]


def rewire(recipe: Recipe, after: Sequence[Slot], wanted: Mapping[int, Source]) -> dict[int, list[Edit]]:
    """The edits of each statement's text that make the arrangement `after` mean what it should.

    Args:
        recipe: the recipe as it is.
        after: its statements as they will stand.
        wanted: what the training statements among them continue; a stage that `wanted` leaves out keeps its text.
    """
    old_names = stage_names(recipe)
    arranged = Recipe("", tuple(slot.node for slot in after), recipe.newline)
    new_names = dict(zip([slot.number for slot in after], stage_names(arranged), strict=True))
    numbers = [slot.number for slot in after]
    chained = stage_parents(Recipe("", _without_sources(arranged), recipe.newline))
    below = [None if parent is None else numbers[parent] for parent in chained]
    renamed = {
        name: new
        for number, name in enumerate(old_names)
        if name is not None and (new := new_names.get(number)) is not None and new != name
    }
    edits: dict[int, list[Edit]] = {}
    for slot, implicit in zip(after, below, strict=True):
        found = list(_renamed_paths(slot.node, renamed))
        if isinstance(slot.node, Training) and slot.number in wanted:
            found += _source_edits(slot, wanted[slot.number], implicit, new_names)
        edits[slot.number] = found
    return edits


def _without_sources(recipe: Recipe) -> tuple[Statement, ...]:
    return tuple(
        replace(node, clauses=tuple(clause for clause in node.clauses if clause.word != "from")) if isinstance(node, Training) else node
        for node in recipe.statements
    )


def _renamed_paths(node: Statement, renamed: Mapping[str, str]) -> Iterator[Edit]:
    match node:
        case Set(path=path, path_span=span) | Sweep(path=path, path_span=span):
            pass
        case Rank(metric=path, metric_span=span):
            pass
        case Search(metric=str(path), metric_span=Span() as span):
            pass
        case _:
            return
    first, dot, _ = path.partition(".")
    if dot and first in renamed:
        yield Edit(Span(span.start, span.start + len(first)), renamed[first])


def _source_edits(slot: Slot, wanted: Source, implicit: int | None, names: Mapping[int, str | None]) -> list[Edit]:
    """The edits that give a training statement the source it should have: its `from` clause changed, added or removed."""
    assert isinstance(slot.node, Training)
    clause = slot.node.clause("from")
    if wanted is None:
        return [cut_clause(slot.text, clause.span)] if clause else []
    written = quoted(wanted) if isinstance(wanted, str) else str(names[wanted])
    if clause is None:
        if wanted == implicit and slot.node.architecture is None:
            return []
        return [put_words(slot.text, place_of(slot.node, "from"), f"from {written}")]
    assert isinstance(clause.payload, Name | Text)
    span = clause.payload.span
    return [] if slot.text[span.start : span.end] == written else [words(slot.text, span, written)]


def quoted(value: str) -> str:
    """A string as it is written in a recipe."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
