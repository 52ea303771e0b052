"""Random pictures, and a reader of drawn ones: it follows the lines as an eye would."""

from hypothesis import strategies as st

from tlimb.drawing.layout import Box, Layout
from tlimb.drawing.picture import Link, Node, Picture

RIGHT, DOWN, LEFT, UP = 1, 2, 4, 8
STEPS = {RIGHT: (1, 0), DOWN: (0, 1), LEFT: (-1, 0), UP: (0, -1)}
BACK = {RIGHT: LEFT, LEFT: RIGHT, UP: DOWN, DOWN: UP}
JOINTS = {"─": 5, "┄": 5, "▶": 5, "│": 10, "┆": 10, "╭": 3, "╮": 6, "╰": 9, "╯": 12, "├": 11, "┤": 14, "┬": 7, "┴": 13, "┼": 15}

titles = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=14)


@st.composite
def pictures(draw: st.DrawFn, most: int = 12, names: st.SearchStrategy[str] = titles) -> Picture:
    """A directed acyclic graph of a few nodes, from without links to dense."""
    count = draw(st.integers(1, most))
    density = draw(st.sampled_from([0.1, 0.25, 0.5, 0.9]))
    nodes = tuple(
        Node(
            f"n{place}",
            place,
            draw(st.sampled_from(["train", "evaluate", "data", "weights", "rank"])),
            draw(names),
            tuple(draw(st.lists(names, max_size=4))),
            draw(st.sampled_from([1, 1, 12])),
        )
        for place in range(count)
    )
    pairs = [(source, target) for target in range(count) for source in range(target)]
    random = draw(st.randoms(use_true_random=False))
    links = tuple(
        Link(f"n{source}", f"n{target}", random.choice(["weights", "weights", "data"]))
        for source, target in pairs
        if random.random() < density
    )
    return Picture(nodes, links)


def children(picture: Picture) -> dict[str, set[str]]:
    """The targets of each node's links."""
    found: dict[str, set[str]] = {node.id: set() for node in picture.nodes}
    for link in picture.links:
        found[link.source].add(link.target)
    return found


def cells_of(layout: Layout) -> dict[tuple[int, int], Box]:
    """The box of each cell that one covers; fails where two do."""
    found: dict[tuple[int, int], Box] = {}
    for box in layout.boxes:
        for y in range(box.y, box.y + box.height):
            for x in range(box.x, box.x + box.width):
                assert (x, y) not in found, f"{box.node.id} lies on {found[x, y].node.id}"
                found[x, y] = box
    return found


def reached(layout: Layout, rows: list[list[str]], box: Box) -> set[str]:
    """The nodes that one gets to from a box along the lines, never back to the left; a line that ends nowhere fails."""
    covered = cells_of(layout)
    start = (box.x + box.width, box.y + 1)
    if _glyph(rows, *start) == " ":
        return set()
    found, seen, todo = set(), set(), [(*start, RIGHT)]
    while todo:
        x, y, way = state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        if (x, y) in covered:
            assert _glyph(rows, x - 1, y) == "▶", "a line ends at a box without an arrow"
            found.add(covered[x, y].node.id)
            continue
        glyph = _glyph(rows, x, y)
        ways = [way] if glyph in "│┆" and way == RIGHT else [turn for turn in (RIGHT, DOWN, UP) if JOINTS.get(glyph, 0) & turn]
        assert glyph in JOINTS, f"the line of {box.node.id} ends nowhere, at {x}, {y}"
        todo += [(x + STEPS[turn][0], y + STEPS[turn][1], turn) for turn in ways if turn != BACK[way]]
    return found


def _glyph(rows: list[list[str]], x: int, y: int) -> str:
    return rows[y][x] if 0 <= y < len(rows) and x < len(rows[y]) else " "
