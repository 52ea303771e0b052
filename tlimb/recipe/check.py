"""The meaning of a recipe checked against the catalogue and the data sets: every mistake at once, each with span and way out."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tlimb.catalogue.fields import accepted, fields, fits, in_words, out_of_range
from tlimb.catalogue.keys import DEFAULTS, KEYS, KIND_AT, SECTIONS, full_path, kind_at
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import split_metric
from tlimb.catalogue.registry import Catalogue, nearest
from tlimb.catalogue.splits import Split as SplitRule
from tlimb.catalogue.verbs import CLAUSES, VERBS, Verb
from tlimb.errors import Diagnostic, Edit, InputError, Span
from tlimb.recipe.settings import classes, declared, has, label_kind, ranked_metrics, scope, targets
from tlimb.recipe.tree import (
    About,
    Allow,
    Argument,
    Augment,
    Clause,
    Component,
    Data,
    Name,
    Range,
    Rank,
    Recipe,
    Repeat,
    Search,
    Set,
    Split,
    Sweep,
    Target,
    Text,
    Training,
    Value,
    Version,
    plain,
    stage_names,
    stage_parents,
)

NARROW = 1e-3
"""A range whose ends differ by less, relative to their size, has too few different values of six digits."""
ABOUT = ("title", "author", "license", "doi", "description")
Labels = Literal["all", "any", "none"]
"""Whether data sets of a clause must, may or must not name a label."""
_PATHS = {kind: path for path, kind in KIND_AT.items()} | {"data": "data"}


Memory: TypeAlias = set[Hashable]
"""Stages that a checker found right, by all that this follows from, files outside the recipe left out. It belongs to one catalogue and
one state of the data sets."""


def check(
    recipe: Recipe,
    catalogue: Catalogue,
    datasets: Mapping[str, Dataset],
    memory: Memory | None = None,
    unsure: Collection[int] = (),
) -> list[Diagnostic]:
    """All mistakes of meaning, sorted by place; those of syntax come from `parse`.

    Args:
        recipe: the recipe.
        catalogue: the catalogue.
        datasets: the data sets.
        memory: what is kept from one text to the next while a recipe is typed.
        unsure: the statements whose text is not that of their node.
    """
    checker = _Checker(recipe, catalogue, datasets)
    checker.run(memory, unsure)
    return sorted(checker.found, key=lambda diagnostic: diagnostic.span)


def check_stage(recipe: Recipe, number: int, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> list[Diagnostic]:
    """The mistakes of meaning of one training statement; its DataModule is taken for the default one."""
    checker = _Checker(recipe, catalogue, datasets)
    statement = recipe.statements[number]
    assert isinstance(statement, Training)
    checker.stage(statement, number)
    return checker.found


@dataclass(slots=True)
class _Checker:
    recipe: Recipe
    catalogue: Catalogue
    datasets: Mapping[str, Dataset]
    found: list[Diagnostic] = field(default_factory=list)
    names: list[str | None] = field(init=False)
    parents: list[int | None] = field(init=False)
    parts: dict[str, list[str]] = field(init=False)
    data_class: str = DEFAULTS["data"]
    classes: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)
    """The class of each section, by the words that it follows from: many stages have the same, and a look-up costs."""
    outside: bool = False
    """Whether files outside the recipe were looked at: weights, code of one's own."""

    def __post_init__(self) -> None:
        self.names = stage_names(self.recipe)
        self.parents = stage_parents(self.recipe)
        self.parts = {s.dataset: [part.name for part in s.parts] for s in self.recipe.statements if isinstance(s, Split)}

    def run(self, memory: Memory | None, unsure: Collection[int]) -> None:
        statements = self.recipe.statements
        self._unique_names()
        self._once()
        for index, statement in enumerate(statements):
            match statement:
                case Version():
                    self._version(statement, index)
                case About():
                    for entry in statement.entries:
                        if entry.key not in ABOUT:
                            self._unknown("unknown-key", "about entry", entry.key, entry.key_span, ABOUT)
                case Data():
                    self._data(statement)
                case Augment():
                    for component in statement.components:
                        self._component("augmentation", component)
                case Split():
                    self._split(statement)
                case Set():
                    self._setting(statement.path, statement.path_span, statement.value, scoped=True)
                case Sweep():
                    self._sweep(statement)
                case Search():
                    self._search(statement)
                case Repeat():
                    if statement.count < 1:
                        self._error("bad-value", statement.span, "repeat needs at least one seed", "write repeat 3")
                case Rank():
                    self._metric(statement.metric, statement.metric_span, "rank by")
                case Training():
                    if memory is None or index in unsure or self.parents[index] in unsure:
                        self.stage(statement, index)
                    else:
                        self._stage_unless_known(statement, index, memory)
        if not any(isinstance(statement, Training) and VERBS[statement.verb].trains for statement in statements):
            self._error(
                "no-stage",
                Span(0, min(1, len(self.recipe.text))),
                "the recipe trains nothing",
                "start with e.g. train resnet18 on demo.age",
            )

    # ------------------------------------------------------------------ reports
    def _error(self, code: str, span: Span, message: str, hint: str = "", fix: tuple[Edit, ...] = ()) -> None:
        self.found.append(Diagnostic(code, span, message, hint, fix))

    def _unknown(self, code: str, what: str, word: str, span: Span, available: Iterable[str], message: str = "") -> None:
        words = list(available)
        near = nearest(word, words)
        offered = f"available: {', '.join(words)}" if words else "available: none in this installation"
        hint = f"did you mean '{near}'? {offered}" if near else offered
        self._error(code, span, message or f"unknown {what} '{word}'", hint, (Edit(span, near),) if near else ())

    # ------------------------------------------------------------------ whole recipe
    def _unique_names(self) -> None:
        seen: dict[str, Span] = {}
        for statement in self.recipe.statements:
            clause = statement.clause("as") if isinstance(statement, Training) else None
            if clause is None or not isinstance(clause.payload, Name):
                continue
            name = clause.payload.value
            if name in seen:
                self._error("duplicate-name", clause.payload.span, f"two stages are called '{name}'", "give each stage a name of its own")
            if name in KEYS or name in SECTIONS:
                self._error("reserved-name", clause.payload.span, f"'{name}' is a key and cannot name a stage", "choose another name")
            seen[name] = clause.payload.span

    def _once(self) -> None:
        seen: set[object] = set()
        for statement in self.recipe.statements:
            match statement:
                case Repeat() | Rank() | Search() | Version():
                    key: object = type(statement)
                    what = type(statement).__name__.lower()
                case Split():
                    key, what = ("split", statement.dataset), f"split of {statement.dataset}"
                case Sweep():
                    key, what = ("sweep", full_path(statement.path)), f"sweep of {statement.path}"
                case _:
                    continue
            if key in seen:
                self._error("duplicate-statement", statement.span, f"a second {what}", "merge it with the first one, or delete it")
            seen.add(key)

    def _version(self, statement: Version, index: int) -> None:
        if index > 0:
            self._error("misplaced-version", statement.span, "the version of the language stands in the first line", "move it to the top")
        if statement.number != 1:
            self._error(
                "unknown-version", statement.span, f"this TLIMB reads version 1 of the language, not {statement.number}", "update TLIMB"
            )

    # ------------------------------------------------------------------ directives
    def _data(self, statement: Data) -> None:
        self._component("data", statement.component)
        if statement.dataset is None:
            self.data_class = statement.component.name
        else:
            self._dataset(statement.dataset, statement.dataset_span or statement.span)

    def _split(self, statement: Split) -> None:
        dataset = self._dataset(statement.dataset, statement.dataset_span)
        try:
            rule = SplitRule(tuple((part.name, part.amount) for part in statement.parts))
        except InputError as error:
            self._error("bad-split", statement.span, error.message, error.hint)
            return
        if dataset is None:
            return
        try:
            available = len(dataset.listing().participants)
        except InputError as error:
            self._error("bad-dataset", statement.dataset_span, error.message, error.hint)
            return
        asked = sum(amount for _, amount in rule.parts if isinstance(amount, int))
        if asked > available:
            message = f"the parts ask for {asked} subjects, but {dataset.name} has {available}"
            self._error("bad-split", statement.span, message, "ask for fewer, or give fractions such as 0.5")

    def _sweep(self, statement: Sweep) -> None:
        if isinstance(statement.values, Range):
            if not any(isinstance(other, Search) for other in self.recipe.statements):
                hint = "add e.g. search random 12, or list values: [1e-4, 1e-3]"
                self._error("range-without-search", statement.values.span, "a continuous axis needs a search", hint)
            self._range(statement.values)
            self._setting(statement.path, statement.path_span, statement.values, scoped=True)
            return
        if not statement.values.values:
            self._error("bad-value", statement.values.span, "the sweep has no values", "write e.g. [1e-4, 1e-3]")
        reported = len(self.found)
        for value in statement.values.values:
            self._setting(statement.path, statement.path_span, value, scoped=True)
            if any(d.span == statement.path_span for d in self.found[reported:]):
                return

    def _range(self, values: Range) -> None:
        low, high = values.low, values.high
        if low >= high or (values.log and low <= 0):
            self._error("bad-value", values.span, "the range is empty or not positive", "write LOW..HIGH with LOW below HIGH")
        elif not values.whole and (high - low) / max(abs(low), abs(high)) < NARROW:
            self._error(
                "bad-value", values.span, "the range is too narrow: what is drawn from it has six digits", "widen it, or set the value"
            )

    def _search(self, statement: Search) -> None:
        self._component("search", Component(statement.method, statement.arguments, statement.span, statement.method_span))
        if statement.trials is None or statement.trials < 1:
            self._error("bad-value", statement.span, "a search needs a number of trials", f"write search {statement.method} 12")
        if not any(isinstance(other, Sweep) for other in self.recipe.statements):
            hint = "add e.g. sweep lr in 1e-5..1e-1 log"
            self._error("search-without-sweep", statement.span, "there is nothing to search: no sweep says what may vary", hint)
        if statement.metric is not None and statement.metric_span is not None:
            self._metric(statement.metric, statement.metric_span, "by")

    def _metric(self, written: str, span: Span, words: str) -> None:
        """A metric that chooses between variants, after `words`."""
        try:
            part, _target, metric = split_metric(written)
        except InputError as error:
            self._error("unknown-metric", span, error.message, error.hint)
            return
        if part != "val":
            message = "variants may be ordered by a validation metric only"
            hint = f"choosing by the test set makes its result too good to be true; write {words} val.{metric}"
            self._error("test-selection", span, message, hint, (Edit(span, f"val.{metric}"),))
            return
        offered = ranked_metrics(self.recipe, self.datasets)
        if offered and written not in offered:
            message = f"no ranked stage has the metric '{written}'"
            self._unknown("unknown-metric", "metric", written, span, offered, message)

    # ------------------------------------------------------------------ stages
    def _stage_unless_known(self, statement: Training, index: int, memory: Memory) -> None:
        """A stage is as right as when the same text stood at the same place: under the same parent and the same DataModule."""
        parent = self.parents[index]
        origin = None if parent is None else self.recipe.statements[parent].span
        text = self.recipe.text
        key = (
            text[statement.span.start : statement.span.end],
            None if origin is None else text[origin.start : origin.end],
            parent is not None and parent < index,
            self.data_class,
            tuple((dataset, *parts) for dataset, parts in self.parts.items()),
        )
        if key in memory:
            return
        before, self.outside = len(self.found), ("data", self.data_class) not in self.catalogue.components
        self.stage(statement, index)
        if len(self.found) == before and not self.outside:
            memory.add(key)

    def stage(self, statement: Training, index: int) -> None:
        """One training statement."""
        verb = VERBS[statement.verb]
        for clause in statement.clauses:
            if clause.word not in verb.clauses:
                message = f"'{verb.word}' takes no '{clause.word}'"
                self._error("unexpected-clause", clause.word_span, message, f"usage: {verb.usage}")
        for word in verb.required:
            if statement.clause(word) is None:
                self._error("missing-clause", statement.verb_span, f"'{verb.word}' needs '{word}'", f"{CLAUSES[word]}; usage: {verb.usage}")
        self._architecture(statement, verb, index)
        self._method(statement, verb)
        alone = statement.clause("via") is not None and not {"using", "to"} & set(verb.clauses)
        for word in ("on", "using", "to"):
            if used := targets(statement.clause(word)):
                labels: Labels = "none" if alone or word != "on" else "all" if verb.trains else "any"
                self._check_targets(used, labels)
        self._parent(statement, verb, index)
        for clause in statement.clauses:
            self._settings_of(clause, statement, index)

    def _method(self, statement: Training, verb: Verb) -> None:
        via = statement.clause("via")
        if via is None or not isinstance(via.payload, Component) or "via" not in verb.clauses:
            return
        method = via.payload
        fitting = [word for word in self.catalogue.words("method") if verb.word in self.catalogue.components["method", word].verbs]
        entry = self.catalogue.find("method", method.name)
        if entry is not None and entry.verbs and verb.word not in entry.verbs:
            message = f"'{verb.word}' cannot run '{method.name}', which is for {', '.join(entry.verbs)}"
            self._error("wrong-method", method.name_span, message, f"methods of {verb.word}: {', '.join(fitting)}")
            return
        if entry is None and "." not in method.name:
            self._unknown("unknown-method", "method", method.name, method.name_span, fitting)
            return
        self._component("method", method)
        network = self.catalogue.find("architecture", statement.architecture.name) if statement.architecture else None
        if entry and network and self.catalogue.of_patches(entry.auxiliary or "") and not self.catalogue.of_patches(network.class_path):
            message = f"'{method.name}' needs an architecture of patches, such as vit; '{network.word}' is none"
            self._error(
                "wrong-method", method.name_span, message, f"for any architecture: {', '.join(w for w in fitting if w != method.name)}"
            )
        for target in targets(statement.clause("on")) if entry is not None and entry.targets else ():
            assert entry is not None
            if label_kind(target, self.datasets) not in (None, entry.targets):
                message = f"'{method.name}' learns a {entry.targets}, but '{target.label}' is none"
                others = [word for word in fitting if self.catalogue.components["method", word].targets is None]
                self._error("wrong-method", method.name_span, message, f"for any target: {', '.join(others)}")

    def _architecture(self, statement: Training, verb: Verb, index: int) -> None:
        if statement.architecture is not None:
            if verb.architecture == "none":
                message = f"'{verb.word}' continues a network and takes no architecture"
                self._error("unexpected-architecture", statement.architecture.span, message, f"usage: {verb.usage}")
            else:
                self._component("architecture", statement.architecture)
        elif verb.architecture == "required":
            words = ", ".join(self.catalogue.words("architecture"))
            self._error("missing-architecture", statement.verb_span, f"'{verb.word}' needs an architecture", f"available: {words}")

    def _parent(self, statement: Training, verb: Verb, index: int) -> None:
        source = statement.clause("from")
        above = [name for name in self.names[:index] if name]
        if source is not None and "from" in verb.clauses:
            if isinstance(source.payload, Text):
                self.outside = True
                try:
                    self.catalogue.weights(source.payload.value)
                except InputError as error:
                    self._error("unknown-source", source.payload.span, error.message, error.hint)
                return
            if isinstance(source.payload, Name) and source.payload.value not in above:
                below = source.payload.value in self.names[index:]
                message = f"stage '{source.payload.value}' stands below" if below else f"unknown stage '{source.payload.value}'"
                self._unknown("unknown-stage", "stage", source.payload.value, source.payload.span, above, message)
                return
        parent = self.parents[index]
        if parent is None:
            if verb.continues and statement.architecture is None:
                hint = (
                    "write e.g. pretrain resnet18 on demo.age above it, or name an architecture"
                    if verb.trains
                    else "train something above it"
                )
                self._error("no-parent", statement.verb_span, f"'{verb.word}' has no stage to continue", hint)
            return
        origin = self.recipe.statements[parent]
        if isinstance(origin, Training) and not VERBS[origin.verb].trains and source is not None:
            message = f"'{self.names[parent]}' trains nothing, so there are no weights to start from"
            self._error("no-weights", source.span, message, "name a stage that trains")
            return
        if not verb.trains and isinstance(origin, Training) and (on := statement.clause("on")):
            heads = [t.label for t in targets(origin.clause("on")) if t.label]
            for target in targets(on):
                if target.label and target.label_span and target.label not in heads and self._has_label(target):
                    message = f"stage '{self.names[parent]}' has no head for '{target.label}'"
                    self._unknown("no-head", "head", target.label, target.label_span, heads, message)

    def _settings_of(self, clause: Clause, statement: Training, index: int) -> None:
        verb = VERBS[statement.verb]
        if clause.word == "with":
            seen: set[str] = set()
            for argument in clause.payload:  # type: ignore[union-attr]
                assert isinstance(argument, Argument)
                if argument.key in seen:
                    self._error("duplicate-key", argument.key_span, f"'{argument.key}' is given twice", "keep one of them")
                seen.add(argument.key)
                self._setting(argument.key, argument.key_span, argument.value, scoped=False, index=index)
        elif clause.word == "elastic" and clause.word in verb.clauses:
            self._setting("elastic", clause.word_span, clause.payload, scoped=False, index=index)  # type: ignore[arg-type]
        elif clause.word == "unfreeze" and clause.word in verb.clauses:
            known = fields(self.catalogue, self._classes(statement), "scenario")
            if known is not None and clause.word not in known:
                message = f"this training has no '{clause.word}'"
                self._error("unexpected-clause", clause.word_span, message, f"it has: {', '.join(known)}")
        elif clause.word == "allow":
            assert isinstance(clause.payload, Allow)
            if not clause.payload.reason.value.strip():
                self._error("bad-value", clause.payload.reason.span, "a waiver needs a reason", "say why the overlap does no harm")

    # ------------------------------------------------------------------ data sets
    def _dataset(self, name: str, span: Span) -> Dataset | None:
        try:
            return self.datasets[name]
        except KeyError:
            self._unknown("unknown-dataset", "data set", name, span, self.datasets)
        except InputError as error:
            self._error("bad-dataset", span, error.message, error.hint)
        return None

    def _has_label(self, target: Target) -> bool:
        try:
            return target.dataset in self.datasets and target.label in self.datasets[target.dataset].labels
        except InputError:
            return False

    def _check_targets(self, used: list[Target], labels: Labels) -> None:
        seen: dict[str, Target] = {}
        for target in used:
            dataset = self._dataset(target.dataset, target.dataset_span)
            if target.part is not None and target.part_span is not None:
                parts = self.parts.get(target.dataset, [])
                if target.part not in parts:
                    message = f"{target.dataset} has no part '{target.part}'"
                    if parts:
                        self._unknown("unknown-part", "part", target.part, target.part_span, parts, message)
                    else:
                        hint = f"divide it: split {target.dataset} into {target.part} 0.5, …"
                        self._error("unknown-part", target.part_span, message, hint)
            if labels == "none" and target.label is not None:
                bare = target.dataset + (f"[{target.part}]" if target.part else "")
                message = f"labels are not used here: '{target.dataset}' is enough"
                self._error("unused-label", target.label_span or target.span, message, f"write {bare}", (Edit(target.span, bare),))
                continue
            if target.label is None:
                if labels == "all":
                    offered = f"{target.dataset} offers: {', '.join(dataset.labels)}" if dataset else ""
                    self._error("missing-label", target.span, f"'{target.dataset}' needs a label to learn", offered)
                continue
            if target.label in seen and (reason := self._apart(seen[target.label], target)):
                message = f"'{target.label}' cannot be learned by one head: {reason}"
                self._error(
                    "duplicate-target", target.span, message, "a label makes one head of its name, whatever the number of data sets"
                )
            seen.setdefault(target.label, target)
            if dataset is not None and target.label_span is not None:
                self._label(dataset, target)

    def _apart(self, one: Target, other: Target) -> str:
        """Why the same label of two uses of data sets cannot be learned by one head; empty if it can."""
        if one.dataset == other.dataset and (one.part is None or other.part is None or one.part == other.part):
            return "the subjects are the same"
        if (one.weight or 1) != (other.weight or 1):
            return "the weights differ"
        if not self._has_label(one) or not self._has_label(other):
            return ""  # told elsewhere
        left, right = (self.datasets[use.dataset].labels[use.label or ""] for use in (one, other))
        if left.kind != right.kind or set(left.classes or ()) != set(right.classes or ()):
            return f"it has other values in {other.dataset} than in {one.dataset}"
        return f"it is in {left.unit} and in {right.unit}" if left.unit != right.unit else ""

    def _label(self, dataset: Dataset, target: Target) -> None:
        assert target.label is not None
        assert target.label_span is not None
        try:
            labels = dataset.labels
        except InputError as error:
            self._error("bad-dataset", target.dataset_span, error.message, error.hint)
            return
        if target.label not in labels:
            near = nearest(target.label, labels)
            hint = f"{dataset.name} offers: {', '.join(labels)}" if labels else f"{dataset.name} has no labels"
            fix = (Edit(target.label_span, near),) if near else ()
            hint = f"did you mean '{near}'? {hint}" if near else hint
            self._error("unknown-target", target.label_span, f"{dataset.name} has no label '{target.label}'", hint, fix)
        elif labels[target.label].kind == "category" and len(labels[target.label].classes or ()) < 2:
            self._error("bad-target", target.label_span, f"'{target.label}' has fewer than two classes", "there is nothing to tell apart")

    # ------------------------------------------------------------------ components and settings
    def _component(self, kind: str, component: Component) -> None:
        self.outside |= (kind, component.name) not in self.catalogue.components
        try:
            entry = self.catalogue.find(kind, component.name)
            refusal = self.catalogue.own.refusal(component.name) if entry is None else None
        except InputError as error:
            entry, refusal = None, error
        if refusal is not None:
            self._error("own-code", component.name_span, refusal.message, refusal.hint)
            return
        if entry is None:
            what = "data component" if kind == "data" else kind
            self._unknown(f"unknown-{kind}", what, component.name, component.name_span, self.catalogue.words(kind))
            return
        parameters = {parameter.name: parameter for parameter in entry.parameters}
        is_open = self.catalogue.parameters(entry.class_path) is None
        seen: set[str] = set()
        for argument in component.arguments:
            if argument.key in seen:
                self._error("duplicate-key", argument.key_span, f"'{argument.key}' is given twice", "keep one of them")
            seen.add(argument.key)
            if argument.key not in parameters and is_open:
                continue
            if argument.key not in parameters:
                what = f"argument of {component.name}"
                self._unknown("unknown-argument", what, argument.key, argument.key_span, parameters)
            else:
                path = f"{_PATHS.get(kind, kind)}.{argument.key}"
                self._fits(argument.value, accepted(path, parameters[argument.key].type), argument.key, path)

    def _fits(self, value: Value, declared: str, name: str, path: str) -> None:
        found = plain(value)
        if isinstance(found, Component):
            return
        if isinstance(found, Range):
            self._range_fits(found, declared, name, path)
            return
        if fits(found, declared):
            if bounds := out_of_range(path, found):
                self._error("bad-value", value.span, f"'{name}' is {bounds}, not {_written(found)}")
            return
        near = nearest(str(found), declared.replace('"', "'").split("'")[1::2])
        hint = f"did you mean {near}?" if near else ""
        self._error("bad-value", value.span, f"'{name}' takes {in_words(declared) or declared}, not {_written(found)}", hint)

    def _range_fits(self, values: Range, declared: str, name: str, path: str) -> None:
        whole, any_number = fits(1, declared), fits(0.5, declared)
        bounds = out_of_range(path, [values.low, values.high])
        if not whole and not any_number:
            self._error(
                "bad-value",
                values.span,
                f"'{name}' takes {in_words(declared) or declared}, not a range of numbers",
                "list the values: [a, b]",
            )
        elif not values.whole and not any_number:
            self._error("bad-value", values.span, f"'{name}' takes whole numbers", "write both ends without point and exponent, e.g. 2..10")
        elif values.whole and any_number and "int" not in declared:
            fix = Edit(values.span, f"{float(values.low)}..{float(values.high)}{' log' * values.log}")
            message = f"'{name}' takes any number, but this is a range of whole numbers"
            self._error("bad-value", values.span, message, f"write {fix.new}", (fix,))
        elif bounds:
            self._error("bad-value", values.span, f"'{name}' is {bounds}")

    def _setting(self, path: str, span: Span, value: Value | None, *, scoped: bool, index: int | None = None) -> None:
        """One setting: its path must be a field of the stage (or of some stage it binds), its value must fit."""
        bound_to, rest = scope(path, self.names) if scoped else (None, path)
        stages = [index] if index is not None else self._bound(bound_to)
        target = full_path(rest)
        known: dict[str, None] = {}
        for stage in stages:
            statement = self.recipe.statements[stage]
            assert isinstance(statement, Training)
            if not has(self.recipe, stage, self.parents, target):
                continue
            named = value.name if isinstance(value, Component) else ""
            if target == "scenario" and statement.clause("via") is None and ("method", named) in self.catalogue.components:
                continue  # it needs the unlabelled data of a statement with `via`; a scenario of one's own does not
            result = declared(self.catalogue, target, self._classes(statement))
            if isinstance(result, str):
                kind = kind_at(target)
                if value is not None and kind is not None:
                    if isinstance(value, Component | Text):
                        self._component(kind, value if isinstance(value, Component) else Component(value.value, (), value.span, value.span))
                    elif not (target in ("scenario.schedule", "trainer.logger") and plain(value) is None):
                        self._error(
                            "bad-value", value.span, f"'{path}' takes a {kind}", f"available: {', '.join(self.catalogue.words(kind))}"
                        )
                elif value is not None and result:
                    self._fits(value, result, rest, target)
                return
            known.update(dict.fromkeys(result))
        if not stages:
            return
        if target in {key.path for key in KEYS.values()} and not known:
            where = f"stage '{self.names[stages[0]]}'" if len(stages) == 1 else "the stages of this recipe"
            self._error("unknown-key", span, f"{where} cannot take '{path}'", "see tlimb explain " + rest.split(".", 1)[0])
            return
        if full_path(rest).split(".", 1)[0] in SECTIONS and known:
            prefix = target.rsplit(".", 1)[0]
            self._unknown("unknown-key", f"field of {prefix}", target.rsplit(".", 1)[-1], span, known, f"unknown key '{path}'")
        else:
            stage_words = [name for name in self.names if name] if scoped else []
            self._unknown("unknown-key", "key", path, span, [*KEYS, *stage_words])

    def _classes(self, statement: Training) -> dict[str, str]:
        via = statement.clause("via")
        method = via.payload.name if via is not None and isinstance(via.payload, Component) else ""
        key = (self.data_class, statement.architecture.name if statement.architecture else "", statement.verb, method)
        if key not in self.classes:
            self.classes[key] = classes(self.catalogue, statement, self.data_class)
        return self.classes[key]

    def _bound(self, stage: str | None) -> list[int]:
        return [i for i, name in enumerate(self.names) if name is not None and stage in (None, name)]


def _written(value: object) -> str:
    return (
        f"'{value}'"
        if isinstance(value, str)
        else "none"
        if value is None
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
