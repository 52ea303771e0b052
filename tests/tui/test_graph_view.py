"""The graph pane in an app of its own: what is selected, told and drawn."""

from collections.abc import Mapping

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Offset

from tlimb.drawing.collapse import MANY
from tlimb.drawing.marks import Mark
from tlimb.drawing.picture import Picture, picture
from tlimb.recipe.parse import parse
from tlimb_tui.widgets.graph import GraphView

pytestmark = pytest.mark.asyncio

RECIPE = """pretrain resnet18 on demo.age as brainage
finetune freeze layer4 on demo.sex
evaluate on demo.sex
finetune elastic 0.01 on demo.sex from brainage as pulled
train vit on demo.sex as scratch
rank by val.auroc
"""
MARKS = {"brainage": Mark("done"), "finetune": Mark("running", "4/10")}


def drawn(text: str) -> Picture:
    return picture(parse(text).recipe, data=True)


def siblings(count: int) -> str:
    lines = [f"finetune on demo.sex from pretrain with epochs={n + 1} as s{n}" for n in range(count)]
    return "\n".join(["pretrain resnet18 on demo.age", *lines])


class Host(App[None]):
    """Shows a graph as the app does: what is selected comes back from outside."""

    CSS = "GraphView { height: 1fr; }"

    def __init__(self, shown: Picture, marks: Mapping[str, Mark] = MARKS) -> None:
        super().__init__()
        self.shown, self.marks = shown, marks
        self.told: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield GraphView()

    def on_mount(self) -> None:
        self.graph.show(self.shown, self.marks, None)
        self.graph.focus()

    @property
    def graph(self) -> GraphView:
        return self.query_one(GraphView)

    def on_graph_view_selected(self, message: GraphView.Selected) -> None:
        self.told.append((type(message).__name__, message.node.id))
        self.graph.show(self.shown, self.marks, message.node.id if message.node.number is not None else None)

    def on_graph_view_activated(self, message: GraphView.Activated) -> None:
        self.told.append((type(message).__name__, message.node.id))

    @property
    def selected(self) -> str:
        return self.graph.selected.id if self.graph.selected else ""

    def rows(self) -> list[str]:
        """What is on the screen."""
        return ["".join(segment.text for segment in strip).rstrip() for strip in self.screen._compositor.render_strips()]


async def walk(host: Host, keys: str, size: tuple[int, int] = (120, 30)) -> list[str]:
    """What is selected after each key, and how it is drawn."""
    found = []
    async with host.run_test(size=size) as pilot:
        for key in keys.split():
            await pilot.press({"[": "left_square_bracket", "]": "right_square_bracket"}.get(key, key))
            await pilot.pause()
            found.append(host.selected)
        found.append(host.graph.shown_as)
    return found


async def test_arrows_follow_the_links() -> None:
    host = Host(drawn(RECIPE))
    keys = "right right right right right left left down up end home k l"
    expected = "brainage finetune evaluate rank: rank: evaluate finetune pulled finetune rank: brainage brainage finetune boxes"
    assert await walk(host, keys) == expected.split()


async def test_up_and_down_reach_every_box() -> None:
    found = await walk(Host(drawn(RECIPE)), "home down up right down down")
    assert found == ["brainage", "pulled", "finetune", "evaluate", "scratch", "pulled", "boxes"]


async def test_brackets_go_through_children_and_parents() -> None:
    host = Host(drawn(RECIPE))
    expected = "brainage finetune pulled finetune rank: evaluate scratch pulled evaluate boxes"
    assert await walk(host, "home ] ] ] end [ [ [ [") == expected.split()


async def test_in_rails_up_and_down_are_the_rows() -> None:
    host = Host(drawn(RECIPE))
    expected = "brainage finetune evaluate pulled evaluate finetune brainage rails"
    assert await walk(host, "home down down down up left left", (80, 24)) == expected.split()


async def test_narrow_terminals_show_rails_and_v_changes() -> None:
    host = Host(drawn(RECIPE))
    async with host.run_test(size=(80, 24)) as pilot:
        assert host.rows()[1].split()[:4] == ["├─◐", "finetune", "4/10", "on"]
        await pilot.press("v")
        await pilot.pause()
        assert host.graph.shown_as == "boxes"
        assert host.rows()[0].lstrip().startswith("╭─✔ brainage")
        await pilot.press("v")
        await pilot.resize_terminal(140, 30)
        assert host.graph.shown_as == "rails"


async def test_auto_follows_the_size() -> None:
    host = Host(drawn(RECIPE))
    async with host.run_test(size=(80, 24)) as pilot:
        await pilot.resize_terminal(140, 30)
        await pilot.pause()
        assert host.graph.shown_as == "boxes"
        await pilot.resize_terminal(99, 30)
        await pilot.pause()
        assert host.graph.shown_as == "rails"


async def test_data_sets_come_and_go_and_stay_selected() -> None:
    host = Host(drawn(RECIPE))
    async with host.run_test(size=(120, 30)) as pilot:
        assert not any("demo ─" in row for row in host.rows())
        await pilot.press("x", "home")
        await pilot.pause()
        assert any("demo ━" in row for row in host.rows())
        assert host.selected == "data:demo"
        await pilot.press("x")
        await pilot.pause()
        assert host.selected == ""


async def test_mouse_selects_opens_and_hovers() -> None:
    host = Host(drawn(RECIPE))
    async with host.run_test(size=(120, 30)) as pilot:
        place = host.graph._shape.places["pulled"]
        spot = Offset(place.x + 4, place.y + 1)
        await pilot.hover(GraphView, offset=spot)
        await pilot.pause()
        assert host.graph.tooltip == "pulled\nidle\nfinetune\non demo.sex\nelastic 0.01"
        await pilot.click(GraphView, offset=spot, times=2)
        await pilot.pause()
        assert host.told == [("Selected", "pulled"), ("Selected", "pulled"), ("Activated", "pulled")]
        await pilot.click(GraphView, offset=(100, 28))
        assert host.selected == "pulled"


async def test_enter_activates() -> None:
    host = Host(drawn(RECIPE))
    await walk(host, "right enter")
    assert host.told[-1] == ("Activated", "brainage")


async def test_the_selection_is_scrolled_to() -> None:
    host = Host(drawn(siblings(60)))
    async with host.run_test(size=(120, 12)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        assert any("s59" in row for row in host.rows())
        await pilot.press("home")
        await pilot.pause()
        assert host.graph.scroll_y == 0


async def test_rails_scroll_up_and_down_only() -> None:
    host = Host(drawn(siblings(40)))
    async with host.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        assert (host.graph.shown_as, host.graph.show_vertical_scrollbar, host.graph.show_horizontal_scrollbar) == ("rails", True, False)
        assert max(map(len, host.rows())) <= 60


async def test_letters_and_reasons_of_connect_mode() -> None:
    host = Host(drawn(RECIPE))
    async with host.run_test(size=(120, 30)) as pilot:
        host.graph.letters = {"finetune": ("a", None), "evaluate": ("b", "it trains nothing")}
        await pilot.pause()
        rows = "\n".join(host.rows())
        assert "[a] finetune" in rows
        assert "[b] evaluate" in rows
        assert "it trains" in rows
        host.graph.letters = {}
        await pilot.pause()
        assert "◐ finetune" in "\n".join(host.rows())


async def test_ascii_and_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    host = Host(drawn(RECIPE))
    async with host.run_test(size=(120, 30)) as pilot:
        host.graph.ascii = True
        await pilot.pause()
        rows = "\n".join(host.rows())
        assert rows.isascii()
        assert "running 4/10" in rows


async def test_many_nodes_are_folded_and_opened() -> None:
    host = Host(drawn(siblings(MANY + 50)), {f"s{n}": Mark("failed" if n == 7 else "done") for n in range(MANY + 50)})
    async with host.run_test(size=(120, 30)) as pilot:
        assert [node.id for node in host.graph._shape.picture.nodes] == ["pretrain", "group:s0"]
        assert any("149✔ 1✖" in row for row in host.rows())
        host.graph.show(host.shown, host.marks, "s3")
        assert host.selected == "group:s0"
        await pilot.press("enter")
        await host.workers.wait_for_complete()
        await pilot.pause()
        assert len(host.graph._shape.picture.nodes) == MANY + 51
        assert host.selected == "s3"
        await pilot.press("z")
        await pilot.pause()
        assert host.selected == "group:s0"


async def test_layouts_of_many_nodes_do_not_pile_up() -> None:
    host = Host(drawn(siblings(MANY + 1)))
    async with host.run_test(size=(120, 30)) as pilot:
        host.graph.folded = False
        for count in range(MANY + 2, MANY + 12):
            host.shown = drawn(siblings(count))
            host.graph.show(host.shown, {}, None)
        assert len(host.workers) == 1
        for _ in range(3):
            await host.workers.wait_for_complete()
            await pilot.pause()
        assert len(host.graph._shape.picture.nodes) == MANY + 12


async def test_z_folds_a_small_graph_too() -> None:
    host = Host(drawn(siblings(5)))
    async with host.run_test(size=(120, 30)) as pilot:
        await pilot.press("z")
        await pilot.pause()
        assert len(host.graph._shape.picture.nodes) == 2
        await pilot.press("z")
        await pilot.pause()
        assert len(host.graph._shape.picture.nodes) == 6


async def test_find() -> None:
    host = Host(drawn(RECIPE))
    async with host.run_test(size=(120, 30)):
        assert [node.id for node in host.graph.find("FINE")] == ["finetune", "pulled"]
        assert [node.id for node in host.graph.find("elastic")] == ["pulled"]
        assert host.graph.find("nothing of the kind") == []


async def test_an_empty_picture_says_what_to_do() -> None:
    host = Host(Picture((), ()))
    async with host.run_test(size=(60, 10)) as pilot:
        host.graph.placeholder = "Press a to add a stage."
        await pilot.press("right", "home", "enter", "z")
        await pilot.pause()
        assert host.rows()[0].strip() == "Press a to add a stage."
        assert host.told == []
