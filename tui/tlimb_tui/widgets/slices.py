"""A scan: three orthogonal slices, a picture, or time series as a carpet, in half blocks or letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from tlimb.catalogue.listing import Dataset, Scan
from tlimb.drawing.bars import columns
from tlimb.drawing.pixels import Colour, Pixels
from tlimb.run.look import Looker
from tlimb.run.subjects import caption
from tlimb_tui.actions import bindings
from tlimb_tui.views import View

MARK = 0.8
"""How much of a pixel of a tick is the colour of the mark."""
TICK = 8
"""Part of an image that a tick is long."""
HEAD = (0.84, 1.0, 0.8)
"""A head from left to right, back to front, below to above; for a first guess of the arrangement."""
LINES = 5
"""Rows for the time series of one region."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How three slices share a pane: slices beside each other, and the cells that each may have."""

    across: int
    width: int
    height: int


def arrange(width: int, height: int) -> Arrangement:
    """The arrangement that shows a head largest; each slice has a line above and below and a column at both sides."""
    best, scale = Arrangement(3, 4, 2), 0.0
    for across, down in ((3, 1), (2, 2), (1, 3)):
        cells, rows = width // across - 3, height // down - 2
        wide, high, deep = HEAD
        found = min(cells / max(wide, high), 2 * rows / max(high, deep))
        if found > scale:
            best, scale = Arrangement(across, max(4, cells), max(2, rows)), found
    return best


class Slices(View, can_focus=True):
    """Shows one scan; keys and clicks move the place that is looked at."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("scan")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"slices--letter", "slices--said"}
    DEFAULT_CSS = """
    Slices { height: 1fr; }
    Slices > .slices--letter { color: $text-muted; }
    Slices > .slices--said { color: $foreground; }
    """

    class Looked(Message):
        """A scan is shown, or why it is not."""

        def __init__(self, said: str) -> None:
            super().__init__()
            self.said = said

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.looker = Looker()
        self.dataset: Dataset | None = None
        self.scan: Scan | None = None
        self.channel = self.frame = 0
        self.at: list[int] | None = None
        self.said: dict[str, Any] = {}
        self._lines: list[Strip] = []
        self._places: list[tuple[int, int, Pixels]] = []
        """Column, row and image of each slice, for clicks."""
        self._asking = False
        self._asked: object = None

    # ------------------------------------------------------------------ asking
    def show(self, dataset: Dataset | None, scan: Scan | None) -> None:
        """Show a scan, or nothing."""
        if scan is self.scan and dataset is self.dataset:
            return
        self.dataset, self.scan = dataset, scan
        self.channel = self.frame = 0
        self.at = None
        self._ask()

    def on_resize(self, _event: events.Resize) -> None:
        """Ask for other sizes."""
        self._ask()

    def on_unmount(self) -> None:
        """The process that reads goes too."""
        self.looker.close()

    def notify_style_update(self) -> None:
        """Colours of another theme."""
        super().notify_style_update()
        if self.is_mounted:
            self._build()

    def _ask(self) -> None:
        """Ask for what is to be shown now, unless a question is open: then again when it is answered."""
        if not self.is_mounted or self.size.width < 6 or self.size.height < 3:
            return
        if self.dataset is None or self.scan is None:
            self.said = {}
            self._build()
            return
        if self._asking:
            return
        dataset, scan, channel, frame, at = self.dataset, self.scan, self.channel, self.frame, self.at
        size = self._room()
        asked = (id(scan), channel, frame, tuple(at) if at else None, size)
        if asked == self._asked and self.said:
            return
        self._asking = True

        def ask() -> None:
            try:
                said = self.looker.look(dataset, scan, size=size, channel=channel, frame=frame, at=at)
            except Exception as error:  # told in the pane, whatever it is
                said = {"error": str(error)}
            if self.app.is_running:
                self.app.call_from_thread(self._answered, asked, said)

        self.run_worker(ask, thread=True, group="looks", exit_on_error=False)

    def _answered(self, asked: tuple[Any, ...], said: dict[str, Any]) -> None:
        self._asking = False
        if not self.is_mounted:
            return
        self._asked, self.said = asked, said
        if self.at is not None and said.get("at"):
            self.at = list(said["at"])
        self._build()
        now = (id(self.scan), self.channel, self.frame, tuple(self.at) if self.at else None, self._room())
        if (
            now[:3] != asked[:3]
            or now[4] != asked[4]
            or (self.at is not None and list(asked[3] or ()) != self.at and not said.get("error"))
        ):
            self._ask()

    def _room(self) -> tuple[int, int]:
        """Pixels for a slice, or for the whole where there is one image only."""
        width, height = self.size.width, self.size.height
        if self.said.get("kind") == "series" and self._same():
            return width - 2, max(2, height - 2 * (LINES + 1) - 1) * 2
        if self.said.get("kind") == "picture" and self._same():
            return width - 2, max(2, height - 1) * (1 if self.tlimb.ascii_only else 2)
        found = arrange(width, height)
        return found.width, found.height * 2

    def _same(self) -> bool:
        return isinstance(self._asked, tuple) and self._asked[0] == id(self.scan)

    # ------------------------------------------------------------------ drawing
    def _build(self) -> None:
        self._places = []
        width = self.size.width
        if not self.scan:
            self._lines = self._text(["no scan is chosen"])
        elif "error" in self.said:
            self._lines = self._text(_wrapped(self.said["error"], width))
        elif not self.said:
            self._lines = self._text(["reading …"])
        else:
            planes = [Pixels.read(plane) for plane in self.said["planes"]]
            self._lines = self._series(planes[0]) if self.said["kind"] == "series" else self._planes(planes)
        told = (
            ""
            if not self.scan
            else self.said.get("error") or (caption(self.said, self.scan.images[self.channel].name) if self.said else "")
        )
        self.post_message(self.Looked(str(told)))
        self.refresh()

    def _text(self, lines: Sequence[str]) -> list[Strip]:
        style = self.get_component_rich_style("slices--said")
        return [Strip([Segment(line, style)]) for line in lines]

    def _planes(self, planes: Sequence[Pixels]) -> list[Strip]:
        across = arrange(self.size.width, self.size.height).across if len(planes) > 1 else 1
        lines: list[Strip] = []
        for start in range(0, len(planes), across):
            row = planes[start : start + across]
            blocks, column = [], 0
            for plane in row:
                self._places.append((column + 1, len(lines) + (1 if len(planes) > 1 else 0), plane))
                blocks.append(self._block(plane, framed=len(planes) > 1))
                column += plane.width + 3
            height = max(len(block) for block in blocks)
            for number in range(height):
                segments: list[Segment] = []
                for plane, block in zip(row, blocks, strict=True):
                    strip = block[number] if number < len(block) else Strip.blank(plane.width + 2)
                    segments += [*strip, Segment(" ")]
                lines.append(Strip(segments))
        return lines

    def _block(self, plane: Pixels, *, framed: bool) -> list[Strip]:
        letter = self.get_component_rich_style("slices--letter")
        left, right, upper, lower = tuple(plane.border or "    ")
        rows = self._rows(plane)
        middle = len(rows) // 2
        lines = [
            Strip([Segment(left if number == middle else " ", letter), *row, Segment(right if number == middle else " ", letter)])
            for number, row in enumerate(rows)
        ]
        if not framed:
            return lines
        head = f"{plane.name} {upper}".strip()[: plane.width + 2].center(plane.width + 2)
        return [Strip([Segment(head, letter)]), *lines, Strip([Segment(lower.center(plane.width + 2), letter)])]

    def _rows(self, plane: Pixels) -> list[list[Segment]]:
        if self.tlimb.ascii_only:
            return [[Segment(row)] for row in plane.letters()]
        mark = _colour(self.app.theme_variables.get("accent", "#ffaa00"))
        found = []
        for number, row in enumerate(plane.half_blocks()):
            segments = []
            for place, (upper, lower) in enumerate(row):
                above = _mixed(upper, mark) if _ticked(plane, place, 2 * number) else upper
                below = _mixed(lower, mark) if lower and _ticked(plane, place, 2 * number + 1) else lower
                segments.append(Segment("▀", _style(above, below)))
            found.append(segments)
        return found

    def _series(self, plane: Pixels) -> list[Strip]:
        self._places.append((1, 0, plane))
        lines = [Strip([Segment(" "), *row]) for row in self._rows(plane)]
        letter = self.get_component_rich_style("slices--letter")
        region = (self.said.get("at") or [0])[0]
        for name, values in ((f"region {region + 1} of {self.said['shape'][0]}", "region"), ("mean of all regions", "mean")):
            lines.append(Strip([Segment(f" {name}, {self.said['shape'][1]} time points", letter)]))
            lines += self._text([f" {row}" for row in _line(self.said["lines"][values], plane.width, ascii_only=self.tlimb.ascii_only)])
        return lines

    def render_line(self, y: int) -> Strip:
        """A line of what was built."""
        strip = self._lines[y] if y < len(self._lines) else Strip.blank(0)
        return strip.adjust_cell_length(self.size.width).apply_style(self.rich_style)

    # ------------------------------------------------------------------ moving
    def _move(self, axis: int, step: int) -> None:
        kind, shape = self.said.get("kind"), self.said.get("shape")
        if kind == "series" and axis == 1 and shape:
            here = (self.at or self.said.get("at") or [0])[0]
            self.at = [min(max(0, here - step), shape[0] - 1)]
        elif kind == "volume" and shape:
            place = list(self.at or self.said["at"])
            place[axis] = min(max(0, place[axis] + step * max(1, shape[axis] // 50)), shape[axis] - 1)
            self.at = place
        else:
            return
        self._ask()

    def action_look_right(self) -> None:
        """To the right."""
        self._move(0, 1)

    def action_look_left(self) -> None:
        """To the left."""
        self._move(0, -1)

    def action_look_front(self) -> None:
        """To the front."""
        self._move(1, 1)

    def action_look_back(self) -> None:
        """To the back."""
        self._move(1, -1)

    def action_look_up(self) -> None:
        """Up."""
        self._move(2, 1)

    def action_look_down(self) -> None:
        """Down."""
        self._move(2, -1)

    def action_look_middle(self) -> None:
        """To the middle."""
        shape = self.said.get("shape")
        if shape:
            self.at = [0] if self.said["kind"] == "series" else [side // 2 for side in shape]
            self._ask()

    def action_next_volume(self) -> None:
        """The next volume."""
        self._turn(1)

    def action_last_volume(self) -> None:
        """The volume before."""
        self._turn(-1)

    def _turn(self, step: int) -> None:
        frames = int(self.said.get("frames") or 1)
        if frames > 1:
            self.frame = (self.frame + step) % frames
            self._ask()

    def action_next_channel(self) -> None:
        """The next image of the scan."""
        if self.scan is not None and len(self.scan.images) > 1:
            self.channel = (self.channel + 1) % len(self.scan.images)
            self.frame = 0
            self._ask()

    def on_click(self, event: events.Click) -> None:
        """Look at the place that was clicked."""
        shape: Sequence[int] = self.said.get("shape") or ()
        for left, top, plane in self._places:
            column, line = event.x - left, 2 * (event.y - top)
            if not (0 <= column < plane.width and 0 <= line < plane.height + 1):
                continue
            across, down = (column + 0.5) / plane.width, min(1.0, (line + 1) / plane.height)
            if self.said["kind"] == "series":
                self.at = [min(shape[0] - 1, int(down * shape[0]))]
            elif self.said["kind"] == "volume":
                place = list(self.at or self.said["at"])
                first, second = {"sagittal": (1, 2), "coronal": (0, 2), "axial": (0, 1)}[plane.name]
                place[first] = min(shape[first] - 1, int(across * shape[first]))
                place[second] = min(shape[second] - 1, max(0, int((1 - down) * shape[second])))
                self.at = place
            self._ask()
            return


def _line(values: Sequence[float], width: int, *, ascii_only: bool) -> list[str]:
    """Values as columns of a given width."""
    if not values:
        return []
    low, high = min(values), max(values)
    part = len(values) / max(1, min(width, len(values)))
    means = []
    for number in range(min(width, len(values))):
        piece = values[int(number * part) : max(int(number * part) + 1, int((number + 1) * part))]
        means.append(sum(piece) / len(piece))
    span = (high - low) or 1.0
    return columns([0.05 + 0.95 * (mean - low) / span for mean in means], LINES, max(1, width // len(means)), ascii_only=ascii_only)


def _ticked(plane: Pixels, column: int, row: int) -> bool:
    """Whether a pixel belongs to the ticks that show the place that is looked at: they do not cover it."""
    if plane.cross is None:
        return False
    wide, high = max(1, plane.width // TICK), max(1, plane.height // TICK)
    beside = column < wide or column >= plane.width - wide
    above = row < high or row >= plane.height - high
    return (row == plane.cross[1] and beside) or (column == plane.cross[0] and above)


def _style(above: Colour, below: Colour | None) -> Style:
    return Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below) if below else None)


def _mixed(colour: Colour, mark: Colour) -> Colour:
    red, green, blue = (round((1 - MARK) * one + MARK * other) for one, other in zip(colour, mark, strict=True))
    return red, green, blue


def _colour(text: str) -> Colour:
    triplet = Color.parse(text).get_truecolor()
    return triplet.red, triplet.green, triplet.blue


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return [line for part in text.splitlines() for line in textwrap.wrap(part, max(10, width)) or [""]]


def facts(said: Mapping[str, Any]) -> str:
    """What a scan is, without its name."""
    return caption(said, "").removeprefix(": ")
