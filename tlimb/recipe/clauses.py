"""Changes within one statement as edits of its text: its clauses, its settings, its component and the arguments of that.

What is given as text is a value or a payload as it is written in a recipe, strings with their quotes.
"""

from collections.abc import Sequence

from tlimb.catalogue.verbs import CLAUSES
from tlimb.errors import Edit, InputError, Span
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import cut_clause, cut_item, words
from tlimb.recipe.settings import arguments
from tlimb.recipe.split import scan
from tlimb.recipe.tree import Argument, Clause, Component, Items, Range, Recipe, Set, Sweep, Training, Value

_ORDER = tuple(CLAUSES)


def training(recipe: Recipe, number: int) -> Training:
    """The training statement of that number.

    Raises:
        InputError: it is another statement.
    """
    node = recipe.statements[number]
    if not isinstance(node, Training):
        raise InputError("this statement is no stage", "choose a statement such as train, finetune or evaluate")
    return node


# ---------------------------------------------------------------------- clauses
def set_clause(recipe: Recipe, number: int, word: str, payload: str) -> list[Edit]:
    """Give a stage a clause, or its clause another payload.

    A new one comes behind those that are best written before it. For `from` and `as` see `edit.retarget` and `edit.rename_stage`, which
    keep references true.

    Raises:
        InputError: the payload cannot be written there.
    """
    stage = training(recipe, number)
    read = parse(f"finetune {word} {payload}")
    node = read.recipe.statements[0] if len(read.recipe.statements) == 1 and not read.diagnostics else None
    if not isinstance(node, Training) or len(node.clauses) != 1 or node.clauses[0].span.end != len(read.recipe.text) or node.architecture:
        reason = read.diagnostics[0].message if read.diagnostics else "it is not one clause"
        raise InputError(f"'{word} {payload}' cannot be written in a recipe: {reason}", CLAUSES.get(word, ""))
    clause = stage.clause(word)
    if clause is None:
        return [put_words(recipe.text, place_of(stage, word), f"{word} {payload}")]
    return [words(recipe.text, Span(payload_start(recipe.text, clause), clause.span.end), payload)]


def unset_clause(recipe: Recipe, number: int, word: str) -> list[Edit]:
    """Take a clause away from a stage; none where it has none."""
    clause = training(recipe, number).clause(word)
    return [cut_clause(recipe.text, clause.span)] if clause is not None else []


def payload_start(text: str, clause: Clause) -> int:
    """Where what a clause says starts, behind its word and what is ignored after that."""
    end = clause.word_span.end
    return next(end + start for kind, start, _ in scan(text[end:]) if kind not in ("blank", "newline", "comment"))


def place_of(stage: Training, word: str) -> int:
    """Where a new clause of that word starts: behind those that are best written before it."""
    rank = _ORDER.index(word)
    before = [clause.span.end for clause in stage.clauses if clause.word in _ORDER and _ORDER.index(clause.word) < rank]
    return max([stage.architecture.span.end if stage.architecture else stage.verb_span.end, *before])


def put_words(text: str, place: int, new: str) -> Edit:
    """The edit that writes words behind what ends at a place."""
    return words(text, Span(place, place), f" {new}")


# ---------------------------------------------------------------------- settings
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
    _require_setting(key, value)
    stage = training(recipe, number)
    options = arguments(stage.clause("with"))
    for option in options:
        if option.key == key:
            return [words(recipe.text, option.value.span, value)]
    if options:
        return [words(recipe.text, Span(options[-1].span.end, options[-1].span.end), f", {key}={value}")]
    return [put_words(recipe.text, place_of(stage, "with"), f"with {key}={value}")]


def unset_option(recipe: Recipe, number: int, key: str) -> list[Edit]:
    """Take a setting away from a stage; with the last one goes the `with` clause.

    Raises:
        InputError: the stage has no such setting.
    """
    clause = training(recipe, number).clause("with")
    options = arguments(clause)
    keys = [option.key for option in options]
    if key not in keys:
        raise InputError(f"the stage sets no '{key}'", f"it sets: {', '.join(keys)}" if keys else "it sets nothing")
    if len(keys) == 1 and clause is not None:
        return [cut_clause(recipe.text, clause.span)]
    return [cut_item([option.span for option in options], keys.index(key))]


# ---------------------------------------------------------------------- components
def set_architecture(recipe: Recipe, number: int, written: str) -> list[Edit]:
    """Give a stage an architecture, e.g. ``resnet18(depth=10)``, or another one.

    Raises:
        InputError: that is no component.
    """
    stage = training(recipe, number)
    require_component(written)
    if stage.architecture is not None:
        return [words(recipe.text, stage.architecture.span, written)]
    return [put_words(recipe.text, stage.verb_span.end, written)]


def unset_architecture(recipe: Recipe, number: int) -> list[Edit]:
    """Take the architecture away, so that the stage continues a network; nothing where it has none."""
    stage = training(recipe, number)
    return [cut_clause(recipe.text, stage.architecture.span)] if stage.architecture is not None else []


def set_argument(text: str, component: Component, key: str, value: str) -> list[Edit]:
    """Give a component an argument; `text` is what its spans count in.

    Raises:
        InputError: key or value cannot be written there.
    """
    _require_setting(key, value)
    for argument in component.arguments:
        if argument.key == key:
            return [Edit(argument.value.span, value)]
    if component.arguments:
        end = component.arguments[-1].span.end
        return [Edit(Span(end, end), f", {key}={value}")]
    if component.span.end > component.name_span.end:
        return [Edit(Span(component.span.end - 1, component.span.end - 1), f"{key}={value}")]
    return [Edit(Span(component.name_span.end, component.name_span.end), f"({key}={value})")]


def unset_argument(text: str, component: Component, key: str) -> list[Edit]:
    """Take an argument away from a component, and with the last one its brackets; nothing where it is not given."""
    keys = [argument.key for argument in component.arguments]
    if key not in keys:
        return []
    if len(keys) == 1:
        return [words(text, Span(component.name_span.end, component.span.end), "")]
    return [cut_item([argument.span for argument in component.arguments], keys.index(key))]


# ---------------------------------------------------------------------- lists
def set_entry(entries: Sequence[Argument], key: str, value: str) -> list[Edit]:
    """Give an `about` statement, which has entries, an entry.

    Raises:
        InputError: key or value cannot be written there.
    """
    _require_setting(key, value)
    for entry in entries:
        if entry.key == key:
            return [Edit(entry.value.span, value)]
    return [Edit(Span(entries[-1].span.end, entries[-1].span.end), f", {key}={value}")]


def set_item(spans: Sequence[Span], index: int, written: str) -> list[Edit]:
    """Write an item of a list that commas part, or with the index behind the last a further one; nothing written takes it away.

    Raises:
        InputError: it is the only one.
    """
    if index == len(spans):
        return [Edit(Span(spans[-1].end, spans[-1].end), f", {written}")] if written else []
    if written:
        return [Edit(spans[index], written)]
    if len(spans) == 1:
        raise InputError("the last one cannot go", "delete the statement")
    return [cut_item(spans, index)]


# ---------------------------------------------------------------------- what is written
def require_component(written: str) -> None:
    """Ask whether a text is one component with or without arguments.

    Raises:
        InputError: it is none.
    """
    read = parse(f"train {written}")
    node = read.recipe.statements[0] if len(read.recipe.statements) == 1 and not read.diagnostics else None
    if not isinstance(node, Training) or node.architecture is None or node.architecture.span.end != len(read.recipe.text):
        raise InputError(f"'{written}' is no component", "write e.g. resnet18 or flip(axis=lr)")


def axis_of(text: str) -> Items | Range | None:
    """The values of a sweep that a text is, a list or a range; None where it is neither."""
    read = parse(f"sweep a in {text}")
    found = [node.values for node in read.recipe.statements if isinstance(node, Sweep)]
    return found[0] if not read.diagnostics and [values.span.end for values in found] == [len(read.recipe.text)] else None


def value_of(text: str) -> Value | None:
    """The value that a text is in the language; None where it is none, or more than one."""
    read = parse(f"set a = {text}")
    found = [node.value for node in read.recipe.statements if isinstance(node, Set)]
    return found[0] if not read.diagnostics and [value.span.end for value in found] == [len(read.recipe.text)] else None


def _require_setting(key: str, value: str) -> None:
    read = parse(f"set {key} = {value}")
    ends = [node.value.span.end for node in read.recipe.statements if isinstance(node, Set) and node.path == key]
    if read.diagnostics or ends != [len(read.recipe.text)]:
        raise InputError(f"'{key}={value}' cannot be written in a recipe", "give a key and a value, strings in double quotes")
