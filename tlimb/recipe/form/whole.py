"""The forms of statements for the whole recipe: data, augmentations, parts, settings, sweeps, search, repetitions, ranking."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tlimb.catalogue.keys import KEYS, full_path, kind_at
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import METRICS
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Edit, InputError, Span
from tlimb.recipe import clauses
from tlimb.recipe.check import ABOUT
from tlimb.recipe.form.field import Choice, Field, a, as_value, default_of, listed, takes, words
from tlimb.recipe.patch import words as put
from tlimb.recipe.references import quoted
from tlimb.recipe.settings import classes, declared, has, ranked_metrics, scope, targets
from tlimb.recipe.tree import (
    About,
    Augment,
    Component,
    Data,
    Part,
    Rank,
    Recipe,
    Repeat,
    Search,
    Set,
    Split,
    Sweep,
    Text,
    Training,
    Version,
    stage_names,
    stage_parents,
)


def whole_form(recipe: Recipe, number: int, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> tuple[Field, ...]:
    """The fields of a statement that is no stage."""
    text = recipe.text
    match recipe.statements[number]:
        case Version() as node:
            return (_span("version", "a whole number", VERBS["tlr"].help, text, Span(node.span.start + len("tlr "), node.span.end)),)
        case About() as node:
            return tuple(_about(text, node))
        case Data() as node:
            return tuple(_data(text, node, catalogue, datasets))
        case Augment() as node:
            return tuple(_augment(text, node, catalogue))
        case Split() as node:
            return tuple(_split(recipe, node, datasets))
        case Set() as node:
            return tuple(_set(recipe, node, catalogue))
        case Sweep() as node:
            return tuple(_sweep(recipe, node, catalogue))
        case Search() as node:
            return tuple(_search(recipe, node, catalogue, datasets))
        case Repeat() as node:
            return (_span("seeds", "a whole number", VERBS["repeat"].help, text, Span(_last(text, node.span), node.span.end)),)
        case Rank() as node:
            by = _span("by", "a validation metric", VERBS["rank"].help, text, node.metric_span)
            return (replace(by, look_up=partial(metrics, recipe, datasets)),)
    return ()


def metrics(recipe: Recipe, datasets: Mapping[str, Dataset]) -> tuple[Choice, ...]:
    """The metrics that variants can be ordered by."""
    found = []
    for name in ranked_metrics(recipe, datasets):
        metric = METRICS[name.rpartition(".")[2]]
        found.append(Choice(name, f"{metric.help} {'Lower' if metric.direction == 'min' else 'Higher'} is better."))
    return tuple(found)


def paths(recipe: Recipe) -> tuple[Choice, ...]:
    """The short keys, for all stages and for each."""
    keys = [Choice(key.word, key.help) for key in KEYS.values()]
    parents = stage_parents(recipe)
    for number, name in enumerate(stage_names(recipe)):
        if name is not None:
            keys += [Choice(f"{name}.{key.word}", key.help) for key in KEYS.values() if has(recipe, number, parents, key.path)]
    return tuple(keys)


def _span(name: str, takes_: str, help: str, text: str, span: Span, choices: Sequence[Choice] = (), group: str = "statement") -> Field:
    """A field for a text that must stand there."""

    def write(new: str) -> list[Edit]:
        if not new.strip():
            raise InputError(f"the statement needs {takes_}", "delete the statement instead")
        return [put(text, span, new.strip())]

    return Field(name, group, takes_, help, write, text[span.start : span.end], origin="here", choices=tuple(choices), required=True)


def _last(text: str, span: Span) -> int:
    """Where the last word of a statement starts."""
    return span.start + len(text[span.start : span.end].rstrip()) - len(text[span.start : span.end].split()[-1])


def _about(text: str, node: About) -> Iterator[Field]:
    given = {entry.key: entry for entry in node.entries}
    for key in ABOUT:
        entry = given.get(key)

        def write(new: str, key: str = key) -> list[Edit]:
            if new:
                return clauses.set_entry(node.entries, key, quoted(new))
            spans = [entry.span for entry in node.entries]
            return clauses.set_item(spans, list(given).index(key), "") if key in given else []

        value = entry.value.value if entry is not None and isinstance(entry.value, Text) else ""
        yield Field(key, "statement", "text", VERBS["about"].help, write, value, origin="here" if entry is not None else "default")


def _data(text: str, node: Data, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> Iterator[Field]:
    choices = words(catalogue, "data")
    yield _span("module", "a DataModule, with arguments in brackets", VERBS["data"].help, text, node.component.span, choices)

    def write(new: str) -> list[Edit]:
        if node.dataset_span is None:
            return [put(text, Span(node.component.span.end, node.component.span.end), f" for {new}")] if new else []
        if new:
            return [put(text, node.dataset_span, new)]
        return [put(text, Span(node.component.span.end, node.dataset_span.end), "")]

    yield Field(
        "for",
        "statement",
        "a data set",
        "the one data set that it is for",
        write,
        node.dataset or "",
        "all data sets",
        origin="here" if node.dataset else "default",
        choices=tuple(Choice(name, dataset_line(datasets, name)) for name in datasets),
    )
    yield from arguments(text, node.component, "data", catalogue, skip=("augment",))


def _augment(text: str, node: Augment, catalogue: Catalogue) -> Iterator[Field]:
    spans = [component.span for component in node.components]
    choices = words(catalogue, "augmentation")
    for index in range(len(spans) + 1):
        there = index < len(spans)

        def write(new: str, index: int = index) -> list[Edit]:
            if new:
                clauses.require_component(new)
            return clauses.set_item(spans, index, new)

        value = text[spans[index].start : spans[index].end] if there else ""
        name = f"{index + 1}" if there else "one more"
        yield Field(
            name,
            "in order",
            "an augmentation, with arguments in brackets",
            VERBS["augment"].help,
            write,
            value,
            choices=choices,
            origin="here" if there else "default",
        )
    for component in node.components:
        yield from arguments(text, component, "augmentation", catalogue)


def _split(recipe: Recipe, node: Split, datasets: Mapping[str, Dataset]) -> Iterator[Field]:
    text = recipe.text
    choices = tuple(Choice(name, dataset_line(datasets, name)) for name in datasets)
    yield _span("data set", "a data set", VERBS["split"].help, text, node.dataset_span, choices)
    spans = [part.span for part in node.parts]
    for index in range(len(spans) + 1):
        part = node.parts[index] if index < len(spans) else None

        def write(new: str, index: int = index, part: Part | None = part) -> list[Edit]:
            edits = clauses.set_item(spans, index, " ".join(new.split()))
            name = new.split()[0] if new.split() else ""
            renamed = part is not None and name not in ("", part.name)
            return [*edits, *(_renamed(recipe, node.dataset, part.name, name) if renamed and part is not None else ())]

        yield Field(
            part.name if part else "one more",
            "parts",
            "a name and a count or a fraction, e.g. base 0.5",
            "subjects of a part are in no other; what uses the part follows its name",
            write,
            text[part.span.start : part.span.end] if part else "",
            origin="here" if part else "default",
        )


def _renamed(recipe: Recipe, dataset: str, part: str, name: str) -> Iterator[Edit]:
    """The edits that give a part another name where it is used."""
    for statement in recipe.statements:
        for clause in statement.clauses if isinstance(statement, Training) else ():
            for target in targets(clause):
                if target.dataset == dataset and target.part == part and target.part_span is not None:
                    yield Edit(target.part_span, name)


def _type(recipe: Recipe, path: str, catalogue: Catalogue) -> tuple[str, str]:
    """The full config path that a path means, and the type behind it in the first stage that has it."""
    names, parents = stage_names(recipe), stage_parents(recipe)
    stage, rest = scope(path, names)
    found = full_path(rest)
    for number, statement in enumerate(recipe.statements):
        if isinstance(statement, Training) and stage in (None, names[number]) and has(recipe, number, parents, found):
            type_ = declared(catalogue, found, classes(catalogue, statement))
            if isinstance(type_, str):
                return found, type_
    return found, ""


def _set(recipe: Recipe, node: Set, catalogue: Catalogue) -> Iterator[Field]:
    path, type_ = _type(recipe, node.path, catalogue)
    kind = kind_at(path)
    yield _span("path", "a key, or STAGE.KEY", VERBS["set"].help, recipe.text, node.path_span, paths(recipe))
    choices = words(catalogue, kind) if kind else listed(type_)
    value = _span("value", a(kind) if kind else takes(type_), "", recipe.text, node.value.span, choices)
    yield Field(
        value.name,
        value.group,
        value.takes,
        _help(path),
        lambda text: value.write(as_value(text, type_) if text and not kind else text),
        value.value,
        origin="here",
        choices=choices,
        required=True,
    )


def _sweep(recipe: Recipe, node: Sweep, catalogue: Catalogue) -> Iterator[Field]:
    path, type_ = _type(recipe, node.path, catalogue)
    kind = kind_at(path)
    yield _span("path", "a key, or STAGE.KEY", VERBS["sweep"].help, recipe.text, node.path_span, paths(recipe))
    each = a(kind) if kind else takes(type_)
    what = f"a list of values in brackets, each {each}; or LOW..HIGH, perhaps log, for a search"
    yield _span("values", what, _help(path), recipe.text, node.values.span)


def _help(path: str) -> str:
    return next((key.help for key in KEYS.values() if key.path == path), "")


def _search(recipe: Recipe, node: Search, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> Iterator[Field]:
    text = recipe.text
    component = _method(recipe, node)
    yield _span("method", "a method, with arguments in brackets", VERBS["search"].help, text, component.span, words(catalogue, "search"))
    if node.trials is not None:
        start = component.span.end + text[component.span.end : node.span.end].index(str(node.trials))
        yield _span("trials", "a whole number", "how many variants are drawn", text, Span(start, start + len(str(node.trials))))

    def write(new: str) -> list[Edit]:
        if node.metric_span is not None:
            end = node.metric_span.end
            start = component.span.end + text[component.span.end : end].rindex("by")
            return [put(text, node.metric_span, new)] if new else [put(text, Span(_blanks(text, start), end), "")]
        return [put(text, Span(node.span.end, node.span.end), f" by {new}")] if new else []

    yield Field(
        "by",
        "statement",
        "a validation metric",
        "what the search improves",
        write,
        node.metric or "",
        "that of the ranking",
        origin="here" if node.metric else "default",
        look_up=partial(metrics, recipe, datasets),
    )
    yield from arguments(text, component, "search", catalogue)


def _blanks(text: str, position: int) -> int:
    """Where the blanks before a place start."""
    return len(text[:position].rstrip())


def _method(recipe: Recipe, node: Search) -> Component:
    """The method of a search as a component, brackets included."""
    end = node.method_span.end
    rest = recipe.text[node.arguments[-1].span.end if node.arguments else end : node.span.end]
    if node.arguments:
        end = node.arguments[-1].span.end + rest.index(")") + 1
    elif rest.lstrip().startswith("("):
        end += rest.index(")") + 1
    return Component(node.method, node.arguments, Span(node.method_span.start, end), node.method_span)


def arguments(text: str, component: Component, kind: str, catalogue: Catalogue, *, skip: Sequence[str] = ()) -> Iterator[Field]:
    """A field for each argument of a component."""
    entry = catalogue.find(kind, component.name)
    given = {argument.key: argument for argument in component.arguments}
    for parameter in entry.parameters if entry is not None else ():
        if parameter.name in skip:
            continue
        argument = given.get(parameter.name)

        def write(new: str, name: str = parameter.name, type_: str = parameter.type) -> list[Edit]:
            if new.strip():
                return clauses.set_argument(text, component, name, as_value(new, type_))
            return clauses.unset_argument(text, component, name)

        yield Field(
            parameter.name,
            f"{kind} {component.name}",
            takes(parameter.type),
            parameter.help,
            write,
            text[argument.value.span.start : argument.value.span.end] if argument is not None else "",
            default_of(parameter, entry),
            origin="here" if argument is not None else "default",
            choices=listed(parameter.type),
        )


def dataset_line(datasets: Mapping[str, Dataset], name: str) -> str:
    """A data set in a line, without reading its tables."""
    try:
        dataset: Any = datasets[name]
    except InputError as error:
        return error.message
    return f"{dataset.format}, {dataset.root}" if dataset.source else "built in"
