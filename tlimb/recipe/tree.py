"""The syntax tree of a recipe: what was written and where. It says nothing about what the words mean."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Diagnostic, Span


@dataclass(frozen=True, slots=True)
class Number:
    """``10`` or ``1e-4``: an int where it is written without point and exponent."""

    value: int | float
    span: Span


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string; `value` has its escapes resolved, `span` includes the quotes."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Size:
    """``160x192x160``."""

    value: tuple[int, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Constant:
    """``true``, ``false``, ``none`` or ``off``; `off` has the value False."""

    word: str
    span: Span

    @property
    def value(self) -> bool | None:
        """The Python value of the word."""
        return {"true": True, "false": False, "off": False, "none": None}[self.word]


@dataclass(frozen=True, slots=True)
class Range:
    """``LOW..HIGH [log]``: an axis that a search draws from, of whole numbers where both ends are written as such."""

    low: int | float
    high: int | float
    log: bool
    span: Span

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True, slots=True)
class Items:
    """``[a, b]``."""

    values: tuple["Value", ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Argument:
    """``KEY=VALUE`` of a component, a `with` clause or an `about` statement."""

    key: str
    value: "Value"
    span: Span
    key_span: Span


@dataclass(frozen=True, slots=True)
class Component:
    """``flip(axis=lr)``. A bare word or dotted path (``resnet18``, ``layer4.0.conv1``) is a component without arguments."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span
    name_span: Span


Value: TypeAlias = Number | Text | Size | Constant | Range | Items | Component


def plain(value: Value) -> Any:
    """The Python value: str, int, float, bool, None or list; a component with arguments and a range stay nodes."""
    match value:
        case Items(values=values):
            return [plain(item) for item in values]
        case Size(value=sides):
            return list(sides)
        case Component(name=name, arguments=()):
            return name
        case Component() | Range():
            return value
        case _:
            return value.value


@dataclass(frozen=True, slots=True)
class Target:
    """``[WEIGHT*] DATASET [PART] [.LABEL]``, e.g. ``2*ukb[base].age``."""

    dataset: str
    part: str | None
    label: str | None
    weight: float | None
    span: Span
    dataset_span: Span
    part_span: Span | None
    label_span: Span | None


@dataclass(frozen=True, slots=True)
class Name:
    """A stage name after `as` or `from`."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Freeze:
    """``freeze [only] LAYER``."""

    layer: Value
    only: bool


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """``unfreeze LAYER at EPOCH [lr VALUE]``."""

    layer: Value
    epoch: int
    lr: float | None


@dataclass(frozen=True, slots=True)
class Allow:
    """``allow overlap "reason"``."""

    reason: Text


Payload: TypeAlias = tuple[Target, ...] | tuple[Argument, ...] | Freeze | Unfreeze | Allow | Name | Value


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of a training statement. The word fixes the payload.

    on, using, to: tuple of Target; with: tuple of Argument; freeze: Freeze; unfreeze: Unfreeze; elastic: Number or Constant;
    as: Name; from: Name or Text; via: Component; allow: Allow.
    """

    word: str
    span: Span
    word_span: Span
    payload: Payload


@dataclass(frozen=True, slots=True)
class Version:
    """``tlr 1``."""

    number: int
    span: Span


@dataclass(frozen=True, slots=True)
class About:
    """``about KEY=VALUE, …``."""

    entries: tuple[Argument, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Data:
    """``data COMPONENT [for DATASET]``."""

    component: Component
    dataset: str | None
    span: Span
    dataset_span: Span | None


@dataclass(frozen=True, slots=True)
class Augment:
    """``augment COMPONENT, …``."""

    components: tuple[Component, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Part:
    """``NAME AMOUNT`` of a split: a count of subjects (int) or a fraction of them (float)."""

    name: str
    amount: int | float
    span: Span
    name_span: Span
    amount_span: Span


@dataclass(frozen=True, slots=True)
class Split:
    """``split DATASET into NAME AMOUNT, …``."""

    dataset: str
    parts: tuple[Part, ...]
    span: Span
    dataset_span: Span


@dataclass(frozen=True, slots=True)
class Set:
    """``set PATH = VALUE``."""

    path: str
    value: Value
    span: Span
    path_span: Span


@dataclass(frozen=True, slots=True)
class Sweep:
    """``sweep PATH in [V1, …]`` or ``sweep PATH in LOW..HIGH [log]``."""

    path: str
    values: Items | Range
    span: Span
    path_span: Span


@dataclass(frozen=True, slots=True)
class Search:
    """``search METHOD[(KEY=VALUE, …)] [TRIALS] [by METRIC]``."""

    method: str
    trials: int | None
    metric: str | None
    span: Span
    method_span: Span
    metric_span: Span | None
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """``repeat COUNT``."""

    count: int
    span: Span


@dataclass(frozen=True, slots=True)
class Rank:
    """``rank by METRIC``."""

    metric: str
    span: Span
    metric_span: Span


@dataclass(frozen=True, slots=True)
class Training:
    """``VERB [ARCHITECTURE] CLAUSE…``: train, pretrain, finetune, …, evaluate."""

    verb: str
    architecture: Component | None
    clauses: tuple[Clause, ...]
    span: Span
    verb_span: Span

    def clause(self, word: str) -> Clause | None:
        """The clause of that word, or None."""
        for clause in self.clauses:  # a loop: this is asked some thousand times while a key is pressed
            if clause.word == word:
                return clause
        return None


Statement: TypeAlias = Version | About | Data | Augment | Split | Set | Sweep | Search | Repeat | Rank | Training


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe's text and the statements in it that could be read, in order."""

    text: str
    statements: tuple[Statement, ...]
    newline: str


@dataclass(frozen=True, slots=True)
class ParsedRecipe:
    """What `parse` returns: the recipe and every mistake of its syntax, sorted by place."""

    recipe: Recipe
    diagnostics: tuple[Diagnostic, ...]


def stage_names(recipe: Recipe) -> list[str | None]:
    """The stage name of each statement, None where it is no training statement.

    An unnamed stage is named by its verb; the second unnamed one gets a 2, and so on. Names given by `as` are left out of the count.
    """
    given = [_given_name(statement) for statement in recipe.statements]
    taken = {name for name in given if name}
    names: list[str | None] = []
    for statement, name in zip(recipe.statements, given, strict=True):
        if name is None and isinstance(statement, Training):
            name, number = statement.verb, 1
            while name in taken:
                number += 1
                name = f"{statement.verb}{number}"
            taken.add(name)
        names.append(name)
    return names


def stage_parents(recipe: Recipe) -> list[int | None]:
    """Index of the statement whose network each training statement continues; None for no parent, a file or an unknown name.

    Without `from`, a statement that names no architecture continues the nearest one above that trains (an `evaluate` trains nothing).
    """
    places: dict[str, int] = {}
    for index, name in enumerate(stage_names(recipe)):
        if name is not None:
            places.setdefault(name, index)
    parents: list[int | None] = []
    nearest: int | None = None
    for index, statement in enumerate(recipe.statements):
        parent: int | None = None
        if isinstance(statement, Training):
            source = statement.clause("from")
            if source is not None:
                parent = places.get(source.payload.value) if isinstance(source.payload, Name) else None
            elif statement.architecture is None:
                parent = nearest
            verb = VERBS.get(statement.verb)
            if verb is None or verb.trains:
                nearest = index
        parents.append(parent)
    return parents


def file_source(statement: Training) -> Text | None:
    """The file whose weights a statement starts from."""
    source = statement.clause("from")
    return source.payload if source is not None and isinstance(source.payload, Text) else None


def _given_name(statement: Statement) -> str | None:
    clause = statement.clause("as") if isinstance(statement, Training) else None
    return clause.payload.value if clause is not None and isinstance(clause.payload, Name) else None
