"""Searches asked and told in rounds: the same trials whenever, wherever and however often they are asked for."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from run.test_nextflow_engine import NEW, OLD, PARSERS, engine, needs_engine, status
from tlimb.results.ranking import Ranking, rank
from tlimb.run import nextflow
from tlimb.run.local import run_local
from tlimb.run.nextflow import compile_project, find_nextflow, run_nextflow
from tlimb.run.opening import Opened, open_recipe
from tlimb.run.progress import Outcome
from tlimb.run.search import Trials, ask, grown, recorded, replayed, values
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

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


def run_by_nextflow(opened: Opened, store: Store) -> tuple[Outcome, StageGraph]:
    home = store.root / "s"
    project = compile_project(opened.graph(), opened.datasets, home / "nextflow")
    for file in home.glob("search-*.json"):
        file.unlink()
    trials = Trials(opened.graph(), lambda known: recorded(known, opened.graph, home))
    outcome = run_nextflow(project, trials.graph, store, more=trials)
    return outcome, trials.graph


@needs_engine
@PARSERS
def test_both_engines_try_and_rank_the_same(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path, version: str, parser: str
) -> None:
    engine(monkeypatch, version, parser)
    opened = lab(TRAIN + LR + "search tpe(round=4) 12\n")
    local, flow = Store(tmp_path / "local"), Store(tmp_path / "flow é")
    ours, graph = run(opened, local)
    theirs, other = run_by_nextflow(opened, flow)
    assert lrs(other) == lrs(graph)
    assert [stage.digest for stage in other.stages] == [stage.digest for stage in graph.stages]
    assert set(theirs.failed) == set(ours.failed)
    assert set(theirs.done) == set(ours.done)
    mine, its = rank(graph.document(), local.root), json.loads((flow.root / "s" / "results.json").read_text())
    assert [(row["rank"], row["variant"], row["settings"]) for row in its["rows"]] == [
        (row.rank, row.variant, dict(row.settings)) for row in mine.rows
    ]


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
