"""States of stages as they are read from what runs write."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from emit.small_graphs import graph, stage, sweep

from tlimb.run.monitor import Monitor, Snapshot, fold
from tlimb.run.nextflow import find_nextflow, write_project
from tlimb.run.runs import present
from tlimb.run.status import clock, document, text
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

from .test_nextflow_engine import NEW, engine, files, needs_engine


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "runs")
    made.create()
    return made


def chain() -> StageGraph:
    data = stage("prepare", "ukb")
    pretrain = stage("fit", "pretrain", (data,), epochs=4)
    finetune = stage("fit", "finetune", (data, pretrain))
    return graph(data, pretrain, finetune, stage("evaluate", "test", (data, finetune)))


def states(snapshot: Snapshot) -> list[str]:
    return [stage.state for stage in snapshot.stages.values()]


def finish(store: Store, digest: str, **more: object) -> None:
    folder = store.folder(digest)
    if store.partial(digest).is_dir():
        store.partial(digest).rename(folder)
    else:
        folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"format": 1, "digest": digest, "name": "it", "kind": "fit"} | more))
    (folder / "environment.json").write_text('{"seconds": 60.0}')


@contextmanager
def at_work(store: Store, digest: str, *events: dict[str, object]) -> Iterator[Path]:
    """A stage whose process holds its lock and has told these events."""
    partial = store.begin(digest)
    with (partial / "events.jsonl").open("a") as file:
        file.write("".join(json.dumps({"time": time.time(), **event}) + "\n" for event in events))
    with (partial / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield partial


def test_a_store_that_is_not_there_shows_what_is_planned(tmp_path: Path) -> None:
    snapshot = Monitor(Store(tmp_path / "nothing"), chain()).poll()
    assert states(snapshot) == ["idle"] * 4
    assert (snapshot.runs, snapshot.done, snapshot.progress, snapshot.remaining) == ((), 0, 0.0, None)
    assert [stage.epochs for stage in snapshot.stages.values()] == [0, 4, 2, 0]


def test_stages_are_queued_running_done_and_cached(store: Store) -> None:
    whole = chain()
    data, pretrain, finetune, test = (stage.digest for stage in whole.stages)
    monitor = Monitor(store, whole)
    with present(store, "small", "local", [data, pretrain, finetune, test]):
        assert states(monitor.poll()) == ["queued"] * 4
        assert monitor.poll().stages[finetune].message == "waits for ukb, pretrain"
        finish(store, data)
        now = time.time()
        began = {"event": "started", "time": now - 20}
        epochs = [{"event": "epoch", "epoch": n, "epochs": 4, "metrics": {"val.auroc": n / 10}, "time": now - 20 + 5 * n} for n in (1, 2)]
        with at_work(store, pretrain, began, *epochs) as partial:
            running = monitor.poll().stages[pretrain]
            assert (running.state, running.epoch, running.epochs, running.metrics) == ("running", 2, 4, {"val.auroc": 0.2})
            assert running.seconds == pytest.approx(20, abs=2)
            assert running.remaining == pytest.approx(0, abs=2)  # two more epochs of 5 s, and 10 s have passed
            assert running.folder == partial
            assert monitor.poll().progress == pytest.approx((1 + 0.5) / 4)
            with (partial / "events.jsonl").open("a") as file:
                file.write('{"event": "epoch", "epoch": 3, "epochs": 4, "metrics"')
            assert monitor.poll().stages[pretrain].epoch == 2
            with (partial / "events.jsonl").open("a") as file:
                file.write(': {"val.auroc": 0.9}}\n')
            assert monitor.poll().stages[pretrain].metrics == {"val.auroc": 0.9}
        assert states(monitor.poll()) == ["done", "queued", "queued", "queued"]
        finish(store, pretrain, metrics={"val.auroc": 0.95}, epochs=4)
        assert states(monitor.poll()) == ["done", "done", "queued", "queued"]
        assert monitor.poll().stages[pretrain].seconds == 60.0
    assert states(monitor.poll()) == ["done", "done", "idle", "idle"]
    time.sleep(0.02)
    with present(store, "small", "local", [data, pretrain, finetune, test]):
        assert states(monitor.poll()) == ["cached", "cached", "queued", "queued"]
        assert states(Monitor(store, whole).poll()) == ["cached", "cached", "queued", "queued"], "another process sees the same"


def test_a_failed_stage_says_why_and_what_needs_it_cannot_run(store: Store) -> None:
    whole = chain()
    data, pretrain, finetune, test = (stage.digest for stage in whole.stages)
    monitor = Monitor(store, whole)
    finish(store, data)
    with present(store, "small", "local", [data, pretrain, finetune, test]):
        time.sleep(0.02)
        store.mark_failed(pretrain, "no participant has a label\nand more")
        snapshot = monitor.poll()
        assert [stage.state for stage in list(snapshot.stages.values())[1:]] == ["failed", "idle", "idle"]
        assert snapshot.stages[pretrain].message == "no participant has a label\nand more"
        assert {snapshot.stages[digest].message for digest in (finetune, test)} == {"needs pretrain, which failed"}
    time.sleep(0.02)
    with present(store, "small", "local", [data, pretrain, finetune, test]):
        assert states(monitor.poll())[1:] == ["queued"] * 3, "the next run tries again"


def test_an_interrupted_stage_says_how_far_it_came(store: Store) -> None:
    whole = chain()
    pretrain = whole.stages[1].digest
    with at_work(store, pretrain, {"event": "started"}, {"event": "epoch", "epoch": 3, "epochs": 4, "metrics": {}}):
        pass
    found = Monitor(store, whole).poll().stages[pretrain]
    assert (found.state, found.message) == ("idle", "interrupted after epoch 3")
    # It goes on: what remains is reckoned from the epochs of this attempt.
    now = time.time()
    again = ({"event": "started", "time": now - 8}, {"event": "epoch", "epoch": 4, "epochs": 12, "metrics": {}, "time": now})
    with at_work(store, pretrain, *again):
        assert Monitor(store, whole).poll().stages[pretrain].remaining == pytest.approx(8 * 8, abs=2)


def test_nothing_new_is_the_same_object_and_opens_no_finished_stage_again(store: Store) -> None:
    whole = sweep(300)
    for made in whole.stages:
        finish(store, made.digest)
    monitor = Monitor(store, whole)
    first = monitor.poll()
    assert first.done == len(whole.stages) == 902
    opened: list[object] = []
    watching = [True]
    sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if watching[0] and event == "open" else None)
    assert monitor.poll() is first
    watching[0] = False
    assert len(opened) < 10
    shutil.rmtree(store.folder(whole.stages[5].digest))
    assert monitor.poll().done == 901


def test_a_sweep_folds_into_one_mark(store: Store) -> None:
    whole = sweep(3)
    pretrains = [stage.digest for stage in whole.stages if stage.name == "pretrain"]
    finish(store, pretrains[0])
    store.mark_failed(pretrains[1], "no")
    with at_work(store, pretrains[2], {"event": "started"}):
        marks = fold(_variants(whole), Monitor(store, whole).poll())
    assert (marks["pretrain"].state, marks["pretrain"].detail) == ("failed", "1✔ 1◐ 1✖")
    assert marks["finetune"].state == "idle"
    single = chain()
    with at_work(store, single.stages[1].digest, {"event": "started"}, {"event": "epoch", "epoch": 1, "epochs": 4}):
        assert fold(single, Monitor(store, single).poll())["pretrain"].detail == "1/4"


def _variants(whole: StageGraph) -> StageGraph:
    """The sweep with a variant for each pre-training."""
    from dataclasses import replace

    from tlimb.stages.graph import Run, Variant

    ukb, hcp, *rest = whole.stages
    variants = []
    for number in range(len(rest) // 3):
        mine = rest[3 * number : 3 * number + 3]
        run = Run(0, {stage.name: stage.digest for stage in mine}, ("finetune",))
        variants.append(Variant(f"v{number + 1}", {"lr": 10.0**-number}, (run,), tuple(s.digest for s in (ukb, hcp, *mine))))
    return replace(whole, variants=tuple(variants))


def test_without_a_plan_all_of_the_store_is_shown(store: Store) -> None:
    whole = chain()
    data, pretrain, *_ = (stage.digest for stage in whole.stages)
    finish(store, data)
    with at_work(store, pretrain, {"event": "started"}) as partial:
        (partial / "stage.yaml").write_text(json.dumps(dict(whole.stages[1].config)))
        snapshot = Monitor(store).poll()
    assert [(stage.digest, stage.name, stage.state) for stage in snapshot.stages.values()] == [
        (data, "it", "done"),
        (pretrain, "pretrain", "running"),
    ]


def test_the_text_of_the_states_fits_the_room_and_the_document_holds_all(store: Store) -> None:
    whole = _variants(sweep(20))
    finish(store, whole.stages[0].digest)
    time.sleep(0.02)
    with (
        present(store, "small", "local", [stage.digest for stage in whole.stages]),
        at_work(store, whole.stages[1].digest, {"event": "started"}),
    ):
        snapshot = Monitor(store, whole).poll()
        said = text(snapshot)
        short = text(snapshot, height=10).splitlines()
    assert len(said.splitlines()) == 2 + 1 + 62
    assert "1 of 62 stages finished, 1 running, 60 queued" in said
    assert "local run of small at work" in said
    assert "lr=0.1" in said
    assert len(short) == 10
    assert "running" in short[3]
    assert short[-1] == "… and 1≡ 55◌"
    rows = document(snapshot)["stages"]
    assert [row["state"] for row in rows[:3]] == ["cached", "running", "queued"]
    assert [clock(seconds) for seconds in (0.4, 59.6, 3723, 200_000)] == ["0:00", "1:00", "1:02:03", "2 d 7 h"]


# ---------------------------------------------------------------------- Nextflow
LOG = """\
Nov-25 13:04:11.908 [main] DEBUG nextflow.cli.Launcher - $> nextflow run ../nf
Nov-25 13:04:13.387 [main] DEBUG nextflow.config.ConfigBuilder - Found config base: {project}/nextflow.config
  Process: {pid}@{host} [127.0.0.1]
Nov-25 13:04:14.267 [main] DEBUG nextflow.trace.TraceFileObserver - Workflow started -- trace file: {trace}
Nov-25 13:04:15.658 [Task submitter] INFO  nextflow.Session - [34/8d3e79] Submitted process > PREPARE (ukb-{data})
Nov-25 13:04:36.267 [Task monitor] DEBUG n.processor.TaskPollingMonitor - Task completed > TaskHandler[id: 1; name: PREPARE (ukb-{data}); \
status: COMPLETED; exit: 0; error: -; workDir: {work}/34/8d3e]
Nov-25 13:04:36.356 [Task submitter] INFO  nextflow.Session - [2c/e65438] Submitted process > PRETRAIN (pretrain-{pretrain})
"""


def launched(tmp_path: Path, store: Store, whole: StageGraph, *, pid: int, host: str) -> Path:
    """A folder where someone has started Nextflow, with its results in the store beside it."""
    project = write_project(files(whole), tmp_path / "nf")
    log = store.root.parent / ".nextflow.log"
    data, pretrain = whole.stages[0].digest, whole.stages[1].digest
    work = store.root.parent / "work"
    trace = store.root / "pipeline_info" / "trace.txt"
    log.write_text(LOG.format(project=project, pid=pid, host=host, trace=trace, data=data, pretrain=pretrain, work=work))
    return log


def test_a_run_of_nextflow_elsewhere_is_read_from_its_log(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import platform

    whole = chain()
    data, pretrain, finetune, _ = (stage.digest for stage in whole.stages)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "nextflow"])
    try:
        log = launched(tmp_path, store, whole, pid=sleeper.pid, host=platform.node())
        finish(store, data)
        monitor = Monitor(store, whole)
        snapshot = monitor.poll()
        (run,) = snapshot.runs
        assert (run.engine, run.recipe, run.pid, len(run.stages)) == ("nextflow", "small", sleeper.pid, 4)
        assert states(snapshot) == ["done", "queued", "queued", "queued"]
        assert snapshot.stages[pretrain].message == "submitted"
        # The stage is at work on another node: its lock is not seen here, its events are.
        state = log.parent / "state" / pretrain
        state.mkdir(parents=True)
        (state / "events.jsonl").write_text(json.dumps({"time": time.time(), "event": "started"}) + "\n")
        assert monitor.poll().stages[pretrain].state == "running"
        command = log.parent / "work" / "2c" / "e654" / ".command.log"
        command.parent.mkdir(parents=True)
        command.write_text("Traceback\nno participant has a label\n")
        with log.open("a") as file:
            name = f"PRETRAIN (pretrain-{pretrain})"
            file.write(
                f"x Task completed > TaskHandler[id: 2; name: {name}; status: COMPLETED; exit: 1; error: -; workDir: {command.parent}]\n"
            )
        failed = monitor.poll().stages[pretrain]
        assert failed.state == "failed"
        assert "exit status 1" in failed.message
        assert "no participant has a label" in failed.message
        assert failed.log == command
        assert monitor.poll().stages[finetune].message == "needs pretrain, which failed"
    finally:
        sleeper.kill()
        sleeper.wait()
    assert monitor.poll().runs == ()
    assert monitor.poll().stages[pretrain].state == "failed"


def test_a_log_of_another_store_is_not_taken_for_this_one(tmp_path: Path, store: Store) -> None:
    log = launched(tmp_path, store, chain(), pid=os.getpid(), host="elsewhere")
    assert len(Monitor(store, chain()).poll().runs) == 1, "the log has just grown, so the other machine is at work"
    os.utime(log, (0, 0))
    assert Monitor(store, chain()).poll().runs == ()
    log.write_text(log.read_text().replace(str(store.root), "/other"))
    assert Monitor(store, chain()).poll().last is None


@needs_engine
def test_a_plain_nextflow_run_is_followed_and_its_failure_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "tlimb").write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_tlimb.py")} "$@"\n')
    (folder / "tlimb").chmod(0o755)
    engine(monkeypatch, NEW)
    monkeypatch.setenv("NXF_OPTS", "-Xmx512m")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_TLIMB", json.dumps({"pretrain": "slow", "bad": "fail"}))
    data = stage("prepare", "ukb")
    pretrain, bad = stage("fit", "pretrain", (data,)), stage("fit", "bad", (data,), lr=0.1)
    whole = graph(data, pretrain, bad, stage("fit", "finetune", (data, pretrain)))
    project = write_project(files(whole), tmp_path / "project")
    launch = tmp_path / "launch é"
    launch.mkdir()
    monitor = Monitor(Store(launch / "results"), whole)
    assert states(monitor.poll()) == ["idle"] * 4
    process = subprocess.Popen([find_nextflow(), "run", project], cwd=launch, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while states(monitor.poll()) != ["done", "running", "failed", "queued"]:
            assert time.monotonic() < deadline, text(monitor.poll())
            assert process.poll() is None
            time.sleep(0.1)
        snapshot = monitor.poll()
        (run,) = snapshot.runs
        assert (run.engine, run.recipe, run.here) == ("nextflow", "small", True)
        assert "no participant has a label" in snapshot.stages[bad.digest].message
        assert snapshot.stages[pretrain.digest].epoch == 1
        assert run.pid == process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=300)
    assert monitor.poll().runs == ()
