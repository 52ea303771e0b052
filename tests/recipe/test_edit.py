"""Span edits: what they write, and that nothing else changes."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tlimb.errors import Edit, InputError, Span
from tlimb.recipe import bypass, clauses, edit
from tlimb.recipe.format import bare
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply
from tlimb.recipe.tree import Argument, Name, Number, Recipe, Set, Sweep, Text, Training, stage_names, stage_parents

Operation = Callable[[Recipe], list[Edit]]


def read(text: str) -> Recipe:
    parsed = parse(text)
    assert not parsed.diagnostics, (text, parsed.diagnostics)
    return parsed.recipe


def done(text: str, operation: Operation) -> str:
    edits = operation(read(text))
    changed, inverse = apply(text, edits)
    assert apply(changed, inverse)[0] == text
    return changed


CHAIN = """\
pretrain net on a.b as base # c
finetune on a.c
finetune on a.d from base; evaluate on e.f
set finetune2.lr = 1
sweep finetune.lr in [1]
"""


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda r: clauses.set_option(r, 1, "lr", "1e-4"), {1: "finetune on a.c with lr=1e-4"}),
        (
            lambda r: edit.rename_stage(r, 0, "root"),
            {0: "pretrain net on a.b as root # c", 2: "finetune on a.d from root; evaluate on e.f"},
        ),
        (lambda r: edit.rename_stage(r, 1, "x"), {1: "finetune on a.c as x", 3: "set finetune.lr = 1", 4: "sweep x.lr in [1]"}),
        (lambda r: edit.rename_stage(r, 2, "x"), {2: "finetune on a.d from base as x; evaluate on e.f", 3: "set x.lr = 1"}),
        (lambda r: edit.retarget(r, 2, 1), {2: "finetune on a.d from finetune; evaluate on e.f"}),
        (lambda r: edit.retarget(r, 2, 'a"b'), {2: 'finetune on a.d from "a\\"b"; evaluate on e.f'}),
        (lambda r: edit.retarget(r, 2, None), {2: "finetune on a.d; evaluate on e.f"}),
        (lambda r: edit.retarget(r, 3, 0), {2: "finetune on a.d from base; evaluate on e.f from base"}),
        (
            lambda r: edit.delete(r, 1),
            {1: "", 3: "set finetune.lr = 1", 4: ""},
        ),
        (lambda r: edit.delete(r, 2), {2: "evaluate on e.f from base", 3: ""}),
        (lambda r: edit.delete(r, 3), {2: "finetune on a.d from base"}),
        (lambda r: edit.comment_out(r, 0), {0: "# pretrain net on a.b as base # c", 2: "finetune on a.d; evaluate on e.f"}),
        (
            lambda r: edit.insert_after(r, 0, "finetune on g.h"),
            {
                0: "pretrain net on a.b as base # c\nfinetune on g.h",
                1: "finetune on a.c from base",
                3: "set finetune3.lr = 1",
                4: "sweep finetune2.lr in [1]",
            },
        ),
        (
            lambda r: edit.insert_after(r, 0, "finetune on g.h as mid", adopt=True),
            {0: "pretrain net on a.b as base # c\nfinetune on g.h as mid", 2: "finetune on a.d from mid; evaluate on e.f"},
        ),
        (lambda r: edit.insert_after(r, 2, "evaluate on g.h"), {2: "finetune on a.d from base; evaluate on g.h; evaluate on e.f"}),
        (lambda r: edit.insert_after(r, None, "tlr 1"), {0: "tlr 1\npretrain net on a.b as base # c"}),
        (
            lambda r: edit.duplicate(r, 0),
            {0: "pretrain net on a.b as base # c\npretrain net on a.b as base2", 1: "finetune on a.c from base"},
        ),
        (lambda r: edit.unname_stage(r, 0), {0: "pretrain net on a.b # c", 2: "finetune on a.d from pretrain; evaluate on e.f"}),
        (
            lambda r: edit.connect(r, 1, 2),
            {
                1: "",
                2: "finetune on a.d from base; finetune on a.c; evaluate on e.f from finetune",
                3: "set finetune.lr = 1",
                4: "sweep finetune2.lr in [1]",
            },
        ),
        (lambda r: edit.connect(r, 3, 0), {2: "finetune on a.d from base; evaluate on e.f from base"}),
        (
            lambda r: edit.insert_between(r, 2, "finetune on g.h as mid"),
            {1: "finetune on a.c\nfinetune on g.h from base as mid", 2: "finetune on a.d from mid; evaluate on e.f"},
        ),
        (
            lambda r: edit.insert_between(r, 3, "finetune on g.h"),
            {2: "finetune on a.d from base; finetune on g.h; evaluate on e.f"},
        ),
        (lambda r: edit.put(r, "rank by val.mae"), {4: "sweep finetune.lr in [1]\nrank by val.mae"}),
        (lambda r: edit.put(r, "sweep finetune.lr in [1, 2]"), {4: "sweep finetune.lr in [1, 2]"}),
        (lambda r: edit.put(r, "data d(size=2)"), {0: "data d(size=2)\npretrain net on a.b as base # c"}),
        (lambda r: edit.put(r, "set finetune2.optimizer.lr = 3"), {3: "set finetune2.optimizer.lr = 3"}),
        (lambda r: edit.put(r, "set batch = 3"), {0: "set batch = 3\npretrain net on a.b as base # c"}),
        (lambda r: edit.move(r, 5, 0), {0: "pretrain net on a.b as base # c\nsweep finetune.lr in [1]", 4: ""}),
    ],
)
def test_edits_of_a_chain(operation: Operation, expected: dict[int, str]) -> None:
    """Lines that `expected` leaves out stay; an empty one goes."""
    lines = CHAIN.split("\n")
    wanted = [expected.get(number, line) for number, line in enumerate(lines) if expected.get(number) != ""]
    assert done(CHAIN, operation) == "\n".join(wanted)


@pytest.mark.parametrize(
    ("text", "operation", "expected"),
    [
        ("finetune with a=1 on b", lambda r: clauses.set_option(r, 0, "c", "[1, x]"), "finetune with a=1, c=[1, x] on b"),
        ("finetune with a = 1 on b", lambda r: clauses.set_option(r, 0, "a", "2"), "finetune with a = 2 on b"),
        ("finetune on b # c", lambda r: clauses.set_option(r, 0, "a", '"x"'), 'finetune on b with a="x" # c'),
        ("finetune with a=1, b=2 on c", lambda r: clauses.unset_option(r, 0, "a"), "finetune with b=2 on c"),
        ("finetune with a=1, b=2 on c", lambda r: clauses.unset_option(r, 0, "b"), "finetune with a=1 on c"),
        ("finetune with a=1 on c", lambda r: clauses.unset_option(r, 0, "a"), "finetune on c"),
        ("finetune on c # d\n  with a=1\n  as x", lambda r: clauses.unset_option(r, 0, "a"), "finetune on c # d\n  as x"),
        ("finetune on c # d\r\n  with a=1", lambda r: clauses.unset_option(r, 0, "a"), "finetune on c # d"),
        ("finetune on c # d\n  with a=1 as x", lambda r: clauses.unset_option(r, 0, "a"), "finetune on c # d\n  as x"),
        ("repeat 1", lambda r: edit.delete(r, 0), ""),
        ("repeat 1\nrepeat 2", lambda r: edit.delete(r, 1), "repeat 1"),
        ("repeat 1; repeat 2; repeat 3", lambda r: edit.delete(r, 1), "repeat 1; repeat 3"),
        ("repeat 1;\n  repeat 2", lambda r: edit.delete(r, 0), ";\n  repeat 2"),
        ("repeat 1; repeat 2 # c", lambda r: edit.delete(r, 1), "repeat 1 # c"),
        ("\ufeffrepeat 1\nrepeat 2", lambda r: edit.delete(r, 0), "\ufeffrepeat 2"),
        ("train n\n  on a.b\r\n", lambda r: edit.comment_out(r, 0), "# train n\n#   on a.b\r\n"),
        ("repeat 1; repeat 2", lambda r: edit.comment_out(r, 1), "# repeat 2\nrepeat 1"),
        ("train n\n  on a.b; repeat 2", lambda r: edit.comment_out(r, 1), "# repeat 2\ntrain n\n  on a.b"),
        ("repeat 1 # one\nrepeat 2", lambda r: edit.move(r, 0, 1), "repeat 2\nrepeat 1 # one"),
        ("repeat 1 # one\nrepeat 2; repeat 3", lambda r: edit.move(r, 0, 1), "repeat 2\nrepeat 1 # one\n; repeat 3"),
        ("repeat 1\nrepeat 2 # two", lambda r: edit.move(r, 1, None), "repeat 2 # two\nrepeat 1"),
        ("repeat 1\r\nrepeat 2\r\n", lambda r: edit.duplicate(r, 0), "repeat 1\r\nrepeat 1\r\nrepeat 2\r\n"),
        ("", lambda r: edit.insert_after(r, None, " repeat 1 "), "repeat 1\n"),
        ("train n on a.b\nrank by train.val.mae", lambda r: edit.rename_stage(r, 0, "x"), "train n on a.b as x\nrank by x.val.mae"),
        ("# head", lambda r: edit.put(r, "repeat 3"), "# head\nrepeat 3\n"),
        ("tlr 1\n# c\ntrain n on a.b", lambda r: edit.put(r, "split a into x 1, y 2"), "tlr 1\nsplit a into x 1, y 2\n# c\ntrain n on a.b"),
        ("split a into x 1 # c", lambda r: edit.put(r, "split a into x 1, y 2"), "split a into x 1, y 2 # c"),
        ("repeat 1; rank by val.mae", lambda r: edit.put(r, "repeat 10"), "repeat 10; rank by val.mae"),
        ("rank by val.mae\r\n", lambda r: edit.put(r, "sweep lr in [1]"), "sweep lr in [1]\r\nrank by val.mae\r\n"),
        (
            "train n on a.b\nfinetune on a.c from train # c\nfinetune on a.d from finetune\nset finetune.lr = 1",
            lambda r: edit.connect(r, 2, 0),
            "train n on a.b\nfinetune on a.c from train # c\nfinetune on a.d from train\nset finetune.lr = 1",
        ),
        (
            'finetune on a.b from "w"\n# c\ndata d',
            lambda r: edit.insert_between(r, 0, "finetune on a.c"),
            'finetune on a.c from "w"\nfinetune on a.b from finetune\n# c\ndata d',
        ),
        ('finetune on a.b from "w"\nfinetune on a.c', lambda r: edit.delete(r, 0), 'finetune on a.c from "w"'),
    ],
)
def test_edits(text: str, operation: Operation, expected: str) -> None:
    assert done(text, operation) == expected


@pytest.mark.parametrize(
    "operation",
    [
        lambda r: clauses.set_option(r, 1, "a b", "1"),
        lambda r: clauses.set_option(r, 1, "a", "1 # c"),
        lambda r: clauses.set_option(r, 1, "a", "1; repeat 2"),
        lambda r: clauses.set_option(r, 1, "a", "1\nrepeat 2"),
        lambda r: clauses.set_option(r, 1, "a", ""),
        lambda r: clauses.set_option(r, 4, "a", "1"),
        lambda r: clauses.unset_option(r, 1, "a"),
        lambda r: edit.rename_stage(r, 1, "base"),
        lambda r: edit.rename_stage(r, 1, "a.b"),
        lambda r: edit.rename_stage(r, 4, "x"),
        lambda r: edit.retarget(r, 1, 2),
        lambda r: edit.retarget(r, 3, 4),
        lambda r: edit.insert_after(r, 1, "repeat 1; repeat 2"),
        lambda r: edit.insert_after(r, 1, "repeat"),
        lambda r: edit.move(r, 0, 1),
        lambda r: edit.connect(r, 0, 1),
        lambda r: edit.connect(r, 1, 3),
        lambda r: edit.connect(r, 4, 0),
        lambda r: edit.insert_between(r, 0, "finetune on a.b"),
        lambda r: edit.insert_between(r, 1, "evaluate on a.b"),
        lambda r: edit.insert_between(r, 1, "train net on a.b"),
        lambda r: edit.insert_between(r, 1, "repeat 3"),
        lambda r: edit.put(r, "finetune on a.b"),
        lambda r: edit.put(r, "repeat"),
    ],
)
def test_impossible_edits_are_refused(operation: Operation) -> None:
    with pytest.raises(InputError):
        operation(read(CHAIN))


def test_overlapping_edits_are_a_bug() -> None:
    with pytest.raises(ValueError, match="overlap"):
        apply("abc", [Edit(Span(0, 2), ""), Edit(Span(1, 3), "")])


@given(st.text(max_size=20), st.data())
def test_the_inverse_restores(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    spans = [Span(*pair) for pair in zip(cuts[::2], cuts[1::2], strict=False)]
    edits = [Edit(span, data.draw(st.text(max_size=3))) for span in spans]
    changed, inverse = apply(text, data.draw(st.permutations(edits)) if len(set(spans)) == len(spans) else edits)
    assert apply(changed, inverse)[0] == text
    kept = [
        text[start:end] for start, end in zip([0, *(span.end for span in spans)], [*(span.start for span in spans), len(text)], strict=True)
    ]
    assert "".join(kept) == "".join(
        changed[start:end]
        for start, end in zip(
            [0, *(back.span.end for back in inverse)], [*(back.span.start for back in inverse), len(changed)], strict=True
        )
    )


BREAKS = ["\n", "\n", "\n", "; ", ";\n  ", "  # note\n", "\n\n# note\n", "\n  # note\n"]


@st.composite
def chains(draw: st.DrawFn) -> str:
    """A recipe of stages that continue one another; every statement carries its own number, by which a test knows it again."""
    names: list[str] = []
    text = ""
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["pretrain", "finetune", "finetune", "adapt", "evaluate", "set", "sweep"])) if number else "pretrain"
        current = [name for name in stage_names(read(text)) if name]
        if kind in ("set", "sweep"):
            stage = draw(st.sampled_from([*current, ""]))
            path = f"{stage}.lr" if stage else "lr"
            text += f"set {path} = {number}" if kind == "set" else f"sweep {path} in [{number}]"
        else:
            clauses = [f"with id={number}", "on a.b"]
            trained = [name for name in current if not name.startswith("evaluate")]
            if kind != "pretrain" and draw(st.booleans()):
                clauses.append(f"from {draw(st.sampled_from([*trained, chr(34) + 'w.ckpt' + chr(34)]))}")
            free = [name for name in ("x", "finetune", "y2") if name not in current and name not in names]
            if free and kind != "evaluate" and draw(st.booleans()):
                names.append(draw(st.sampled_from(free)))
                clauses.append(f"as {names[-1]}")
            joint = draw(st.sampled_from([" ", " ", "\n   "]))
            text += f"{kind}{' net' if kind == 'pretrain' else ''} " + joint.join(draw(st.permutations(clauses)))
        text += draw(st.sampled_from(BREAKS))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def view(recipe: Recipe) -> dict[int, tuple[Any, ...]]:
    """By the statement's own number: its tree without names and references, and what it refers to, by number."""
    numbers = [own_number(statement) for statement in recipe.statements]
    names, parents = stage_names(recipe), stage_parents(recipe)
    shown: dict[int, tuple[Any, ...]] = {}
    for place, statement in enumerate(recipe.statements):
        if isinstance(statement, Training):
            source = statement.clause("from")
            bare_clauses = tuple(clause for clause in statement.clauses if clause.word not in ("from", "as"))
            refers = source.payload.value if source and isinstance(source.payload, Text) else None
            parent = parents[place]
            refers = refers if parent is None else numbers[parent]
            shown[numbers[place]] = (bare(replace(statement, clauses=bare_clauses)), refers)
        elif isinstance(statement, Set | Sweep):
            stage = statement.path.partition(".")[0]
            shown[numbers[place]] = (type(statement).__name__, numbers[names.index(stage)] if stage in names else None)
    return shown


def own_number(statement: Any) -> int:
    if isinstance(statement, Training):
        clause = statement.clause("with")
        assert clause is not None
        assert isinstance(clause.payload, tuple)
        entry = clause.payload[0]
        assert isinstance(entry, Argument)
        value = entry.value
    else:
        value = statement.value if isinstance(statement, Set) else statement.values.values[0]
    assert isinstance(value, Number)
    return int(value.value)


def changed(text: str, edits: list[Edit]) -> Recipe:
    """The recipe after the edits; what lies outside their spans stays, and the inverse restores it."""
    after, inverse = apply(text, edits)
    assert apply(after, inverse)[0] == text
    assert re.sub(r"\r\n", "", after).count("\n") == 0 or "\r\n" not in text
    return read(after)


def same(found: dict[int, tuple[Any, ...]], expected: dict[int, tuple[Any, ...]]) -> None:
    """Equal, but for stages that continue nothing: without an architecture the language cannot say that of them."""
    assert set(found) == set(expected)
    for number, (tree, refers) in expected.items():
        assert found[number][0] == tree
        if refers is not None:
            assert found[number][1] == refers


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_delete_and_comment_out(text: str, data: st.DataObject) -> None:
    recipe = read(text)
    number = data.draw(st.integers(0, len(recipe.statements) - 1))
    before = view(recipe)
    gone = own_number(recipe.statements[number])
    above = before[gone][1] if isinstance(recipe.statements[number], Training) else None
    expected = {
        other: (tree, above if refers == gone and not isinstance(tree, str) else refers)
        for other, (tree, refers) in before.items()
        if other != gone and not (isinstance(tree, str) and refers == gone and isinstance(recipe.statements[number], Training))
    }
    same(view(changed(text, edit.delete(recipe, number))), expected)
    commented = changed(text, edit.comment_out(recipe, number))
    same(view(commented), expected)
    comments = [line for line in commented.text.splitlines() if line.startswith("# ")]
    span = recipe.statements[number].span
    assert all(any(line in comment for comment in comments) for line in text[span.start : span.end].splitlines())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_rename(text: str, data: st.DataObject) -> None:
    recipe = read(text)
    stages = [place for place, statement in enumerate(recipe.statements) if isinstance(statement, Training)]
    number, name = data.draw(st.sampled_from(stages)), data.draw(st.sampled_from(["z", "finetune", "finetune2", "pretrain", "x"]))
    try:
        edits = edit.rename_stage(recipe, number, name)
    except InputError:
        assume(False)
    renamed = changed(text, edits)
    same(view(renamed), view(recipe))
    assert stage_names(renamed)[number] == name


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_insert_and_duplicate(text: str, data: st.DataObject) -> None:
    recipe = read(text)
    number = data.draw(st.integers(0, len(recipe.statements) - 1))
    below, before = recipe.statements[number], view(recipe)
    statement = data.draw(
        st.sampled_from(["finetune with id=99 on g.h", "pretrain net with id=99 on g.h as x9", "set lr = 99", "evaluate with id=99 on g.h"])
    )
    after = changed(text, edit.insert_after(recipe, number, statement))
    shown = view(after)
    added = shown.pop(99)
    same(shown, before)
    assert own_number(after.statements[number + 1]) == 99
    if isinstance(below, Training) and below.verb != "evaluate" and statement.startswith(("finetune", "evaluate")):
        assert added[1] == own_number(below)
    copied = changed(text, edit.duplicate(recipe, number))
    assert len(copied.statements) == len(recipe.statements) + 1
    assert len(set(filter(None, stage_names(copied)))) == len(list(filter(None, stage_names(copied))))
    same(view(copied), before)
    assert number + 1 not in stage_parents(copied)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_move(text: str, data: st.DataObject) -> None:
    recipe = read(text)
    number = data.draw(st.integers(0, len(recipe.statements) - 1))
    behind = data.draw(st.none() | st.integers(0, len(recipe.statements) - 1))
    try:
        edits = edit.move(recipe, number, behind)
    except InputError:
        assume(False)
    moved = changed(text, edits)
    same(view(moved), view(recipe))
    order = [own_number(statement) for statement in recipe.statements]
    own = order.pop(number)
    if behind != number:
        order.insert(0 if behind is None else order.index(own_number(recipe.statements[behind])) + 1, own)
        assert [own_number(statement) for statement in moved.statements] == order
    assert moved.text.count("# note") == text.count("# note")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_options_and_retarget(text: str, data: st.DataObject) -> None:
    recipe = read(text)
    stages = [place for place, statement in enumerate(recipe.statements) if isinstance(statement, Training)]
    number = data.draw(st.sampled_from(stages))
    once = changed(text, clauses.set_option(recipe, number, "lr", "[1, 2]"))
    twice = changed(once.text, clauses.set_option(once, number, "lr", "3"))
    assert changed(twice.text, clauses.unset_option(twice, number, "lr")).text == text
    source = data.draw(
        st.sampled_from(
            [place for place in stages if place < number and getattr(recipe.statements[place], "verb", "") != "evaluate"] or [0]
        )
    )
    if source < number:
        pointed = changed(text, edit.retarget(recipe, number, source))
        assert stage_parents(pointed)[number] == source
    filed = changed(text, edit.retarget(recipe, number, "new.ckpt"))
    clause = filed.statements[number]
    assert isinstance(clause, Training)
    found = clause.clause("from")
    assert found is not None
    assert isinstance(found.payload, Text)
    free = changed(filed.text, edit.retarget(filed, number, None)).statements[number]
    assert isinstance(free, Training)
    assert free.clause("from") is None


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_connect_and_insert_between(text: str, data: st.DataObject) -> None:
    recipe = read(text)
    stages = [place for place, statement in enumerate(recipe.statements) if isinstance(statement, Training)]
    number, source = data.draw(st.sampled_from(stages)), data.draw(st.sampled_from(stages))
    before = view(recipe)
    own, other = own_number(recipe.statements[number]), own_number(recipe.statements[source])
    try:
        connected = changed(text, edit.connect(recipe, number, source))
    except InputError:
        trains = recipe.statements[source].verb != "evaluate"  # type: ignore[union-attr]
        assert source in (number, *edit.heirs(recipe, number)) or not trains
    else:
        same(view(connected), {**before, own: (before[own][0], other)})
    try:
        between = view(changed(text, edit.insert_between(recipe, number, "finetune with id=99 on g.h")))
    except InputError:
        assert before[own][1] is None
    else:
        assert between.pop(99)[1] == before[own][1]
        same(between, {**before, own: (before[own][0], 99)})


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.data())
def test_what_is_bypassed_comes_back(text: str, data: st.DataObject) -> None:
    recipe = read(text)
    number = data.draw(st.integers(0, len(recipe.statements) - 1))
    before = view(recipe)
    own = own_number(recipe.statements[number])
    without = changed(text, edit.comment_out(recipe, number))
    assume("adapt" not in text)  # it lacks clauses here, and so is no statement that could come back
    statement = next(found for found in bypass.bypassed(without) if own_number(found.node) == own)
    assume(not isinstance(recipe.statements[number], Set | Sweep))
    others = view(without)
    back = changed(without.text, bypass.uncomment(without, statement))
    after = view(back)
    assert after[own][0] == before[own][0]
    for other, (tree, refers) in others.items():
        node = next(node for node in without.statements if own_number(node) == other)
        assert after[other][0] == tree
        if isinstance(node, Training) and node.clause("from") is None:
            assert after[other][1] in (refers, own, before[other][1])
        else:
            assert after[other][1] == refers
    settings_back = {other for other in before if isinstance(before[other][0], str) and before[other][1] == own}
    names = {
        name for found in (recipe, back) for name, node in zip(stage_names(found), found.statements, strict=True) if own_number(node) == own
    }
    if len(names) == 1:
        assert settings_back <= set(after)
    else:  # it has come back above the statements that it shared a line with, so its name is another one's now
        assert ";" in text


def test_only_whole_statements_come_back() -> None:
    text = (
        "# Train a net on two data sets.\n# data\n#finetune on a.b\n#   with lr=1 # why\n# finetune more\ntrain n\n# repeat 3\n  on a.b\n"
    )
    found = bypass.bypassed(read(text))
    assert [statement.text for statement in found] == ["finetune on a.b\n  with lr=1 # why"]
    assert done(text, lambda recipe: bypass.uncomment(recipe, found[0])) == text.replace("#finetune", "finetune").replace(
        "#   with", "  with"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("repeat 1;\n# rank by a # c\n  repeat 2", "repeat 1;\nrank by a; # c\n  repeat 2"),
        ("# set finetune.lr = 1\n# finetune on a.b\n# set adapt.lr = 1", "set finetune.lr = 1\nfinetune on a.b\n# set adapt.lr = 1"),
        ("train n on a.b as x\n# finetune on a.c as y\nfinetune on a.d\nevaluate on a.e from x", None),
    ],
)
def test_a_bypassed_statement_comes_back(text: str, expected: str | None) -> None:
    last = bypass.bypassed(read(text))
    statement = next((found for found in last if isinstance(found.node, Training)), last[0])
    assert done(text, lambda recipe: bypass.uncomment(recipe, statement)) == (expected or text.replace("# ", ""))


def test_names_stay_unique_after_a_copy() -> None:
    copied = done("train n on a.b as x\ntrain n on a.b as x2", lambda recipe: edit.duplicate(recipe, 0))
    statement = read(copied).statements[1]
    assert isinstance(statement, Training)
    clause = statement.clause("as")
    assert clause is not None
    assert isinstance(clause.payload, Name)
    assert clause.payload.value == "x3"
