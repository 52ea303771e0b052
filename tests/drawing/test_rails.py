"""One node a row, and lines that say what belongs to what."""

from itertools import pairwise

from hypothesis import given, settings

from drawing.pictures import pictures
from tlimb.drawing import rails
from tlimb.drawing.marks import Mark
from tlimb.drawing.picture import Link, Node, Picture
from tlimb.drawing.segments import Look


def drawn(nodes: str, *links: str) -> str:
    """The rails of nodes of one letter and links of two, without texts."""
    picture = Picture(tuple(Node(name, None, "train", name) for name in nodes), tuple(Link(*link) for link in links))
    return rails.text(rails.lay_out(picture), Look())


def rows(text: str) -> list[str]:
    return [row.rpartition(" ")[0].rstrip() for row in text.splitlines()]


def test_a_chain_is_a_column() -> None:
    assert rows(drawn("abc", "ab", "bc")) == ["○", "○", "○"]


def test_branches_part_and_meet() -> None:
    assert rows(drawn("abcd", "ab", "ac", "bd", "cd")) == ["○", "├─○", "○ │", "○─╯"]


def test_a_line_passes_under_others() -> None:
    assert rows(drawn("abcde", "ab", "bc", "ad", "be")) == ["○", "├─○", "│ ├─○", "○ │", "  ○"]
    assert rows(drawn("abcd", "ab", "ac", "ad", "bd")) == ["○", "├─○", "├─│─○", "○─╯"]


def test_what_stands_right_below_a_node_needs_it() -> None:
    assert rows(drawn("abc", "ab")) == ["○", "○", "  ○"]


@settings(max_examples=100, deadline=None)
@given(pictures())
def test_links_stand_where_nodes_are_and_lanes_are_not_shared(picture: Picture) -> None:
    made = rails.lay_out(picture)
    place = {node.id: row for row, node in enumerate(picture.nodes)}
    assert len(made.routes) == len(picture.links)
    for route in made.routes:
        source, target = place[route.link.source], place[route.link.target]
        assert route.points[0] == (made.columns[source], source)
        assert route.points[-1] == (made.columns[target], target)
        between = range(source + 1, target)
        assert all(made.columns[row] != made.columns[source] for row in between)
    linked = {(link.source, link.target) for link in picture.links}
    for (above, below), (first, second) in zip(pairwise(picture.nodes), pairwise(made.columns), strict=True):
        assert first != second or (above.id, below.id) in linked


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_rows_are_cut_to_the_width(picture: Picture) -> None:
    made = rails.lay_out(picture)
    look = Look({node.id: Mark("running", "epoch 4/10") for node in picture.nodes[1::2]}, words=True, ascii_only=True)
    for row in rails.render(made, look, made.width + 20):
        assert len("".join(segment.text for segment in row)) <= made.width + 20
