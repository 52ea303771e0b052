"""A statement as a form: its fields, what each takes, holds and falls back to, and the edits that change it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tlimb.catalogue.components import Component as Entry
from tlimb.catalogue.components import Parameter
from tlimb.catalogue.fields import choices, in_words
from tlimb.catalogue.registry import Catalogue
from tlimb.errors import Edit
from tlimb.recipe.clauses import value_of
from tlimb.recipe.references import quoted
from tlimb.recipe.tree import Component

Origin = Literal["here", "set", "sweep", "data", "default"]

FROM_DATA = ("spatial_dims", "in_channels", "input_shape", "monitor")
"""Arguments that follow from the data."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that a field can take, and what to say of it."""

    word: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a statement's form.

    Attributes:
        name: What it is called; within its group no other is called so.
        group: The heading it stands under.
        takes: What can be written into it, in words.
        help: What it is for.
        write: The edits of the recipe that give it a text, as it is written in the language; an empty text takes it away. Raises
            `InputError` where that cannot be written.
        value: Its present text, whoever gives it; empty where nobody does.
        default: What holds where nobody does.
        origin: Who gives it: this statement, a `set` or a `sweep` elsewhere, the `data` statement, or nobody.
        number: The other statement that gives it.
        choices: Values to choose from; others may be possible.
        look_up: Finds further values to choose from; it may read the tables of data sets.
        of_layers: Whether it takes a layer of the stage's network, which only the training side knows.
        many: Whether it takes several values with + between them.
        required: Whether the statement needs it.
    """

    name: str
    group: str
    takes: str
    help: str
    write: Callable[[str], list[Edit]] = field(compare=False, repr=False)
    value: str = ""
    default: str = ""
    origin: Origin = "default"
    number: int | None = None
    choices: tuple[Choice, ...] = ()
    look_up: Callable[[], tuple[Choice, ...]] | None = field(default=None, compare=False, repr=False)
    of_layers: bool = False
    many: bool = False
    required: bool = False


def words(catalogue: Catalogue, kind: str, among: Sequence[str] | None = None) -> tuple[Choice, ...]:
    """The words of a kind of component as choices."""
    return tuple(Choice(word, catalogue.components[kind, word].help) for word in (catalogue.words(kind) if among is None else among))


def listed(declared: str) -> tuple[Choice, ...]:
    """The values that a declared type lists as choices."""
    return tuple(Choice(word) for word in choices(declared))


def takes(declared: str) -> str:
    """What a declared type takes, in words."""
    return "one of these" if choices(declared) else in_words(declared) or "a value"


def default_of(parameter: Parameter, entry: Entry | None = None) -> str:
    """The default of a component's parameter as it would be written."""
    if parameter.name in FROM_DATA:
        return "follows from the data"
    value = entry.arguments[parameter.name] if entry is not None and parameter.name in entry.arguments else parameter.default
    return "needed" if parameter.required and value is None else written(value)


def written(value: Any) -> str:
    """A Python value as it is written in a recipe; a nested config is left out."""
    match value:
        case None | True | False:
            return {None: "none", True: "true", False: "false"}[value]
        case float():
            return f"{value:.6g}"
        case int():
            return str(value)
        case str():
            read = value_of(value)
            return value if isinstance(read, Component) and not read.arguments else quoted(value)
        case list() | tuple():
            return f"[{', '.join(written(item) for item in value)}]"
        case Mapping():
            return ""
    return str(value)


def as_value(text: str, declared: str) -> str:
    """A typed text as a value of the language: text that needs quotes gets them where the type takes text."""
    text = text.strip()
    if value_of(text) is not None or not ("str" in declared or "'" in declared or declared == ""):
        return text
    return quoted(text)


def a(noun: str) -> str:
    """A noun with its article."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
