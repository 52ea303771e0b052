"""Charts as SVG text: pure functions of numbers and labels. Colours are classes (`s0`…`s5`): the page gives them light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

SERIES = 6
"""How many colours the page's style has; more series are drawn faint."""
_FEW, _MOST_WHISKERS, _REFERENCE_ROOM = 8, 40, 130
_WIDTH, _HEIGHT = 420, 290
_LEFT, _TOP, _BOTTOM = 58, 14, 46


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; `colour` is an index into the series' colours, None draws it faint and without a label."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int | None = 0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval in a forest chart."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    colour: int = 0


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten) that lie within the range."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within the range; with 2 and 5 between them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low >= 100 else (1, 2, 5)
    found = [10.0**power * factor for power in powers for factor in factors]
    return [tick for tick in found if low * 0.999 <= tick <= high * 1.001] or [low, high]


def line_chart(lines: Sequence[Line], *, title: str, x_label: str, y_label: str, mark: tuple[float, str] | None = None) -> str:
    """Curves over a common axis, each with its name at its right end; `mark` is a vertical line with a word."""
    xs = [x for line in lines for x, y in zip(line.x, line.y, strict=False) if math.isfinite(y)]
    ys = [y for line in lines for y in line.y if math.isfinite(y)]
    if not ys:
        return _empty(title)
    named = [line for line in lines if line.colour is not None and line.label]
    right = 12 + (7 * max((len(line.label) for line in named), default=0) if len(named) > 1 else 0)
    frame = _Frame(_span(xs), _span(ys, pad=0.06), right=min(right, 150))
    parts = [frame.axes(x_label, y_label)]
    if mark and min(xs) <= mark[0] <= max(xs):
        x = frame.x(mark[0])
        parts.append(f'<path class="mark" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
        anchor = "start" if x < frame.centre else "end"
        parts.append(_text(x + (4 if anchor == "start" else -4), _TOP + 10, mark[1], "tick", anchor))
    ends: list[tuple[float, Line]] = []
    for line in sorted(lines, key=lambda line: line.colour is not None):
        points = [(frame.x(x), frame.y(y)) for x, y in zip(line.x, line.y, strict=False) if math.isfinite(y)]
        if not points:
            continue
        style = f"line {_series(line.colour)}" + (" dashed" if line.dashed else "")
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("h.1" if len(points) == 1 else "")
        parts.append(f'<path class="{style}" d="{path}">{_title(line.label)}</path>')
        if line in named:
            ends.append((points[-1][1], line))
    if len(named) > 1:
        for y, line in _spread(ends, 13, _TOP + 6, _HEIGHT - _BOTTOM):
            parts.append(_text(frame.right + 5, y + 4, line.label, f"name {_series(line.colour)}"))
    return _svg(title, _WIDTH, _HEIGHT, parts)


def scatter_chart(x: Sequence[float], y: Sequence[float], *, title: str, x_label: str, y_label: str) -> str:
    """Predicted against true on equal axes, with the line where they agree."""
    if not x:
        return _empty(title)
    span = _span([*x, *y], pad=0.04)
    frame = _Frame(span, span)
    low, high = span
    identity = f'<path class="mark" d="M{frame.x(low):.1f} {frame.y(low):.1f}L{frame.x(high):.1f} {frame.y(high):.1f}"/>'
    # One path of dots: a thousand people are a few kilobytes, and no dot can be asked who it is.
    dots = "".join(f"M{frame.x(a):.1f} {frame.y(b):.1f}h0" for a, b in zip(x, y, strict=True))
    return _svg(title, _WIDTH, _HEIGHT, [frame.axes(x_label, y_label), identity, f'<path class="dots s0" d="{dots}"/>'])


def roc_chart(curves: Sequence[Line], *, title: str) -> str:
    """Receiver operating characteristic, with the diagonal of guessing."""
    frame = _Frame((0.0, 1.0), (0.0, 1.0))
    parts = [frame.axes("false positive rate", "true positive rate")]
    parts.append(f'<path class="mark" d="M{frame.x(0):.1f} {frame.y(0):.1f}L{frame.x(1):.1f} {frame.y(1):.1f}"/>')
    for index, curve in enumerate(curves):
        path = "M" + "L".join(f"{frame.x(a):.1f} {frame.y(b):.1f}" for a, b in zip(curve.x, curve.y, strict=True))
        parts.append(f'<path class="line {_series(curve.colour)}" d="{path}">{_title(curve.label)}</path>')
        y = frame.y(0.06) - 14 * (len(curves) - 1 - index)
        parts.append(_text(frame.right - 6, y, curve.label, f"name {_series(curve.colour)}", "end"))
    return _svg(title, _WIDTH, _HEIGHT, parts)


def confusion_chart(cells: Sequence[Sequence[int]], classes: Sequence[str], *, title: str) -> str:
    """Counts of true (rows) and predicted (columns) classes; the shade is the share of the row."""
    size = len(classes)
    left, top = 104, 46
    cell = min(86.0, (_WIDTH - left - 10) / size)
    height = math.ceil(top + cell * size + 10)
    parts = [_text(left + cell * size / 2, 16, "predicted", "label", "middle")]
    parts.append(f'<g transform="translate(14 {top + cell * size / 2:.1f}) rotate(-90)">{_text(0, 0, "true", "label", "middle")}</g>')
    for column, name in enumerate(classes):
        parts.append(_text(left + cell * (column + 0.5), top - 10, _short(name, int(cell / 7)), "tick", "middle"))
    for row, (name, counts) in enumerate(zip(classes, cells, strict=True)):
        y, total = top + cell * row, sum(counts)
        parts.append(_text(left - 8, y + cell / 2 + 4, _short(name, 11), "tick", "end"))
        for column, count in enumerate(counts):
            share = count / total if total else 0.0
            x = left + cell * column
            words = f"{count} of {total} {name} called {classes[column]} ({share:.0%})"
            parts.append(
                f'<g><rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{cell - 2:.1f}" height="{cell - 2:.1f}" rx="3" '
                f'fill-opacity="{0.06 + 0.7 * share:.2f}"/>{_title(words)}'
                f"{_text(x + cell / 2 - 1, y + cell / 2 + (0 if cell > 44 else 4), str(count), 'count', 'middle')}"
                + (_text(x + cell / 2 - 1, y + cell / 2 + 16, f"{share:.0%}", "share", "middle") if cell > 44 else "")
                + "</g>"
            )
    return _svg(title, _WIDTH, height, parts)


def forest_chart(bars: Sequence[Bar], references: Sequence[tuple[str, float]], *, title: str, x_label: str) -> str:
    """A row per candidate: value and interval; baselines are vertical lines."""
    if not bars:
        return _empty(title)
    width, right, row = 800, 20, 24
    labels = [_short(bar.label, 46) for bar in bars]
    left = 24 + round(6.2 * max(map(len, labels)))
    top = 12 + 15 * len(references)
    height = top + row * len(bars) + _BOTTOM
    values = [v for bar in bars for v in (bar.value, bar.low, bar.high) if v is not None] + [value for _, value in references]
    frame = _Frame(_span(values, pad=0.05), (0.0, 1.0), width=width, height=height, left=left, right=right, top=top)
    parts = [frame.axes(x_label, "", vertical=False)]
    # All labels go to one side and the line nearest to that side starts lowest, so that no line crosses a label.
    leftwards = min((frame.x(value) for _, value in references), default=0) - left > _REFERENCE_ROOM
    for index, (name, value) in enumerate(sorted(references, key=lambda reference: reference[1], reverse=leftwards)):
        x, top_y = frame.x(value), 14 + 15 * index
        parts.append(f'<path class="mark" d="M{x:.1f} {top_y}V{height - _BOTTOM}"/>')
        parts.append(_text(x + (-5 if leftwards else 5), top_y, name, "tick", "end" if leftwards else "start"))
    for index, (bar, label) in enumerate(zip(bars, labels, strict=True)):
        y = top + row * (index + 0.5)
        words, whisker = f"{bar.label}: {bar.value:.4g}", ""
        if bar.low is not None and bar.high is not None:
            words += f" [{bar.low:.4g}, {bar.high:.4g}]"
            whisker = f'<path class="whisker {_series(bar.colour)}" d="M{frame.x(bar.low):.1f} {y}H{frame.x(bar.high):.1f}"/>'
        parts.append(_text(left - 10, y + 4, label, "tick", "end"))
        dot = f'<circle class="dot {_series(bar.colour)}" cx="{frame.x(bar.value):.1f}" cy="{y}" r="4.5"/>'
        parts.append(f"<g>{whisker}{dot}{_title(words)}</g>")
    return _svg(title, width, height, parts)


def sweep_chart(points: Sequence[tuple[object, Bar]], *, title: str, x_label: str, y_label: str) -> str:
    """A metric against the value of one setting: few values side by side, many on an axis (logarithmic over two decades)."""
    if not points:
        return _empty(title)
    keys = [key for key, _ in points]
    numbers = [float(key) for key in keys if isinstance(key, int | float) and not isinstance(key, bool)]
    continuous = len(numbers) == len(keys) and len(set(numbers)) > _FEW
    places, span, ticks = _axis(numbers) if continuous else _slots(keys, [bar.colour for _, bar in points])
    whiskers = len(points) <= _MOST_WHISKERS
    values = [v for _, bar in points for v in (bar.value, *((bar.low, bar.high) if whiskers else ())) if v is not None]
    frame = _Frame(span, _span(values, pad=0.06))
    if not continuous:
        room = max(3, int((frame.right - frame.left) / len(ticks) / 6.5))
        ticks = [(place, _short(word, room)) for place, word in ticks]
    parts = [frame.axes(x_label, y_label, x_ticks=ticks)]
    for place, (key, bar) in zip(places, points, strict=True):
        x, whisker = frame.x(place), ""
        if whiskers and bar.low is not None and bar.high is not None:
            whisker = f'<path class="whisker thin {_series(bar.colour)}" d="M{x:.1f} {frame.y(bar.low):.1f}V{frame.y(bar.high):.1f}"/>'
        dot = f'<circle class="dot {_series(bar.colour)}" cx="{x:.1f}" cy="{frame.y(bar.value):.1f}" r="4"/>'
        parts.append(f"<g>{whisker}{dot}{_title(f'{bar.label}: {bar.value:.4g} at {_word(key)}')}</g>")
    return _svg(title, _WIDTH, _HEIGHT, parts)


def _axis(numbers: Sequence[float]) -> tuple[list[float], tuple[float, float], list[tuple[float, str]]]:
    """Places, range and ticks of numbers."""
    low, high = min(numbers), max(numbers)
    if low > 0 and high / low >= 30:
        places = [math.log10(number) for number in numbers]
        return places, _span(places, pad=0.08), [(math.log10(tick), f"{tick:g}") for tick in log_ticks(low, high)]
    span = _span(numbers, pad=0.08)
    return list(numbers), span, [(tick, f"{tick:g}") for tick in nice_ticks(*span)]


def _slots(keys: Sequence[object], colours: Sequence[int]) -> tuple[list[float], tuple[float, float], list[tuple[float, str]]]:
    """A slot for each value in the order given; inside it each colour has a place of its own, so that dots do not cover each other."""
    words = list(dict.fromkeys(map(_word, keys)))
    groups = sorted(set(colours))
    step = min(0.16, 0.7 / len(groups))
    places = [words.index(_word(key)) + step * (groups.index(c) - (len(groups) - 1) / 2) for key, c in zip(keys, colours, strict=True)]
    return places, (-0.5, len(words) - 0.5), [(float(index), word) for index, word in enumerate(words)]


class _Frame:
    """The plotting area: data to pixels, axes, ticks."""

    def __init__(
        self,
        xs: tuple[float, float],
        ys: tuple[float, float],
        *,
        width: int = _WIDTH,
        height: int = _HEIGHT,
        left: int = _LEFT,
        right: int = 12,
        top: int = _TOP,
    ) -> None:
        self.xs, self.ys = xs, ys
        self.left, self.right, self.top, self.bottom = left, width - right, top, height - _BOTTOM
        self.centre = (self.left + self.right) / 2

    def x(self, value: float) -> float:
        return self.left + (value - self.xs[0]) / (self.xs[1] - self.xs[0]) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.ys[0]) / (self.ys[1] - self.ys[0]) * (self.bottom - self.top)

    def axes(self, x_label: str, y_label: str, *, vertical: bool = True, x_ticks: Sequence[tuple[float, str]] | None = None) -> str:
        parts = [f'<path class="axis" d="M{self.left} {self.bottom}H{self.right}"/>']
        for place, word in x_ticks if x_ticks is not None else [(t, f"{t:g}") for t in nice_ticks(*self.xs)]:
            x = self.x(place)
            parts.append(f'<path class="grid" d="M{x:.1f} {self.top}V{self.bottom}"/>{_text(x, self.bottom + 16, word, "tick", "middle")}')
        for tick in nice_ticks(*self.ys) if vertical else ():
            y = self.y(tick)
            parts.append(
                f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>{_text(self.left - 6, y + 4, f"{tick:g}", "tick", "end")}'
            )
        parts.append(_text(self.centre, self.bottom + 36, x_label, "label", "middle"))
        if y_label:
            middle = (self.top + self.bottom) / 2
            parts.append(f'<g transform="translate(13 {middle:.1f}) rotate(-90)">{_text(0, 0, y_label, "label", "middle")}</g>')
        return "".join(parts)


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{_title(title)}{"".join(parts)}</svg>'
    )


def _empty(title: str) -> str:
    return _svg(title, _WIDTH, 60, [_text(_WIDTH / 2, 34, "nothing to draw", "label", "middle")])


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _series(colour: int | None) -> str:
    return "faint" if colour is None or colour >= SERIES else f"s{colour}"


def _span(values: Sequence[float], pad: float = 0.0) -> tuple[float, float]:
    """The range of values with a margin; never empty."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    return low - pad * (high - low), high + pad * (high - low)


def _spread(ends: Sequence[tuple[float, Line]], gap: float, top: float, bottom: float) -> list[tuple[float, Line]]:
    """Move labels apart that would lie on each other, keeping their order."""
    placed: list[tuple[float, Line]] = []
    for y, line in sorted(ends, key=lambda end: end[0]):
        placed.append((max(y, placed[-1][0] + gap) if placed else max(y, top), line))
    over = placed[-1][0] - bottom if placed else 0.0
    return [(y - over, line) for y, line in placed] if over > 0 else placed


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(1, length - 1)] + "…"


def _word(key: object) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    return "none" if key is None else f"{key:g}" if isinstance(key, float) else str(key)
