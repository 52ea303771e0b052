"""Curves over epochs, as a plot or as a table of the same numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import DataTable, Static
from textual_plot import HiResMode, LegendLocation, PlotWidget

from tlimb_tui.views import View

COLOURS = ("primary", "accent", "success", "secondary", "warning", "error")
MOST = 6
"""Curves in one plot; more cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: a value per epoch from 1, NaN where there is none."""

    label: str
    values: Sequence[float] = field(repr=False)

    @property
    def points(self) -> tuple[list[float], list[float]]:
        """Epochs and values of what is known."""
        known = [(epoch, value) for epoch, value in enumerate(self.values, 1) if math.isfinite(value)]
        return [float(epoch) for epoch, _ in known], [value for _, value in known]


class Plot(PlotWidget, inherit_bindings=False, can_focus=False):
    """A plot without keys of its own: what moves in it would hide which epochs are shown."""


class Curves(View):
    """Shows curves; `table` says whether as a table. Where there are only ASCII characters, or no colours, it is always one."""

    DEFAULT_CSS = """
    Curves { layout: vertical; }
    Curves #curves-title { height: 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    Curves Plot { height: 1fr; }
    Curves Plot > .plot--axis, Curves Plot:focus > .plot--axis { color: $border-blurred; }
    Curves Plot > .plot--tick { color: $text-muted; text-style: none; }
    Curves Plot > .plot--label { color: $text-muted; text-style: none; }
    Curves Plot #legend { border: none; background: $surface; color: $foreground; }
    Curves DataTable { height: 1fr; background: $background; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.table = False
        self.title = ""
        self.curves: tuple[Curve, ...] = ()
        self._nothing = ""
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        yield Static(id="curves-title", markup=False)
        yield Plot(allow_pan_and_zoom=False)
        yield DataTable(cursor_type="none", zebra_stripes=True, show_cursor=False)

    def on_mount(self) -> None:
        plot = self.query_one(Plot)
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 2, 8
        self._draw()

    def show(self, title: str, curves: Sequence[Curve], *, nothing: str = "") -> None:
        """Show these curves.

        Args:
            title: What they are of.
            curves: The lines; only the first few are drawn, the table has all.
            nothing: What to say where there are none.
        """
        self.title, self.curves, self._nothing = title, tuple(curves), nothing
        self._draw()

    def toggle_table(self) -> None:
        """The other of plot and table."""
        self.table = not self.table
        if self.plain and not self.table:
            self.tlimb.say("curves are told apart by colours and dots, which this terminal has not: the table says the same")
        self._draw()

    @property
    def plain(self) -> bool:
        """Whether lines could not be told apart, so that there is only a table."""
        return self.tlimb.ascii_only or (self.app.no_color and len(self.curves) > 1)

    def on_resize(self) -> None:
        """A plot needs room."""
        self._draw()

    def notify_style_update(self) -> None:
        """Colours of another theme."""
        super().notify_style_update()
        if self.is_mounted:
            self._drawn = None
            self._draw()

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        known = [curve for curve in self.curves if curve.points[0]]
        as_table = bool(known) and (self.table or self.plain or self.size.height < 8 or self.size.width < 30)
        state = (self.title, self.curves, self._nothing, as_table, self.size, self.app.theme)
        if state == self._drawn:
            return
        self._drawn = state
        plot, table = self.query_one(Plot), self.query_one(DataTable)
        plot.display, table.display = bool(known) and not as_table, as_table
        self.query_one("#curves-title", Static).update(self.title if known else self._nothing or self.title)
        if as_table:
            self._fill(table, known)
        elif known:
            self._plot(plot, known)

    def _plot(self, plot: Plot, curves: Sequence[Curve]) -> None:
        colours = [self.app.theme_variables.get(name, "white") for name in COLOURS]
        plot.clear()
        last = max(curve.points[0][-1] for curve in curves)
        for place, curve in enumerate(curves[:MOST]):
            epochs, values = curve.points
            style = colours[place % len(colours)]
            if len(epochs) == 1:
                plot.scatter(epochs, values, marker="o", marker_style=style, label=curve.label)
            else:
                plot.plot(epochs, values, line_style=style, hires_mode=HiResMode.BRAILLE, label=curve.label)
        plot.set_xlimits(1, max(last, 2))
        shown = [value for curve in curves[:MOST] for value in curve.points[1]]
        low, high = min(shown), max(shown)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 0.05
        # The legend stands above the lines, not on them.
        rows, legend = max(1, self.size.height - 5), min(len(curves), MOST)
        above = (high - low + 2 * room) * legend / (rows - legend) if 2 * legend < rows else 0.0
        plot.set_ylimits(low - room, high + room + above)
        step = max(1, math.ceil(last / 8))
        plot.set_xticks([float(epoch) for epoch in range(1, int(max(last, 2)) + 1, step)])
        plot.set_xlabel("epoch")
        plot.show_legend(location=LegendLocation.TOPRIGHT, is_visible=2 * legend < rows)
        if len(curves) > MOST:
            self.query_one("#curves-title", Static).update(f"{self.title} (the first {MOST} of {len(curves)}; the table has all)")

    def _fill(self, table: "DataTable[Text]", curves: Sequence[Curve]) -> None:
        offset = table.scroll_offset
        table.clear(columns=True)
        table.add_column("epoch")
        for curve in curves:
            table.add_column(Text(curve.label))
        for epoch in range(max(len(curve.values) for curve in curves)):
            cells = [curve.values[epoch] if epoch < len(curve.values) else math.nan for curve in curves]
            table.add_row(Text(str(epoch + 1)), *(Text(f"{value:.4g}" if math.isfinite(value) else "", justify="right") for value in cells))
        table.scroll_to(offset.x, offset.y, animate=False)


def choices(history: Mapping[str, Sequence[float]], monitor: str) -> list[str]:
    """What of a history can be drawn, the most telling first: the monitored metric, the loss, other metrics, the learning rate."""
    metrics = [name for name in history if name.startswith("val.") and name != "val.loss"]
    ordered = sorted(metrics, key=lambda name: name != monitor)
    losses = ["loss"] if {"train.loss", "val.loss"} & history.keys() else []
    rest = [name for name in ("lr",) if name in history]
    return [*ordered[:1], *losses, *ordered[1:], *rest] if ordered[:1] == [monitor] else [*losses, *ordered, *rest]


def chosen(history: Mapping[str, Sequence[float]], choice: str) -> list[Curve]:
    """The curves of a choice: of the loss both."""
    names = ("train.loss", "val.loss") if choice == "loss" else (choice,)
    return [Curve(name, history[name]) for name in names if name in history]
