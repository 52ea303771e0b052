"""The report of a recipe: one HTML file that needs nothing else, and that holds no participant, path, user or host."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tlimb import __version__
from tlimb.catalogue.metrics import METRICS, metric_of, split_metric
from tlimb.files import read_json, write_text
from tlimb.results.charts import Bar, forest_chart
from tlimb.results.comparison import Comparison
from tlimb.results.figures import curve_figures, prediction_figures, sweep_figures
from tlimb.results.flow import flow_chart
from tlimb.results.ranking import Ranking, Row
from tlimb.results.read import StageResult, scrub
from tlimb.results.statistics import Difference
from tlimb.results.table import decimals, estimate_parts, estimate_text, number, on_test, setting_names, setting_text
from tlimb.results.times import duration, times
from tlimb.results.verdict import transfer_text, variant_text, verdict

DETAILED = 20
"""How many rows are shown with figures; a sweep of hundreds stays readable."""
OPEN = 3
_PARTS = {"val": "validation", "test": "test"}
_BASELINES = {"constant": "same guess for all", "head_size": "head size only"}


def write_report(plan: Mapping[str, Any], store: Path | str, out: Path | str, ranking: Ranking) -> None:
    """Write the report, whole or not at all.

    Args:
        plan: The plan document (docs/formats.md).
        store: The folder of finished stages.
        out: The HTML file.
        ranking: What `rank` made of the same plan and store.
    """
    write_text(Path(out), render(plan, store, ranking))


def render(plan: Mapping[str, Any], store: Path | str, ranking: Ranking) -> str:
    """The report as HTML text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from tlimb.assets import asset

    def clean(value: object) -> object:
        """All text passes here, so that no path or participant label gets into the page by any way."""
        return scrub(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(asset("nf_templates", "report")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=clean,
    )
    environment.filters["svg"] = lambda text: Markup(text)
    return environment.get_template("report.html.jinja").render(_page(plan, store, ranking))


def _page(plan: Mapping[str, Any], store: Path | str, ranking: Ranking) -> dict[str, Any]:
    comparison = Comparison(plan, store, ranking)
    shown = [row for row in ranking.rows if row.seeds][:DETAILED]
    about = {str(key): str(value) for key, value in (plan.get("about") or {}).items()}
    part, target, metric = split_metric(ranking.by)
    return {
        "title": about.get("title") or plan["recipe"],
        "recipe": plan["recipe"],
        "about": {key: value for key, value in about.items() if key != "title"},
        "verdict": verdict(comparison),
        "by": " ".join(filter(None, [_PARTS[part], target, METRICS[metric].label])),
        "better": "lower" if ranking.direction == "min" else "higher",
        "table": _table(comparison, shown),
        "scratch": any(comparison.from_scratch(row) for row in shown) and not all(comparison.from_scratch(row) for row in shown),
        "forest": _forest(comparison, [row for row in shown if row.rank]),
        "sweeps": sweep_figures(ranking),
        "predictions": [_candidate(comparison, row, index < OPEN) for index, row in enumerate(shown)],
        "curves": curve_figures(plan, comparison.results, shown),
        "flow": flow_chart(plan, comparison.results),
        "subjects": _subjects(plan, comparison, shown),
        "datasets": _datasets(plan, comparison.results),
        "warnings": [str(warning) for warning in plan.get("warnings", ())],
        "failures": ranking.failures,
        "notes": ranking.notes,
        "text": plan.get("text", ""),
        "environment": _environment(comparison, shown),
        "times": _times(plan, store),
        "citation": _citation(plan, about),
        "version": __version__,
    }


def _table(comparison: Comparison, shown: Sequence[Row]) -> dict[str, Any]:
    """Header and rows of the ranking; what is costly to compare is compared for the rows shown in detail."""
    ranking = comparison.ranking
    settings = setting_names(ranking)
    winner = comparison.clear_winner()
    baselines = [name for name in _BASELINES if any(name in row.baselines.get(on_test(row) or "", {}) for row in ranking.rows)]
    rows = [_line(comparison, row, settings, baselines, detailed=row in shown, winner=winner and row.rank == 1) for row in ranking.rows]
    columns = {
        "gap": any(line["gap"] for line in rows),
        "transfer": any(line["transfer"] for line in rows),
        "sd": any(estimate.sd is not None for row in ranking.rows for estimate in row.metrics.values()),
    }
    unit = next((f", {u}" for row in shown if (u := _unit(comparison, row, row.key))), "")
    return {
        "metric": metric_of(ranking.by).label + unit,
        "settings": settings,
        "baselines": [_BASELINES[name] for name in baselines],
        "rows": [line for line, row in zip(rows, ranking.rows, strict=True) if row in shown or not row.seeds],
        "rest": [line for line, row in zip(rows, ranking.rows, strict=True) if row not in shown and row.seeds],
        "winner": winner,
        "several": sum(row.rank is not None for row in ranking.rows) > 1,
        **columns,
    }


def _line(
    comparison: Comparison, row: Row, settings: Sequence[str], baselines: Sequence[str], *, detailed: bool, winner: bool
) -> dict[str, Any]:
    key = on_test(row)
    gap = comparison.behind(row) if detailed else None
    transfer = comparison.transfer(row) if detailed else None
    beside = row.baselines.get(key or "", {})
    return {
        "rank": row.rank,
        "winner": winner,
        "variant": row.variant,
        "shared": row.shared,
        "stage": row.stage,
        "settings": [setting_text(row.settings[name]) if name in row.settings else "any" for name in settings],
        "chosen_by": estimate_parts(row.metrics[row.key]) if row.key else None,
        "test": estimate_parts(row.metrics[key]) if key else None,
        "baselines": [number(beside[name]) if name in beside else None for name in baselines],
        "gap": _difference_parts(gap) if gap else None,
        "transfer": transfer.verdict if transfer else None,
        "transfer_interval": " ".join(_difference_parts(transfer.gain)) if transfer else None,
        "trainable": row.trainable,
        "seeds": row.seeds,
        "planned": row.planned,
        "state": row.state,
        "reasons": row.notes,
        "stopped": bool(row.stopped),
    }


def _difference_parts(difference: Difference) -> list[str]:
    """The difference and, if it is known, its interval, with signs."""
    low, high = difference.low, difference.high
    digits = decimals(max(abs(difference.value), abs(low or 0), abs(high or 0)))
    parts = [_signed(difference.value, digits)]
    if low is not None and high is not None:
        parts.append(f"[{_signed(low, digits)}, {_signed(high, digits)}]")
    return parts


def _signed(value: float, digits: int | None = -1) -> str:
    text = number(value, digits)
    return "+" + text if value > 0 and text.strip("0.") else text


def _unit(comparison: Comparison, row: Row, key: str | None) -> str | None:
    target = comparison.target(row)
    return (target or {}).get("unit") if key and metric_of(key).unit_of_target else None


def _forest(comparison: Comparison, ranked: Sequence[Row]) -> str | None:
    """The candidates with their intervals and the baselines, on the test part where all have one."""
    tested = all(on_test(row) for row in ranked)
    keys = [(on_test(row) if tested else row.key) or "" for row in ranked]
    if not ranked:
        return None
    scratch = [comparison.from_scratch(row) for row in ranked]
    several = any(scratch) and not all(scratch)
    bars = []
    for row, key, control in zip(ranked, keys, scratch, strict=True):
        estimate = row.metrics[key]
        label = scrub(f"{row.rank}. {_short_name(row, ranked)}")
        bars.append(Bar(label, estimate.mean, estimate.low, estimate.high, 1 if several and control else 0))
    unit = _unit(comparison, ranked[0], keys[0])
    label = f"{'test' if tested else 'validation'} {metric_of(keys[0]).label}" + (f" ({unit})" if unit else "")
    references = [(_BASELINES.get(name, name), value) for name, value in ranked[0].baselines.get(keys[0], {}).items()]
    return forest_chart(bars, references, title=f"{label} of the candidates with 95 % intervals", x_label=label)


def _short_name(row: Row, others: Sequence[Row]) -> str:
    """What tells a row from the others: its stage where there are several, and its settings; words speak for themselves."""
    stage = [row.stage] if len({other.stage for other in others}) > 1 or not row.settings else []
    words = [
        value if isinstance(value, str) else f"{name.rsplit('.', 1)[-1]} {setting_text(value)}" for name, value in row.settings.items()
    ]
    return ", ".join([*stage, *words])


def _candidate(comparison: Comparison, row: Row, is_open: bool) -> dict[str, Any]:
    target = comparison.target(row)
    transfer = comparison.transfer(row)
    metrics = [
        {
            "name": name,
            "value": estimate_text(estimate),
            "baselines": ", ".join(f"{_BASELINES.get(k, k)} {number(v)}" for k, v in row.baselines.get(name, {}).items()),
        }
        for name, estimate in row.metrics.items()
    ]
    return {
        "open": is_open,
        "title": (f"{row.rank}. " if row.rank else "") + variant_text(row),
        "metrics": metrics,
        "seeds": row.seeds,
        "transfer": transfer_text(transfer, target) if transfer and target else None,
        "figures": prediction_figures(comparison, row),
    }


def _subjects(plan: Mapping[str, Any], comparison: Comparison, shown: Sequence[Row]) -> list[dict[str, Any]]:
    """Participants by role for every training stage that the rows shown rest on; a name stands once for equal counts."""
    found: dict[str, dict[str, Any]] = {}
    used = {row.variant for row in shown}
    for variant in plan["variants"]:
        for run in variant["runs"] if variant["id"] in used else ():
            for name, digest in run["stages"].items():
                result = comparison.results.get(digest)
                if result and "train" in result.subjects:
                    subjects = result.subjects
                    dropped = ", ".join(f"{count} without {label}" for label, count in (subjects.get("dropped") or {}).items() if count)
                    counts = {part: subjects.get(part, 0) for part in ("train", "val", "test", "bad")}
                    line = {"stage": name, **counts, "dropped": dropped}
                    found[repr(line)] = line
    return list(found.values())


def _datasets(plan: Mapping[str, Any], results: Mapping[str, StageResult]) -> list[dict[str, Any]]:
    """Prepared data sets: how many have an image, how many images could not be read and why (without saying whose)."""
    found = []
    for stage in plan["stages"]:
        result = results.get(stage["digest"])
        if stage["kind"] != "prepare" or not result:
            continue
        document = read_json(result.folder / "prepared.json")
        reasons: dict[str, int] = {}
        for entry in document.get("bad", ()):
            reason = str(entry.get("reason", ""))
            for key in ("file", "participant_id"):
                reason = reason.replace(str(entry[key]), "…") if entry.get(key) else reason
            reasons[reason] = reasons.get(reason, 0) + 1
        spacing = document.get("spacing_mm")
        found.append(
            {
                "name": stage["name"],
                "participants": len(document.get("participants", ())),
                "without_image": document.get("without_image", 0),
                "shape": " × ".join(map(str, document.get("shape", ()))),
                "spacing": " × ".join(f"{value:g}" for value in spacing) + " mm" if spacing else "",
                "bad": reasons,
            }
        )
    return found


def _environment(comparison: Comparison, shown: Sequence[Row]) -> dict[str, str]:
    """Versions and hardware of the best row, and the time of all; only what is known to be harmless is let through."""
    results = comparison.results.values()
    seconds = [float(read_json(result.folder / "environment.json").get("seconds") or 0) for result in results]
    said = read_json(comparison.results[shown[0].digests[0]].folder / "environment.json") if shown else {}
    versions = said.get("libraries") or said.get("versions") or {}
    found: dict[str, str] = {name: str(said[name]) for name in ("tlimb", "python") if name in said}
    found |= {str(name): str(version) for name, version in versions.items()} if isinstance(versions, dict) else {}
    found |= {word: str(said[name]) for name, word in (("system", "system"), ("device", "device"), ("threads", "threads")) if name in said}
    if "peak_memory_mb" in said:
        found["peak memory"] = f"{float(said['peak_memory_mb']):,.0f} MB"
    return found | {"time of all stages": duration(sum(seconds))}


def _times(plan: Mapping[str, Any], store: Path | str) -> list[dict[str, str]]:
    """Expected and actual time by step, as text."""
    return [
        {
            "step": step.step,
            "stages": str(step.stages),
            "expected": duration(step.expected_s),
            "actual": duration(step.actual_s),
            "ratio": f"{step.actual_s / step.expected_s:.2f}" if step.expected_s else "",
        }
        for step in times(plan, store)
    ]


def _citation(plan: Mapping[str, Any], about: Mapping[str, str]) -> str:
    pieces = [
        about.get("author"),
        about.get("title") or plan["recipe"],
        f"Recipe for TLIMB {__version__}",
        about.get("doi"),
        about.get("license"),
    ]
    return ". ".join(piece for piece in pieces if piece) + "."
