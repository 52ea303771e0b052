"""How the values of a label are distributed."""

import math
from collections.abc import Sequence

MOST = 16
"""Bins, at most."""


def histogram(values: Sequence[float]) -> tuple[list[float], list[int]]:
    """Borders, which are round and one more than bins, and counts.

    A value on a border belongs to the bin above it, the greatest to the last bin. Whole numbers get bins of whole width.
    """
    low, high = min(values), max(values)
    if low == high:
        return [low, high], [len(values)]
    raw = (high - low) / MOST
    if all(value == int(value) for value in values):
        raw = max(raw, 1.0)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    counts = [0] * max(1, math.ceil(high / step - 1e-9) - first)
    for value in values:
        counts[min(len(counts) - 1, max(0, math.floor(value / step + 1e-9) - first))] += 1
    return [round((first + number) * step, 10) for number in range(len(counts) + 1)], counts
