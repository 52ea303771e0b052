"""Ask and tell: from the results of the trials so far to the next round of a search (Optuna).

A round depends on nothing but the recipe and the results of the rounds before, so every engine asks for the same trials, and a run that was
ended goes on where it was.
"""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.registry import load_catalogue
from tlimb.configs.build import build
from tlimb.emit.nextflow import SEARCH_FORMAT, ConfigText, job_id, search_document, table
from tlimb.emit.packs import packs, step_of
from tlimb.errors import InputError
from tlimb.files import read_json, write_text
from tlimb.recipe.parse import parse
from tlimb.recipe.references import quoted
from tlimb.recipe.tree import Training, file_source
from tlimb.results.ranking import resolve
from tlimb.results.read import Results, read_history, read_results
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph
from tlimb.stages.search import Limits, Search, drawn, limit, read_limits, rungs
from tlimb.stages.sweep import Axis, Point, rounded

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

Rebuild = Callable[[Sequence[Point], Sequence[Limits]], StageGraph]
"""The stage graph of a recipe with the trials given, and the limits of their rounds where trials are stopped early."""

STARTUP = 10
"""Trials after which a sampler trusts its model, if no round is over before (as in Optuna)."""

ATTEMPTS = 16
"""How often a sampler is asked again for a point that was not tried; then one is drawn."""


class Trials:
    """The graph as far as it is known, and the way to know more of it: what engines are given as `more`."""

    def __init__(self, graph: StageGraph, more: Callable[[StageGraph], StageGraph | None]) -> None:
        self.graph = graph
        self._more = more

    def __call__(self) -> StageGraph | None:
        """The graph with further trials, or None."""
        found = self._more(self.graph)
        self.graph = found or self.graph
        return found


def grown(graph: StageGraph, rebuild: Rebuild, store: Path) -> StageGraph | None:
    """The graph with a round more, asked for with the results in the store; None where all trials are known."""
    search = graph.search
    if search is None or search.complete:
        return None
    plan = graph.document()
    points = (*search.points, *ask(search, values(plan, search, store)))
    return rebuild(points, (*search.limits, limits(plan, search, store)) if search.asha else ())


def replayed(graph: StageGraph, rebuild: Rebuild, store: Store) -> StageGraph:
    """The graph with all rounds that the stages in a store allow to ask for."""
    while graph.search and not graph.search.complete and _ended(graph, store):
        graph = grown(graph, rebuild, store.root) or graph
    return graph


def recorded(graph: StageGraph, rebuild: Rebuild, folder: Path) -> StageGraph | None:
    """The graph of the latest round that the tasks of a compiled project have asked for, if it is another one."""
    rounds = {int(file.stem.rpartition("-")[2]): file for file in folder.glob("search-*.json")}
    document = read_json(rounds[max(rounds)]) if rounds else {}
    if not document or (graph.search and tuple(_points(document)) == graph.search.points):
        return None
    return rebuild(_points(document), read_limits(document["search"]))


def ask_round(asked: Path, results: Path, *, number: int, datasets: Path, out: Path) -> None:
    """What the task ASK of a compiled project does: write the jobs of a round, their configs and how far the search is now.

    Args:
        asked: `search.json` as the round before left it.
        results: The folder of finished stages.
        number: Of the round.
        datasets: The project's `datasets.yaml`.
        out: Where jobs.csv, configs/ and search-NUMBER.json go.

    Raises:
        InputError: the data sets are not those that the project was compiled with.
    """
    before = read_json(asked)
    if before.get("format") != SEARCH_FORMAT:
        raise InputError(f"{asked}: no search of this TLIMB (format {before.get('format')})", "compile the recipe again")
    found = find_datasets(explicit=datasets)
    text, overrides_from = _located(before, found.weights)
    recipe = parse(text).recipe

    def rebuild(points: Sequence[Point], limits: Sequence[Limits]) -> StageGraph:
        return build(recipe, before["recipe"], load_catalogue(), found, overrides_from, points, limits)

    old = rebuild(_points(before), read_limits(before["search"]))
    if [stage.digest for stage in old.stages] != [stage["digest"] for stage in before["stages"]]:
        raise InputError("the data sets are not those that the project was compiled with", "compile the recipe again")
    new = grown(old, rebuild, results) or old
    ids = {stage.digest: job_id(stage) for stage in new.stages}
    known = {stage.digest for stage in old.stages}
    jobs = [stage for stage in new.stages if stage.digest not in known]
    dump = ConfigText()
    (out / "configs").mkdir(parents=True, exist_ok=True)
    for stage in jobs:
        write_text(out / "configs" / f"{ids[stage.digest]}.yaml", dump(stage.config))
    words = {stage.digest: before["steps"][" ".join(step_of(stage))] for stage in jobs}
    sizes = before.get("pack", {})
    together = packs(new, {step_of(stage): sizes[words[stage.digest]] for stage in jobs if words[stage.digest] in sizes})
    write_text(out / "jobs.csv", table(jobs, words, ids, together))
    document = search_document(new, before["steps"], sizes) | {key: before[key] for key in ("text", "overrides_from", "weights")}
    write_text(out / f"search-{number}.json", json.dumps(document, ensure_ascii=False) + "\n")


def plan_of_rounds(plan: Mapping[str, Any], rounds: Path) -> dict[str, Any]:
    """A compiled plan with the trials of the last of the rounds in a folder."""
    documents = [read_json(file) for file in rounds.iterdir()]
    last = max(documents, key=lambda document: len(document.get("variants", ())))
    return {**plan, **{key: last[key] for key in ("variants", "stages", "search")}}


def _located(document: Mapping[str, Any], places: Mapping[str, Path]) -> tuple[str, int]:
    """The recipe's text and where its overrides start, with the files of weights where they lie here."""
    text, offset = str(document["text"]), int(document["overrides_from"])
    for statement in reversed(parse(text).recipe.statements):
        if isinstance(statement, Training) and (written := file_source(statement)):
            fingerprint = document["weights"].get(written.value)
            if fingerprint not in places:
                raise InputError(f"datasets.yaml does not say where {Path(written.value).name} lies", "compile the recipe again")
            start, end = written.span.start, written.span.end
            new = quoted(str(places[fingerprint]))
            text, offset = text[:start] + new + text[end:], offset + len(new) - (end - start)
    return text, offset


def _points(document: Mapping[str, Any]) -> list[Point]:
    return [tuple(point) for point in document["search"]["points"]]


def ask(search: Search, told: Sequence[float | None]) -> tuple[Point, ...]:
    """The points of the next round: they differ from each other and from those before.

    Args:
        told: The value of each trial so far; None for one that failed.

    Returns:
        As many as a round has, fewer in the last one.
    """
    count = min(search.round, search.trials - len(search.points))
    if not search.points or search.method == "random":
        return drawn(search.axes, search.seed, search.points, count)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=_sampler(search), direction="minimize" if search.direction == "min" else "maximize")
        space = {f"{number} {axis.written}": _distribution(axis) for number, axis in enumerate(search.axes)}
        for point, value in zip(search.points, told, strict=True):
            state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
            parameters = dict(zip(space, point, strict=True))
            study.add_trial(optuna.create_trial(state=state, value=value, params=parameters, distributions=space))
        found = list(search.points)
        for _ in range(count):
            for _ in range(ATTEMPTS):
                trial = study.ask(space)
                point = _point(search, trial, space)
                if point not in found:
                    break
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:  # a sampler that is sure of its best point says nothing else
                (point,) = drawn(search.axes, search.seed, found, 1)
                study.enqueue_trial(dict(zip(space, point, strict=True)))
                study.ask(space)
            found.append(point)
    return tuple(found[len(search.points) :])


def values(plan: Mapping[str, Any], search: Search, store: Path) -> list[float | None]:
    """What each trial reached: the best of its ranked stages, the mean over its seeds; None where none has all seeds.

    Args:
        plan: The plan document (docs/formats.md).
        search: Of the plan.
        store: The folder of finished stages.
    """
    digests = {run["stages"][leaf] for variant in plan["variants"] for run in variant["runs"] for leaf in run["leaves"]}
    results = read_results(store, sorted(digests))
    return [_value(variant, search, results) for variant in plan["variants"]]


def limits(plan: Mapping[str, Any], search: Search, store: Path) -> Limits:
    """By what the trials of the next round are stopped early: for each ranked step the limits after 1, asha, asha², … epochs.

    A trial counts with the best value that it had reached by an epoch, the mean over its seeds, if all of them were trained that long.
    Nothing depends on which trial of a round ends first, so that engines agree. Arguments as of `values`.
    """
    assert search.asha is not None
    trained: dict[str, dict[tuple[str, ...], None]] = {}
    for variant in plan["variants"]:
        for leaf in variant["runs"][0]["leaves"]:
            trained.setdefault(leaf, {})[tuple(run["stages"][leaf] for run in variant["runs"])] = None
    finished = read_results(store, sorted({d for steps in trained.values() for seeds in steps for d in seeds})).finished
    found: dict[str, dict[int, float]] = {}
    for leaf, trials in trained.items():
        curves = [[_curve(finished[digest].folder, search) for digest in seeds] for seeds in trials if finished.keys() >= set(seeds)]
        for epoch in rungs(search.asha, max((len(curve) for seeds in curves for curve in seeds), default=0)):
            reached = [[curve[epoch - 1] for curve in seeds] for seeds in curves if min(map(len, seeds)) >= epoch]
            means = [math.fsum(values) / len(values) for values in reached if not any(map(math.isnan, values))]
            if (bound := limit(means, search.asha, search.direction)) is not None:
                found.setdefault(leaf, {})[epoch] = rounded(bound)
    return found


def _curve(folder: Path, search: Search) -> list[float]:
    """The best value of the metric of a search up to each epoch of a finished stage; NaN until there is one."""
    history = read_history(folder)
    name = resolve(search.metric, [column for column in history if column.startswith("val.")])
    better, curve = (min if search.direction == "min" else max), [math.nan]
    for value in history[name] if name else ():
        curve.append(value if math.isnan(curve[-1]) else curve[-1] if math.isnan(value) else better(curve[-1], value))
    return curve[1:]


def _value(variant: Mapping[str, Any], search: Search, results: Results) -> float | None:
    reached = []
    for leaf in variant["runs"][0]["leaves"]:
        seeds = [_measured(run["stages"][leaf], search.metric, results) for run in variant["runs"]]
        known = [value for value in seeds if value is not None]
        if len(known) == len(seeds):
            reached.append(rounded(math.fsum(known) / len(known)))  # so that engines agree whose last bits differ
    if not reached:
        return None
    return min(reached) if search.direction == "min" else max(reached)


def _measured(digest: str, metric: str, results: Results) -> float | None:
    result = results.finished.get(digest)
    name = resolve(metric, list(result.metrics)) if result else None
    return result.metrics[name] if result and name else None


def _ended(graph: StageGraph, store: Store) -> bool:
    """Whether every stage is finished, or has failed, or waits for one that has."""
    lost: set[str] = set()
    for stage in graph.stages:
        if not store.is_done(stage.digest):
            if lost.isdisjoint(stage.parents) and store.state(stage.digest) != "failed":
                return False
            lost.add(stage.digest)
    return True


def _sampler(search: Search) -> "BaseSampler":
    from optuna.samplers import GPSampler, TPESampler

    number = len(search.points) // search.round
    seed = int(hashlib.sha256(f"{search.seed}/{number}".encode()).hexdigest()[:8], 16)
    startup = min(STARTUP, search.round)
    if search.method == "gp":
        return GPSampler(seed=seed, n_startup_trials=startup)
    return TPESampler(seed=seed, n_startup_trials=startup)


def _distribution(axis: Axis) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis.values, tuple):
        return CategoricalDistribution(range(len(axis.values)))
    low, high, log = axis.values.low, axis.values.high, axis.values.log
    return IntDistribution(int(low), int(high), log=log) if axis.values.whole else FloatDistribution(low, high, log=log)


def _point(search: Search, trial: "Trial", space: Mapping[str, "BaseDistribution"]) -> Point:
    return tuple(
        trial.params[name] if isinstance(axis.values, tuple) else axis.nearest(trial.params[name])
        for axis, name in zip(search.axes, space, strict=True)
    )
