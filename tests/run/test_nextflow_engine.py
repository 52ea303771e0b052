"""Compiled projects run by the real engine, with a `tlimb` that trains nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from emit.small_graphs import graph, stage, sweep

from tlimb.assets import asset
from tlimb.emit.nextflow import TEMPLATES, Options, emit
from tlimb.errors import InputError, TlimbError
from tlimb.run import nextflow
from tlimb.run.nextflow import find_nextflow, run_nextflow, write_project
from tlimb.run.progress import Event
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

ENGINES = Path(sys.prefix) / "nextflow"
OLD, NEW = "24.10.0", "25.04.4"
PARSERS = pytest.mark.parametrize(("version", "parser"), [(OLD, "v1"), (NEW, "v1"), (NEW, "v2")])
AWKWARD = 'Gehirn & Größe\'s "$HOME" #1 `x` \\'

real = [
    pytest.mark.nextflow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Java 17 is not installed"),
    pytest.mark.skipif(not (ENGINES / NEW / "nextflow").exists(), reason="the engine is not installed: run .ci/nextflow/install"),
]


def needs_engine(test: object) -> object:
    for mark in real:
        test = mark(test)
    return test


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the fake `tlimb`, used instead of the one beside this Python; little memory for the engine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "tlimb"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_tlimb.py")} "$@"\n')
    command.chmod(0o755)
    monkeypatch.setattr(nextflow, "tools", lambda: folder)
    monkeypatch.setenv("NXF_OPTS", "-Xmx512m")
    return folder


def engine(monkeypatch: pytest.MonkeyPatch, version: str, parser: str = "v1") -> None:
    monkeypatch.setenv("TLIMB_NEXTFLOW", str(ENGINES / version / "nextflow"))
    monkeypatch.setenv("NXF_SYNTAX_PARSER", parser)


def files(stages: StageGraph, options: Options | None = None) -> Mapping[str, str]:
    templates = {name: asset("nf_templates", *name.split("/")).read_text(encoding="utf-8") for name in TEMPLATES}
    return emit(stages, datasets_yaml="ukb: {format: demo}\n", templates=templates, options=options)


def status(trace: Path) -> dict[str, str]:
    """Last status by job in a trace."""
    header, *rows = [line.split("\t") for line in trace.read_text().splitlines()]
    return {row[header.index("tag")]: row[header.index("status")] for row in rows}


@needs_engine
def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    data = stage("prepare", "ukb")
    one, two = stage("fit", "größe", (data,)), stage("fit", "2nd", (data,))
    odd = graph(data, one, two, stage("evaluate", "rank", (data, two)), recipe='it\'s\n"$odd" \\', about={"title": "${x}\n*/ 'y'"})
    for number, stages in enumerate((sweep(2), odd)):
        write_project(files(stages), tmp_path / str(number))
    done = subprocess.run([ENGINES / NEW / "nextflow", "lint", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 files had no errors" in done.stdout


@needs_engine
@PARSERS
def test_the_stub_rehearses_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path, version: str, parser: str) -> None:
    engine(monkeypatch, version, parser)
    project = write_project(files(sweep(2)), tmp_path / "project")
    command = [find_nextflow(), "run", project, "-stub", "-profile", "test"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(status(tmp_path / "results" / "pipeline_info" / "trace.txt")) == 9


@needs_engine
@PARSERS
def test_a_project_runs_anywhere_and_resumes_all_that_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path, version: str, parser: str
) -> None:
    engine(monkeypatch, version, parser)
    store = Store(tmp_path / AWKWARD / "runs")
    folder = store.root / "small" / "nextflow"
    events: list[Event] = []
    outcome = run_nextflow(write_project(files(sweep(1)), folder), sweep(1), store, observer=events.append)
    assert (len(outcome.done), outcome.failed) == (5, {})
    assert set(store.states(sweep(1)).values()) == {"done"}
    assert (store.root / "small" / "results.csv").read_text().splitlines() == ["pretrain", "finetune", "evaluate"]
    assert [event.kind for event in events if event.kind == "epoch"]
    assert {event.digest for event in events if event.kind == "finished"} == set(outcome.done)

    # A title, a variant more, and every file touched: nothing that is finished is computed again.
    more = sweep(2, title="A quite different title")
    write_project(files(more), folder)
    for file in folder.rglob("*"):
        os.utime(file)
    outcome = run_nextflow(folder, more, store)
    assert sorted(status(store.root / "pipeline_info" / "trace.txt").values()) == ["CACHED"] * 5 + ["COMPLETED"] * 4
    assert (len(outcome.done), len(outcome.cached)) == (3, 5)
    assert len((store.root / "small" / "results.csv").read_text().splitlines()) == 6

    monkeypatch.setenv("TLIMB_NEXTFLOW", "/bin/false")
    assert len(run_nextflow(folder, more, store).cached) == 8, "a finished recipe needs no engine"


@needs_engine
def test_a_plain_nextflow_run_makes_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    engine(monkeypatch, NEW)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    project = write_project(files(sweep(1)), tmp_path / AWKWARD.replace("$", ""))
    for expected in ("COMPLETED", "CACHED"):
        done = subprocess.run([find_nextflow(), "run", project, "-resume"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert set(status(tmp_path / "results" / "pipeline_info" / "trace.txt").values()) == {expected}
    assert set(Store(tmp_path / "results").states(sweep(1)).values()) == {"done"}


@needs_engine
def test_failures_are_named_and_stopped_jobs_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    engine(monkeypatch, NEW, "v2")
    data = stage("prepare", "ukb")
    bad, good = stage("fit", "bad", (data,)), stage("fit", "good", (data,), lr=0.1)
    below, test = stage("fit", "below", (data, bad)), stage("evaluate", "test", (data, good))
    stages = graph(data, bad, good, below, test)
    monkeypatch.setenv("FAKE_TLIMB", json.dumps({"bad": "fail", "good": "stop once"}))
    store = Store(tmp_path / "runs")
    events: list[Event] = []
    outcome = run_nextflow(write_project(files(stages), tmp_path / "project"), stages, store, observer=events.append)

    assert set(outcome.done) == {data.digest, good.digest, test.digest}
    assert list(outcome.failed) == [bad.digest]
    assert "no participant has a label" in outcome.failed[bad.digest]
    assert outcome.skipped == {below.digest: bad.digest}
    assert store.states(stages)[bad.digest] == "failed"
    assert [event.digest for event in events if event.kind == "retried"] == [good.digest]
    assert (tmp_path / "runs" / "small" / "results.csv").read_text().splitlines() == ["good", "test"]


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from emit.small_graphs import sweep
from tlimb.run import nextflow
from tlimb.run.store import Store
nextflow.tools = lambda: Path({tools!r})
outcome = nextflow.run_nextflow(Path({project!r}), sweep(1), Store(Path({store!r})))
sys.exit(130 if outcome.interrupted and not outcome.failed else 1)
"""


@needs_engine
def test_ctrl_c_reaches_the_engine_and_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    engine(monkeypatch, NEW)
    monkeypatch.setenv("FAKE_TLIMB", json.dumps({"pretrain": "slow"}))
    project, store = write_project(files(sweep(1)), tmp_path / "project"), Store(tmp_path / "runs")
    pretrain = next(stage for stage in sweep(1).stages if stage.name == "pretrain")
    script = RUN.format(tests=str(Path(__file__).parents[1]), tools=str(fake), project=str(project), store=str(store.root))
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while not (store.partial(pretrain.digest) / "events.jsonl").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 130
    assert not [line for line in _processes() if str(pretrain.digest) in line]
    assert store.is_done(sweep(1).stages[0].digest)


def _processes() -> list[str]:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()


@needs_engine
def test_an_engine_that_refuses_the_project_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    engine(monkeypatch, NEW)
    project = write_project(files(sweep(1)), tmp_path / "project")
    with pytest.raises(TlimbError, match="nowhere"):
        run_nextflow(project, sweep(1), Store(tmp_path / "runs"), profile="nowhere")


def test_without_nextflow_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLIMB_NEXTFLOW", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"get\.nextflow\.io"):
        find_nextflow()
    monkeypatch.setenv("TLIMB_NEXTFLOW", "/nowhere/nextflow")
    with pytest.raises(InputError, match="/nowhere/nextflow is no executable"):
        find_nextflow()


def test_only_a_compiled_project_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "main.nf").write_text("workflow {}")
    with pytest.raises(InputError, match="no compiled project"):
        write_project(files(sweep(1)), tmp_path / "thesis")
    assert [file.name for file in (tmp_path / "thesis").iterdir()] == ["main.nf"]
    with pytest.raises(InputError, match="is a file"):
        write_project(files(sweep(1)), tmp_path / "thesis" / "main.nf")


def test_compiling_again_touches_only_what_changes(tmp_path: Path) -> None:
    project = write_project(files(sweep(2)), tmp_path / "project")
    (project / "results").mkdir()
    for file in [file for file in project.rglob("*") if file.is_file()]:
        os.utime(file, (1, 1))
    write_project(files(sweep(2)), project)
    assert {file.stat().st_mtime for file in project.rglob("*") if file.is_file()} == {1}

    write_project(files(sweep(1)), project)
    changed = {file.relative_to(project).as_posix() for file in project.rglob("*") if file.is_file() and file.stat().st_mtime != 1}
    assert changed == {"jobs.csv", "plan.json", "nextflow.config", "README.md"}
    assert len(list((project / "configs").iterdir())) == 5
    assert (project / "results").is_dir()
