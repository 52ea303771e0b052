"""What each field of a stage's config comes from: a place in the recipe, or a default, or what follows from the data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tlimb.configs.places import Place, places
from tlimb.errors import Span
from tlimb.recipe.settings import Given, data_of, given, swept
from tlimb.recipe.tree import (
    About,
    Argument,
    Augment,
    Clause,
    Component,
    Data,
    Range,
    Recipe,
    Repeat,
    Set,
    Split,
    Sweep,
    Target,
    Training,
    plain,
    stage_names,
    stage_parents,
)
from tlimb.stages.graph import Stage

DEFAULT = "default"
SHOWN = 70
"""Letters of a statement that are shown."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a field comes from.

    Attributes:
        why: In a few words: ``with``, ``set``, ``sweep``, a clause, a statement, ``default``, or what it follows from.
        number: The statement of the recipe; None where no statement says it.
        span: The place in the recipe's text.
        component: The value, where that has arguments of its own.
    """

    why: str
    number: int | None = None
    span: Span | None = None
    component: Component | None = None


class Origins:
    """Of one stage of a recipe.

    Args:
        recipe: Checked.
        stage: Of its plan.
        overrides_from: As the recipe was planned with.
    """

    def __init__(self, recipe: Recipe, stage: Stage, overrides_from: int | None = None) -> None:
        self.recipe = recipe
        self.stage = stage
        self._names = stage_names(recipe)
        self._parents = stage_parents(recipe)
        self.number = self._statement()
        statement = recipe.statements[self.number] if self.number is not None else None
        self._training = statement if isinstance(statement, Training) and stage.kind in ("fit", "evaluate", "weights") else None
        self._verb = Origin("statement", self.number, self._training.verb_span) if self._training is not None else None
        self._given = self._settings(overrides_from)

    def of(self, path: str) -> Origin:
        """What the field at a dotted path comes from (levels of `class_path` and `init_args` left out, entries of lists numbered)."""
        if (found := self._given.get(path)) is not None:
            return found
        if (found := self._structure(path)) is not None:
            return found
        above, _, argument = path.rpartition(".")
        if (found := self._given.get(above)) is not None and found.component is not None:
            return _of_component(found.component, argument, found.why, found.number) or Origin(DEFAULT)
        return Origin(DEFAULT)

    def _statement(self) -> int | None:
        """The statement that the stage comes from; of prepared data and read weights the first that needs them."""
        if self.stage.kind in ("fit", "evaluate"):
            return self._names.index(self.stage.name) if self.stage.name in self._names else None
        for number, statement in enumerate(self.recipe.statements):
            if isinstance(statement, Training):
                if self.stage.kind == "prepare" and any(target.dataset == self.stage.name for _, target in _targets(statement)):
                    return number
                if self.stage.kind == "weights" and (source := statement.clause("from")) and hasattr(source.payload, "value"):
                    return number
        return None

    def _settings(self, overrides_from: int | None) -> dict[str, Origin]:
        if self.number is None:
            return {}
        found = {}
        for setting in given(self.recipe, self.number, self._names, self._parents, overrides_from):
            span, why = self._span(setting)
            value = setting.value if isinstance(setting.value, Component) else None
            found[setting.path] = Origin(why, setting.number, span, value)
        for path, number in swept(self.recipe, self.number, self._names, self._parents).items():
            found[path] = Origin("sweep", number, self._choice(number, path))
        return found

    def _span(self, setting: Given) -> tuple[Span, str]:
        """Where a setting stands, and in what."""
        statement = self.recipe.statements[setting.number]
        if isinstance(statement, Training):
            for clause in statement.clauses:
                if clause.span.start <= setting.value.span.start < clause.span.end:
                    entries = clause.payload if clause.word == "with" and isinstance(clause.payload, tuple) else ()
                    entry = next((entry for entry in entries if isinstance(entry, Argument) and entry.value is setting.value), None)
                    return (entry or clause).span, clause.word
        return statement.span, "--set" if setting.origin == "override" else "set"

    def _choice(self, number: int, path: str) -> Span:
        """The value of a sweep that this stage has; the whole sweep where that cannot be told."""
        statement = self.recipe.statements[number]
        assert isinstance(statement, Sweep)
        if isinstance(statement.values, Range):
            return statement.span
        value = _field(self.stage.config, path)
        texts = [plain(item) for item in statement.values.values]
        if value is not None and texts.count(value) == 1:
            return statement.values.values[texts.index(value)].span
        return statement.span

    def _structure(self, path: str) -> Origin | None:
        """What follows from the statements themselves, not from their settings; None where that is nothing."""
        head, _, inner = path.partition(".")
        match head:
            case "tlimb" | "digest" | "code":
                return Origin({"tlimb": "version of the format", "digest": "address of all below", "code": "own components"}[head])
            case "dataset" if self.stage.kind == "prepare":
                return Origin("tables and images of the data set")
            case "about":
                return self._about(inner)
            case "split":
                return self._split(inner)
            case "seed" if (repeat := self._first(Repeat)) is not None and self.stage.config.get("seed"):
                return self._at(repeat, "repeat")
            case "data":
                return self._data(inner.partition(".")[0])
        if self._training is None:
            return None
        training = self._training
        match head:
            case "kind":
                return self._verb
            case "scenario" if not inner:
                return self._clause(training.clause("via")) or self._verb
            case "name":
                return self._clause(training.clause("as")) or self._verb
            case "architecture":
                return self._architecture(inner)
            case "targets":
                return self._target(("on",), inner)
            case "unlabelled":
                return self._target(("using", "to", "on"), inner)
            case "weights":
                return self._clause(training.clause("from"))
            case "parents":
                return self._parent(inner)
            case "auxiliaries":
                elastic = inner.partition(".")[0] == "elastic"
                return self._clause(training.clause("elastic" if elastic else "via"))
            case "objective" if not inner:
                return self._follows("on")
        return self._follows("on") if path == "scenario.monitor" else None

    def _follows(self, word: str) -> Origin | None:
        clause = self._training.clause(word) if self._training is not None else None
        return Origin("follows from", self.number, clause.span) if clause is not None else None

    def _data(self, argument: str) -> Origin | None:
        if argument == "augment":
            found = self._first(Augment)
            return self._at(found, "augment") if found is not None else self._follows("via")
        number = data_of(self.recipe, self.number) if self.number is not None else None
        if number is None:
            return None
        statement = self.recipe.statements[number]
        assert isinstance(statement, Data)
        return _of_component(statement.component, argument, "data", number)

    def _architecture(self, argument: str) -> Origin | None:
        if argument in ("in_channels", "spatial_dims") and self._training is not None:
            return self._follows("on")
        number: int | None = self.number
        while number is not None:
            statement = self.recipe.statements[number]
            assert isinstance(statement, Training)
            if (network := statement.architecture) is not None:
                why = "network" if number == self.number else "continues"
                # A word stands for a class with arguments of its own, as resnet18 does for a depth.
                return _of_component(network, argument, why, number) or Origin(why, number, network.name_span)
            number = self._parents[number]
        return None

    def _target(self, words: tuple[str, ...], inner: str) -> Origin | None:
        """The target of a config's entry, by its place among those that the statement names."""
        assert self._training is not None
        place = inner.partition(".")[0]
        found = [(clause, target) for clause, target in _targets(self._training) if clause.word in words]
        labelled = [pair for pair in found if pair[1].label is not None] if words == ("on",) else []
        found = labelled or found
        if place.isdecimal() and int(place) < len(found):
            clause, target = found[int(place)]
            return Origin(clause.word, self.number, target.span)
        return self._clause(found[0][0]) if found else None

    def _parent(self, inner: str) -> Origin | None:
        assert self._training is not None
        place = inner.partition(".")[0]
        entries = self.stage.config.get("parents", ())
        entry = entries[int(place)] if place.isdecimal() and int(place) < len(entries) else {}
        if entry.get("role") == "weights":
            if source := self._training.clause("from"):
                return self._clause(source)
            parent = self._parents[self.number] if self.number is not None else None
            return self._at(parent, "continues") if parent is not None else None
        named = [(clause, target) for clause, target in _targets(self._training) if target.dataset == entry.get("name")]
        return Origin(named[0][0].word, self.number, named[0][1].dataset_span) if named else None

    def _split(self, inner: str) -> Origin | None:
        dataset, _, field = inner.partition(".")
        for number, statement in enumerate(self.recipe.statements):
            if isinstance(statement, Set) and field and statement.path == f"split.{field}":
                return self._at(number, "set")
        if field not in ("", "parts"):
            return None
        number = next((n for n, s in enumerate(self.recipe.statements) if isinstance(s, Split) and s.dataset == dataset), -1)
        return self._at(number, "split") if number >= 0 else None

    def _about(self, key: str) -> Origin | None:
        for number, statement in enumerate(self.recipe.statements):
            if isinstance(statement, About):
                for entry in statement.entries:
                    if entry.key == key:
                        return Origin("about", number, entry.span)
        return Origin("name of the file") if key == "recipe" else None

    def _first(self, kind: type[Repeat] | type[Augment]) -> int | None:
        return next((number for number, statement in enumerate(self.recipe.statements) if isinstance(statement, kind)), None)

    def _at(self, number: int, why: str) -> Origin:
        return Origin(why, number, self.recipe.statements[number].span)

    def _clause(self, clause: Clause | None) -> Origin | None:
        return Origin(clause.word, self.number, clause.span) if clause is not None else None


def lines(text: str, origins: Origins) -> dict[int, list[tuple[Place, Origin]]]:
    """By line of a stage's YAML text, the fields that begin there and what they come from; what only holds others is left out."""
    found: dict[int, list[tuple[Place, Origin]]] = {}
    for place in places(text):
        if not place.whole or place.path in ("data", "architecture", "objective", "scenario", "trainer"):
            found.setdefault(place.line, []).append((place, origins.of(place.path)))
    return found


def explained(text: str, origins: Origins) -> str:
    """A stage's YAML text with a comment at each line that the recipe has a say in; lines below that say the same have none."""
    told = lines(text, origins)
    source = origins.recipe.text
    said, before = [], ""
    for number, line in enumerate(text.splitlines()):
        fields: dict[str, list[str]] = {}
        for place, origin in told.get(number, ()):
            if origin.span is not None and (place.line == place.end_line or not place.scalar):  # nothing may stand inside of a long text
                fields.setdefault(note(origin, source), []).append(place.path.rpartition(".")[2])
        alone = len(told.get(number, ())) == sum(map(len, fields.values()))
        comment = (
            next(iter(fields), "") if alone and len(fields) == 1 else "; ".join(f"{', '.join(names)}: {n}" for n, names in fields.items())
        )
        said.append(f"{line}  # {comment}" if comment and comment != before else line)
        before = comment or before
    return "\n".join(said) + "\n"


def note(origin: Origin, source: str) -> str:
    """An origin in words: ``with epochs=3 (line 4)``."""
    if origin.span is None:
        return origin.why
    words = " ".join(source[origin.span.start : origin.span.end].split())
    line = source.count("\n", 0, origin.span.start) + 1
    if origin.why == "follows from":
        words = words.partition(" ")[2]
    said = words if words.startswith(origin.why) or origin.why == "statement" else f"{origin.why} {words.removeprefix('set ')}"
    return f"{said if len(said) <= SHOWN else said[: SHOWN - 1] + '…'} (line {line})"


def _targets(training: Training) -> Iterator[tuple[Clause, Target]]:
    for word in ("on", "using", "to"):
        clause = training.clause(word)
        for target in clause.payload if clause is not None and isinstance(clause.payload, tuple) else ():
            if isinstance(target, Target) and clause is not None:
                yield clause, target


def _of_component(component: Component, argument: str, why: str, number: int | None) -> Origin | None:
    """A component as a whole, or the argument that it is given; None for one that it is not given."""
    if not argument:
        return Origin(why, number, component.span)
    return next((Origin(why, number, given.span) for given in component.arguments if given.key == argument), None)


def _field(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = config
    for piece in path.split("."):
        if isinstance(value, Mapping) and piece not in value and "init_args" in value:
            value = value["init_args"]
        if not isinstance(value, Mapping) or piece not in value:
            return None
        value = value[piece]
    return value
