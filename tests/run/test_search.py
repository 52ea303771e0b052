"""Searches asked and told in rounds: the same trials whenever, wherever and however often they are asked for."""

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from run.test_nextflow_engine import NEW, OLD, engine, needs_engine, status
from tlimb.emit.nextflow import Options
from tlimb.emit.packs import sizes
from tlimb.errors import RecipeError
from tlimb.results.ranking import Ranking, rank
from tlimb.results.report import write_report
from tlimb.results.table import ranking_csv, ranking_text
from tlimb.run import nextflow
from tlimb.run.local import run_local
from tlimb.run.nextflow import compile_project, find_nextflow, run_nextflow
from tlimb.run.opening import Opened, open_recipe
from tlimb.run.progress import Outcome
from tlimb.run.search import Trials, ask, grown, recorded, replayed, values
from tlimb.run.status import show
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph
from tlimb.stages.search import limit

FAKE = Path(__file__).with_name("fake_objective.py")
TRAIN = "data axial_slice(size=32x32)\ntrain resnet10 on demo.age with epochs=1\n"
CHAIN = """data axial_slice(size=32x32)
pretrain resnet10 on demo.age
finetune on demo.age
sweep finetune.lr in 1e-4..1e-2 log
search tpe(round=2) 4
"""
LR = "sweep lr in 1e-5..1e-1 log\n"

Lab = Callable[[str], Opened]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Recipe text -> the checked recipe, in a folder where stages are formulas."""
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal.txt"))
    (tmp_path / "journal.txt").touch()

    def opened(text: str) -> Opened:
        (tmp_path / "s.tlr").write_text(text)
        found = open_recipe(str(tmp_path / "s.tlr"))
        assert found.diagnostics == []
        return found

    return opened


def run(opened: Opened, store: Store) -> tuple[Outcome, StageGraph]:
    trials = Trials(opened.graph(), lambda known: grown(known, opened.graph, store.root))
    outcome = run_local(trials.graph, store, jobs=2, threads=1, more=trials, worker_command=(sys.executable, str(FAKE)))
    return outcome, trials.graph


def shown(ranking: Ranking) -> list[tuple[int | None, str, float, str]]:
    return [(row.rank, row.variant, row.settings["lr"], "; ".join(f.reason for f in row.failures)) for row in ranking.rows]


def lrs(graph: StageGraph) -> list[float]:
    return [float(point[0]) for point in graph.search.points] if graph.search else []


# ------------------------------------------------------------------ the plan
def test_a_random_search_is_known_when_it_is_planned(lab: Lab) -> None:
    short, long = lab(TRAIN + LR + "search random 4").graph(), lab(TRAIN + LR + "search random 9").graph()
    assert long.search
    assert long.search.complete
    assert long.search.rounds == 1
    assert lrs(long)[:4] == lrs(short)
    assert len(set(lrs(long))) == 9
    assert all(1e-5 <= lr <= 1e-1 and float(f"{lr:.6g}") == lr for lr in lrs(long))
    other = lab(TRAIN + LR + "search random 4\nset seed = 1").graph()
    assert not set(lrs(other)) & set(lrs(short))


def test_a_random_search_in_rounds_draws_the_same(lab: Lab) -> None:
    whole, opened = lab(TRAIN + LR + "search random 9").graph(), lab(TRAIN + LR + "search random(round=4) 9")
    graph, rounds = opened.graph(), [4]
    while graph.search and not graph.search.complete:
        graph = opened.graph((*graph.search.points, *ask(graph.search, [None] * len(graph.search.points))))
        rounds.append(len(lrs(graph)))
    assert rounds == [4, 8, 9]
    assert [stage.digest for stage in graph.stages] == [stage.digest for stage in whole.stages]


def test_draws_are_even_on_the_logarithm_and_reach_every_whole_number(lab: Lab) -> None:
    drawn = sorted(lrs(lab(TRAIN + LR + "search random 200").graph()))
    for decade in range(-5, -1):
        assert sum(10**decade <= lr < 10 ** (decade + 1) for lr in drawn) == pytest.approx(50, abs=20)
    text = TRAIN + "sweep epochs in 2..6\nsweep architecture in [resnet10, resnet18]\nsearch random 10"
    graph = lab(text).graph()
    assert {tuple(variant.settings.values()) for variant in graph.variants} == {
        (n, a) for n in range(2, 7) for a in ("resnet10", "resnet18")
    }


def test_no_more_trials_than_points(lab: Lab) -> None:
    graph = lab(TRAIN + "sweep lr in [1e-3, 1e-4, 1e-2]\nsearch tpe 12").graph()
    assert graph.search
    assert graph.search.trials == 3
    assert "3 points" in graph.warnings[0]


def test_rounds_are_a_quarter_of_the_trials_and_at_most_32(lab: Lab) -> None:
    sizes = {}
    for trials in (1, 12, 30, 100, 1000):
        search = lab(TRAIN + LR + f"search tpe {trials}").graph().search
        assert search
        sizes[trials] = (search.round, search.rounds)
    assert sizes == {1: (1, 1), 12: (3, 4), 30: (8, 4), 100: (8, 13), 1000: (32, 32)}


def test_by_names_the_metric_and_ranks_too(lab: Lab) -> None:
    graph = lab(TRAIN + LR + "search tpe 4 by val.r2").graph()
    assert graph.search
    assert (graph.search.metric, graph.search.direction, graph.rank.metric) == ("val.r2", "max", "val.r2")


# ------------------------------------------------------------------ ask and tell
@pytest.mark.parametrize("search", ["tpe 12", "gp(round=3) 6"])
def test_rounds_follow_from_the_recipe_and_the_results_alone(lab: Lab, search: str) -> None:
    opened = lab(TRAIN + LR + "sweep architecture in [resnet10, resnet18]\n" + f"search {search}")

    def searched() -> StageGraph:
        graph = opened.graph()
        while graph.search and not graph.search.complete:
            told = [abs(p[0] - 0.01) + p[1] for p in graph.search.points]
            graph = opened.graph((*graph.search.points, *ask(graph.search, told)))
        return graph

    first, second = searched(), searched()
    assert first.search
    assert second.search
    assert first.search.points == second.search.points
    assert len(set(first.search.points)) == first.search.trials
    assert [stage.digest for stage in first.stages] == [stage.digest for stage in second.stages]


def test_a_search_of_few_points_tries_each_once(lab: Lab) -> None:
    opened = lab(TRAIN + "sweep architecture in [resnet10, resnet18, resnet34]\nsweep lr in [1e-2, 1e-3]\nsearch tpe(round=2) 6")
    graph = opened.graph()
    while graph.search and not graph.search.complete:
        graph = opened.graph((*graph.search.points, *ask(graph.search, [float(a + b) for a, b in graph.search.points])))
    assert graph.search
    assert len(set(graph.search.points)) == 6


def test_other_results_lead_elsewhere_and_failures_are_no_values(lab: Lab) -> None:
    graph = lab(TRAIN + LR + "search tpe 8").graph()
    assert graph.search
    assert ask(graph.search, [1.0, 2.0]) != ask(graph.search, [2.0, 1.0])
    assert ask(graph.search, [1.0, None]) != ask(graph.search, [1.0, 2.0])
    assert len(ask(graph.search, [None, None])) == 2


def test_the_model_finds_more_than_chance(lab: Lab) -> None:
    opened = lab(TRAIN + LR + "search tpe 24")
    graph = opened.graph()

    def value(lr: float) -> float:
        return abs(math.log10(lr) + 3)

    while graph.search and not graph.search.complete:
        graph = opened.graph((*graph.search.points, *ask(graph.search, [value(lr) for lr in lrs(graph)])))
    assert sum(map(value, lrs(graph)[12:])) / 12 < 0.7  # of numbers drawn blindly: 1


# ------------------------------------------------------------------ the local engine
def test_failed_trials_stand_in_the_ranking_and_the_search_goes_on(lab: Lab, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    outcome, graph = run(lab(TRAIN + LR + "search tpe 12"), store)
    assert len(graph.variants) == 12
    ranking = rank(graph.document(), store.root)
    assert len(ranking.rows) == 12
    failed = [row for row in ranking.rows if row.state == "failed"]
    assert len(failed) == len(outcome.failed) > 0
    assert all(row.settings["lr"] > 0.03 and row.failures[0].reason == "the loss is no number" for row in failed)
    told = values(graph.document(), graph.search, store.root) if graph.search else []
    assert [value is None for value in told] == [lr > 0.03 or lr < 3e-5 for lr in lrs(graph)]
    assert ranking.rows[0].metrics["val.mae"].mean == min(row.metrics["val.mae"].mean for row in ranking.rows if row.rank)


def test_a_run_that_was_ended_goes_on_with_the_same_trials(lab: Lab, tmp_path: Path) -> None:
    opened, whole = lab(TRAIN + "sweep lr in 1e-4..1e-2 log\nsearch tpe 8"), Store(tmp_path / "whole")
    _, graph = run(opened, whole)
    rest = Store(tmp_path / "rest")
    rest.create()
    kept = [stage.digest for stage in graph.stages][:6]
    for digest in kept:
        shutil.copytree(whole.folder(digest), rest.folder(digest))
    (tmp_path / "journal.txt").write_text("")
    outcome, again = run(opened, rest)
    assert lrs(again) == lrs(graph)
    assert set(outcome.cached) == set(kept)
    computed = [line.split()[1] for line in (tmp_path / "journal.txt").read_text().splitlines()]
    assert sorted(computed) == sorted({stage.digest for stage in graph.stages} - set(kept))
    assert rank(again.document(), rest.root).document() == rank(graph.document(), whole.root).document()
    assert lrs(replayed(opened.graph(), opened.graph, rest)) == lrs(graph)


def test_a_plan_in_the_middle_of_a_search_shows_the_trials_so_far(lab: Lab, tmp_path: Path) -> None:
    opened, store = lab(TRAIN + "sweep lr in 1e-4..1e-2 log\nsearch tpe(round=2) 6"), Store(tmp_path / "runs")
    store.create()
    assert len(replayed(opened.graph(), opened.graph, store).variants) == 2
    run_local(opened.graph(), store, jobs=1, threads=1, worker_command=(sys.executable, str(FAKE)))
    graph = replayed(opened.graph(), opened.graph, store)
    assert len(graph.variants) == 4
    document = graph.document()
    assert (document["search"]["trials"], len(document["search"]["points"])) == (6, 4)
    assert "4 of its 6 trials" in rank(document, store.root).notes[-1]


def test_the_value_of_a_trial_is_the_mean_over_its_seeds(lab: Lab, tmp_path: Path) -> None:
    opened, store = lab(TRAIN + "sweep lr in 1e-4..1e-2 log\nsearch tpe(round=2) 4\nrepeat 3"), Store(tmp_path / "runs")
    _, graph = run(opened, store)
    told = values(graph.document(), graph.search, store.root) if graph.search else []
    for row in rank(graph.document(), store.root).rows:
        assert told[int(row.variant[1:]) - 1] == pytest.approx(row.metrics["val.mae"].mean, rel=1e-5)
    one = graph.variants[0].runs[1].stages["train"]
    shutil.rmtree(store.folder(one))
    assert values(graph.document(), graph.search, store.root)[0] is None if graph.search else False


def test_what_no_axis_reaches_is_computed_once(lab: Lab, tmp_path: Path) -> None:
    _, graph = run(lab(CHAIN), Store(tmp_path / "runs"))
    computed = [line.split()[0] for line in (tmp_path / "journal.txt").read_text().splitlines()]
    assert sorted(computed) == ["demo", *["finetune"] * 4, "pretrain"]
    assert len(graph.variants) == 4


# ------------------------------------------------------------------ early stopping
HALVING = TRAIN.replace("epochs=1", "epochs=12") + "sweep lr in 1e-5..3e-2 log\nsearch tpe(round=4, asha=2) 12\n"


def histories(graph: StageGraph, store: Store) -> list[list[list[float]]]:
    """Of each trial and seed the values by epoch."""

    def curve(digest: str) -> list[float]:
        rows = csv.DictReader((store.folder(digest) / "history.csv").read_text().splitlines())
        return [float(row["val.mae"] or "nan") for row in rows]

    return [[curve(run.stages["train"]) for run in variant.runs] for variant in graph.variants]


def expected_limits(curves: list[list[list[float]]], eta: int) -> dict[int, float]:
    """By numpy: the ceil(n / eta)-th lowest of the means over seeds of the lowest value so far."""
    found = {}
    for rung in (eta**power for power in range(9)):
        reached = [seeds for seeds in curves if all(len(curve) >= rung for curve in seeds)]
        lowest = np.array([np.mean([np.fmin.reduce(curve[:rung]) for curve in seeds]) for seeds in reached])
        lowest = np.sort(lowest[~np.isnan(lowest)])
        if len(lowest) >= eta:
            found[rung] = float(f"{lowest[-(-len(lowest) // eta) - 1]:.6g}")
    return found


@pytest.mark.parametrize(("method", "repeat"), [("tpe(round=4, asha=2)", 1), ("random(round=3, asha=3)", 2)])
def test_hopeless_trials_stop_by_what_earlier_rounds_have_reached(lab: Lab, tmp_path: Path, method: str, repeat: int) -> None:
    text = HALVING.replace("tpe(round=4, asha=2)", method) + f"repeat {repeat}\n"
    store = Store(tmp_path / "runs")
    outcome, graph = run(lab(text), store)
    assert outcome.failed == {}
    search, stages = graph.search, {stage.digest: stage for stage in graph.stages}
    assert search
    curves, eta, size = histories(graph, store), search.asha or 0, search.round
    for number, limits in enumerate(search.limits):
        assert dict(limits.get("train", {})) == pytest.approx(expected_limits(curves[: number * size], eta), abs=1e-12)
        for variant in graph.variants[number * size : (number + 1) * size]:
            for one in variant.runs:
                given = stages[one.stages["train"]].config["scenario"]["init_args"].get("give_up", {})
                assert given == {epoch: value for epoch, value in limits.get("train", {}).items() if epoch < 12}
    short = [variant.id for variant, seeds in zip(graph.variants, curves, strict=True) if any(len(curve) < 12 for curve in seeds)]
    assert short
    ranking = rank(graph.document(), store.root)
    assert {row.variant for row in ranking.rows if row.stopped} == set(short)
    ranks = [row.rank for row in ranking.rows if row.key and not row.stopped]
    assert ranks == [*range(1, len(ranks) + 1)]
    assert [row.rank for row in ranking.rows[len(ranks) :]] == [None] * (12 - len(ranks))


def test_a_stopped_trial_says_so_and_never_wins(lab: Lab, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    _, graph = run(lab(HALVING), store)
    plan = graph.document()
    ranking = rank(plan, store.root)
    assert {row.variant for row in ranking.rows if row.rank} & {f"v{number}" for number in range(5, 13)}, "of later rounds, some go on"
    row = next(row for row in ranking.rows if row.stopped)
    document = store.results(row.digests[0])
    note = f"stopped early at epoch {document['stopped_early']}"
    assert row.rank is None
    assert row.metrics["val.mae"].mean == document["metrics"]["val.mae"]
    assert row.document()["stopped_early"] == [document["stopped_early"]]
    assert any("were stopped early as hopeless and are not ranked" in line for line in ranking.notes)
    assert note in ranking_text(ranking)
    assert note in ranking_csv(ranking)
    write_report(plan, store.root, tmp_path / "report.html", ranking)
    assert note in (tmp_path / "report.html").read_text()
    shown_: list[str] = []
    show(store, None, watch=False, as_json=False, echo=shown_.append)
    assert f"stopped at {document['stopped_early']}" in shown_[0]
    assert replace(row, seeds=2, planned=2).notes == (f"1 of 2 seeds {note}",)
    # Even where its value is the best of all: it was trained less than the others.
    result = store.folder(row.digests[0]) / "results.json"
    result.write_text(json.dumps(document | {"metrics": {"val.mae": 0.1}}))
    assert rank(plan, store.root).rows[0].variant != row.variant


def test_a_search_that_stops_trials_goes_on_with_the_same_limits(lab: Lab, tmp_path: Path) -> None:
    opened, whole = lab(HALVING), Store(tmp_path / "whole")
    _, graph = run(opened, whole)
    rest = Store(tmp_path / "rest")
    rest.create()
    for stage in graph.stages[:7]:  # the data, the first round and half of the second
        shutil.copytree(whole.folder(stage.digest), rest.folder(stage.digest))
    assert len(replayed(opened.graph(), opened.graph, rest).variants) == 8
    _, again = run(opened, rest)
    for found in (again, replayed(opened.graph(), opened.graph, whole)):
        assert found.document() == graph.document()
    assert rank(again.document(), rest.root).document() == rank(graph.document(), whole.root).document()
    (tmp_path / "rounds").mkdir()
    written = {"format": 1, **json.loads(json.dumps(graph.document()))}
    (tmp_path / "rounds" / "search-2.json").write_text(json.dumps(written))
    read = recorded(opened.graph(), opened.graph, tmp_path / "rounds")
    assert read
    assert [stage.digest for stage in read.stages] == [stage.digest for stage in graph.stages]


def test_only_ranked_stages_that_an_axis_reaches_are_stopped(lab: Lab, tmp_path: Path) -> None:
    text = """data axial_slice(size=32x32)
pretrain resnet10 on demo.age with epochs=4
finetune on demo.age with epochs=9
train resnet10 on demo.age as scratch with epochs=9
sweep finetune.lr in 1e-4..1e-2 log
search tpe(round=2, asha=2) 8
"""
    _, graph = run(lab(text), Store(tmp_path / "runs"))
    assert {stage.name for stage in graph.stages if "give_up" in stage.config.get("scenario", {}).get("init_args", {})} == {"finetune"}
    assert [stage.name for stage in graph.stages].count("scratch") == 1
    assert graph.search
    assert {step for limits in graph.search.limits for step in limits} == {"finetune"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (HALVING.replace("round=4", "round=12"), "all 12 trials are asked for at once", "round=3"),
        (HALVING.replace("round=4, ", "").replace(" 12\n", " 1\n"), "all 1 trials are asked for at once", "round=1"),
        (HALVING.rstrip() + " by val.r2", "asha stops trials by val.r2, but 'train' monitors val.mae", 'set scenario.monitor = "val.r2"'),
    ],
)
def test_what_cannot_be_stopped_early_is_told(lab: Lab, text: str, message: str, hint: str) -> None:
    with pytest.raises(RecipeError) as told:
        lab(text).graph()
    (diagnostic,) = told.value.diagnostics
    assert diagnostic.code == "early-stopping"
    assert message in diagnostic.message
    assert hint in diagnostic.hint
    assert text[diagnostic.span.start : diagnostic.span.end].startswith("search tpe(")


def test_a_search_by_another_metric_stops_by_it_where_stages_monitor_it(lab: Lab) -> None:
    graph = lab(HALVING.rstrip() + ' by val.r2\nset scenario.monitor = "val.r2"\n').graph()
    assert graph.search
    assert (graph.search.asha, graph.search.limits) == (2, ({},))


@pytest.mark.parametrize(
    ("values", "reduction", "direction", "expected"),
    [([3.0, 1.0], 3, "min", None), ([3.0, 1.0, 2.0], 3, "min", 1.0), ([3, 1, 2, 5], 3, "min", 2), ([0.1, 0.5, 0.3, 0.2], 2, "max", 0.3)],
)
def test_a_limit_is_the_value_of_the_last_that_would_go_on(
    values: list[float], reduction: int, direction: Literal["min", "max"], expected: float | None
) -> None:
    assert limit(values, reduction, direction) == expected


# ------------------------------------------------------------------ Nextflow
@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `tlimb` that tasks call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "tlimb").write_text(f'#!/bin/sh\nPYTHONPATH={Path.cwd()} exec {sys.executable} {FAKE} "$@"\n')
    (folder / "tlimb").chmod(0o755)
    monkeypatch.setattr(nextflow, "tools", lambda: folder)
    monkeypatch.setenv("NXF_OPTS", "-Xmx512m")
    return folder


def run_by_nextflow(opened: Opened, store: Store, pack: int | None = None) -> tuple[Outcome, StageGraph]:
    home, together = store.root / "s", sizes(opened.graph(), {}, pack)
    project = compile_project(opened.graph(), opened.datasets, home / "nextflow", Options(pack=together))
    for file in home.glob("search-*.json"):
        file.unlink()
    trials = Trials(opened.graph(), lambda known: recorded(known, opened.graph, home))
    outcome = run_nextflow(project, trials.graph, store, pack=together, more=trials)
    return outcome, trials.graph


@needs_engine
@pytest.mark.parametrize(("version", "parser", "pack"), [(OLD, "v1", 3), (NEW, "v1", None), (NEW, "v2", 3)])
def test_both_engines_try_and_rank_the_same(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path, version: str, parser: str, pack: int | None
) -> None:
    engine(monkeypatch, version, parser)
    opened = lab(TRAIN + LR + "search tpe(round=4) 12\n")
    local, flow = Store(tmp_path / "local"), Store(tmp_path / "flow é")
    ours, graph = run(opened, local)
    theirs, other = run_by_nextflow(opened, flow, pack)
    assert any("TRAIN_PACK" in line for line in (flow.root / "pipeline_info" / "trace.txt").read_text().splitlines()) == bool(pack)
    assert lrs(other) == lrs(graph)
    assert [stage.digest for stage in other.stages] == [stage.digest for stage in graph.stages]
    assert set(theirs.failed) == set(ours.failed)
    assert set(theirs.done) == set(ours.done)
    mine, its = rank(graph.document(), local.root), json.loads((flow.root / "s" / "results.json").read_text())
    assert [(row["rank"], row["variant"], row["settings"]) for row in its["rows"]] == [
        (row.rank, row.variant, dict(row.settings)) for row in mine.rows
    ]


@needs_engine
def test_both_engines_stop_the_same_trials(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    engine(monkeypatch, NEW, "v2")
    opened = lab(HALVING.replace("round=4, asha=2) 12", "round=3, asha=2) 6"))
    local, flow = Store(tmp_path / "local"), Store(tmp_path / "flow")
    _, graph = run(opened, local)
    assert any(row.stopped for row in rank(graph.document(), local.root).rows)
    _, other = run_by_nextflow(opened, flow)
    assert other.document() == graph.document()
    assert json.loads((flow.root / "s" / "results.json").read_text()) == rank(graph.document(), local.root).document()


@needs_engine
def test_resuming_asks_and_computes_nothing_again(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    engine(monkeypatch, NEW, "v2")
    store = Store(tmp_path / "runs")
    outcome, graph = run_by_nextflow(lab(CHAIN), store)
    assert len(outcome.done) == 6
    journal = (tmp_path / "journal.txt").read_text()
    # A title and a comment must not make a round be asked again; results that were lost from the store are published again.
    shutil.rmtree(store.folder(graph.stages[-1].digest))
    outcome, again = run_by_nextflow(lab('# a comment\nabout title="Other"\n' + CHAIN), store)
    assert lrs(again) == lrs(graph)
    assert (tmp_path / "journal.txt").read_text() == journal
    rows = status(store.root / "pipeline_info" / "trace.txt")
    assert len(outcome.cached) == 6
    assert rows["round 1"] == "CACHED"


@needs_engine
@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_stub_rehearses_all_rounds(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path, version: str) -> None:
    engine(monkeypatch, version)
    opened = lab(CHAIN.replace("tpe(round=2) 4", "gp(round=2) 6"))
    project = compile_project(opened.graph(), opened.datasets, tmp_path / "project")
    command = [find_nextflow(), "run", project, "-stub", "-profile", "test"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(status(tmp_path / "results" / "pipeline_info" / "trace.txt")) == 7  # four jobs, two rounds, the ranking
    if version == NEW:
        linted = subprocess.run([find_nextflow(), "lint", project], capture_output=True, text=True, check=False)
        assert "3 files had no errors" in linted.stdout, linted.stdout
