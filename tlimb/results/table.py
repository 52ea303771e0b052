"""The ranking as a table: for the terminal (rich or plain text) and as `results.csv`."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlimb.catalogue.metrics import metric_of, split_metric
from tlimb.files import write_text
from tlimb.results.ranking import Estimate, Ranking, Row

if TYPE_CHECKING:
    from rich.table import Table

    from tlimb.results.comparison import Comparison

COMPARED = 50
"""Rows that are compared with training from scratch in a table; each takes a bootstrap."""

CONTROL = "is from scratch"


def ranking_csv(ranking: Ranking) -> str:
    """The ranking as CSV: a line per row, a column per setting, four per metric (mean, sd, low, high)."""
    settings = setting_names(ranking)
    metrics = list(dict.fromkeys(name for row in ranking.rows for name in row.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["rank", "variant", "shared", "stage", "digest", "seeds", "planned", "state", "trainable", "frozen"]
        + [f"settings.{name}" for name in settings]
        + [name + part for name in metrics for part in ("", ".sd", ".low", ".high")]
        + ["reason"]
    )
    for row in ranking.rows:
        estimates = [row.metrics.get(name) for name in metrics]
        writer.writerow(
            [row.rank, row.variant, " ".join(row.shared), row.stage, " ".join(row.digests)]
            + [row.seeds, row.planned, row.state, row.trainable, row.frozen]
            + [row.settings.get(name) for name in settings]
            + [value for e in estimates for value in ((e.mean, e.sd, e.low, e.high) if e else (None,) * 4)]
            + ["; ".join(row.notes)]
        )
    return text.getvalue()


def write_csv(ranking: Ranking, path: Path | str) -> None:
    """Write `results.csv`, whole or not at all."""
    write_text(Path(path), ranking_csv(ranking))


def ranking_table(ranking: Ranking) -> "Table":
    """The ranking as a rich table; markup in recipe words is shown, not obeyed."""
    from rich.table import Table
    from rich.text import Text

    header, *lines = ranking_cells(ranking)
    table = Table(title=f"{ranking.recipe or 'ranking'} by {ranking.by}", caption="\n".join(ranking.notes) or None, title_justify="left")
    table.caption_justify = "left"
    for index, name in enumerate(header):
        table.add_column(Text(name), justify="right" if index == 0 else "left", overflow="fold")
    for row, line in zip(ranking.rows, lines, strict=True):
        table.add_row(*(Text(cell) for cell in line), style="" if row.seeds else "dim")
    return table


def ranking_text(ranking: Ranking, comparison: "Comparison | None" = None) -> str:
    """The ranking as plain text: columns by blanks, then the notes."""
    lines = ranking_cells(ranking, comparison)
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    text = [f"{ranking.recipe or 'ranking'} by {ranking.by} ({'lower' if ranking.direction == 'min' else 'higher'} is better)", ""]
    text += ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, *([""] if ranking.notes else []), *ranking.notes]) + "\n"


def setting_names(ranking: Ranking) -> list[str]:
    """The settings that the variants differ in, in the order of the recipe."""
    return list(dict.fromkeys(name for row in ranking.rows for name in row.settings))


def on_test(row: Row) -> str | None:
    """The test metric of the same name as the validation metric that the row is ranked by."""
    key = "test." + row.key.partition(".")[2] if row.key else ""
    return key if key in row.metrics else None


def estimate_text(estimate: Estimate | None) -> str:
    """``mean ± sd [low, high]``, as far as they are known."""
    return " ".join(estimate_parts(estimate)) if estimate else "-"


def estimate_parts(estimate: Estimate) -> list[str]:
    """``mean ± sd`` and, if it is known, ``[low, high]``, all with the digits of the mean, or more where the sd would read 0."""
    digits = decimals(estimate.mean)
    while digits is not None and digits < 3 and estimate.sd and round(estimate.sd, digits) == 0:
        digits += 1
    parts = [number(estimate.mean, digits) + (f" ± {number(estimate.sd, digits)}" if estimate.sd is not None else "")]
    if estimate.low is not None and estimate.high is not None:
        parts.append(f"[{number(estimate.low, digits)}, {number(estimate.high, digits)}]")
    return parts


def decimals(value: float) -> int | None:
    """Digits after the point that give three significant ones; None where only an exponent does."""
    size = abs(value)
    if size != 0 and not 1e-3 <= size < 1e5:
        return None
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3


def number(value: float, digits: int | None = -1) -> str:
    """A number as a paper's table has it: three significant digits, or the given digits after the point; a real minus sign."""
    if digits == -1:
        digits = decimals(value)
    text = f"{value:.2e}" if digits is None else f"{value:.{digits}f}"
    return text.replace("-", "−", 1) if text.startswith("-") and text.strip("-0.") else text.removeprefix("-")


def setting_text(value: Any) -> str:
    """A setting's value as the recipe writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "x".join(map(setting_text, value))
    if isinstance(value, Mapping):
        return str(value.get("class_path", "")).rsplit(".", 1)[-1] or str(dict(value))
    return str(value)


def ranking_cells(ranking: Ranking, comparison: "Comparison | None" = None) -> list[list[str]]:
    """Header and one line of text per row; with a comparison also how the first rows do beside training from scratch."""
    settings = setting_names(ranking)
    versus = [versus_text(row, comparison) for row in ranking.rows[:COMPARED]] if comparison else []
    compared = any(text not in ("", CONTROL) for text in versus)
    part, target, metric = split_metric(ranking.by)
    name = ".".join(piece for piece in (target, metric_of(metric).name) if piece)
    beside = ["vs scratch"] if compared else []
    lines = [["rank", "variant", "stage", *settings, f"{part}.{name}", f"test.{name}", *beside, "seeds", "trainable", "note"]]
    for place, row in enumerate(ranking.rows):
        key = on_test(row)
        lines.append(
            [
                str(row.rank or "-"),
                row.variant + (f" (= {', '.join(row.shared)})" if row.shared else ""),
                row.stage,
                *(setting_text(row.settings[setting]) if setting in row.settings else "any" for setting in settings),
                estimate_text(row.metrics[row.key] if row.key else None),
                estimate_text(row.metrics[key] if key else None),
                *([versus[place] if place < len(versus) else ""] if compared else []),
                f"{row.seeds}/{row.planned}",
                f"{row.trainable:,}" if row.trainable is not None else "-",
                _note(row, ranking.by),
            ]
        )
    return lines


def versus_text(row: Row, comparison: "Comparison") -> str:
    """How a row does beside training from scratch: ``helped −3.2 [−5.1, −1.0]``; empty where there is nothing to compare."""
    if row.digests and comparison.from_scratch(row):
        return CONTROL
    found = comparison.transfer(row) if row.digests else None
    if found is None:
        return ""
    gain, digits = found.gain, decimals(found.gain.value)
    known = gain.low is not None and gain.high is not None
    interval = f" [{number(gain.low or 0.0, digits)}, {number(gain.high or 0.0, digits)}]" if known else ""
    return f"{found.verdict} {number(gain.value, digits)}{interval}"


def _note(row: Row, by: str) -> str:
    return "; ".join(row.notes) or ("" if row.key else f"no {by}")
