"""Text to tree: what each statement gives, where keywords end, and random recipes."""

import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.recipe.strategies import CLAUSE_WORDS, recipes
from tlimb.assets import asset
from tlimb.catalogue.verbs import CLAUSES
from tlimb.catalogue.verbs import FORMS as FORM_OF
from tlimb.errors import Span
from tlimb.recipe.format import bare, format_recipe
from tlimb.recipe.parse import FORMS, grammar, parse
from tlimb.recipe.split import split
from tlimb.recipe.tree import Component, Recipe, Set, Sweep, Training, plain, stage_names, stage_parents

GROWN_UP = """\
tlr 1
about title="Brain \\"age\\"", author="Lab A"

data axial_slice(size=128x128)                  # which DataModule; [
augment affine(degrees=10), flip(axis=lr), noise
split ukb into base 10000, target 0.5

pretrain resnet18(dropout=0.1) on ukb[base].age
    with epochs=10, batch=32
# at the margin, in the middle of a statement
    as brainage
finetune freeze layer4.0.conv1 elastic 0.01 on 2*ukb[target].sex + hcp.age; evaluate on hcp.sex
finetune unfreeze layer3 at 5 lr 1e-4 freeze only layer4 from "a b.ckpt" on ukb.sex allow overlap "same people"
set brainage.trainer.precision = "bf16-mixed"
sweep freeze in [none, layer3.1.conv1,
layer4.0.conv1]
sweep lr in 1e-5..1e-1 log
search tpe 12 by val.mae
repeat 3
rank by val.balanced_accuracy
"""


def read(text: str) -> Recipe:
    parsed = parse(text)
    assert not parsed.diagnostics
    return parsed.recipe


def test_the_grown_up_recipe() -> None:
    trees = [bare(statement) for statement in read(GROWN_UP).statements]
    target = ("Target", "ukb", "target", "sex", 2.0), ("Target", "hcp", None, "age", None)
    layer = ("Component", "layer4.0.conv1", ())
    assert trees[0] == ("Version", 1)
    assert trees[1] == ("About", (("Argument", "title", ("Text", 'Brain "age"')), ("Argument", "author", ("Text", "Lab A"))))
    assert trees[2] == ("Data", ("Component", "axial_slice", (("Argument", "size", ("Size", (128, 128))),)), None)
    assert trees[5][3][1] == ("Clause", "with", (("Argument", "epochs", ("Number", 10)), ("Argument", "batch", ("Number", 32))))
    assert trees[5][3][2] == ("Clause", "as", ("Name", "brainage"))
    assert trees[6][3] == (
        ("Clause", "freeze", ("Freeze", layer, False)),
        ("Clause", "elastic", ("Number", 0.01)),
        ("Clause", "on", target),
    )
    assert trees[8][3][0] == ("Clause", "unfreeze", ("Unfreeze", ("Component", "layer3", ()), 5, 1e-4))
    assert trees[8][3][1] == ("Clause", "freeze", ("Freeze", ("Component", "layer4", ()), True))
    assert trees[10] == ("Sweep", "freeze", ("Items", (("Constant", "none"), ("Component", "layer3.1.conv1", ()), layer)))
    assert trees[11] == ("Sweep", "lr", ("Range", 1e-5, 0.1, True))
    assert trees[12] == ("Search", "tpe", 12, "val.mae", ())
    assert trees[14] == ("Rank", "val.balanced_accuracy")


def test_spans_are_exact() -> None:
    recipe = read(GROWN_UP)

    def at(span: Span | None) -> str:
        assert span is not None
        return GROWN_UP[span.start : span.end]

    finetune = recipe.statements[6]
    assert isinstance(finetune, Training)
    on = finetune.clause("on")
    assert on is not None
    assert isinstance(on.payload, tuple)
    first = on.payload[0]
    assert at(finetune.verb_span) == "finetune"
    assert at(on.span) == "on 2*ukb[target].sex + hcp.age"
    assert [at(span) for span in (first.span, first.dataset_span, first.part_span, first.label_span)] == [
        "2*ukb[target].sex",
        "ukb",
        "target",
        "sex",
    ]
    assert at(recipe.statements[5].span).endswith("as brainage")


def test_plain_values() -> None:
    recipe = read('set a = [1, 2x3, off, none, word, "t", net(a=1)]')
    assert isinstance(recipe.statements[0], Set)
    *values, network = plain(recipe.statements[0].value)
    assert values == [1, [2, 3], False, None, "word", "t"]
    assert isinstance(network, Component)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("finetune on a.b", "finetune"),
        ("finetune on a.b\nfinetune on a.b\nevaluate on a.b", "finetune finetune2 evaluate"),
        ("finetune on a.b as finetune\nfinetune on a.b", "finetune finetune2"),
        ("finetune on a.b as x\nfinetune on a.b", "x finetune"),
    ],
)
def test_stage_names(text: str, names: str) -> None:
    assert stage_names(read(text)) == names.split()


def test_stage_parents_skip_evaluations_and_settings() -> None:
    recipe = read(
        "pretrain net on a.b as base\nset lr = 1\nevaluate on a.b\nfinetune on a.b\nfinetune on a.c from base\n"
        'finetune on a.b from "x.ckpt"\nadapt net on a.b to c via m\nevaluate on a.b from nowhere'
    )
    assert stage_parents(recipe) == [None, None, 0, 0, 0, None, None, None]


@pytest.mark.parametrize("word", CLAUSE_WORDS)
@pytest.mark.parametrize("suffix", ["x", "1", "_", ".x", "-x", "é"])
def test_a_clause_word_with_a_suffix_is_not_that_word(word: str, suffix: str) -> None:
    """Else `without=3` would be `with out=3`, `onukb.age` `on ukb.age` and `freezed` `freeze d`."""
    for rest in ("", "=3", " ukb.age", ".age", ' overlap "x"'):
        for statement in parse(f"finetune net {word}{suffix}{rest}").recipe.statements:
            assert isinstance(statement, Training)
            assert statement.clause(word) is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("finetune freeze only layer4", "finetune freeze onlylayer4 layer4"),
        ("finetune unfreeze a at 5", "finetune unfreeze a at5"),
        ("finetune unfreeze a at 5 lr 1", "finetune unfreeze a at 5 lr1"),
        ('finetune allow overlap "x"', 'finetune allow overlaps "x"'),
        ("data a for b", "data a forb"),
        ("split a into b 1", "split a intob 1"),
        ("sweep a in [1]", "sweep a inn [1]"),
        ("rank by a.b", "rank bya.b"),
        ("sweep a in 1..2 log", "sweep a in 1..2 logs"),
        ("set a = none", None),
    ],
)
def test_other_keywords_end_at_a_boundary(right: str, wrong: str | None) -> None:
    read(right)
    if wrong is not None:
        assert parse(wrong).diagnostics


@pytest.mark.parametrize("word", ["true", "false", "none", "off"])
def test_constants_end_at_a_boundary(word: str) -> None:
    assert bare(read(f"set a = {word}").statements[0]) == ("Set", "a", ("Constant", word))
    for name in (f"{word}x", f"{word}.x", f"{word}_"):
        assert bare(read(f"set a = {name}").statements[0]) == ("Set", "a", ("Component", name, ()))


@pytest.mark.parametrize("name", [*CLAUSE_WORDS, "sweep", "data", "finetune", "none", "in", "by", "log"])
def test_a_data_set_may_have_the_name_of_a_keyword(name: str) -> None:
    recipe = read(f"finetune on {name}.age + 2*{name}[{name}].{name} as {name}\nsplit {name} into {name} 1\ndata x for {name}")
    assert isinstance(recipe.statements[0], Training)
    assert bare(recipe.statements[0].clauses[0])[2][1] == ("Target", name, name, name, 2.0)


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ("1..5", ("Range", 1, 5, False)),
        ("1e-5..1e-1", ("Range", 1e-5, 0.1, False)),
        ("-1 .. 0.5 log", ("Range", -1, 0.5, True)),
        ("[160x192x160]", ("Items", (("Size", (160, 192, 160)),))),
        ("[1e3, 10, -0.5,]", ("Items", (("Number", 1000.0), ("Number", 10), ("Number", -0.5)))),
    ],
)
def test_numbers_leave_ranges_and_sizes_alone(written: str, tree: object) -> None:
    statement = read(f"sweep a in {written}").statements[0]
    assert isinstance(statement, Sweep)
    assert bare(statement.values) == tree


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("repeat 1;repeat 2", ["repeat 1", "repeat 2"]),
        ("repeat 1;\n  repeat 2", ["repeat 1", "repeat 2"]),
        ('set a = "; # [" # ; set\n\n  \n# c\n   x', ['set a = "; # [" # ; set\n\n  \n# c\n   x']),
        ("set a = [1,\n2]\nrepeat 1", ["set a = [1,\n2]", "repeat 1"]),
        ("set a = [1,\nrepeat 1", ["set a = [1,", "repeat 1"]),
        ("data a(set=1,\nset=2)\nrepeat 1", ["data a(set=1,\nset=2)", "repeat 1"]),
        ("set a = (1; repeat 1", ["set a = (1", "repeat 1"]),
        ("\ufeffrepeat 1\r\nrepeat 2\r\n", ["repeat 1", "repeat 2"]),
        ("", []),
        (" ;; \n# nothing", []),
    ],
)
def test_split(text: str, pieces: list[str]) -> None:
    assert [text[piece.span.start : piece.span.end] for piece in split(text, FORM_OF)] == pieces


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes())
def test_random_trees_are_read_back(drawn: tuple[str, tuple[object, ...]]) -> None:
    text, trees = drawn
    parsed = parse(text)
    assert parsed.diagnostics == ()
    assert tuple(bare(statement) for statement in parsed.recipe.statements) == trees


WORDS = ["finetune", "sweep", "set", "on", "with", "in", "lr", "x", "é", "_", "1", "1e-4", "2x3"]
SIGNS = [";", "[", "]", "(", ")", '"', "\\", "#", "=", ",", "+", "*", "..", ".", "-"]
STRANGE = ["\r", "\n", "\r\n", "\t", " ", "\u00a0", "\u2028", "\x00", "\ufeff", "\x0c", "е\u0301", "1" * 500]
SCRAPS = st.sampled_from([*WORDS, *SIGNS, *STRANGE])


@settings(max_examples=300, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.lists(SCRAPS, max_size=25).map("".join), st.text(max_size=40).map(lambda text: f"finetune {text}")))
def test_no_text_makes_it_crash_or_hang(text: str) -> None:
    for diagnostic in parse(text).diagnostics:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
        assert diagnostic.message


def test_long_and_deep_texts_end() -> None:
    for text in (
        "[" * 20_000,
        "set a = " + "[" * 5000 + "]" * 5000,
        "a" * 100_000,
        '"' * 20_001,
        "finetune on a" + " + a" * 5000,
        "set a = 1" + "x1" * 5000,
    ):
        parse(text)
    assert [problem.code for problem in parse("set a = " + "[" * 50 + "]" * 50).diagnostics] == ["too-deep"]


def test_the_catalogue_and_the_grammar_agree() -> None:
    assert set(FORM_OF.values()) == set(FORMS)
    assert set(CLAUSES) == set(CLAUSE_WORDS)
    assert {word.upper() for word in CLAUSES} <= {terminal.name for terminal in grammar().terminals}


def test_reading_a_recipe_loads_nothing_heavy() -> None:
    program = "import sys; from tlimb.recipe.parse import parse; parse('repeat 1'); print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"torch", "lightning", "numpy", "textual", "regex", "interegular"}


def test_the_recipes_of_the_reference_are_right_and_formatted() -> None:
    blocks = re.findall(r"```tlr\n(.*?)```", asset("docs", "language.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert format_recipe(block) == block.replace("[1e-4,1e-3,1e-2]", "[1e-4, 1e-3, 1e-2]")
