"""Counts as bars of block characters, with ASCII twins."""

from collections.abc import Sequence

EIGHTHS = " ▁▂▃▄▅▆▇█"
ACROSS = " ▏▎▍▌▋▊▉█"
INK = " .:-=+*#@"


def spark(counts: Sequence[float], *, ascii_only: bool = False) -> str:
    """Counts in one line, a character each; what is there is never blank."""
    most = max(counts, default=0)
    ramp = INK if ascii_only else EIGHTHS
    return "".join(ramp[max(1, round(count / most * 8)) if count else 0] for count in counts) if most else ""


def columns(counts: Sequence[float], height: int, width: int = 1, *, ascii_only: bool = False) -> list[str]:
    """Counts as columns, lines from above; each `width` characters wide."""
    most = max(counts, default=0) or 1
    levels = [max(1, round(count / most * height * 8)) if count else 0 for count in counts]
    lines = []
    for row in range(height - 1, -1, -1):
        cells = [min(8, max(0, level - 8 * row)) for level in levels]
        lines.append("".join((("#" if cell > 3 else " ") if ascii_only else EIGHTHS[cell]) * width for cell in cells))
    return lines


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar from left to right; what is there is never blank."""
    eighths = max(1, round(share * width * 8)) if share > 0 else 0
    whole, part = divmod(min(eighths, width * 8), 8)
    if ascii_only:
        return ("#" * max(whole, 1 if eighths else 0)).ljust(width)
    return ("█" * whole + (ACROSS[part] if part else "")).ljust(width)
