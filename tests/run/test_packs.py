"""Several stages in one task: which go together, the task itself, and what becomes of them when one fails, dies or is stopped."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from emit.small_graphs import graph, stage, sweep

from run.test_local import FAKE, behave, names
from run.test_local_training import FIT, same
from run.test_nextflow_engine import NEW, OLD, engine, fake, files, needs_engine
from tlimb.cli import main
from tlimb.configs.text import dump
from tlimb.emit.nextflow import Options
from tlimb.emit.packs import packs, sizes
from tlimb.errors import InputError
from tlimb.run.local import SAVED, run_local
from tlimb.run.nextflow import run_nextflow, write_project
from tlimb.run.opening import open_recipe
from tlimb.run.pack import FINISHED, STORE, run_pack
from tlimb.run.progress import Event
from tlimb.run.store import Store
from tlimb.stages.graph import Stage, StageGraph
from tlimb.stages.sweep import Point

__all__ = ["fake"]  # a fixture


# ------------------------------------------------------------------ which go together
def lengths(stages: StageGraph, seconds: float) -> dict[str, float]:
    return {stage.digest: seconds for stage in stages.stages}


def test_stages_stay_alone_where_nothing_is_known_or_where_they_are_long() -> None:
    assert sizes(sweep(40), {}) == {}
    assert sizes(sweep(40), lengths(sweep(40), 200)) == {}
    assert sizes(sweep(4), lengths(sweep(4), 1)) == {}, "a few short ones can run at the same time"


def test_short_stages_make_a_task_of_some_minutes() -> None:
    assert sizes(sweep(40), lengths(sweep(40), 100)) == dict.fromkeys(
        (("fit", "pretrain"), ("fit", "finetune"), ("evaluate", "evaluate")), 3
    )
    assert sizes(sweep(40), lengths(sweep(40), 1))["fit", "pretrain"] == 5, "eight tasks are left"


def test_the_number_asked_for_is_for_all_that_train_or_test() -> None:
    whole = sweep(10)
    together = packs(whole, sizes(whole, {}, 4))
    assert sorted(Counter(together.values()).values()) == sorted([3, 3, 4] * 3)
    assert not [stage for stage in whole.stages if stage.kind == "prepare" and stage.digest in together]
    steps = {pack: {stage.name for stage in whole.stages if together.get(stage.digest) == pack} for pack in together.values()}
    assert all(len(step) == 1 for step in steps.values())


def test_stages_on_several_devices_share_no_task_with_others() -> None:
    data = stage("prepare", "ukb")
    stages = [stage("fit", "train", (data,), lr=number, devices=1 + number % 2) for number in range(6)]
    together = packs(graph(data, *stages), {("fit", "train"): 6})
    assert {frozenset(s.digest for s in stages if s.devices == count) for count in (1, 2)} == {
        frozenset(digest for digest in together if together[digest] == pack) for pack in together.values()
    }


def test_further_rounds_of_a_search_change_no_pack(tmp_path: Path) -> None:
    (tmp_path / "s.tlr").write_text("train resnet10 on demo.age\nsweep lr in 1e-5..1e-1 log\nsearch random(round=4) 12\n")
    opened = open_recipe(str(tmp_path / "s.tlr"))
    first = opened.graph()
    assert first.search
    points: list[Point] = [*first.search.points, (0.5,), (0.25,), (0.125,), (0.0625,)]
    together = packs(opened.graph(points), {("fit", "train"): 3})
    assert {digest: together[digest] for digest in packs(first, {("fit", "train"): 3})} == packs(first, {("fit", "train"): 3})
    assert sorted(Counter(together.values()).values()) == [2, 2, 2, 2]


def test_a_project_names_packs_and_does_not_grow() -> None:
    small, large = (files(sweep(count), Options(pack=sizes(sweep(count), {}, 2))) for count in (4, 40))
    assert small["main.nf"] == large["main.nf"]
    assert small["main.nf"].count("\nprocess ") == 2 + 2 * 3
    assert "process PRETRAIN_PACK {" in small["main.nf"]
    assert "_PACK" not in files(sweep(4))["main.nf"]


def test_long_tasks_get_more_time() -> None:
    whole = sweep(4)
    config = files(whole, Options(pack=sizes(whole, {}, 2), lengths={s.digest: 4 * 3600.0 for s in whole.stages if s.name == "pretrain"}))
    (line,) = [line for line in config["nextflow.config"].splitlines() if "several times what is expected" in line]
    assert "Math.max(params.hours, 32)" in line
    assert "withName: 'PRETRAIN(_PACK)?' {" in config["nextflow.config"]


# ------------------------------------------------------------------ the task
@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    return tmp_path / "journal"


def written(folder: Path, *stages: Stage) -> list[Path]:
    (folder / "configs").mkdir(exist_ok=True)
    found = [folder / "configs" / f"{stage.name}-{stage.digest}.yaml" for stage in stages]
    for file, made in zip(found, stages, strict=True):
        file.write_text(dump(made.config))
    return found


def finished(folder: Path, made: Stage) -> Path:
    """The result folder of a stage."""
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"format": 1, "digest": made.digest}))
    return folder


DATA = stage("prepare", "ukb")
SMALL = tuple(stage("fit", f"small{number}", (DATA,), lr=number) for number in range(3))
ABOVE = stage("fit", "above", (DATA, SMALL[1]))


def pack(folder: Path, stages: Sequence[Stage], into: str = "done") -> int:
    given = folder / "inputs" / "ukb"
    parents = [given if given.exists() else finished(given, DATA)]
    return run_pack(written(folder, *stages), folder / into, parents=parents, threads=1, state=folder / "state", worker_command=FAKE)


def test_one_process_makes_a_folder_of_each(tmp_path: Path, journal: Path) -> None:
    assert pack(tmp_path, (ABOVE, *SMALL)) == 0
    for made in (ABOVE, *SMALL):
        assert Store(tmp_path / "state").state(made.digest) == "new"
        document = json.loads((tmp_path / "done" / f"{made.name}-{made.digest}" / "results.json").read_text())
        assert (document["digest"], document["threads"]) == (made.digest, 1)
    assert len({line.split()[2] for line in journal.read_text().splitlines()}) == 1
    assert names(journal, "start").index("above") > names(journal, "start").index("small1")
    assert not list((tmp_path / "state").glob("*/results.json"))


@pytest.mark.parametrize("behaviour", ["fail", "crash"])
def test_what_fails_or_dies_is_left_over_and_costs_no_other(
    tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], behaviour: str
) -> None:
    behave(monkeypatch, small1=behaviour)
    assert pack(tmp_path, (*SMALL, ABOVE)) == 1
    done = tmp_path / "done"
    assert {folder.name.partition("-")[0] for folder in done.iterdir()} == {"small0", "small2"}
    assert f"failed: small1-{SMALL[1].digest}" in capfd.readouterr().err
    journal.unlink()
    behave(monkeypatch)
    assert pack(tmp_path, (*SMALL, ABOVE)) == 0
    assert names(journal, "start") == ["small1", "above"]
    assert len(list(done.iterdir())) == 4


def test_a_task_that_is_told_to_stop_keeps_what_is_finished(tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, small1="slow")
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from run.test_packs import SMALL, pack
sys.exit(pack(Path({str(tmp_path)!r}), SMALL))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not (tmp_path / "state" / SMALL[1].digest / ".slow").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=20) == SAVED
    assert (tmp_path / "state" / FINISHED / SMALL[0].digest / "results.json").exists()
    assert not list((tmp_path / "done").iterdir())

    journal.unlink()
    behave(monkeypatch)
    assert pack(tmp_path, SMALL, into="again") == 0
    assert names(journal, "start") == ["small1", "small2"]
    assert len(list((tmp_path / "again").iterdir())) == 3


def test_what_is_published_is_taken_where_it_is_whole(tmp_path: Path, journal: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / STORE).write_text(str(tmp_path / "runs"))
    assert pack(tmp_path, SMALL) == 0
    for made in SMALL:
        shutil.move(tmp_path / "done" / f"{made.name}-{made.digest}", tmp_path / "runs" / made.digest)
    (tmp_path / "runs" / SMALL[2].digest / "model.safetensors").write_bytes(b"cut")
    journal.unlink()
    assert pack(tmp_path, (*SMALL, ABOVE), into="again") == 0
    assert names(journal, "start") == ["small2", "above"]
    assert len(list((tmp_path / "again").iterdir())) == 4

    # A task of its own takes it too, and needs no training side for that.
    (config,) = written(tmp_path, SMALL[0])
    arguments = ["stage", "run", str(config), "--out", str(tmp_path / "alone"), "--state", str(tmp_path / "state" / SMALL[0].digest)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert (tmp_path / "alone" / "model.safetensors").read_bytes() == b"small0" * 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --out or --into"),
        (["--out", "a", "--into", "b"], "give either --out or --into"),
        (["--out", "a"], "--out is for one stage, not for 2"),
        (["--into", "a", "--set", "seed=1"], "--set changes one stage"),
        (["--into", "a", "--parent", "nowhere"], "--parent nowhere: no finished stage"),
    ],
)
def test_what_cannot_be_run_together_is_told(tmp_path: Path, arguments: list[str], message: str) -> None:
    found = CliRunner().invoke(main, ["stage", "run", *map(str, written(tmp_path, *SMALL[:2])), *arguments])
    assert found.exit_code == InputError.exit_status
    assert message in found.output


def test_files_that_are_no_stages_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[1, 2]")
    with pytest.raises(InputError, match=r"a\.yaml: no stage\.yaml"):
        run_pack([tmp_path / "a.yaml"], tmp_path / "done")
    (config,) = written(tmp_path, SMALL[0])
    with pytest.raises(InputError, match="stands twice"):
        run_pack([config, config], tmp_path / "done")


# ------------------------------------------------------------------ trained
RECIPE = """data axial_slice(size=24x24)
train resnet10(widen_factor=0.25) on tiny.age with epochs=2
sweep lr in [1e-4, 1e-3, 1e-2]
"""


def test_a_task_of_several_gives_the_bytes_of_the_local_engine(tmp_path: Path) -> None:
    (tmp_path / "s.tlr").write_text(RECIPE)
    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 24}\n")
    whole = open_recipe(str(tmp_path / "s.tlr")).graph()
    local = Store(tmp_path / "local")
    assert len(run_local(whole, local, datasets=tmp_path / "datasets.yaml", jobs=1, threads=1).done) == 4
    data, *trained = whole.stages
    command = ["stage", "run", *map(str, written(tmp_path, *trained)), "--into", str(tmp_path / "pack"), "--threads", "1"]
    packed = subprocess.run(
        [sys.executable, "-m", "tlimb", *command, "--parent", str(local.folder(data.digest))], capture_output=True, text=True, check=False
    )
    assert packed.returncode == 0, packed.stderr
    for made in trained:
        same(tmp_path / "pack" / f"{made.name}-{made.digest}", local.folder(made.digest), FIT)


# ------------------------------------------------------------------ Nextflow
@needs_engine
@pytest.mark.parametrize(("version", "parser"), [(OLD, "v1"), (NEW, "v2")])
def test_a_failed_member_is_tried_alone_and_its_siblings_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path, version: str, parser: str
) -> None:
    engine(monkeypatch, version, parser)
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setenv("FAKE_TLIMB", json.dumps({"pretrain 1.001": "fail", "finetune 2.001": "stop once"}))
    whole, store, events = sweep(4), Store(tmp_path / "runs"), list[Event]()
    together = sizes(whole, {}, 4)
    project = write_project(files(whole, Options(pack=together)), tmp_path / "project")
    outcome = run_nextflow(project, whole, store, pack=together, observer=events.append)

    of = {(stage.name, number // 3): stage.digest for number, stage in enumerate(whole.stages[2:])}
    assert list(outcome.failed) == [of["pretrain", 1]]
    assert "no participant has a label" in outcome.failed[of["pretrain", 1]]
    assert outcome.skipped == dict.fromkeys((of["finetune", 1], of["evaluate", 1]), of["pretrain", 1])
    assert set(outcome.done) == {stage.digest for stage in whole.stages} - {*outcome.failed, *outcome.skipped}
    assert {digest for digest, state in store.states(whole).items() if state == "done"} == set(outcome.done)
    assert {event.digest for event in events if event.kind == "finished"} == set(outcome.done)
    assert of["finetune", 2] not in {event.digest for event in events if event.kind == "skipped"}
    tasks = [line.split() for line in (tmp_path / "journal").read_text().splitlines()]
    assert sorted(map(len, tasks)) == [1, 1, 1, 3, 3, 3, 4], "data sets, the failed one; each step; one was stopped"


REAL = """#!{python}
import sys
sys.path[:0] = [{project!r}, {tests!r}]
if "--into" in sys.argv:
    from run.test_local import FAKE
    from tlimb.cli import main
    from tlimb.run.pack import run_pack
    run_pack.__kwdefaults__["worker_command"] = FAKE
    main()
import runpy
runpy.run_path({fake!r}, run_name="__main__")
"""


@needs_engine
def test_other_packs_compute_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path, journal: Path) -> None:
    """Here tasks of several stages run the real command, with a worker that trains nothing."""
    engine(monkeypatch, NEW, "v2")
    tests = Path(__file__).parents[1]
    program = REAL.format(python=sys.executable, project=str(tests.parent), tests=str(tests), fake=str(tests / "run" / "fake_tlimb.py"))
    (fake / "tlimb").write_text(program)
    store = Store(tmp_path / "runs")

    def run(variants: int, size: int) -> None:
        whole = sweep(variants)
        together = sizes(whole, {}, size)
        outcome = run_nextflow(write_project(files(whole, Options(pack=together)), tmp_path / "project"), whole, store, pack=together)
        assert not outcome.failed
        assert len(outcome.done) + len(outcome.cached) == len(whole.stages)
        assert set(store.states(whole).values()) == {"done"}
        assert not list((store.root / ".partial" / FINISHED).glob("*/results.json"))

    run(4, 2)
    assert len(names(journal, "start")) == 12
    run(5, 3)
    assert sorted(names(journal, "start")[12:]) == ["evaluate", "finetune", "pretrain"], "those of the fifth variant"
