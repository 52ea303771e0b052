"""What each training statement of a recipe asks for, names resolved: the steps that variants run through."""

from collections.abc import Mapping
from dataclasses import dataclass

from tlimb.catalogue.verbs import VERBS, Verb
from tlimb.recipe.settings import given
from tlimb.recipe.tree import (
    Augment,
    Component,
    Data,
    Recipe,
    Split,
    Target,
    Training,
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
                        tuple((setting.path, setting.value) for setting in given(recipe, index, names, parents, overrides_from)),
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
