"""What stages are expected to take: measured once for each kind, added up as the engines would run them, laid beside what they took."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from emit.small_graphs import graph, stage

from tlimb.cli import main
from tlimb.emit.lengths import ways
from tlimb.errors import TlimbError
from tlimb.results.times import duration, times
from tlimb.run import machine
from tlimb.run.expect import Expectation, expected, lengths, size, total
from tlimb.run.opening import open_recipe
from tlimb.run.probe import known, probe
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

FIT = {"setup_s": 1.0, "step_s": 0.5, "validate_s": 0.25, "epoch_s": 0.1, "finish_s": 2.0, "batches": {"train": 10, "val": 2, "test": 4}}
CHILD = """
import json, os, sys
asked = json.load(sys.stdin)
open({journal!r}, "a").write(" ".join(asked["measure"]) + chr(10))
print(json.dumps({{"event": "ready", "cpu_s": 3.0}}), flush=True)
for digest in asked["measure"]:
    (config,) = [config for config in asked["stages"] if config["digest"] == digest]
    if config["name"] == {failing!r}:
        print(json.dumps({{"event": "failed", "digest": digest, "message": "no such layer"}}), flush=True)
    elif config["kind"] == "prepare":
        print(json.dumps({{"event": "measured", "digest": digest, "scan_s": 0.5, "scans": 100, "bytes": 1000}}), flush=True)
    else:
        timing = {{**{fit!r}, "cpu_per_s": 2.0, "bytes": 5000}}
        print(json.dumps({{"event": "measured", "digest": digest, **timing}}), flush=True)
sys.exit({status})
"""


@pytest.fixture(autouse=True)
def _small_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "plan_says" not in request.node.name:  # which uses what other tests have asked of architectures
        monkeypatch.setenv("TLIMB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(machine, "gpus", lambda: ())


def child(folder: Path, *, failing: str = "", status: int = 0) -> tuple[str, ...]:
    return (sys.executable, "-c", CHILD.format(journal=str(folder / "journal"), failing=failing, fit=FIT, status=status))


def opened(folder: Path, text: str) -> StageGraph:
    (folder / "s.tlr").write_text(text)
    return open_recipe(str(folder / "s.tlr")).graph()


TEXT = "pretrain resnet10 on demo.age with epochs=4\nfinetune on demo.sex with epochs=2\nsweep finetune.lr in [1e-4, 1e-3, 1e-2]\n"


# ------------------------------------------------------------------ measured once
def test_stages_that_cost_the_same_are_measured_once_and_remembered(tmp_path: Path) -> None:
    whole, store, said = opened(tmp_path, TEXT), Store(tmp_path / "runs"), list[str]()
    probe(whole, store, "", 1, said.append, child(tmp_path))
    (asked,) = (tmp_path / "journal").read_text().splitlines()
    assert len(asked.split()) == 3, "data, pre-training, and one of the fine-tunings"
    assert any("500 ms a step" in line for line in said)
    assert known(whole, 1).keys() == {stage.digest for stage in whole.stages}
    assert known(whole, 2) == {}, "with other threads it takes another time"

    # Other rates, seeds and epochs cost no other step; another batch or network does.
    for same in (TEXT.replace("1e-4", "2e-4"), TEXT.replace("epochs=4", "epochs=40"), TEXT + "set seed = 3\n"):
        assert len(known(opened(tmp_path, same), 1)) == 5
    for other in (TEXT.replace("epochs=4", "epochs=4, batch=4"), TEXT.replace("resnet10", "resnet18")):
        assert len(known(opened(tmp_path, other), 1)) < 5
    probe(whole, store, "", 1, said.append, child(tmp_path))
    assert len((tmp_path / "journal").read_text().splitlines()) == 1


def test_a_stage_that_would_fail_is_told_and_not_remembered(tmp_path: Path) -> None:
    whole, said = opened(tmp_path, TEXT), list[str]()
    probe(whole, Store(tmp_path / "runs"), "", 1, said.append, child(tmp_path, failing="finetune"))
    assert any("would fail: no such layer" in line for line in said)
    assert len(known(whole, 1)) == 2
    assert total(whole, expected(whole, threads=1), [stage.digest for stage in whole.stages], 2) is None


def test_a_probe_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(TlimbError, match="ended with status 9"):
        probe(opened(tmp_path, TEXT), Store(tmp_path / "runs"), "", 1, lambda line: None, child(tmp_path, status=9))


# ------------------------------------------------------------------ added up
def test_a_stage_takes_its_steps_batches_and_what_stands_around_them(tmp_path: Path) -> None:
    whole = opened(tmp_path, TEXT)
    probe(whole, Store(tmp_path / "runs"), "", 1, lambda line: None, child(tmp_path))
    by_name = {stage.name: expected(whole, threads=1)[stage.digest] for stage in whole.stages}
    assert by_name["demo"].seconds == 50
    assert by_name["pretrain"].seconds == pytest.approx(1 + 2 + 6 * 0.25 + 4 * (10 * 0.5 + 2 * 0.25 + 0.1))
    assert by_name["finetune"].seconds == pytest.approx(1 + 2 + 6 * 0.25 + 2 * (10 * 0.5 + 2 * 0.25 + 0.1))
    assert by_name["finetune"].cpu_s == 2 * by_name["finetune"].seconds
    assert by_name["finetune"].gpu_s == 0


def costs(**seconds: float) -> tuple[StageGraph, dict[str, Expectation]]:
    """A data set, and trainings on it that take so long; starting a process takes 10 s."""
    data = stage("prepare", "ukb")
    made = [stage("fit", name, (data,), lr=number) for number, name in enumerate(seconds)]
    whole = graph(data, *made)
    taken = zip((data, *made), (5.0, *seconds.values()), strict=True)
    return whole, {stage.digest: Expectation(s, s, 0.0, 7, 10.0, 4.0) for stage, s in taken}


@pytest.mark.parametrize(
    ("slots", "warm", "seconds", "cpu"),
    [
        (1, True, 10 + 5 + 70, 75 + 4),
        (2, True, 10 + 5 + 40, 75 + 8),  # the longest goes to the worker that is there
        (9, False, 10 + 5 + 10 + 40, 75 + 4 * 4),
    ],
)
def test_stages_are_added_up_as_engines_run_them(slots: int, warm: bool, seconds: float, cpu: float) -> None:
    whole, costs_ = costs(a=10, b=40, c=20)
    found = total(whole, costs_, [stage.digest for stage in whole.stages], slots, warm=warm)
    assert found
    assert (found.seconds, found.cpu_s, found.disk, found.stages) == (seconds, cpu, 28, 4)
    assert total(whole, costs_, [], slots) is not None
    del costs_[whole.stages[1].digest]
    assert total(whole, costs_, [stage.digest for stage in whole.stages], slots) is None


def test_who_starts_first_follows_from_work_where_nothing_was_measured(tmp_path: Path) -> None:
    data = stage("prepare", "ukb")
    short, long = stage("fit", "short", (data,), epochs=2), stage("fit", "long", (data,), epochs=20)
    for made in (data, short, long):
        made.config.setdefault("split", {})  # type: ignore[attr-defined]
        made.config.setdefault("data", {"init_args": {}})  # type: ignore[attr-defined]
    whole, store = graph(data, short, long), Store(tmp_path / "runs")
    found = lengths(whole, {}, store, {})
    assert found[long.digest] == pytest.approx(10 * found[short.digest])

    # A finished stage tells how many seconds such work takes.
    store.folder(short.digest).mkdir(parents=True)
    (store.folder(short.digest) / "environment.json").write_text(json.dumps({"seconds": 30}))
    found = lengths(whole, {}, store, {})
    assert (found[short.digest], found[long.digest]) == (30, pytest.approx(300))
    assert ways(whole, found)[data.digest] > ways(whole, found)[long.digest] > ways(whole, found)[short.digest]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (12, "12 s"),
        (59.8, "1 min 00 s"),
        (125, "2 min 05 s"),
        (1500, "25 min"),
        (7500, "2 h 05 min"),
        (400000, "4.6 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("disk", "text"), [(2500, "2.5 kB"), (119092152, "119 MB"), (3.2e9, "3.2 GB"), (5e13, "50 TB")])
def test_sizes(disk: float, text: str) -> None:
    assert size(disk) == text


# ------------------------------------------------------------------ for real
RECIPE = """data axial_slice(size=24x24)
pretrain resnet10(widen_factor=0.25) on tiny.age with epochs=2
evaluate on tiny.age
"""


def test_a_plan_says_what_a_run_takes_and_the_report_what_it_took(tmp_path: Path) -> None:
    (tmp_path / "s.tlr").write_text(RECIPE)
    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 24}\n")

    def tlimb(*arguments: str) -> str:
        done = CliRunner().invoke(main, [arguments[0], str(tmp_path / "s.tlr"), "--store", str(tmp_path / "runs"), *arguments[1:]])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert json.loads(tlimb("plan", "--json"))["expected"] is None
    plan = json.loads(tlimb("plan", "--probe", "--slots", "4", "--json"))
    assert plan["expected"].keys() == {"all", "cluster"}
    assert all(stage["expected"]["seconds"] > 0 for stage in plan["stages"])
    assert "expected" in tlimb("run")
    for row in plan["stages"]:
        if row["kind"] != "evaluate":
            took = sum(file.stat().st_size for file in (tmp_path / "runs" / row["digest"]).iterdir())
            assert row["expected"]["disk"] == pytest.approx(took, rel=0.1)
    assert [step.stages for step in times(_remembered(tmp_path, plan), tmp_path / "runs")] == [1, 1, 1]
    assert "were expected" in tlimb("results")
    assert "beside what a few steps of each let expect" in (tmp_path / "runs" / "s" / "report.html").read_text()


def _remembered(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    stages = json.loads((folder / "runs" / "s" / "expected.json").read_text())["stages"]
    return {**plan, "stages": [{**stage, "expected": stages[stage["digest"]]} for stage in plan["stages"]]}


def test_what_stands_in_for_data_has_all_roles_and_labels(tmp_path: Path) -> None:
    from tlimb.catalogue.datasets import find_datasets
    from tlimb.components.data import SliceDataModule
    from tlimb.components.data.preparation import prepare
    from tlimb.components.data.prepared import read_prepared
    from tlimb.train.probe import Probe, _prepare

    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 24}\n")
    datasets = find_datasets(explicit=tmp_path / "datasets.yaml")
    config = {
        "kind": "prepare",
        "digest": "0" * 16,
        "dataset": {"name": "tiny"},
        "data": {"class_path": "tlimb.components.data.SliceDataModule", "init_args": {"size": [24, 24], "count": 3}},
    }
    standing = Probe(tmp_path, tmp_path / "store", datasets, 1, {})
    timing = _prepare(standing, config, True)
    (tmp_path / "true").mkdir()
    prepare(datasets["tiny"], tmp_path / "true", module_class=SliceDataModule, arguments={"size": [24, 24], "count": 3})
    made, true = read_prepared(standing.made["0" * 16]), read_prepared(tmp_path / "true")
    assert (made.participants, made.labels, made.shape) == (true.participants, true.labels, true.shape)
    assert made.document["participants"] == true.document["participants"]
    assert timing["bytes"] == (tmp_path / "true" / "images.npy").stat().st_size
    np.testing.assert_array_equal(np.load(made.images, mmap_mode="r")[:4], np.load(true.images, mmap_mode="r")[:4])
