"""What is offered at a place: a recipe with a bar where the cursor is, and words that must and must not be among the offers."""

import pytest

from tlimb.catalogue.datasets import built_in
from tlimb.catalogue.registry import load_catalogue
from tlimb.recipe.complete import complete
from tlimb.recipe.parse import parse

ABOVE = "split demo into base 100, target 50\npretrain resnet18 on demo[base].age as first\nevaluate on demo.age as seen\n"
DATASETS = built_in()


def offered(marked: str) -> tuple[list[str], str]:
    text = ABOVE + marked
    offset = text.index("|")
    text = text[:offset] + text[offset + 1 :]
    found = complete(parse(text).recipe, offset, load_catalogue(), DATASETS)
    return [choice.word for choice in found.choices], text[found.span.start : found.span.end]


@pytest.mark.parametrize(
    ("marked", "first", "absent"),
    [
        ("|", "tlr", "resnet18"),
        ("fin|", "finetune", "train"),
        ("finetune |", "on", "via"),
        ("finetune on |", "demo", "resnet18"),
        ("finetune on demo.|", "age", "demo"),
        ("finetune on demo.a|", "age", "sex"),
        ("finetune on demo[|", "base]", "age"),
        ("finetune on demo[target].|", "age", "demo"),
        ("finetune on demo.age |", "freeze", "on"),
        ("finetune on demo.age + |", "demo", "freeze"),
        ("finetune on demo.age from |", "first", "seen"),
        ("finetune freeze |", "none", "on"),
        ("finetune with |", "lr=", "val.mae"),
        ("finetune with lr=1e-3, ep|", "epochs=", "lr="),
        ("finetune with optimizer=|", "adam", "cosine"),
        ("finetune with optimizer=sgd(mom|", "momentum=", "lr="),
        ("finetune with trainer.|", "accelerator", "lr="),
        ("pretrain |", "resnet10", "simclr"),
        ("pretrain resnet18(|", "dropout=", "lr="),
        ("pretrain resnet18 on demo via |", "simclr", "mmd"),
        ("adapt on demo.age to demo via |", "dann", "simclr"),
        ("data axial|", "axial_slice", "flip"),
        ("data axial_slice(|", "size=", "degrees="),
        ("data axial_slice for |", "demo", "for"),
        ("augment affine, |", "affine", "resnet18"),
        ("augment affine(|", "degrees=", "axis="),
        ("set |", "lr", "demo"),
        ("set first.|", "lr", "demo"),
        ("set optimizer = |", "adam", "cosine"),
        ("sweep architecture in [|", "resnet10", "lr"),
        ("sweep architecture in [vit, res|", "resnet10", "vit"),
        ("sweep lr |", "in", "log"),
        ("search |", "random", "demo"),
        ("search random 3 |", "by", "demo"),
        ("rank by |", "val.mae", "test.mae"),
        ("rank by val.|", "mae", "val.mae"),
        ("split |", "demo", "into"),
        ("split demo |", "into", "demo"),
        ("about |", "title", "lr="),
    ],
)
def test_offers(marked: str, first: str, absent: str) -> None:
    words, _ = offered(marked)
    assert first in words[:3]
    assert absent not in words


@pytest.mark.parametrize("marked", ["# fine|", 'about title="fin|', "finetune on demo.age  # on |", "finetune on = |", "nothing |"])
def test_nothing_is_offered_where_nothing_fits(marked: str) -> None:
    assert offered(marked)[0] == []


def test_what_is_replaced_is_the_word_that_is_typed() -> None:
    assert offered("finetune on demo.a|")[1] == "a"
    assert offered("finetune on de|")[1] == "de"
    assert offered("finetune on |")[1] == ""


def test_a_statement_that_goes_on_in_the_next_line_is_completed_as_one() -> None:
    assert "age" in offered("finetune on\n    demo.|")[0]
    assert "tlr" in offered("finetune on demo.age\n|")[0]


def test_each_offer_that_is_taken_can_be_read_as_far_as_it_goes() -> None:
    for marked in ("finetune |", "finetune on demo.age |", "pretrain |", "set |", "search |"):
        words, typed = offered(marked)
        assert typed == ""
        for word in words:
            problems = parse(marked.replace("|", word)).diagnostics
            assert all(problem.code in ("incomplete-statement",) or problem.span.start >= len(marked) - 1 for problem in problems), word
