"""From a recipe's tree, complete or not, to nodes and links."""

from dataclasses import replace

import pytest
from emit.small_graphs import sweep
from hypothesis import given, settings
from recipe.strategies import recipes

from tlimb.drawing.picture import RANK, Link, Node, Picture, members, picture, stages_picture
from tlimb.recipe.parse import parse
from tlimb.stages.graph import Run, StageGraph, Variant

RECIPE = """data axial_slice(size=48x56)
split demo into base 60, target 60
pretrain resnet18 on demo[base].age via simclr with epochs=10 as brainage
finetune freeze only layer4 elastic 0.01 on demo[target].sex + 2*demo[target].age
evaluate on ixi.sex
finetune on demo.sex from "old/weights.pth" as other
sweep finetune.lr in [1e-4, 1e-3]
sweep architecture in [resnet18, vit]
repeat 3
rank by val.auroc
"""


def drawn(text: str, *, data: bool = False) -> Picture:
    return picture(parse(text).recipe, data=data)


def two_variants() -> StageGraph:
    """Two variants that share nothing but their data."""
    plan = sweep(2)
    first, second = ({stage.name: stage.digest for stage in stages} for stages in (plan.stages[2:5], plan.stages[5:]))
    runs = [Run(0, found, ("finetune",)) for found in (first, second)]
    return replace(plan, variants=tuple(Variant(f"v{place}", {}, (run,), tuple(run.stages.values())) for place, run in enumerate(runs, 1)))


def links(shown: Picture) -> set[tuple[str, str, str]]:
    return {(link.source, link.target, link.kind) for link in shown.links}


def test_steps_are_nodes_with_what_they_say() -> None:
    nodes = {node.id: node for node in drawn(RECIPE).nodes}
    assert list(nodes) == ["brainage", "finetune", "evaluate", "weights:old/weights.pth", "other", RANK]
    assert nodes["brainage"].lines == ("pretrain resnet18", "via simclr", "on demo[base].age", "epochs=10", "sweep architecture")
    assert nodes["finetune"].lines == ("on demo[target].sex + 2*demo[target].age", "freeze only layer4", "elastic 0.01", "sweep lr")
    assert [(node.number, node.kind) for node in nodes.values()] == [
        (2, "train"),
        (3, "train"),
        (4, "evaluate"),
        (None, "weights"),
        (5, "train"),
        (9, "rank"),
    ]


def test_links_follow_the_weights_and_the_ends_are_ranked() -> None:
    assert links(drawn(RECIPE)) == {
        ("brainage", "finetune", "weights"),
        ("finetune", "evaluate", "weights"),
        ("weights:old/weights.pth", "other", "weights"),
        ("evaluate", RANK, "rank"),
        ("other", RANK, "rank"),
    }


def test_sweeps_and_seeds_fold_into_their_steps() -> None:
    folds = {node.id: node.fold for node in drawn(RECIPE).nodes}
    assert (folds["brainage"], folds["finetune"], folds["evaluate"], folds["other"]) == (2 * 3, 2 * 2 * 3, 2 * 2 * 3, 2 * 3)


def test_data_sets_link_to_those_that_use_them() -> None:
    shown = drawn("semisupervise resnet18 on demo.age using ixi via meanteacher", data=True)
    assert [(link.source, link.label) for link in shown.links] == [("data:demo", ""), ("data:ixi", "unlabelled")]
    (demo,) = (node for node in drawn(RECIPE, data=True).nodes if node.id == "data:demo")
    assert demo.lines == ("age, sex", "axial_slice", "base 60", "target 60")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("finetune on demo.sex from later\npretrain vit on demo.age as later", set()),
        ("finetune on demo.sex from finetune", set()),
        ("train vit on demo.age as a\ntrain vit on demo.age as a\nfinetune on demo.sex from a", {("a", "finetune", "weights")}),
        ("finetune on demo.sex from nowhere", set()),
    ],
)
def test_what_a_recipe_with_mistakes_does_not_say_is_left_out(text: str, expected: set[tuple[str, str, str]]) -> None:
    assert links(drawn(text)) == expected


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_any_text_has_a_picture(drawn_recipe: tuple[str, object]) -> None:
    shown = drawn(drawn_recipe[0], data=True)
    assert all(node.title and node.fold >= 1 for node in shown.nodes)


def test_a_plan_tells_how_many_stages_a_step_really_has() -> None:
    recipe = parse("pretrain resnet18 on ukb.age\nfinetune on ukb.sex\nevaluate on hcp.sex\n").recipe
    plan = two_variants()
    shown = picture(recipe, plan=plan)
    assert {node.id: node.fold for node in shown.nodes} == {"pretrain": 2, "finetune": 2, "evaluate": 2, RANK: 1}
    found = members(plan)
    counts = {name: len(digests) for name, digests in found.items()}
    assert counts == {"pretrain": 2, "finetune": 2, "evaluate": 2, "data:ukb": 1, "data:hcp": 1}


def test_every_stage_of_a_plan_is_a_node() -> None:
    plan = sweep(2)
    shown = stages_picture(plan)
    assert [node.id for node in shown.nodes] == [stage.digest for stage in plan.stages]
    assert len(shown.links) == sum(len(stage.parents) for stage in plan.stages)
    assert {link.kind for link in shown.links} == {"data", "weights"}


def test_a_picture_has_no_cycles() -> None:
    nodes = (Node("a", None, "train", "a"), Node("b", None, "train", "b"))
    with pytest.raises(ValueError, match="backwards"):
        Picture(nodes, (Link("b", "a"),))
    with pytest.raises(ValueError, match="same id"):
        Picture((nodes[0], nodes[0]), ())
