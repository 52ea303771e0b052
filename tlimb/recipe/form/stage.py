"""The form of a training statement: what it says itself, and every setting that its stage has."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from tlimb.catalogue.components import Component as Entry
from tlimb.catalogue.components import Parameter
from tlimb.catalogue.fields import WEIGHTS, fields
from tlimb.catalogue.keys import DEFAULTS, KEYS, full_path, kind_at
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import Catalogue, nearest
from tlimb.catalogue.verbs import CLAUSES
from tlimb.errors import Edit, InputError, Span
from tlimb.recipe import clauses, edit
from tlimb.recipe.connections import origins
from tlimb.recipe.form.field import Choice, Field, a, as_value, default_of, listed, takes, words, written
from tlimb.recipe.form.heard import Heard
from tlimb.recipe.form.picks import target_choices
from tlimb.recipe.offers import TRIALS
from tlimb.recipe.references import quoted, sources
from tlimb.recipe.render import position
from tlimb.recipe.settings import arguments, declared, has
from tlimb.recipe.tree import (
    Allow,
    Component,
    Name,
    Range,
    Recipe,
    Search,
    Text,
    stage_names,
)

STAGE, SETTINGS = "stage", "settings"
ENDS = (Choice("none", "nothing frozen"), Choice("all", "only the heads train"))
"""What can be frozen of every network."""
IN_CLAUSES = ("freeze", "elastic")
"""Keys that are best written as clauses."""
ELSEWHERE = {"data": ("augment",), "scenario": ("freeze", "freeze_only", "unfreeze", "optimizer", "schedule")}
"""Parameters of a section that clauses, keys or statements of their own give."""


def stage_form(recipe: Recipe, number: int, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> tuple[Field, ...]:
    """The fields of a training statement."""
    return tuple(_Form(recipe, number, catalogue, datasets=datasets).fields())


@dataclass(slots=True)
class _Form(Heard):
    datasets: Mapping[str, Dataset] = field(kw_only=True)

    # ------------------------------------------------------------------ the fields
    def fields(self) -> Iterator[Field]:
        """All fields, those that a stage is known by first."""
        found = list(self._fields())
        held = {field.name for field in found if field.origin == "here"}
        yield from found
        for argument in arguments(self.stage.clause("with")):
            known = any(self._key(full_path(argument.key)).rpartition(".")[2] == name for name in held)
            if not known:
                yield self._setting(full_path(argument.key), argument.key, "not known here", "the stage has no such setting", None)

    def _fields(self) -> Iterator[Field]:
        yield from self._own()
        for key in KEYS.values():
            shown = key.word not in ("architecture", "method", *self._clause_keys())
            if shown and not (key.path.startswith("architecture.") and self.stage.architecture) and self._has(key.path):
                yield self._setting(key.path, key.word, SETTINGS, key.help, self._parameter(key.path))
        yield from self._components()
        for section in ("data", "scenario", "trainer"):
            yield from self._section(section)
        if self._has("weights.channels"):
            for parameter in WEIGHTS:
                yield self._setting(f"weights.{parameter.name}", parameter.name, "weights", parameter.help, parameter)

    def _clause_keys(self) -> tuple[str, ...]:
        return tuple(word for word in IN_CLAUSES if word in self.verb.clauses)

    def _own(self) -> Iterator[Field]:
        """The name, the network, where it comes from, the data, the clauses."""
        stage = self.stage
        if self.verb.architecture != "none":
            yield self._architecture()
        if "from" in self.verb.clauses:
            yield self._from()
        for word in ("on", "using", "to"):
            if word in self.verb.clauses:
                labels = word == "on" and not self._without_labels()
                takes_ = "data sets and their labels, + between two" if labels else "data sets, + between two"
                look_up = partial(target_choices, self.recipe, self.datasets, labels=labels)
                yield replace(self._clause(word, takes_), look_up=look_up, many=True)
        if "via" in self.verb.clauses:
            fitting = [word for word in self.catalogue.words("method") if self.verb.word in self.catalogue.components["method", word].verbs]
            yield self._clause("via", "a method", choices=words(self.catalogue, "method", fitting))
        for word, takes_, default in (
            ("freeze", "a layer, `only` and a layer, none or all", "none"),
            ("unfreeze", "LAYER at EPOCH, and perhaps lr VALUE", ""),
            ("elastic", "a number or none", "none"),
        ):
            if word in self.verb.clauses and (word == "unfreeze" or self._has(KEYS[word].path)):
                shown = self._clause(word, takes_, default=default)
                yield replace(shown, of_layers=True, choices=ENDS) if word == "freeze" else shown
        name = stage.clause("as")
        unnamed = replace(stage, clauses=tuple(clause for clause in stage.clauses if clause.word != "as"))
        others = self.recipe.statements
        by_verb = stage_names(Recipe("", (*others[: self.number], unnamed, *others[self.number + 1 :]), self.recipe.newline))
        yield Field(
            "name",
            STAGE,
            "one word",
            "what references call the stage",
            lambda text: edit.rename_stage(self.recipe, self.number, text) if text else edit.unname_stage(self.recipe, self.number),
            value=name.payload.value if name is not None and isinstance(name.payload, Name) else "",
            default=str(by_verb[self.number]),
            origin="here" if name is not None else "default",
        )
        allowed = stage.clause("allow")
        reason = allowed.payload.reason.value if allowed is not None and isinstance(allowed.payload, Allow) else ""
        yield Field(
            "allow overlap",
            STAGE,
            "a reason",
            CLAUSES["allow"].partition(": ")[2],
            lambda text: (
                clauses.set_clause(self.recipe, self.number, "allow", f"overlap {quoted(text)}")
                if text
                else clauses.unset_clause(self.recipe, self.number, "allow")
            ),
            value=reason,
            origin="here" if allowed is not None else "default",
        )

    def _without_labels(self) -> bool:
        """Whether the data after `on` are learned without labels."""
        return self.stage.clause("via") is not None and not {"using", "to"} & set(self.verb.clauses)

    def _architecture(self) -> Field:
        word = self.stage.architecture
        parent = self.parents[self.number]
        said = self.said.get("architecture")
        is_swept = said is not None and said.origin == "sweep"

        def write(text: str) -> list[Edit]:
            if is_swept or clauses.axis_of(text) is not None:
                return self._write_axis("architecture", "architecture", text)
            if not text and self.verb.architecture == "required":
                raise InputError(f"'{self.verb.word}' needs an architecture")
            if not text:
                return clauses.unset_architecture(self.recipe, self.number)
            return clauses.set_architecture(self.recipe, self.number, text)

        return Field(
            "architecture",
            STAGE,
            "a network, with arguments in brackets",
            KEYS["architecture"].help,
            write,
            value=self._text(said.value.span) if said is not None else self._text(word.span) if word is not None else "",
            default="" if parent is None else f"that of {self.names[parent]}",
            origin="sweep" if is_swept else "set" if said is not None else "here" if word is not None else "default",
            number=said.number if said is not None else None,
            choices=words(self.catalogue, "architecture"),
            required=self.verb.architecture == "required",
        )

    def _from(self) -> Field:
        clause = self.stage.clause("from")
        parent = self.parents[self.number]

        def write(text: str) -> list[Edit]:
            text = text.strip()
            if not text:
                return edit.retarget(self.recipe, self.number, None)
            file = clauses.value_of(text)
            if isinstance(file, Text):
                return edit.connect(self.recipe, self.number, file.value)
            if text not in self.names:
                if "/" in text or "." in text:
                    return edit.connect(self.recipe, self.number, text)
                near = nearest(text, [name for name in self.names if name])
                raise InputError(f"no stage '{text}'", f"did you mean '{near}'?" if near else "a file stands in double quotes")
            return edit.connect(self.recipe, self.number, self.names.index(text))

        return Field(
            "from",
            STAGE,
            "a stage, or a file of weights in double quotes",
            CLAUSES["from"].partition(": ")[2],
            write,
            value=self._text(clause.payload.span) if clause is not None and isinstance(clause.payload, Name | Text) else "",
            default=f"{self.names[parent]} (above)" if parent is not None and clause is None else "what stands above",
            origin="here" if clause is not None else "default",
            look_up=self._origins,
        )

    def _origins(self) -> tuple[Choice, ...]:
        """The stages that this one can continue, that which it continues among them."""
        fitting = origins(self.recipe, self.number, self.catalogue, self.datasets)
        current = sources(self.recipe).get(self.number)
        shown = [other for other, reason in fitting.items() if not reason or other == current]
        return tuple(Choice(str(self.names[other]), self._about(other)) for other in shown)

    def _about(self, number: int) -> str:
        """A stage in a line."""
        node = self.recipe.statements[number]
        return " ".join(self._text(node.span).split())

    def _clause(self, word: str, takes_: str, *, default: str = "", choices: tuple[Choice, ...] = ()) -> Field:
        """A field for a clause; where its key is given by `with`, `set` or `sweep`, for that."""
        path = KEYS[word].path if word in KEYS else ""
        said = self.said.get(path) if path else None
        clause = self.stage.clause(word)
        if said is not None and said.origin != "clause":
            parameter = self._parameter(path)
            shown = self._setting(path, word, STAGE, CLAUSES[word].partition(": ")[2], parameter)
            return replace(shown, default=default, takes=takes_)
        required = word in self.verb.required

        def write(text: str) -> list[Edit]:
            if path and clauses.axis_of(text) is not None:
                return self._write_axis(path, word, text)
            if text:
                return clauses.set_clause(self.recipe, self.number, word, text)
            if required:
                raise InputError(f"'{self.verb.word}' needs '{word}'", CLAUSES[word])
            return clauses.unset_clause(self.recipe, self.number, word)

        return Field(
            word,
            STAGE,
            takes_,
            CLAUSES[word].partition(": ")[2],
            write,
            value=self._text(Span(clauses.payload_start(self.recipe.text, clause), clause.span.end)) if clause is not None else "",
            default=default,
            origin="here" if clause is not None else "default",
            choices=choices,
            required=required,
        )

    def _components(self) -> Iterator[Field]:
        """The arguments of the network, the method, the optimizer and the schedule."""
        if self.stage.architecture is not None:
            yield from self._arguments("architecture", "architecture", self.stage.architecture.name, "architecture")
        if self.method is not None:
            entry = self.catalogue.find("method", self.method.name)
            for parameter in self.of_method():
                path = self.method_path(parameter.name)
                yield self._setting(path, parameter.name, f"method {self.method.name}", parameter.help, parameter, entry)
        for path in ("scenario.optimizer", "scenario.schedule"):
            said = self.said.get(path)
            word = said.value.name if said is not None and isinstance(said.value, Component) else DEFAULTS.get(path)
            if word and self._has(path):
                yield from self._arguments(path, path.rpartition(".")[2], word, path.rpartition(".")[2])

    def _arguments(self, path: str, kind: str, word: str, group: str) -> Iterator[Field]:
        entry = self.catalogue.find(kind, word)
        for parameter in entry.parameters if entry is not None else ():
            if full_path(f"{path}.{parameter.name}") in {key.path for key in KEYS.values()} and path != "architecture":
                continue
            yield self._setting(f"{path}.{parameter.name}", parameter.name, f"{group} {word}", parameter.help, parameter, entry)

    def _section(self, section: str) -> Iterator[Field]:
        known = fields(self.catalogue, self.classes, section)
        by_key = {key.path for key in KEYS.values()}
        own = {parameter.name for parameter in self.of_method()} if section == "scenario" else set()
        for parameter in (known or {}).values():
            path = f"{section}.{parameter.name}"
            if path not in by_key and parameter.name not in own and parameter.name not in ELSEWHERE.get(section, ()) and self._has(path):
                group = {"data": f"data {self.data}", "scenario": "training"}.get(section, section)
                entry = self.catalogue.find("data", self.data) if section == "data" else None
                yield self._setting(path, parameter.name, group, parameter.help, parameter, entry)

    # ------------------------------------------------------------------ one setting
    def _has(self, path: str) -> bool:
        return has(self.recipe, self.number, self.parents, path) and isinstance(declared(self.catalogue, path, self.classes), str)

    def _parameter(self, path: str) -> Parameter | None:
        """The parameter behind a config path, of the component that stands there."""
        section, _, name = path.rpartition(".")
        if section == "scenario.optimizer":
            said = self.said.get(section)
            word = said.value.name if said is not None and isinstance(said.value, Component) else DEFAULTS[section]
            entry = self.catalogue.find("optimizer", word)
            return entry.parameter(name) if entry is not None else None
        return (fields(self.catalogue, self.classes, section) or {}).get(name)

    def _setting(self, path: str, name: str, group: str, help: str, parameter: Parameter | None, entry: Entry | None = None) -> Field:
        type_ = declared(self.catalogue, path, self.classes)
        type_ = type_ if isinstance(type_, str) else ""
        kind = kind_at(path)
        said = self.said.get(path)
        default = written(DEFAULTS[path]) if path in DEFAULTS else default_of(parameter, entry) if parameter is not None else ""
        return Field(
            name,
            group,
            f"{a(kind)}, with arguments in brackets" if kind else takes(type_),
            help,
            self._writer(path, name, type_),
            value=self._text(said.value.span) if said is not None else "",
            default=default,
            origin="default" if said is None else {"set": "set", "sweep": "sweep", "data": "data"}.get(said.origin, "here"),  # type: ignore[arg-type]
            number=said.number if said is not None and said.number != self.number else None,
            choices=words(self.catalogue, kind) if kind else listed(type_),
        )

    def _writer(self, path: str, name: str, type_: str) -> Callable[[str], list[Edit]]:
        return partial(self._write, path, name, type_)

    def _write(self, path: str, name: str, type_: str, text: str) -> list[Edit]:
        said = self.said.get(path)
        text = as_value(text, type_) if text.strip() and kind_at(path) is None else text.strip()
        if said is not None and said.origin == "sweep":
            return self._write_axis(path, name, text)
        if clauses.axis_of(text) is not None and (kind_at(path) is not None or not _lists(type_)):
            return self._write_axis(path, name, text)
        return self._write_here(path, name, text)

    def _write_here(self, path: str, name: str, text: str) -> list[Edit]:
        """Set or take away a setting within the statement."""
        said = self.said.get(path)
        if said is not None and said.component is not None and said.number == self.number:
            if text:
                return clauses.set_argument(self.recipe.text, said.component, said.key, text)
            return clauses.unset_argument(self.recipe.text, said.component, said.key)
        if said is not None and said.origin == "with":
            if text:
                return clauses.set_option(self.recipe, self.number, said.key, text)
            return clauses.unset_option(self.recipe, self.number, said.key)
        if said is not None and said.origin == "clause":
            word = next(word for word in IN_CLAUSES if KEYS[word].path == path)
            if text:
                return clauses.set_clause(self.recipe, self.number, word, text)
            return clauses.unset_clause(self.recipe, self.number, word)
        if not text:
            if said is not None:
                raise InputError(f"line {self._line(said.number)} gives it, not this stage", "write another value here, or change it there")
            return []
        component = self._component_at(path)
        if component is not None:
            return clauses.set_argument(self.recipe.text, component, path.rpartition(".")[2], text)
        return clauses.set_option(self.recipe, self.number, self._key(path), text)

    def _component_at(self, path: str) -> Component | None:
        """The component of this statement that takes an argument."""
        section, _, name = path.rpartition(".")
        if section == "architecture":
            return self.stage.architecture
        if section.split(".")[0] in ("auxiliaries", "scenario") and name in {own.name for own in self.of_method()}:
            return self.method
        said = self.said.get(section)
        return said.value if said is not None and said.origin == "with" and isinstance(said.value, Component) else None

    def _key(self, path: str) -> str:
        """How a path is best written."""
        short = next((key.word for key in KEYS.values() if key.path == path), None)
        if short is not None:
            return short
        section, _, name = path.rpartition(".")
        head = next((key.word for key in KEYS.values() if key.path == section and "." in section), section)
        return f"{head}.{name}"

    def _write_axis(self, path: str, name: str, text: str) -> list[Edit]:
        """Change the sweep of a setting, or sweep it in this stage."""
        said = self.said.get(path)
        if said is not None and said.origin == "sweep":
            if not text:
                return edit.delete(self.recipe, said.number)
            if clauses.axis_of(text) is None:
                raise InputError(f"line {self._line(said.number)} sweeps it", "list values, e.g. [1e-4, 1e-3]; empty takes the sweep away")
            return [Edit(said.value.span, text), *self._search(text)]
        key = f"{self.names[self.number]}.{self._key(path)}" if self.parents[self.number] is not None else self._key(path)
        own = self._write_here(path, name, "") if said is not None and said.number == self.number else []
        return [*own, *edit.put(self.recipe, f"sweep {key} in {text}"), *self._search(text)]

    def _search(self, text: str) -> list[Edit]:
        """A range needs a search."""
        there = any(isinstance(statement, Search) for statement in self.recipe.statements)
        if there or not isinstance(clauses.axis_of(text), Range):
            return []
        return edit.put(self.recipe, f"search {self.catalogue.words('search')[0]} {TRIALS}")

    # ------------------------------------------------------------------ text
    def _text(self, span: Span) -> str:
        text = self.recipe.text[span.start : span.end]
        return " ".join(text.split()) if "\n" in text else text

    def _line(self, number: int) -> int:
        return position(self.recipe.text, self.recipe.statements[number].span.start)[0]


def _lists(declared: str) -> bool:
    """Whether a type takes lists, or anything."""
    return not declared or any(word in declared for word in ("list", "tuple", "Sequence", "Iterable"))
