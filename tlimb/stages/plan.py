"""What each training statement of a recipe asks for, names resolved: the steps that variants run through."""

from collections.abc import Mapping
from dataclasses import dataclass

from tlimb.catalogue.keys import KEYS, applies, full_path
from tlimb.catalogue.verbs import VERBS, Verb
from tlimb.recipe.tree import (
    Augment,
    Component,
    Constant,
    Data,
    Freeze,
    Number,
    Recipe,
    Set,
    Split,
    Target,
    Training,
    Unfreeze,
    Value,
    file_source,
    stage_names,
    stage_parents,
)

Setting = tuple[str, Value]
"""A full config path and the value a recipe gives it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One training statement: its settings are in order of precedence, the last one wins."""

    name: str
    verb: Verb
    statement: Training
    parent: str | None
    file: str | None
    """The file whose weights it starts from, as written."""
    architecture: Component | None
    targets: tuple[Target, ...]
    data: Component | None
    augment: tuple[Component, ...]
    settings: tuple[Setting, ...]
    allow: str | None
    method: Component | None = None
    unlabelled: tuple[Target, ...] = ()
    """Data sets whose images train without labels."""

    @property
    def used(self) -> tuple[Target, ...]:
        """Everything that the stage reads images of."""
        return (*self.targets, *self.unlabelled)


def steps(recipe: Recipe, overrides_from: int | None = None) -> tuple[Step, ...]:
    """The steps of a checked recipe, parents before children.

    Args:
        overrides_from: `set` statements from this offset of the text on win over everything a statement says itself.
    """
    names, parents = stage_names(recipe), stage_parents(recipe)
    known = {name for name in names if name}
    data: dict[str | None, Component] = {}
    augment: tuple[Component, ...] = ()
    found = []
    for index, statement in enumerate(recipe.statements):
        match statement:
            case Data():
                data[statement.dataset] = statement.component
            case Augment():
                augment = statement.components
            case Training():
                name, parent = names[index], parents[index]
                assert name is not None
                verb = VERBS[statement.verb]
                via = statement.clause("via")
                method = via.payload if via and isinstance(via.payload, Component) else None
                targets = _targets(statement, "on")
                unlabelled = (*_targets(statement, "using"), *_targets(statement, "to"))
                if method is not None and verb.trains:
                    unlabelled += tuple(target for target in targets if target.label is None)
                    targets = tuple(target for target in targets if target.label is not None)
                used = (*targets, *unlabelled)
                module = data.get(used[0].dataset, data.get(None)) if used else data.get(None)
                allow = statement.clause("allow")
                file = file_source(statement)
                found.append(
                    Step(
                        name,
                        verb,
                        statement,
                        names[parent] if parent is not None else None,
                        file.value if file else None,
                        statement.architecture,
                        targets,
                        module,
                        augment if verb.trains else (),
                        _settings(recipe, statement, name, known, verb, parent is not None or file is not None, overrides_from),
                        allow.payload.reason.value if allow else None,  # type: ignore[union-attr]
                        method,
                        unlabelled,
                    )
                )
    return tuple(found)


def parts(recipe: Recipe) -> Mapping[str, tuple[tuple[str, int | float], ...]]:
    """The parts of each data set that the recipe splits."""
    return {s.dataset: tuple((part.name, part.amount) for part in s.parts) for s in recipe.statements if isinstance(s, Split)}


def _targets(statement: Training, word: str) -> tuple[Target, ...]:
    clause = statement.clause(word)
    return tuple(target for target in clause.payload if isinstance(target, Target)) if clause and isinstance(clause.payload, tuple) else ()


def _settings(
    recipe: Recipe, statement: Training, name: str, known: set[str], verb: Verb, has_weights: bool, overrides_from: int | None
) -> tuple[Setting, ...]:
    """Settings of a stage: `set` for all stages, then `set` for this one, then clauses, then `with`, then overrides."""
    everywhere: list[Setting] = []
    here: list[Setting] = []
    overrides: list[Setting] = []
    for other in recipe.statements:
        if isinstance(other, Set):
            forced = overrides_from is not None and other.span.start >= overrides_from
            head, _, rest = other.path.partition(".")
            if rest and head in known:
                if head == name:
                    (overrides if forced else here).append((full_path(rest), other.value))
            elif applies(full_path(other.path), trains=verb.trains, has_weights=has_weights, from_file=file_source(statement) is not None):
                (overrides if forced else everywhere).append((full_path(other.path), other.value))
    clauses: list[Setting] = []
    for clause in statement.clauses:
        match clause.payload:
            case Freeze(layer=layer, only=only):
                clauses.append((KEYS["freeze"].path, layer))
                if only:
                    clauses.append(("scenario.freeze_only", Constant("true", clause.span)))
            case Unfreeze(layer=layer, epoch=epoch, lr=lr):
                clauses.append(("scenario.unfreeze.layer", layer))
                clauses.append(("scenario.unfreeze.epoch", Number(epoch, clause.span)))
                if lr is not None:
                    clauses.append(("scenario.unfreeze.lr", Number(lr, clause.span)))
        if clause.word == "elastic":
            clauses.append((KEYS["elastic"].path, clause.payload))  # type: ignore[arg-type]
    given = statement.clause("with")
    with_ = [(full_path(argument.key), argument.value) for argument in given.payload] if given else []  # type: ignore[union-attr]
    return (*everywhere, *here, *clauses, *with_, *overrides)
