"""Edits within a statement: over random recipes with odd spacing and comments, nothing else changes."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.recipe import strategies
from tests.recipe.strategies import CLAUSE_WORDS
from tlimb.errors import Edit, InputError
from tlimb.recipe import clauses
from tlimb.recipe.format import bare
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply
from tlimb.recipe.tree import Recipe, Training

Statements = tuple[Any, ...]


def read(text: str) -> Recipe:
    parsed = parse(text)
    assert not parsed.diagnostics, (text, parsed.diagnostics)
    return parsed.recipe


def done(text: str, operation: Callable[[Recipe], list[Edit]]) -> str:
    changed, inverse = apply(text, operation(read(text)))
    assert apply(changed, inverse)[0] == text
    return changed


@pytest.mark.parametrize(
    ("text", "operation", "expected"),
    [
        ("finetune on a.b", lambda r: clauses.set_clause(r, 0, "freeze", "layer4"), "finetune freeze layer4 on a.b"),
        ("finetune  freeze  x on a.b", lambda r: clauses.set_clause(r, 0, "freeze", "only y.1"), "finetune  freeze  only y.1 on a.b"),
        ("finetune freeze # c\n  x on a.b", lambda r: clauses.set_clause(r, 0, "freeze", "y"), "finetune freeze # c\n  y on a.b"),
        ("finetune freeze x on a.b", lambda r: clauses.unset_clause(r, 0, "freeze"), "finetune on a.b"),
        ("finetune on a.b # c", lambda r: clauses.set_clause(r, 0, "elastic", "0.01"), "finetune elastic 0.01 on a.b # c"),
        (
            "finetune on a.b with lr=1 as x",
            lambda r: clauses.set_clause(r, 0, "unfreeze", "y at 2 lr 0.1"),
            "finetune unfreeze y at 2 lr 0.1 on a.b with lr=1 as x",
        ),
        (
            'finetune on a.b\n  as x # c\n  allow overlap "r"',
            lambda r: clauses.set_option(r, 0, "lr", "1"),
            'finetune on a.b with lr=1\n  as x # c\n  allow overlap "r"',
        ),
        ("adapt on a.b to c via d(e=1)", lambda r: clauses.set_clause(r, 0, "via", "f"), "adapt on a.b to c via f"),
        ("adapt n(a=1)on a.b via d", lambda r: clauses.set_clause(r, 0, "freeze", "x"), "adapt n(a=1) freeze x on a.b via d"),
        ("adapt on a.b via d", lambda r: clauses.set_clause(r, 0, "to", "c[p]"), "adapt on a.b to c[p] via d"),
        ("train n on a.b", lambda r: clauses.set_architecture(r, 0, "m(k=2)"), "train m(k=2) on a.b"),
        ("multitask on a.b", lambda r: clauses.set_architecture(r, 0, "m"), "multitask m on a.b"),
        ("multitask m(k=1)  on a.b", lambda r: clauses.unset_architecture(r, 0), "multitask  on a.b"),
    ],
)
def test_clauses(text: str, operation: Callable[[Recipe], list[Edit]], expected: str) -> None:
    assert done(text, operation) == expected


@pytest.mark.parametrize(
    ("written", "key", "value", "expected"),
    [
        ("n", "k", "1", "n(k=1)"),
        ("n()", "k", "1", "n(k=1)"),
        ("n(k=2)", "k", "[1, x]", "n(k=[1, x])"),
        ("n(j=1 , k=2 )", "m", '"s"', 'n(j=1 , k=2, m="s" )'),
        ("n(j=1, k=2)", "k", "", "n(j=1)"),
        ("n(j=1, k=2)", "j", "", "n(k=2)"),
        ("n(j=1)", "j", "", "n"),
        ("n(j=1)", "k", "", "n(j=1)"),
    ],
)
def test_arguments(written: str, key: str, value: str, expected: str) -> None:
    text = f"train {written} on a.b"
    statement = read(text).statements[0]
    assert isinstance(statement, Training)
    assert statement.architecture is not None
    component = statement.architecture
    edits = clauses.set_argument(text, component, key, value) if value else clauses.unset_argument(text, component, key)
    assert apply(text, edits)[0] == f"train {expected} on a.b"


@pytest.mark.parametrize(
    "operation",
    [
        lambda r: clauses.set_clause(r, 0, "freeze", ""),
        lambda r: clauses.set_clause(r, 0, "freeze", "x on c.d"),
        lambda r: clauses.set_clause(r, 0, "freeze", "x # c"),
        lambda r: clauses.set_clause(r, 0, "freeze", "x\nrepeat 2"),
        lambda r: clauses.set_clause(r, 0, "on", "a.b; repeat 2"),
        lambda r: clauses.set_clause(r, 1, "freeze", "x"),
        lambda r: clauses.set_clause(r, 0, "nonsense", "x"),
        lambda r: clauses.set_architecture(r, 0, "n on"),
        lambda r: clauses.set_architecture(r, 0, "n, m"),
        lambda r: clauses.set_architecture(r, 0, ""),
        lambda r: clauses.set_option(r, 0, "a b", "1"),
        lambda r: clauses.set_option(r, 0, "a", "1 # c"),
        lambda r: clauses.unset_option(r, 0, "a"),
    ],
)
def test_what_cannot_be_written_is_refused(operation: Callable[[Recipe], list[Edit]]) -> None:
    with pytest.raises(InputError):
        operation(read("finetune on a.b\nrepeat 1"))


@pytest.mark.parametrize(
    ("index", "written", "expected"), [(0, "x", "x, b"), (2, "c", "a, b, c"), (1, "", "a"), (0, "", "b"), (2, "", "a, b")]
)
def test_items(index: int, written: str, expected: str) -> None:
    text = "augment a, b"
    spans = [component.span for component in read(text).statements[0].components]  # type: ignore[union-attr]
    assert apply(text, clauses.set_item(spans, index, written))[0] == f"augment {expected}"


def only_changed(text: str, edits: list[Edit]) -> Recipe:
    """The recipe after the edits: what lies outside their spans stays, and the inverse restores the text."""
    after, inverse = apply(text, edits)
    assert apply(after, inverse)[0] == text
    kept, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.span):
        kept.append(text[position : edit.span.start])
        position = edit.span.end
    left, position = [], 0
    for back in inverse:
        left.append(after[position : back.span.start])
        position = back.span.end
    assert [*left, after[position:]] == [*kept, text[max((edit.span.end for edit in edits), default=0) :]]
    return read(after)


def tree(recipe: Recipe, number: int) -> tuple[Any, Any, frozenset[Any]]:
    """Verb, architecture and clauses of a statement, in whatever order they stand."""
    statement = recipe.statements[number]
    assert isinstance(statement, Training)
    return statement.verb, bare(statement.architecture), frozenset(bare(clause) for clause in statement.clauses)


@st.composite
def stages(draw: st.DrawFn) -> tuple[str, int]:
    """A recipe and one of its stages."""
    text, _ = draw(strategies.recipes())
    numbers = [number for number, statement in enumerate(read(text).statements) if isinstance(statement, Training)]
    assume(numbers)
    return text, draw(st.sampled_from(numbers))


def other_statements(before: Recipe, after: Recipe, number: int) -> bool:
    """Whether all statements but one are the same."""
    pairs = zip(before.statements, after.statements, strict=True)
    return all(bare(one) == bare(other) for place, (one, other) in enumerate(pairs) if place != number)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(stages(), st.data())
def test_a_clause_is_set_and_taken_away(stage: tuple[str, int], data: st.DataObject) -> None:
    text, number = stage
    before = read(text)
    word = data.draw(st.sampled_from(CLAUSE_WORDS))
    tokens, expected = data.draw(strategies.clause(word))
    payload = " ".join(tokens[1:])
    after = only_changed(text, clauses.set_clause(before, number, word, payload))
    assert other_statements(before, after, number)
    verb, architecture, held = tree(before, number)
    rest = frozenset(clause for clause in held if clause[1] != word)
    assert tree(after, number) == (verb, architecture, rest | {expected})
    gone = only_changed(after.text, clauses.unset_clause(after, number, word))
    assert other_statements(before, gone, number)
    assert tree(gone, number) == (verb, architecture, rest)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(stages(), strategies.paths, strategies.values, st.data())
def test_settings_and_arguments_are_set_and_taken_away(
    stage: tuple[str, int], key: str, value: strategies.Piece, data: st.DataObject
) -> None:
    text, number = stage
    before = read(text)
    written = " ".join(value[0])
    held = before.statements[number]
    assert isinstance(held, Training)
    after = only_changed(text, clauses.set_option(before, number, key, written))
    assert other_statements(before, after, number)
    clause = after.statements[number].clause("with")  # type: ignore[union-attr]
    given = {entry.key: bare(entry.value) for entry in reversed(clause.payload)}
    assert given[key] == value[1]
    keys = [entry.key for entry in clause.payload]
    taken = only_changed(after.text, clauses.unset_option(after, number, key))
    left = taken.statements[number].clause("with")  # type: ignore[union-attr]
    keys.remove(key)
    assert [entry.key for entry in left.payload] == keys if keys else left is None

    written = data.draw(st.sampled_from(["n", "n()", "n( a = 1 )", 'n(b="c")']))
    placed = only_changed(text, clauses.set_architecture(before, number, written))
    assert tree(placed, number)[2] == tree(before, number)[2]
    component = placed.statements[number].architecture  # type: ignore[union-attr]
    more = only_changed(placed.text, clauses.set_argument(placed.text, component, "zz", "[1]"))
    component = more.statements[number].architecture  # type: ignore[union-attr]
    assert component.arguments[-1].key == "zz"
    fewer = only_changed(more.text, clauses.unset_argument(more.text, component, "zz"))
    assert tree(fewer, number) == tree(placed, number)
