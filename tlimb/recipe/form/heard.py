"""Who gives a stage its settings: its components, its clauses and `with`, other statements; of several, the one that holds."""

from dataclasses import dataclass, field
from typing import Literal

from tlimb.catalogue.components import Parameter
from tlimb.catalogue.keys import DEFAULTS, full_path, kind_at
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.verbs import VERBS, Verb
from tlimb.recipe.settings import arguments, classes, data_of, given, swept
from tlimb.recipe.tree import Component, Data, Recipe, Sweep, Training, Value, stage_names, stage_parents


@dataclass(frozen=True, slots=True)
class Said:
    """Who gives a setting its value.

    Attributes:
        value: As it is written.
        origin: An argument of a component of the stage, of its `with`, one of its clauses, its `data` statement, a `set` or a `sweep`.
        number: The statement that says it.
        key: The key of the argument.
        component: The component whose argument it is.
    """

    value: Value
    origin: Literal["argument", "with", "clause", "data", "set", "sweep"]
    number: int
    key: str = ""
    component: Component | None = None


@dataclass(slots=True)
class Heard:
    """The settings of a stage that something gives, by full config path."""

    recipe: Recipe
    number: int
    catalogue: Catalogue
    stage: Training = field(init=False)
    verb: Verb = field(init=False)
    names: list[str | None] = field(init=False)
    parents: list[int | None] = field(init=False)
    said: dict[str, Said] = field(init=False)
    data: str = field(init=False)
    """The word of its DataModule."""
    classes: dict[str, str] = field(init=False)
    """The class of each section of its config."""

    def __post_init__(self) -> None:
        stage = self.recipe.statements[self.number]
        assert isinstance(stage, Training)
        self.stage, self.verb = stage, VERBS[stage.verb]
        self.names, self.parents = stage_names(self.recipe), stage_parents(self.recipe)
        module = self._module()
        self.data = module.name if module is not None else DEFAULTS["data"]
        self.classes = classes(self.catalogue, stage, self.data)
        self.said = {}
        self._listen()

    @property
    def method(self) -> Component | None:
        """What `via` names."""
        via = self.stage.clause("via")
        return via.payload if via is not None and isinstance(via.payload, Component) else None

    def of_method(self) -> list[Parameter]:
        """The parameters that are the method's own; those of every training are settings."""
        entry = self.catalogue.find("method", self.method.name) if self.method is not None else None
        every = {parameter.name for parameter in self.catalogue.components["scenario", "supervised"].parameters}
        return [parameter for parameter in entry.parameters if parameter.name not in every] if entry is not None else []

    def method_path(self, key: str) -> str:
        """The config path of an argument of the method: of its term of the loss, or of its scenario."""
        assert self.method is not None
        entry = self.catalogue.find("method", self.method.name)
        terms = self.catalogue.parameters(entry.auxiliary) if entry is not None and entry.auxiliary else ()
        of_term = any(parameter.name == key for parameter in terms or ())
        return f"auxiliaries.{entry.word}.{key}" if entry is not None and of_term else f"scenario.{key}"

    def _module(self) -> Component | None:
        place = data_of(self.recipe, self.number)
        statement = self.recipe.statements[place] if place is not None else None
        return statement.component if isinstance(statement, Data) else None

    def _listen(self) -> None:
        """Collect who gives each setting; what comes later wins."""
        place = data_of(self.recipe, self.number)
        if place is not None and (module := self._module()) is not None:
            self._hear_arguments("data", module, "data", place)
        if self.stage.architecture is not None:
            self._hear_arguments("architecture", self.stage.architecture, "argument", self.number)
        if self.method is not None:
            for argument in self.method.arguments:
                self.said[self.method_path(argument.key)] = Said(argument.value, "argument", self.number, argument.key, self.method)
        own = {full_path(argument.key): argument.key for argument in arguments(self.stage.clause("with"))}
        for setting in given(self.recipe, self.number, self.names, self.parents):
            origin: Literal["clause", "with", "set"] = setting.origin if setting.origin in ("clause", "with") else "set"
            self._hear(setting.path, Said(setting.value, origin, setting.number, own.get(setting.path, "")))
        for path, place in swept(self.recipe, self.number, self.names, self.parents).items():
            statement = self.recipe.statements[place]
            assert isinstance(statement, Sweep)
            self.said[path] = Said(statement.values, "sweep", place)

    def _hear(self, path: str, said: Said) -> None:
        self.said[path] = said
        if kind_at(path) is not None and isinstance(said.value, Component):
            self._hear_arguments(path, said.value, "argument" if said.origin == "with" else "set", said.number)

    def _hear_arguments(self, path: str, component: Component, origin: Literal["argument", "data", "set"], number: int) -> None:
        for argument in component.arguments:
            self.said[f"{path}.{argument.key}"] = Said(argument.value, origin, number, argument.key, component)
