"""The formatter: data pairs, and what it never changes."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.recipe.strategies import recipes
from tlimb.errors import RecipeError
from tlimb.recipe.format import bare, format_recipe, meaning
from tlimb.recipe.split import scan

PAIRS = [
    ("", ""),
    ("  \n\n", ""),
    ("# only a comment", "# only a comment\n"),
    ("\ufeff  tlr   1", "\ufefftlr 1\n"),
    ("set a.b=[1,2 ,[3 ]]", "set a.b = [1, 2, [3]]\n"),
    ("set a = net( b = 1 )", "set a = net(b=1)\n"),
    ("sweep lr in[1e-4 ,1e-3]", "sweep lr in [1e-4, 1e-3]\n"),
    ("sweep lr in 1 .. 5   log", "sweep lr in 1..5 log\n"),
    ("finetune on 2 * ukb [ base ] .age+ukb.sex", "finetune on 2*ukb[base].age + ukb.sex\n"),
    ("finetune  with a = 1 ,b=160x192x160   as  x", "finetune with a=1, b=160x192x160 as x\n"),
    ("repeat 1 ;repeat 2;;", "repeat 1; repeat 2\n"),
    ("repeat 1;\n   repeat 2", "repeat 1\nrepeat 2\n"),
    ("finetune\n\ton a.b\n  with a=1 # c", "finetune\n    on a.b\n    with a=1  # c\n"),
    ("finetune # one\n# two\n on a.b\n# three\n", "finetune  # one\n    # two\n    on a.b\n# three\n"),
    ("sweep a in [1,\n2,\n]", "sweep a in [1,\n    2,\n    ]\n"),
    ("\n\nrepeat 1\n\n\n\nrepeat 2\n\n", "repeat 1\n\nrepeat 2\n"),
    ("repeat 1\r\n\r\n\r\n\r\n  # c  \r\nrepeat  2", "repeat 1\r\n\r\n    # c\r\nrepeat 2\r\n"),
    ("repeat 1\r\nrepeat  2\n", "repeat 1\r\nrepeat 2\n"),
]


@pytest.mark.parametrize(("text", "expected"), PAIRS)
def test_pairs(text: str, expected: str) -> None:
    assert format_recipe(text) == expected
    assert format_recipe(expected) == expected


@pytest.mark.parametrize("text", ["finetune on", "repeat 2.5", "set a = [1"])
def test_a_recipe_with_mistakes_is_refused(text: str) -> None:
    with pytest.raises(RecipeError) as raised:
        format_recipe(text)
    assert raised.value.diagnostics


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes())
def test_tree_comments_and_strings_stay(drawn: tuple[str, tuple[object, ...]]) -> None:
    text, trees = drawn
    formatted = format_recipe(text)
    assert meaning(formatted) == trees
    assert format_recipe(formatted) == formatted

    def kept(of: str) -> list[str]:
        return [of[start:end].rstrip() for kind, start, end in scan(of) if kind in ("comment", "string")]

    assert kept(formatted) == kept(text)
    assert set(formatted.split("\n")[:-1]) == {line for line in formatted.split("\n")[:-1] if line == line.rstrip(" \t")}


def test_meaning_leaves_out_only_places() -> None:
    assert meaning("repeat  1") == meaning("# c\nrepeat 1;")
    assert meaning("repeat 1") != meaning("repeat 2")
    assert bare(("x", 1)) == ("x", 1)
