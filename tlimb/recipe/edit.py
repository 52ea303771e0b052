"""Changes of a recipe as patches of its text: what lies outside the patches stays as it was written.

Each operation takes a recipe and the number of a statement in `recipe.statements`, and returns edits for `apply`. Every stage keeps
what it continues and every reference its stage, also where an unnamed stage gets another number: `from` clauses, the names in
`set` and `sweep`, and metrics are rewritten as needed. Changes within a statement are in `clauses`.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from tlimb.catalogue.keys import full_path
from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Edit, InputError, Span
from tlimb.recipe.clauses import place_of, put_words, training
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply, comment_statements, cut_clause, cut_statements, insert_statement, line_end_of
from tlimb.recipe.references import NEW, Slot, Source, rewire, settings_of, slots, sources
from tlimb.recipe.settings import scope
from tlimb.recipe.tree import (
    About,
    Augment,
    Clause,
    Data,
    Name,
    Rank,
    Recipe,
    Repeat,
    Search,
    Set,
    Split,
    Statement,
    Sweep,
    Training,
    Version,
    stage_names,
)

_NAME = re.compile(r"[^\W\d]\w*")
_HEAD = (Version, About, Data, Augment, Split, Set)
_TAIL = (Sweep, Search, Repeat, Rank)
"""Statements that are best written above and below the stages, in that order."""


def rename_stage(recipe: Recipe, number: int, name: str) -> list[Edit]:
    """Name a stage and change all references to it.

    Raises:
        InputError: the name is not one word, or another stage has it.
    """
    stage = training(recipe, number)
    if not _NAME.fullmatch(name):
        raise InputError(f"'{name}' cannot name a stage", "a name is a letter or '_', then letters, digits and '_'")
    if any(other == name for index, other in enumerate(stage_names(recipe)) if index != number and _name_given(recipe.statements[index])):
        raise InputError(f"another stage is named '{name}'", "choose another name")
    given = _name_given(stage)
    named = Clause("as", Span(0, 0), Span(0, 0), Name(name, Span(0, 0)))
    node = replace(stage, clauses=(*(other for other in stage.clauses if other.word != "as"), named))
    after = [replace(slot, node=node) if slot.number == number else slot for slot in slots(recipe)]
    edits = _flat(rewire(recipe, after, sources(recipe)))
    if given is not None:
        return [*edits, Edit(given.span, name)]
    return [*edits, put_words(recipe.text, place_of(stage, "as"), f"as {name}")]


def unname_stage(recipe: Recipe, number: int) -> list[Edit]:
    """Take the name of a stage away, so that it is named by its verb; references follow. Nothing where it has none."""
    stage = training(recipe, number)
    clause = stage.clause("as")
    if clause is None:
        return []
    node = replace(stage, clauses=tuple(other for other in stage.clauses if other.word != "as"))
    after = [replace(slot, node=node) if slot.number == number else slot for slot in slots(recipe)]
    return [*_flat(rewire(recipe, after, sources(recipe))), cut_clause(recipe.text, clause.span)]


def retarget(recipe: Recipe, number: int, source: Source) -> list[Edit]:
    """Let a stage continue another one (by number), a checkpoint file (by path) or, with None, what stands above it.

    Raises:
        InputError: the other stage does not stand above.
    """
    training(recipe, number)
    if isinstance(source, int) and (source >= number or not _trains(recipe.statements[source])):
        raise InputError("a stage continues a trained one that stands above it", "move it below that stage first")
    return rewire(recipe, slots(recipe), {number: source})[number]


def connect(recipe: Recipe, number: int, source: Source) -> list[Edit]:
    """As `retarget`, also where the other stage stands below: the stage moves behind it, with all that continues it.

    Raises:
        InputError: the other stage trains nothing, or continues this one.
    """
    training(recipe, number)
    if not isinstance(source, int) or source < number:
        return retarget(recipe, number, source)
    wanted = sources(recipe)
    family = [number, *heirs(recipe, number)]
    if source in family:
        names = stage_names(recipe)
        raise InputError(f"'{names[source]}' continues '{names[number]}': that would be a circle", "choose a stage that does not")
    if not _trains(recipe.statements[source]):
        raise InputError("a stage continues one that trains", "choose another stage")
    return _rearranged(recipe, [member for member in family if member < source], source, {**wanted, number: source})


def heirs(recipe: Recipe, number: int) -> list[int]:
    """All stages that continue a stage, directly or through others, in order."""
    parents = sources(recipe)
    found = {number}
    for child in sorted(parents):
        if parents[child] in found:
            found.add(child)
    return sorted(found - {number})


def insert_between(recipe: Recipe, child: int, statement: str) -> list[Edit]:
    """Put a new stage on the link into a stage: it continues what that one continues, which then continues the new one.

    Raises:
        InputError: nothing leads into the stage, or the text is not one training statement without architecture.
    """
    node, statement = _one_statement(statement, recipe.newline)
    wanted = sources(recipe)
    if wanted.get(child) is None:
        raise InputError("this stage continues nothing, so there is no link into it", "add a stage after another one instead")
    if not isinstance(node, Training) or not _trains(node) or node.architecture is not None:
        raise InputError("only what goes on training stands between two stages", "insert e.g. finetune on demo.age")
    wanted = {**wanted, NEW: wanted[child], child: NEW}
    return _put(recipe, child - 1 if child else None, Slot(NEW, node, statement), wanted)


def put(recipe: Recipe, statement: str) -> list[Edit]:
    """Write a statement for the whole recipe: in place of the one that says the same, else where such statements stand.

    Data, augmentations and parts stand above the stages; sweeps, repeats and the ranking below.

    Raises:
        InputError: the text is not one such statement without mistakes.
    """
    node, statement = _one_statement(statement, recipe.newline)
    if isinstance(node, Training):
        raise InputError("a stage has a place of its own", "say behind which statement it stands")
    names = stage_names(recipe)
    for other in recipe.statements:
        if subject(other, names) == subject(node, names):
            return _replaced(recipe.text, other.span, statement)
    return _put(recipe, place(recipe, node), Slot(NEW, node, statement), sources(recipe))


def place(recipe: Recipe, node: Statement) -> int | None:
    """Behind which statement a new one is best written; None for in front of all."""
    rank = _rank(node)
    first = next((number for number, other in enumerate(recipe.statements) if isinstance(other, Training)), len(recipe.statements))
    above = recipe.statements[:first] if rank < len(_HEAD) else recipe.statements
    return max((number for number, other in enumerate(above) if _rank(other) <= rank), default=None)


def _rank(node: Statement) -> int:
    return next(place for place, kind in enumerate((*_HEAD, Training, *_TAIL)) if isinstance(node, kind))


def subject(node: Statement, names: Sequence[str | None]) -> Hashable:
    """What a statement is about that a recipe should say once; a stage is about itself."""
    match node:
        case Version() | About() | Augment() | Repeat() | Rank() | Search():
            return (type(node),)
        case Data(dataset=dataset) | Split(dataset=dataset):
            return type(node), dataset
        case Set(path=path) | Sweep(path=path):
            stage, rest = scope(path, names)
            return type(node), stage, full_path(rest)
        case _:
            return id(node)


def insert_after(recipe: Recipe, number: int | None, statement: str, *, source: Source = None, adopt: bool = False) -> list[Edit]:
    """Put a new statement behind another, or with None in front of all.

    A new training statement without `from` and architecture continues `source` or, where that is not given, the stage it is put behind.

    Args:
        recipe: the recipe.
        number: the statement above.
        statement: the text of one statement.
        source: what a new stage continues.
        adopt: the stages that continued the one above continue the new one.

    Raises:
        InputError: the text is not one statement without mistakes.
    """
    node, statement = _one_statement(statement, recipe.newline)
    wanted = sources(recipe)
    if isinstance(node, Training) and number is not None and number in wanted:
        if adopt and _trains(node):
            wanted = {child: NEW if parent == number else parent for child, parent in wanted.items()}
        if source is None:
            source = number if _trains(recipe.statements[number]) else wanted[number]
    if isinstance(node, Training) and node.clause("from") is None and node.architecture is None and source is not None:
        wanted[NEW] = source
    return _put(recipe, number, Slot(NEW, node, statement), wanted)


def duplicate(recipe: Recipe, number: int) -> list[Edit]:
    """Put a copy of a statement behind it; a copied stage continues the same one and gets a free name where it had one."""
    node = recipe.statements[number]
    statement = recipe.text[node.span.start : node.span.end]
    name = _name_given(node)
    if name is not None:
        free = _free(name.value, stage_names(recipe))
        statement = recipe.text[node.span.start : name.span.start] + free + recipe.text[name.span.end : node.span.end]
    wanted = sources(recipe)
    if number in wanted:
        wanted[NEW] = wanted[number]
    copy, statement = _one_statement(statement, recipe.newline)
    return _put(recipe, number, Slot(NEW, copy, statement), wanted)


def delete(recipe: Recipe, number: int) -> list[Edit]:
    """Remove a statement.

    What continued it continues what it continued or, where that is nothing, what stands above. `set` and `sweep` of its settings
    go with it, since another stage may get its name.
    """
    gone, edits = _without(recipe, number)
    return edits + cut_statements(recipe.text, gone)


def comment_out(recipe: Recipe, number: int) -> list[Edit]:
    """Turn a statement into a comment; the rest of the recipe changes as if it were deleted."""
    gone, edits = _without(recipe, number)
    return edits + comment_statements(recipe.text, gone, [node.span for node in recipe.statements], recipe.newline)


def move(recipe: Recipe, number: int, behind: int | None) -> list[Edit]:
    """Move a statement, with the comment at the end of its line, behind another or in front of all; stages continue what they did.

    Raises:
        InputError: a stage would stand above the one it continues.
    """
    if behind in (number, number - 1 if number else None):
        return []
    return _rearranged(recipe, [number], behind, sources(recipe))


def _rearranged(recipe: Recipe, moved: Sequence[int], behind: int | None, wanted: Mapping[int, Source]) -> list[Edit]:
    """The edits that put statements, in their order and with the comments at the ends of their lines, behind another."""
    after = [slot for slot in slots(recipe) if slot.number not in moved]
    position = next((place + 1 for place, slot in enumerate(after) if slot.number == behind), 0)
    after[position:position] = [slot for slot in slots(recipe) if slot.number in moved]
    order = {slot.number: index for index, slot in enumerate(after)}
    if any(isinstance(source, int) and order[source] > order[child] for child, source in wanted.items()):
        raise InputError("a stage continues one that stands above it", "move the stage that it continues first")
    edits = rewire(recipe, after, wanted)
    inserted = []
    for number in moved:
        start, end = recipe.statements[number].span.start, recipe.statements[number].span.end
        if "#" in recipe.text[end : cut_statements(recipe.text, [Span(start, end)])[0].span.end]:
            end = line_end_of(recipe.text, end)
        own = [Edit(Span(edit.span.start - start, edit.span.end - start), edit.new) for edit in edits.pop(number)]
        statement, _ = apply(recipe.text[start:end], own)
        inserted.append(_inserted(recipe, behind, statement))
    return [*_flat(edits), *inserted, *cut_statements(recipe.text, [recipe.statements[number].span for number in moved])]


def _put(recipe: Recipe, behind: int | None, slot: Slot, wanted: dict[int, Source]) -> list[Edit]:
    """The edits that put a new statement in its place and keep the references of all others."""
    after = slots(recipe)
    after.insert(0 if behind is None else behind + 1, slot)
    edits = rewire(recipe, after, wanted)
    statement, _ = apply(slot.text, edits.pop(slot.number))
    return [*_flat(edits), _inserted(recipe, behind, statement)]


def _inserted(recipe: Recipe, behind: int | None, statement: str) -> Edit:
    if behind is None and recipe.statements:
        start = recipe.statements[0].span.start
        return Edit(Span(start, start), statement + recipe.newline)
    return insert_statement(recipe.text, None if behind is None else recipe.statements[behind].span, statement, recipe.newline)


def _without(recipe: Recipe, number: int) -> tuple[list[Span], list[Edit]]:
    """The spans of the statements that go with one, and the edits of those that stay."""
    wanted = sources(recipe)
    gone = [number, *settings_of(recipe, number)]
    above = wanted.pop(number, None)
    wanted = {child: above if source == number else source for child, source in wanted.items()}
    after = [slot for slot in slots(recipe) if slot.number not in gone]
    return [recipe.statements[other].span for other in gone], _flat(rewire(recipe, after, wanted))


def _replaced(text: str, span: Span, new: str) -> list[Edit]:
    """The edit that makes a span the new text, without what both begin and end with."""
    old = text[span.start : span.end]
    if old == new:
        return []
    start = next((place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))
    most = min(len(old), len(new)) - start
    end = next((place for place in range(most) if old[-1 - place] != new[-1 - place]), most)
    return [Edit(Span(span.start + start, span.end - end), new[start : len(new) - end])]


def _one_statement(text: str, newline: str) -> tuple[Statement, str]:
    text = text.replace("\r\n", "\n").strip().replace("\n", newline)
    read = parse(text)
    if read.diagnostics or len(read.recipe.statements) != 1 or read.recipe.statements[0].span != Span(0, len(text)):
        reason = read.diagnostics[0].message if read.diagnostics else "it is not one statement"
        raise InputError(f"'{text}' cannot be inserted: {reason}")
    return read.recipe.statements[0], text


def _trains(node: Statement) -> bool:
    return isinstance(node, Training) and (node.verb not in VERBS or VERBS[node.verb].trains)


def _name_given(node: Statement) -> Name | None:
    clause = node.clause("as") if isinstance(node, Training) else None
    return clause.payload if clause is not None and isinstance(clause.payload, Name) else None


def _free(name: str, taken: Sequence[str | None]) -> str:
    number = 2
    while f"{name}{number}" in taken:
        number += 1
    return f"{name}{number}"


def _flat(edits: Mapping[int, Sequence[Edit]]) -> list[Edit]:
    return [edit for found in edits.values() for edit in found]
