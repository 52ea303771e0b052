"""Boxes and lines of random graphs: nothing lies on anything, and every line leads where its link does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from drawing.pictures import cells_of, children, pictures, reached
from tlimb.drawing import boxes, cells
from tlimb.drawing.layout import NARROWEST, WIDEST, lay_out
from tlimb.drawing.lines import drawn
from tlimb.drawing.marks import Mark
from tlimb.drawing.picture import Link, Node, Picture
from tlimb.drawing.segments import Look, Segment

plain_names = st.sampled_from(["a", "finetune", "a longer name", "demo.sex"])
widths = st.sampled_from([None, 40, 80, 120])


def grid(rows: list[list[Segment]]) -> list[list[str]]:
    """The characters of rows, where each is one cell wide."""
    return [list("".join(segment.text for segment in row)) for row in rows]


@settings(max_examples=120, deadline=None)
@given(pictures(names=plain_names), widths)
def test_lines_lead_from_each_box_to_those_it_links_to_and_to_no_other(picture: Picture, width: int | None) -> None:
    layout = lay_out(picture, width)
    rows = grid(boxes.render(layout, Look()))
    wanted = children(picture)
    for box in layout.boxes:
        assert reached(layout, rows, box) == wanted[box.node.id]


@settings(max_examples=120, deadline=None)
@given(pictures(), widths)
def test_no_two_boxes_and_no_box_and_line_have_a_cell_in_common(picture: Picture, width: int | None) -> None:
    layout = lay_out(picture, width)
    covered = cells_of(layout)
    lines = {(x, y) for y, row in drawn(layout.routes, arrows=True).items() for x in row}
    assert not lines & covered.keys()
    assert all(0 <= x < layout.width and 0 <= y < layout.height for x, y in lines | covered.keys())


@settings(max_examples=60, deadline=None)
@given(pictures(), widths)
def test_layout_is_deterministic_and_fits_if_it_can(picture: Picture, width: int | None) -> None:
    layout = lay_out(picture, width)
    assert layout == lay_out(picture, width)
    assert all(NARROWEST <= box.width <= WIDEST for box in layout.boxes)
    if width is not None and layout.width > width:
        assert all(box.width == NARROWEST for box in layout.boxes)


@settings(max_examples=60, deadline=None)
@given(pictures(most=8), st.sampled_from(["idle", "running", "failed", "cached"]), st.booleans(), st.text(max_size=12))
def test_each_row_is_as_wide_as_what_is_on_it(picture: Picture, state: str, ascii_only: bool, detail: str) -> None:
    layout = lay_out(picture, 90)
    marks = {node.id: Mark(state, detail) for node in picture.nodes[::2]}  # type: ignore[arg-type]
    letters = {node.id: ("a", None if place % 2 else "does not fit") for place, node in enumerate(picture.nodes)}
    for look in (Look(marks, words=True, ascii_only=ascii_only), Look(marks, selected="n0", letters=letters, ascii_only=ascii_only)):
        for y, row in enumerate(boxes.render(layout, look)):
            text = "".join(segment.text for segment in row)
            ends = [box.x + box.width for box in layout.boxes if box.y <= y < box.y + box.height]
            assert cells.width(text) >= max(ends, default=0)
            assert cells.width(text) <= layout.width
            assert text.isascii() or not ascii_only


@settings(max_examples=60, deadline=None)
@given(pictures(names=plain_names))
def test_a_node_added_at_the_end_moves_no_box_to_another_layer(picture: Picture) -> None:
    last = picture.nodes[-1]
    added = Node("new", len(picture.nodes), "train", "new", ("on demo.sex",))
    more = lay_out(Picture((*picture.nodes, added), (*picture.links, Link(last.id, "new"))))
    before = {name: place for place, layer in enumerate(lay_out(picture).layers) for name in layer}
    after = {name: place for place, layer in enumerate(more.layers) for name in layer}
    assert [name for name in before if before[name] != after[name]] == []


def test_a_child_added_below_moves_nothing() -> None:
    nodes = [Node(f"n{place}", place, "train", f"n{place}", ("on demo.sex",)) for place in range(6)]
    links = [Link("n0", "n1"), Link("n1", "n2"), Link("n0", "n3"), Link("n3", "n4"), Link("n0", "n5")]
    before = lay_out(Picture(tuple(nodes[:5]), tuple(links[:4])))
    after = lay_out(Picture(tuple(nodes), tuple(links)))
    assert [(box.x, box.y) for box in before.boxes] == [(box.x, box.y) for box in after.boxes[:5]]


def test_a_chain_runs_straight_and_its_source_stands_before_its_first_consumer() -> None:
    nodes = tuple(Node(name, None, "train", name) for name in "abcd")
    layout = lay_out(Picture(nodes, (Link("a", "b"), Link("b", "d"), Link("c", "d"))))
    assert layout.layers == (("a",), ("b", "c"), ("d",))
    straight = [route for route in layout.routes if route.link.source != "c"]
    assert all(len({y for _, y in route.points}) == 1 for route in straight)


def test_wires_that_change_sides_go_around_each_other() -> None:
    nodes = (*(Node(name, None, "train", name) for name in "ab"), *(Node(name, None, "train", name) for name in "cdef"))
    links = (Link("a", "d"), Link("a", "e"), Link("b", "c"), Link("b", "f"))
    layout = lay_out(Picture(nodes, links))
    rows = grid(boxes.render(layout, Look()))
    assert {box.node.id: reached(layout, rows, box) for box in layout.boxes[:2]} == {"a": {"d", "e"}, "b": {"c", "f"}}


def test_a_title_without_width_keeps_its_place() -> None:
    layout = lay_out(Picture((Node("n0", 0, "train", "\ufeff"),), ()), 90)
    for row in boxes.render(layout, Look({"n0": Mark("running", "\ufeff")}, words=True)):
        assert cells.width("".join(segment.text for segment in row)) == layout.width
