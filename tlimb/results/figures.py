"""What the report draws: which numbers go into which chart."""

from collections.abc import Mapping, Sequence
from typing import Any

from tlimb.catalogue.metrics import DEFAULT, metric_of
from tlimb.results.charts import SERIES, Bar, Line, confusion_chart, line_chart, roc_chart, scatter_chart, sweep_chart
from tlimb.results.comparison import Comparison
from tlimb.results.ranking import Ranking, Row
from tlimb.results.read import StageResult, read_history, scrub
from tlimb.results.statistics import Sample, confusion, evaluate, roc
from tlimb.results.table import number, setting_names, setting_text
from tlimb.results.verdict import variant_text

_MOST_DOTS = 1500
_MOST_CURVES = 20


def prediction_figures(comparison: Comparison, row: Row) -> list[dict[str, Any]]:
    """Predicted against true for each target of a row: the test part, or validation where there is no test."""
    figures = []
    for target in comparison.stages[row.digests[0]]["config"].get("targets", ()):
        name = str(target["name"])
        part = next((part for part in ("test", "val") if comparison.samples(row, part, name)), None)
        if part:
            sample = comparison.samples(row, part, name)[0]
            words = f"{name}, {'test' if part == 'test' else 'validation'}"
            draw = _categories if sample.classes else _numbers
            figures.append({"title": words, **draw(sample, name, target.get("unit"))})
    return figures


def _numbers(sample: Sample, name: str, unit: str | None) -> dict[str, Any]:
    units = f" ({unit})" if unit else ""
    step = -(-len(sample.truth) // _MOST_DOTS)
    chart = scatter_chart(
        sample.truth[::step].tolist(),
        sample.predicted[::step].tolist(),
        title=f"Predicted against true {name}",
        x_label=f"true {name}{units}",
        y_label=f"predicted {name}{units}",
    )
    metrics = evaluate(sample)
    age = f" {unit}" if unit else ""
    facts = {
        "people": str(len(set(sample.participants))),
        f"range of {name}": f"{number(sample.truth.min())} to {number(sample.truth.max())}{age}",
        f"sd of {name}": f"{number(sample.truth.std(ddof=1) if len(sample.truth) > 1 else 0.0)}{age}",
        "mean absolute error": f"{number(metrics['mae'])}{age}",
        "Pearson r": number(metrics["pearson_r"]) if "pearson_r" in metrics else "not defined",
        "R²": number(metrics["r2"]) if "r2" in metrics else "not defined",
        "mean of predicted − true": f"{number(float((sample.predicted - sample.truth).mean()))}{age}",
    }
    if step > 1:
        facts["drawn"] = f"every {step}th session"
    return {"charts": [chart], "facts": facts}


def _categories(sample: Sample, name: str, unit: str | None) -> dict[str, Any]:
    classes = [scrub(word) for word in sample.classes]
    charts = [confusion_chart(confusion(sample).tolist(), classes, title=f"Confusion of {name}")]
    wanted = [1] if len(classes) == 2 else range(min(len(classes), SERIES))
    curves = []
    for index in wanted:
        x, y = roc(sample, index)
        if x:
            curves.append(
                Line(classes[index] + (" (positive)" if len(classes) == 2 else " against the rest"), x, y, index if len(classes) > 2 else 0)
            )
    if curves:
        charts.append(roc_chart(curves, title=f"ROC curve of {name}"))
    metrics = evaluate(sample)
    facts = {"people": str(len(set(sample.participants)))}
    facts |= {metric_of(metric).label: number(value) for metric, value in metrics.items()}
    return {"charts": charts, "facts": facts}


def sweep_figures(ranking: Ranking) -> list[dict[str, Any]]:
    """The metric that ranks against each setting that has several values; colours tell the stage or one other setting."""
    rows = [row for row in ranking.rows if row.rank and row.key]
    settings = [name for name in setting_names(ranking) if len({_hashable(row.settings[name]) for row in rows if name in row.settings}) > 1]
    figures = []
    for name in settings:
        mine = [row for row in rows if name in row.settings]
        title, groups = _groups(mine, [other for other in settings if other != name])
        points: list[tuple[object, Bar]] = []
        for row, group in zip(mine, groups, strict=True):
            value = row.settings[name]
            estimate = row.metrics[row.key or ""]
            place = value if isinstance(value, int | float) else scrub(setting_text(value))
            points.append((place, Bar(scrub(variant_text(row)), estimate.mean, estimate.low, estimate.high, group[0])))
        points.sort(key=lambda point: (0, point[0]) if isinstance(point[0], int | float) else (1, 0))
        chart = sweep_chart(points, title=f"{ranking.by} by {name}", x_label=name, y_label=ranking.by)
        figures.append({"name": name, "chart": chart, "legend": sorted(set(groups)) if title else [], "by": title})
    return figures


def _groups(rows: Sequence[Row], settings: Sequence[str]) -> tuple[str, list[tuple[int, str]]]:
    """What tells rows apart by colour: the stage where there are several, else the setting with the fewest values."""
    words = [row.stage for row in rows]
    title = "stage"
    if len(set(words)) == 1:
        values = {name: [setting_text(row.settings[name]) if name in row.settings else "any" for row in rows] for name in settings}
        fitting = sorted((name for name in values if 1 < len(set(values[name])) <= SERIES), key=lambda name: len(set(values[name])))
        title = fitting[0] if fitting else ""
        words = values[title] if title else [""] * len(rows)
    order = list(dict.fromkeys(sorted(words)))
    return title, [(order.index(word), scrub(word)) for word in words]


def curve_figures(plan: Mapping[str, Any], results: Mapping[str, StageResult], shown: Sequence[Row]) -> list[dict[str, Any]]:
    """Loss and validation metric by epoch, a pair of charts per stage name, a curve per different training."""
    figures = []
    for name, stages in _trainings(plan, results, shown).items():
        histories = {digest: read_history(results[digest].folder) for digest in list(stages)[:_MOST_CURVES]}
        histories = {digest: history for digest, history in histories.items() if history}
        if not histories:
            continue
        lone = len(histories) == 1
        losses, metrics, metric = [], [], ""
        for index, (digest, history) in enumerate(histories.items()):
            epochs = history.get("epoch") or [float(i) for i in range(len(next(iter(history.values()))))]
            colour = index if index < SERIES else None
            label = "" if lone else scrub(stages[digest])
            if "train.loss" in history:
                losses.append(Line("training" if lone else label, epochs, history["train.loss"], colour))
            if "val.loss" in history and len(histories) <= 3:
                losses.append(Line("validation" if lone else "", epochs, history["val.loss"], 1 if lone else colour, dashed=True))
            column = _metric_column(history, results[digest].monitor)
            metric = metric or column
            if column and column == metric:
                metrics.append(Line(label or column, epochs, history[column], colour))
        best = results[next(iter(histories))].best_epoch
        mark = (float(best), "best epoch") if lone and best is not None else None
        charts = [line_chart(losses, title=f"Loss of {name}", x_label="epoch", y_label="loss", mark=mark)]
        if metrics:
            charts.append(line_chart(metrics, title=f"{metric} of {name}", x_label="epoch", y_label=metric, mark=mark))
        figures.append({"name": name, "charts": charts, "curves": len(histories), "all": len(stages), "dashed": 1 < len(histories) <= 3})
    return figures


def _metric_column(history: Mapping[str, Sequence[float]], monitor: str | None) -> str:
    columns = [column for column in history if column.startswith("val.") and column != "val.loss"]
    if monitor in columns:
        return str(monitor)
    return next((column for column in columns if column.rsplit(".", 1)[-1] in DEFAULT.values()), columns[0] if columns else "")


def _trainings(plan: Mapping[str, Any], results: Mapping[str, StageResult], shown: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Different trainings by stage name, best first, each with words for what sets it apart."""
    runs = {variant["id"]: variant for variant in plan["variants"]}
    found: dict[str, dict[str, list[tuple[Mapping[str, Any], int]]]] = {}
    for row in shown:
        for run in runs[row.variant]["runs"]:
            for name, digest in run["stages"].items():
                if digest in results and results[digest].kind == "fit":
                    found.setdefault(name, {}).setdefault(digest, []).append((runs[row.variant]["settings"], run["seed"]))
    words: dict[str, dict[str, str]] = {}
    for name, stages in found.items():
        seeds = {seed for uses in stages.values() for _, seed in uses}
        words[name] = {digest: _apart(uses, stages.values(), with_seed=len(seeds) > 1) for digest, uses in stages.items()}
    return words


def _apart(uses: Sequence[tuple[Mapping[str, Any], int]], every: Any, *, with_seed: bool) -> str:
    """Settings that all uses of a training agree in and other trainings of that name differ in."""
    first, seed = uses[0]
    others = [settings for use in every for settings, _ in use]
    said = [
        f"{name.rsplit('.', 1)[-1]} {setting_text(value)}"
        for name, value in first.items()
        if all(settings.get(name) == value for settings, _ in uses) and any(settings.get(name) != value for settings in others)
    ]
    return ", ".join([*said, *([f"seed {seed}"] if with_seed else [])]) or "all"


def _hashable(value: Any) -> str:
    return setting_text(value)
