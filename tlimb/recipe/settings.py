"""Which settings a stage of a recipe has, which it is given, and by what.

The checker, the planner, the inspector and what is offered to a user all ask here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tlimb.catalogue.fields import NESTED, accepted, fields
from tlimb.catalogue.keys import DEFAULTS, KEYS, KIND_AT, SECTIONS, applies, full_path
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import metric_names
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.verbs import VERBS
from tlimb.errors import InputError
from tlimb.recipe.tree import (
    Argument,
    Clause,
    Component,
    Constant,
    Data,
    Freeze,
    Number,
    Recipe,
    Set,
    Sweep,
    Target,
    Training,
    Unfreeze,
    Value,
    file_source,
    stage_parents,
)

Origin = Literal["everywhere", "stage", "clause", "with", "override"]


@dataclass(frozen=True, slots=True)
class Given:
    """A setting that a recipe gives to a stage.

    Attributes:
        path: The full config path.
        value: As it is written.
        origin: A `set` for all stages, a `set` for this one, a clause, `with`, or a `set` that wins over everything.
        number: The statement that says it.
    """

    path: str
    value: Value
    origin: Origin
    number: int


def given(
    recipe: Recipe, number: int, names: Sequence[str | None], parents: Sequence[int | None], overrides_from: int | None = None
) -> tuple[Given, ...]:
    """The settings of a training statement in order of precedence, the last one wins; those of its components left out.

    Args:
        recipe: the recipe.
        number: the statement.
        names: its `stage_names`.
        parents: its `stage_parents`.
        overrides_from: `set` statements from this offset of the text on win over everything a statement says itself.
    """
    statement = recipe.statements[number]
    assert isinstance(statement, Training)
    everywhere: list[Given] = []
    here: list[Given] = []
    overrides: list[Given] = []
    for place, other in enumerate(recipe.statements):
        if isinstance(other, Set) and (path := bound(other.path, recipe, number, names, parents)) is not None:
            forced = overrides_from is not None and other.span.start >= overrides_from
            scoped = scope(other.path, names)[0] is not None
            found = Given(path, other.value, "override" if forced else "stage" if scoped else "everywhere", place)
            (overrides if forced else here if scoped else everywhere).append(found)
    return (*everywhere, *here, *_own(statement, number), *overrides)


def swept(recipe: Recipe, number: int, names: Sequence[str | None], parents: Sequence[int | None]) -> dict[str, int]:
    """The sweeps that vary a training statement, by full config path; they win over everything else."""
    found = {}
    for place, other in enumerate(recipe.statements):
        path = bound(other.path, recipe, number, names, parents) if isinstance(other, Sweep) else None
        if path is not None and has(recipe, number, parents, path):
            found[path] = place
    return found


def scope(path: str, names: Sequence[str | None]) -> tuple[str | None, str]:
    """The stage that a path of a `set` or `sweep` is bound to (None: all), and the path within it."""
    head, _, rest = path.partition(".")
    return (head, rest) if rest and head in names else (None, path)


def bound(path: str, recipe: Recipe, number: int, names: Sequence[str | None], parents: Sequence[int | None]) -> str | None:
    """The full config path that a `set` or `sweep` means in a stage; None where it does not bind it."""
    stage, rest = scope(path, names)
    if stage is not None:
        return full_path(rest) if stage == names[number] else None
    found = full_path(rest)
    return found if has(recipe, number, parents, found) else None


def has(recipe: Recipe, number: int, parents: Sequence[int | None], path: str) -> bool:
    """Whether settings at a full config path mean something in a stage."""
    statement = recipe.statements[number]
    assert isinstance(statement, Training)
    from_file = file_source(statement) is not None
    verb = VERBS.get(statement.verb)
    return applies(path, trains=verb is None or verb.trains, has_weights=from_file or parents[number] is not None, from_file=from_file)


def _own(statement: Training, number: int) -> Iterator[Given]:
    """What a statement says itself: its clauses, then `with`."""
    for clause in statement.clauses:
        match clause.payload:
            case Freeze(layer=layer, only=only):
                yield Given(KEYS["freeze"].path, layer, "clause", number)
                if only:
                    yield Given("scenario.freeze_only", Constant("true", clause.span), "clause", number)
            case Unfreeze(layer=layer, epoch=epoch, lr=lr):
                yield Given("scenario.unfreeze.layer", layer, "clause", number)
                yield Given("scenario.unfreeze.epoch", Number(epoch, clause.span), "clause", number)
                if lr is not None:
                    yield Given("scenario.unfreeze.lr", Number(lr, clause.span), "clause", number)
        if clause.word == "elastic":
            yield Given(KEYS["elastic"].path, clause.payload, "clause", number)  # type: ignore[arg-type]
    for argument in arguments(statement.clause("with")):
        yield Given(full_path(argument.key), argument.value, "with", number)


def arguments(clause: Clause | None) -> list[Argument]:
    """The settings of a `with` clause."""
    payload = clause.payload if clause is not None else ()
    return [entry for entry in payload if isinstance(entry, Argument)] if isinstance(payload, tuple) else []


def targets(clause: Clause | None) -> list[Target]:
    """The data sets that a clause names."""
    payload = clause.payload if clause is not None else ()
    return [entry for entry in payload if isinstance(entry, Target)] if isinstance(payload, tuple) else []


def data_of(recipe: Recipe, number: int) -> int | None:
    """The `data` statement that says which DataModule a training statement has; None for the default."""
    statement = recipe.statements[number]
    assert isinstance(statement, Training)
    used = [target for word in ("on", "using", "to") for target in targets(statement.clause(word))]
    found: dict[str | None, int] = {}
    for place, other in enumerate(recipe.statements[:number]):
        if isinstance(other, Data):
            found[other.dataset] = place
    return found.get(used[0].dataset, found.get(None)) if used else found.get(None)


def classes(catalogue: Catalogue, statement: Training, data: str = DEFAULTS["data"]) -> dict[str, str]:
    """The class of each section of a stage's config, as far as the statement says; terms of its loss are ``auxiliaries.NAME``.

    Args:
        catalogue: the catalogue.
        statement: a training statement.
        data: the word of its DataModule.
    """
    found = {"trainer": catalogue.components["trainer", "trainer"].class_path}
    for section, kind, word in (
        ("data", "data", data),
        ("architecture", "architecture", statement.architecture.name if statement.architecture else ""),
        ("scenario", "scenario", VERBS[statement.verb].scenario or ""),
    ):
        if (entry := catalogue.find(kind, word)) is not None:
            found[section] = entry.class_path
    via = statement.clause("via")
    if via is not None and isinstance(via.payload, Component) and (entry := catalogue.find("method", via.payload.name)):
        found["scenario"] = entry.class_path
        if entry.auxiliary:
            found[f"auxiliaries.{entry.word}"] = entry.auxiliary
    found["auxiliaries.elastic"] = catalogue.components["auxiliary", "elastic"].class_path
    return found


def declared(catalogue: Catalogue, path: str, classes: Mapping[str, str]) -> str | list[str]:
    """The declared type behind a full config path ('' for anything), or the names that would have been right."""
    if path == "seed":
        return "int"
    section, _, name = path.rpartition(".")
    head = path.split(".", 1)[0]
    if head not in SECTIONS:
        return []
    if head == "auxiliaries":
        return _auxiliary(catalogue, path, classes)
    if not section:
        return "" if path in KIND_AT else list(fields(catalogue, classes, path) or {})
    if head == "objective" or (head in ("architecture", "scenario") and head not in classes):
        return ""
    if section.count(".") > 1 or (section.count(".") == 1 and section.split(".")[1] not in NESTED):
        return ""
    known = fields(catalogue, classes, section)
    if known is None:
        return ""
    return accepted(path, known[name].type) if name in known else list(known)


def _auxiliary(catalogue: Catalogue, path: str, classes: Mapping[str, str]) -> str | list[str]:
    """As `declared`: ``auxiliaries.NAME`` is a term, ``auxiliaries.NAME.ARGUMENT`` one of its arguments."""
    pieces = path.split(".")
    terms = [place.partition(".")[2] for place in classes if place.startswith("auxiliaries.")]
    if len(pieces) != 3 or pieces[1] not in terms:
        return "" if len(pieces) == 2 else terms
    parameters = catalogue.parameters(classes[f"auxiliaries.{pieces[1]}"])
    known = {parameter.name: parameter.type for parameter in parameters or ()}
    if path == KEYS["elastic"].path:
        return f"{known[pieces[2]]} | None"  # none takes the whole term away
    return known.get(pieces[2]) or ("" if parameters is None else list(known))


def label_kind(target: Target, datasets: Mapping[str, Dataset]) -> str | None:
    """The kind of a target's label, ``number`` or ``category``; None where the data set or the label is not known."""
    try:
        label = datasets[target.dataset].labels.get(target.label or "") if target.dataset in datasets else None
    except InputError:
        return None
    return label.kind if label is not None else None


def ranked_metrics(recipe: Recipe, datasets: Mapping[str, Dataset]) -> list[str]:
    """The metrics that variants can be ordered by: of the stages that train and that none continues."""
    trains = [isinstance(other, Training) and VERBS[other.verb].trains for other in recipe.statements]
    continued = {parent for parent, does in zip(stage_parents(recipe), trains, strict=True) if does}
    offered: dict[str, None] = {}
    for number, other in enumerate(recipe.statements):
        if isinstance(other, Training) and trains[number] and number not in continued:
            offered.update(dict.fromkeys(validated_metrics(targets(other.clause("on")), datasets)))
    return list(offered)


def validated_metrics(learned: Iterable[Target], datasets: Mapping[str, Dataset]) -> list[str]:
    """The validation metrics of a stage with these targets."""
    kinds = {target.label: kind for target in learned if target.label and (kind := label_kind(target, datasets))}
    return [f"val.{name}" if len(kinds) == 1 else f"val.{label}.{name}" for label, kind in kinds.items() for name in metric_names(kind)]
