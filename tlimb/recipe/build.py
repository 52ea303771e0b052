"""From Lark's parse of one statement to its node of the tree; offsets count from the start of the statement."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from lark import Token, Transformer, v_args
from lark.tree import Meta

from tlimb.errors import Diagnostic, Edit, Span
from tlimb.recipe.tree import (
    About,
    Allow,
    Argument,
    Augment,
    Clause,
    Component,
    Constant,
    Data,
    Freeze,
    Items,
    Name,
    Number,
    Part,
    Payload,
    Range,
    Rank,
    Repeat,
    Search,
    Set,
    Size,
    Split,
    Statement,
    Sweep,
    Target,
    Text,
    Training,
    Unfreeze,
    Value,
    Version,
)

_DIGITS = 400
"""Longer numbers are a mistake, and Python refuses to read very long ones."""


@v_args(meta=True)
class Builder(Transformer[Token, Statement]):
    """Makes the node of a statement; collects what the grammar cannot say in `problems`."""

    def __init__(self, text: str, verb: str) -> None:
        super().__init__()
        self._statement = text
        self._verb = verb
        self._span = Span(0, len(text))
        self.problems: list[Diagnostic] = []

    def version(self, _meta: Meta, children: list[Token]) -> Version:
        return Version(self._whole(children[0], "the version of the language"), self._span)

    def about(self, _meta: Meta, children: list[tuple[Argument, ...]]) -> About:
        return About(children[0], self._span)

    def data(self, _meta: Meta, children: list[Any]) -> Data:
        component, _, dataset = children
        return Data(component, self._word(dataset), self._span, _maybe_span(dataset))

    def augment(self, _meta: Meta, children: list[Component]) -> Augment:
        return Augment(tuple(children), self._span)

    def split(self, _meta: Meta, children: list[Any]) -> Split:
        return Split(self._name(children[0], "a data set"), tuple(children[2:]), self._span, _span(children[0]))

    def part(self, meta: Meta, children: list[Token]) -> Part:
        name, amount = children
        return Part(self._name(name, "a part"), self._number(amount), _meta_span(meta), _span(name), _span(amount))

    def set(self, _meta: Meta, children: list[Any]) -> Set:
        return Set(str(children[0]), children[2], self._span, _span(children[0]))

    def sweep(self, _meta: Meta, children: list[Any]) -> Sweep:
        return Sweep(str(children[0]), children[2], self._span, _span(children[0]))

    def axis(self, meta: Meta, children: list[Value | None]) -> Items:
        return self.items(meta, children)

    def range(self, meta: Meta, children: list[Token]) -> Range:
        low, high, log = children
        return Range(self._number(low), self._number(high), log is not None, _meta_span(meta))

    def search(self, _meta: Meta, children: list[Any]) -> Search:
        method, trials, _, metric = children
        count = None if trials is None else self._whole(trials, "the number of trials")
        return Search(method.name, count, metric and str(metric), self._span, method.name_span, _maybe_span(metric), method.arguments)

    def repeat(self, _meta: Meta, children: list[Token]) -> Repeat:
        return Repeat(self._whole(children[0], "the number of seeds"), self._span)

    def rank(self, _meta: Meta, children: list[Token]) -> Rank:
        return Rank(str(children[1]), self._span, _span(children[1]))

    def training(self, _meta: Meta, children: list[Any]) -> Training:
        clauses: dict[str, Clause] = {}
        for clause in children[1:]:
            first = clauses.setdefault(clause.word, clause)
            if first is not clause:
                given = self._statement[first.span.start : first.span.end]
                self._problem("duplicate-clause", clause.word_span, f"'{clause.word}' stands twice", f"the first is '{given}'")
        return Training(self._verb, children[0], tuple(clauses.values()), self._span, Span(0, len(self._verb)))

    def clause(self, meta: Meta, children: list[Any]) -> Clause:
        return self._clause(meta, children[0], children[1])

    def name(self, meta: Meta, children: list[Token]) -> Clause:
        word, name = children
        return self._clause(meta, word, Name(self._name(name, "a stage"), _span(name)))

    def source(self, meta: Meta, children: list[Token]) -> Clause:
        return self.name(meta, children) if children[1].type == "PATH" else self._clause(meta, children[0], _text(children[1]))

    def freeze(self, meta: Meta, children: list[Any]) -> Clause:
        word, only, layer = children
        return self._clause(meta, word, Freeze(layer, only is not None))

    def unfreeze(self, meta: Meta, children: list[Any]) -> Clause:
        word, layer, _, epoch, _, lr = children
        return self._clause(meta, word, Unfreeze(layer, self._whole(epoch, "the epoch"), None if lr is None else float(self._number(lr))))

    def allow(self, meta: Meta, children: list[Token]) -> Clause:
        return self._clause(meta, children[0], Allow(_text(children[2])))

    def targets(self, _meta: Meta, children: list[Target]) -> tuple[Target, ...]:
        return tuple(children)

    def target(self, meta: Meta, children: list[Token | None]) -> Target:
        weight, path, *rest = children
        part, label = rest if rest else (None, None)
        assert path is not None
        dataset, *labels = path.split(".")
        dataset_span = Span(_span(path).start, _span(path).start + len(dataset))
        label_span: Span | None = None
        if label is not None:
            label_span = Span(_span(label).start + 1, _span(label).end)
        elif labels:
            label_span = Span(dataset_span.end + 1, _span(path).end)
        if part is not None and labels:
            given = f"{dataset}[{part}].{labels[0]}"
            fix = (Edit(_meta_span(meta), given),) if label is None and weight is None else ()
            self._problem("unexpected-text", _meta_span(meta), "the part stands after the data set", f"write '{given}'", fix)
        elif label_span is not None and "." in self._text(label_span):
            self._problem("bad-name", label_span, f"a label is one word, not '{self._text(label_span)}'", "a target is DATASET.LABEL")
        return Target(
            dataset,
            None if part is None else self._name(part, "a part"),
            None if label_span is None else self._text(label_span),
            None if weight is None else float(self._number(weight)),
            _meta_span(meta),
            dataset_span,
            _maybe_span(part),
            label_span,
        )

    def arguments(self, _meta: Meta, children: list[Argument]) -> tuple[Argument, ...]:
        return tuple(children)

    def argument(self, meta: Meta, children: list[Any]) -> Argument:
        key, _, value = children
        return Argument(str(key), value, _meta_span(meta), _span(key))

    def component(self, meta: Meta, children: list[Any]) -> Component:
        name, *rest = children
        return Component(str(name), rest[0] or () if rest else (), _meta_span(meta), _span(name))

    def word(self, _meta: Meta, children: list[Token]) -> Component:
        return Component(str(children[0]), (), _span(children[0]), _span(children[0]))

    def number(self, _meta: Meta, children: list[Token]) -> Number:
        return Number(self._number(children[0]), _span(children[0]))

    def text(self, _meta: Meta, children: list[Token]) -> Text:
        return _text(children[0])

    def size(self, _meta: Meta, children: list[Token]) -> Size:
        sides = children[0].split("x")
        if any(len(side) > _DIGITS for side in sides):
            self._problem("bad-number", _span(children[0]), "the number is too large")
            sides = []
        return Size(tuple(int(side) for side in sides), _span(children[0]))

    def constant(self, _meta: Meta, children: list[Token]) -> Constant:
        return Constant(str(children[0]), _span(children[0]))

    def items(self, meta: Meta, children: Iterable[Value | None]) -> Items:
        return Items(tuple(child for child in children if child is not None), _meta_span(meta))

    def _clause(self, meta: Meta, word: Token, payload: Payload) -> Clause:
        return Clause(str(word), _meta_span(meta), _span(word), payload)

    def _problem(self, code: str, span: Span, message: str, hint: str = "", fix: Sequence[Edit] = ()) -> None:
        self.problems.append(Diagnostic(code, span, message, hint, tuple(fix)))

    def _text(self, span: Span) -> str:
        return self._statement[span.start : span.end]

    def _word(self, token: Token | None) -> str | None:
        return None if token is None else self._name(token, "a data set")

    def _name(self, token: Token, what: str) -> str:
        if "." in token:
            self._problem("bad-name", _span(token), f"{what} is named by one word, not '{token}'", "leave out the dots")
        return str(token)

    def _number(self, token: Token) -> int | float:
        if len(token) > _DIGITS or not math.isfinite(float(token)):
            self._problem("bad-number", _span(token), "the number is too large")
            return 0
        try:
            return int(token)
        except ValueError:
            return float(token)

    def _whole(self, token: Token, what: str) -> int:
        number = self._number(token)
        if isinstance(number, float):
            self._problem("not-a-whole-number", _span(token), f"{what} is a whole number, not '{token}'")
        return int(number)


def _text(token: Token) -> Text:
    return Text(re.sub(r"\\(.)", r"\1", token[1:-1]), _span(token))


def _span(token: Token) -> Span:
    assert token.start_pos is not None
    assert token.end_pos is not None
    return Span(token.start_pos, token.end_pos)


def _maybe_span(token: Token | None) -> Span | None:
    return None if token is None else _span(token)


def _meta_span(meta: Meta) -> Span:
    return Span(meta.start_pos, meta.end_pos)
