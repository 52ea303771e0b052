"""Changes of a recipe as patches of its text: what lies outside the patches stays as it was written.

Each operation takes a recipe and the number of a statement in `recipe.statements`, and returns edits for `apply`. Every stage keeps
what it continues and every reference its stage, also where an unnamed stage gets another number: `from` clauses, the names in
`set` and `sweep`, and metrics are rewritten as needed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Edit, InputError, Span
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply, comment_statements, cut_clause, cut_item, cut_statements, insert_statement, line_end_of
from tlimb.recipe.references import NEW, Slot, Source, rewire, settings_of, slots, sources
from tlimb.recipe.tree import Argument, Clause, Name, Recipe, Set, Statement, Training, stage_names

__all__ = [
    "apply",
    "comment_out",
    "delete",
    "duplicate",
    "insert_after",
    "move",
    "rename_stage",
    "retarget",
    "set_option",
    "unset_option",
]

_NAME = re.compile(r"[^\W\d]\w*")


def set_option(recipe: Recipe, number: int, key: str, value: str) -> list[Edit]:
    """Give a stage a setting: ``key=value`` in its `with` clause, which is made where there is none.

    Args:
        recipe: the recipe.
        number: a training statement.
        key: a key as it is written.
        value: a value as it is written, strings with their quotes.

    Raises:
        InputError: key or value cannot be written there.
    """
    read = parse(f"set {key} = {value}")
    ends = [node.value.span.end for node in read.recipe.statements if isinstance(node, Set) and (node.path == key)]
    if read.diagnostics or ends != [len(read.recipe.text)]:
        raise InputError(f"'{key}={value}' cannot be written in a recipe", "give a key and a value, strings in double quotes")
    stage = _training(recipe, number)
    options = _options(stage)
    for option in options:
        if option.key == key:
            return [Edit(option.value.span, value)]
    end = options[-1].span.end if options else stage.span.end
    return [Edit(Span(end, end), f", {key}={value}" if options else f" with {key}={value}")]


def unset_option(recipe: Recipe, number: int, key: str) -> list[Edit]:
    """Take a setting away from a stage; with the last one goes the `with` clause.

    Raises:
        InputError: the stage has no such setting.
    """
    stage = _training(recipe, number)
    keys = [option.key for option in _options(stage)]
    if key not in keys:
        raise InputError(f"the stage sets no '{key}'", f"it sets: {', '.join(keys)}" if keys else "it sets nothing")
    clause = stage.clause("with")
    if len(keys) == 1 and clause is not None:
        return [cut_clause(recipe.text, clause.span)]
    return [cut_item([option.span for option in _options(stage)], keys.index(key))]


def rename_stage(recipe: Recipe, number: int, name: str) -> list[Edit]:
    """Name a stage and change all references to it.

    Raises:
        InputError: the name is not one word, or another stage has it.
    """
    stage = _training(recipe, number)
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
    return [*edits, Edit(Span(stage.span.end, stage.span.end), f" as {name}")]


def retarget(recipe: Recipe, number: int, source: Source) -> list[Edit]:
    """Let a stage continue another one (by number), a checkpoint file (by path) or, with None, what stands above it.

    Raises:
        InputError: the other stage does not stand above.
    """
    _training(recipe, number)
    if isinstance(source, int) and (source >= number or not _trains(recipe.statements[source])):
        raise InputError("a stage continues a trained one that stands above it", "move it below that stage first")
    return rewire(recipe, slots(recipe), {number: source})[number]


def insert_after(recipe: Recipe, number: int | None, statement: str, *, adopt: bool = False) -> list[Edit]:
    """Put a new statement behind another, or with None in front of all.

    A new training statement without `from` and architecture continues the stage it is put behind.

    Args:
        recipe: the recipe.
        number: the statement above.
        statement: the text of one statement.
        adopt: the stages that continued the one above continue the new one.

    Raises:
        InputError: the text is not one statement without mistakes.
    """
    node, statement = _one_statement(statement, recipe.newline)
    wanted = sources(recipe)
    if isinstance(node, Training) and number is not None and number in wanted:
        above = number if _trains(recipe.statements[number]) else wanted[number]
        if adopt and _trains(node):
            wanted = {child: NEW if source == number else source for child, source in wanted.items()}
        if node.clause("from") is None and node.architecture is None and above is not None:
            wanted[NEW] = above
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
    wanted = sources(recipe)
    after = slots(recipe)
    moved = after.pop(number)
    after.insert(next((place + 1 for place, slot in enumerate(after) if slot.number == behind), 0), moved)
    place = {slot.number: index for index, slot in enumerate(after)}
    if any(isinstance(source, int) and place[source] > place[child] for child, source in wanted.items()):
        raise InputError("a stage continues one that stands above it", "move the stage that it continues first")
    edits = rewire(recipe, after, wanted)
    start, end = moved.node.span.start, moved.node.span.end
    cut = cut_statements(recipe.text, [moved.node.span])
    if "#" in recipe.text[end : cut[0].span.end]:
        end = line_end_of(recipe.text, end)
    own = [Edit(Span(edit.span.start - start, edit.span.end - start), edit.new) for edit in edits.pop(number)]
    statement, _ = apply(recipe.text[start:end], own)
    return [*_flat(edits), _inserted(recipe, behind, statement), *cut]


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


def _one_statement(text: str, newline: str) -> tuple[Statement, str]:
    text = text.replace("\r\n", "\n").strip().replace("\n", newline)
    read = parse(text)
    if read.diagnostics or len(read.recipe.statements) != 1 or read.recipe.statements[0].span != Span(0, len(text)):
        reason = read.diagnostics[0].message if read.diagnostics else "it is not one statement"
        raise InputError(f"'{text}' cannot be inserted: {reason}")
    return read.recipe.statements[0], text


def _training(recipe: Recipe, number: int) -> Training:
    node = recipe.statements[number]
    if not isinstance(node, Training):
        raise InputError("this statement is no stage", "choose a statement such as train, finetune or evaluate")
    return node


def _trains(node: Statement) -> bool:
    return isinstance(node, Training) and (node.verb not in VERBS or VERBS[node.verb].trains)


def _name_given(node: Statement) -> Name | None:
    clause = node.clause("as") if isinstance(node, Training) else None
    return clause.payload if clause is not None and isinstance(clause.payload, Name) else None


def _options(stage: Training) -> list[Argument]:
    clause = stage.clause("with")
    payload = clause.payload if clause is not None else ()
    return [entry for entry in payload if isinstance(entry, Argument)] if isinstance(payload, tuple) else []


def _free(name: str, taken: Sequence[str | None]) -> str:
    number = 2
    while f"{name}{number}" in taken:
        number += 1
    return f"{name}{number}"


def _flat(edits: Mapping[int, Sequence[Edit]]) -> list[Edit]:
    return [edit for found in edits.values() for edit in found]
