"""Graphs of many nodes folded to few."""

from hypothesis import given, settings

from drawing.pictures import pictures
from tlimb.drawing.collapse import collapse
from tlimb.drawing.picture import Link, Node, Picture, picture
from tlimb.recipe.parse import parse


def test_siblings_and_chains_become_one_node() -> None:
    text = "\n".join(["pretrain vit on demo.age", *(f"finetune on demo.sex from pretrain with epochs={n} as s{n}" for n in range(1, 6))])
    made = collapse(picture(parse(text).recipe))
    assert [(node.id, node.title, node.lines) for node in made.picture.nodes][1:] == [
        ("group:s1", "s1 … s5", ("5 steps", "finetune", "on demo.sex"))
    ]
    assert made.groups["group:s1"] == ("s1", "s2", "s3", "s4", "s5")
    assert made.shown("s3") == "group:s1"
    assert made.shown("pretrain") == "pretrain"


def test_an_opened_group_stays_open() -> None:
    nodes = tuple(Node(name, place, "train", name) for place, name in enumerate("abcd"))
    whole = Picture(nodes, tuple(Link("a", child) for child in "bcd"))
    assert len(collapse(whole).picture.nodes) < 4
    assert collapse(whole, {"group:b", "group:a"}).picture == whole


@settings(max_examples=100, deadline=None)
@given(pictures())
def test_every_node_is_somewhere_and_every_link_inside_a_group_or_drawn(whole: Picture) -> None:
    made = collapse(whole)
    shown = {node.id for node in made.picture.nodes}
    assert {made.shown(node.id) for node in whole.nodes} == shown
    drawn = {(link.source, link.target) for link in made.picture.links}
    ends = {(made.shown(link.source), made.shown(link.target)) for link in whole.links}
    assert drawn == {(source, target) for source, target in ends if source != target}
    assert sum(node.fold for node in made.picture.nodes) == sum(node.fold for node in whole.nodes)
