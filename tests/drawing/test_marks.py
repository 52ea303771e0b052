"""States of several stages as one mark."""

import pytest

from tlimb.drawing import cells
from tlimb.drawing.marks import SIGNS, Mark, State, fold, with_rank
from tlimb.drawing.picture import RANK, Link, Node, Picture
from tlimb.drawing.segments import Look


@pytest.mark.parametrize(
    ("states", "mark"),
    [
        ([], Mark("idle")),
        (["done"] * 3, Mark("done")),
        (["cached", "cached"], Mark("cached")),
        (["done", "cached"], Mark("done", "1✔ 1≡")),
        (["done"] * 6 + ["running"] * 2 + ["failed"], Mark("failed", "6✔ 2◐ 1✖")),
        (["done", "idle"], Mark("idle", "1✔")),
        (["queued", "running"], Mark("running", "1◐ 1◌")),
        (["idle"] * 4, Mark("idle")),
    ],
)
def test_fold(states: list[State], mark: Mark) -> None:
    assert fold(states) == mark


def test_the_rank_is_done_when_all_that_it_ranks_is() -> None:
    nodes = (*(Node(name, 0, "train", name) for name in "ab"), Node(RANK, 1, "rank", "rank"))
    ranked = Picture(nodes, (Link("a", RANK, "rank"), Link("b", RANK, "rank")))
    assert with_rank(ranked, {"a": Mark("done")})[RANK] == Mark("idle")
    assert with_rank(ranked, {"a": Mark("done"), "b": Mark("cached")})[RANK] == Mark("done")
    assert with_rank(Picture(nodes[:1], ()), {}) == {}


def test_every_sign_has_an_ascii_twin_of_its_own() -> None:
    assert len({sign.ascii for sign in SIGNS.values()}) == len(SIGNS)
    assert all(cells.plain(sign.glyph) == sign.ascii for sign in SIGNS.values())


def test_without_colours_the_state_is_a_word_too() -> None:
    node, marks = Node("a", 0, "train", "a"), {"a": Mark("running", "4/10")}
    assert Look(marks).face(node).detail == "4/10"
    assert Look(marks, words=True).face(node).detail == "running 4/10"
