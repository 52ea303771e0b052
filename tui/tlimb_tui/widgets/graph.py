"""The graph pane: a picture as boxes or rails, with a selection that keys move along the links."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size, Spacing
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tlimb.drawing import boxes, rails
from tlimb.drawing.collapse import MANY, Collapsed, collapse
from tlimb.drawing.layout import lay_out
from tlimb.drawing.marks import IDLE, SIGNS, Mark, fold, with_rank
from tlimb.drawing.picture import Node, Picture
from tlimb.drawing.segments import Look
from tlimb_tui.actions import bindings
from tlimb_tui.widgets.walk import Walk, Way

Mode = Literal["boxes", "rails", "auto"]
Letters = Mapping[str, tuple[str, str | None]]
BOXES_FROM = 100
"""Columns of the terminal from which `auto` means boxes, if they have room."""
NOTHING = Picture((), ())


@dataclass(frozen=True, slots=True)
class Shape:
    """A picture that stands somewhere: drawn as boxes or as rails, with the place of each node."""

    picture: Picture
    drawing: boxes.Drawing | rails.Drawing
    places: Mapping[str, Region]
    size: Size

    @property
    def mode(self) -> Mode:
        return "boxes" if isinstance(self.drawing, boxes.Drawing) else "rails"


def shape(picture: Picture, mode: Mode, width: int, *, wide: bool) -> Shape:
    """Lay a picture out for a pane of that width.

    Args:
        wide: in `auto`, try boxes.
    """
    if mode == "boxes" or (mode == "auto" and wide):
        layout = lay_out(picture, width)
        if mode == "boxes" or layout.width <= width:
            places = {box.node.id: Region(box.x, box.y, box.width, box.height) for box in layout.boxes}
            return Shape(picture, boxes.Drawing(layout), places, Size(layout.width, layout.height))
    drawing = rails.Drawing(rails.lay_out(picture))
    places = {node.id: Region(0, row, width, 1) for row, node in enumerate(picture.nodes)}
    return Shape(picture, drawing, places, Size(1, drawing.height))  # rows are cut: nothing to scroll to


class GraphView(ScrollView, can_focus=True, inherit_bindings=False):
    """The graph of a recipe. It knows pictures and marks, nothing of recipes.

    Show it a picture with its data sets: whether they are drawn, it decides by `data`. Over 100 nodes chains and siblings are folded, and
    the layout is made in a thread.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("graph"),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("shift+left", "scroll_left", "Scroll left", show=False),
        Binding("shift+right", "scroll_right", "Scroll right", show=False),
        Binding("shift+up", "scroll_up", "Scroll up", show=False),
        Binding("shift+down", "scroll_down", "Scroll down", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"graph--{name}" for name in ("edge", "edge-data", "edge-lit", "box", "box-selected", "box-hovered")),
        *(f"graph--{name}" for name in ("title", "text", "dim", "letter", "row")),
        *(f"graph--state-{state}" for state in SIGNS),
    }
    DEFAULT_CSS = """
    GraphView {
        padding: 0 1;
        & > .graph--edge, & > .graph--box { color: $text-muted; }
        & > .graph--edge-data, & > .graph--dim { color: $text-disabled; }
        & > .graph--edge-lit, & > .graph--box-hovered { color: $text-primary; }
        & > .graph--box-selected { color: $text-primary; text-style: bold; }
        & > .graph--title { color: $text; text-style: bold; }
        & > .graph--text { color: $text-muted; }
        & > .graph--letter { color: $text-primary; text-style: bold reverse; }
        & > .graph--row { background: $block-cursor-blurred-background; }
        &:focus > .graph--row { background: $block-cursor-background; color: $block-cursor-foreground; }
        & > .graph--state-idle { color: $text-muted; }
        & > .graph--state-queued { color: $text-secondary; }
        & > .graph--state-running { color: $text-warning; }
        & > .graph--state-done, & > .graph--state-cached { color: $text-success; }
        & > .graph--state-failed, & > .graph--state-problem { color: $text-error; }
    }
    """

    mode: reactive[Mode] = reactive[Mode]("auto")
    ascii: reactive[bool] = reactive(False)
    data: reactive[bool] = reactive(False)
    """Draw data sets and what links from them."""
    folded: reactive[bool | None] = reactive[bool | None](None)
    """Fold chains and siblings; None: over 100 nodes."""
    letters: reactive[Letters] = reactive[Letters](dict)
    """While a link is drawn: the letter of each node and, where it does not fit, the reason."""
    placeholder: reactive[str] = reactive("No stage yet.")
    """What is said where there is nothing to draw."""

    class Told(Message):
        """Something about a node."""

        def __init__(self, view: "GraphView", node: Node) -> None:
            super().__init__()
            self.view, self.node = view, node

        @property
        def control(self) -> "GraphView":
            return self.view

    class Selected(Told):
        """The user selected a node."""

    class Activated(Told):
        """The user wants to do something with a node: enter, or a double click."""

    class Made(Message, bubble=False):
        """A thread has made a layout."""

        def __init__(self, shape: Shape, asked: int) -> None:
            super().__init__()
            self.shape, self.asked = shape, asked

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._whole = NOTHING
        self._marks: Mapping[str, Mark] = {}
        self._selected: str | None = None
        self._hovered: str | None = None
        self._opened: set[str] = set()
        self._collapsed = Collapsed(NOTHING, {})
        self._shape = shape(NOTHING, "rails", 1, wide=False)
        self._walk = Walk(NOTHING, {}, stacked=True)
        self._look = Look()
        self._asked = 0
        self._busy = False

    # ------------------------------------------------------------------ what others call
    def show(self, picture: Picture, marks: Mapping[str, Mark], selected: str | None) -> None:
        """Show a picture, the states in it and the selection. A selected node that has no statement stays selected where None is."""
        kept = next((node for node in picture.nodes if node.id == self._selected and node.number is None), None)
        moved = selected != self._selected
        self._marks, self._selected = marks, selected if selected is not None or kept is None else kept.id
        if picture != self._whole:
            self._whole = picture
            self._arrange()
        elif moved:
            self._reveal()
        self._redraw()

    @property
    def selected(self) -> Node | None:
        """The node that is selected."""
        return self._node(self._shown(self._selected))

    @property
    def shown_as(self) -> Mode:
        """Whether it is drawn as boxes or as rails just now."""
        return self._shape.mode

    def find(self, text: str) -> list[Node]:
        """The nodes whose title or text holds the text, in the order of the recipe; those whose title begins with it first."""
        wanted = text.casefold()
        found = [node for node in self._whole.nodes if any(wanted in words.casefold() for words in (node.title, *node.lines))]
        return sorted(found, key=lambda node: not node.title.casefold().startswith(wanted))

    def select(self, node: str) -> None:
        """Select a node as if the user had."""
        self._selected = node
        self._reveal()
        self._redraw()
        if (found := self.selected) is not None:
            self.post_message(self.Selected(self, found))

    # ------------------------------------------------------------------ arranging
    def _arrange(self) -> None:
        """Lay out anew what is to be seen, in a thread if it is much."""
        if not self.size.width:
            return
        picture = self._whole if self.data else _without_data(self._whole)
        many = len(picture.nodes) > MANY
        folds = many if self.folded is None else self.folded
        self._collapsed = collapse(picture, self._opened) if folds else Collapsed(picture, {})
        self._asked += 1
        asked, shown, mode, width, wide = (
            self._asked,
            self._collapsed.picture,
            self.mode,
            self.size.width,
            self.app.size.width >= BOXES_FROM,
        )
        if len(shown.nodes) <= MANY:
            self._adopt(shape(shown, mode, width, wide=wide))
        elif not self._busy:  # else the one that is being made is followed by another
            self._busy = True
            self.run_worker(lambda: self.post_message(self.Made(shape(shown, mode, width, wide=wide), asked)), thread=True)

    def on_graph_view_made(self, message: Made) -> None:
        self._busy = False
        if message.asked == self._asked:
            self._adopt(message.shape)
        else:
            self._arrange()

    def _adopt(self, made: Shape) -> None:
        self._shape = made
        self._walk = Walk(made.picture, made.places, stacked=made.mode == "rails")
        self._hovered = None
        self.virtual_size = made.size
        other = "rails" if made.mode == "boxes" else "boxes"
        self.border_title = f"graph · {made.mode}"
        self.border_subtitle = f"v {other} · x data edges"
        self._reveal()
        self._redraw()

    def _redraw(self) -> None:
        groups = {group: fold(self._marks.get(node, IDLE).state for node in nodes) for group, nodes in self._collapsed.groups.items()}
        self._look = Look(
            marks={**with_rank(self._whole, self._marks), **groups},
            selected=self._shown(self._selected),
            hovered=self._hovered,
            letters=self.letters,
            words=self.app.no_color,
            ascii_only=self.ascii,
        )
        self.refresh()

    def _reveal(self) -> None:
        place = self._shape.places.get(self._shown(self._selected) or "")
        if place is not None:
            self.scroll_to_region(place, spacing=Spacing(1, 3, 1, 3), animate=False, force=True)

    def _shown(self, node: str | None) -> str | None:
        return None if node is None else self._collapsed.shown(node)

    def _node(self, name: str | None) -> Node | None:
        return next((node for node in self._shape.picture.nodes if node.id == name), None)

    def on_resize(self) -> None:
        self._arrange()

    def watch_mode(self) -> None:
        self._arrange()

    def watch_data(self) -> None:
        self._arrange()

    def watch_folded(self) -> None:
        self._arrange()

    def watch_letters(self) -> None:
        self._redraw()

    def watch_ascii(self) -> None:
        self._redraw()

    # ------------------------------------------------------------------ drawing
    def render_line(self, y: int) -> Strip:
        row, width = y + self.scroll_offset.y, self.size.width
        drawing = self._shape.drawing
        if not self._shape.picture.nodes:
            told = [(self.placeholder, "dim")] if row == 0 else []
        elif isinstance(drawing, boxes.Drawing):
            told = [(segment.text, segment.style) for segment in drawing.line(row, self._look)]
        else:
            told = [(segment.text, segment.style) for segment in drawing.line(row, self._look, width)]
        node = None if self._shape.mode == "boxes" else self._at(0, row)
        chosen = node is not None and node.id == self._look.selected
        base = self._style("row") if chosen else self.rich_style
        segments = [Segment(text, self._style(name) if name and not chosen else base) for text, name in told]
        return Strip(segments).crop_extend(self.scroll_offset.x, self.scroll_offset.x + width, base)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"graph--{name}")

    def _at(self, x: int, y: int) -> Node | None:
        return self._node(next((name for name, place in self._shape.places.items() if place.contains(x, y)), None))

    # ------------------------------------------------------------------ mouse
    def _under(self, event: events.MouseEvent) -> Node | None:
        offset = event.get_content_offset(self)
        return None if offset is None else self._at(*(offset + self.scroll_offset))

    def on_click(self, event: events.Click) -> None:
        node = self._under(event)
        if node is not None:
            self.select(node.id)
            if event.chain == 2:
                self.action_activate()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._hover(self._under(event))

    def on_leave(self) -> None:
        self._hover(None)

    def _hover(self, node: Node | None) -> None:
        if self._hovered != (node.id if node else None):
            self._hovered = node.id if node else None
            self.tooltip = self._told(node) if node else None
            self._redraw()

    def _told(self, node: Node) -> str:
        mark = self._look.marks.get(node.id, IDLE)
        reason = self.letters.get(node.id, ("", None))[1]
        return "\n".join(filter(None, (node.heading, reason or f"{mark.word} {mark.detail}".strip(), *node.lines))).replace("[", "\\[")

    # ------------------------------------------------------------------ keys
    def _go(self, target: str | None) -> None:
        if target is not None:
            self.select(target)

    def _step(self, way: Way) -> None:
        here = self.selected
        nodes = self._shape.picture.nodes
        self._go(self._walk.step(here.id, way) if here else nodes[0].id if nodes else None)

    def action_go_left(self) -> None:
        self._step("left")

    def action_go_right(self) -> None:
        self._step("right")

    def action_go_up(self) -> None:
        self._step("up")

    def action_go_down(self) -> None:
        self._step("down")

    def action_cycle_parents(self) -> None:
        if (here := self.selected) is not None:
            self._go(self._walk.cycle(here.id, children=False))

    def action_cycle_children(self) -> None:
        if (here := self.selected) is not None:
            self._go(self._walk.cycle(here.id, children=True))

    def action_go_first(self) -> None:
        self._go(next((node.id for node in self._shape.picture.nodes), None))

    def action_go_last(self) -> None:
        self._go(next((node.id for node in reversed(self._shape.picture.nodes)), None))

    def action_activate(self) -> None:
        here = self.selected
        if here is not None and here.id in self._collapsed.groups:
            self._open(here.id)
        elif here is not None:
            self.post_message(self.Activated(self, here))
        else:
            raise SkipAction  # whoever is around may know what is selected

    def action_toggle_mode(self) -> None:
        self.mode = "rails" if self.shown_as == "boxes" else "boxes"

    def action_toggle_data(self) -> None:
        self.data = not self.data

    def action_toggle_folds(self) -> None:
        here = self.selected
        if here is not None and here.id in self._collapsed.groups:
            self._open(here.id)
            return
        self._opened.clear()
        folds = bool(self._collapsed.groups)
        self.set_reactive(GraphView.folded, not folds)
        self._arrange()

    def _open(self, group: str) -> None:
        self._opened.add(group)
        self._arrange()


def _without_data(picture: Picture) -> Picture:
    kept = tuple(node for node in picture.nodes if node.kind != "data")
    return Picture(kept, tuple(link for link in picture.links if link.kind != "data"))
