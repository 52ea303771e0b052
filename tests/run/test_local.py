"""The scheduler of the local engine, with a worker that trains nothing."""

import fcntl
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emit.small_graphs import graph, stage, sweep

from tlimb.errors import TlimbError
from tlimb.run import machine
from tlimb.run.local import run_local
from tlimb.run.progress import Event, Outcome
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
Run = Callable[..., Outcome]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where fake workers note what they do; two cores and no GPUs."""
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(machine, "gpus", lambda: ())
    return tmp_path / "journal"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def behave(monkeypatch: pytest.MonkeyPatch, **behaviours: str) -> None:
    monkeypatch.setenv("FAKE_WORKER", json.dumps({"*" if name == "all" else name: value for name, value in behaviours.items()}))


def names(journal: Path, word: str) -> list[str]:
    return [line.split()[1] for line in journal.read_text().splitlines() if line.startswith(f"{word} ")]


def diamond() -> StageGraph:
    """data → pretrain → (left, right) → evaluate, which needs both."""
    data = stage("prepare", "ukb")
    pretrain = stage("fit", "pretrain", (data,))
    left, right = stage("fit", "left", (data, pretrain)), stage("fit", "right", (data, pretrain), epochs=9)
    return graph(data, pretrain, left, right, stage("evaluate", "test", (left, right)))


def test_runs_every_stage_after_its_parents_and_caches_all_the_second_time(journal: Path, store: Store) -> None:
    events: list[Event] = []
    outcome = run_local(diamond(), store, observer=events.append, worker_command=FAKE)

    assert names(journal, "start")[:2] == ["ukb", "pretrain"]
    assert names(journal, "end")[-1] == "test"
    assert len(outcome.done) == 5
    assert not outcome.failed
    assert not outcome.interrupted
    assert [event.kind for event in events][:4] == ["begin", "started", "epoch", "finished"]
    assert events[-1].outcome == outcome

    journal.unlink()
    again = run_local(diamond(), store, worker_command=FAKE)
    assert (again.done, len(again.cached)) == ((), 5)
    assert not journal.exists()


def test_the_longer_training_starts_first(journal: Path, store: Store) -> None:
    run_local(diamond(), store, worker_command=FAKE, jobs=1)
    assert names(journal, "start") == ["ukb", "pretrain", "right", "left", "test"]


def test_what_takes_longest_starts_first(journal: Path, store: Store) -> None:
    left, right = (stage.digest for stage in diamond().stages[2:4])
    run_local(diamond(), store, worker_command=FAKE, jobs=1, lengths={left: 50.0, right: 2.0})
    assert names(journal, "start") == ["ukb", "pretrain", "left", "right", "test"]


def test_workers_stay_warm_and_are_no_more_than_needed(journal: Path, store: Store) -> None:
    run_local(sweep(3), store, worker_command=FAKE)
    processes = {line.split()[2] for line in journal.read_text().splitlines()}
    assert len(names(journal, "start")) == 11
    assert len(processes) == 2


def test_what_a_stage_prints_is_its_log(journal: Path, store: Store) -> None:
    outcome = run_local(diamond(), store, worker_command=FAKE)
    for digest in outcome.done:
        name = next(stage.name for stage in diamond().stages if stage.digest == digest)
        assert set((store.folder(digest) / "log.txt").read_text().splitlines()) == {f"training {name}", "not a reply"}


def test_threads_do_not_depend_on_what_is_finished(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    whole = diamond()
    run_local(whole, store, worker_command=FAKE)
    evaluate = whole.stages[-1].digest
    before = store.results(evaluate)
    assert before["threads"] == 4

    (store.folder(evaluate) / "results.json").unlink()
    run_local(whole, store, worker_command=FAKE)
    assert store.results(evaluate) == before


def test_a_part_is_run_with_what_it_needs_and_with_the_threads_of_the_whole(
    journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    whole = diamond()
    ukb, pretrain, left = (stage.digest for stage in whole.stages[:3])
    outcome = run_local(whole, store, worker_command=FAKE, only={ukb, pretrain, left})
    assert outcome.done == (ukb, pretrain, left)
    assert store.results(left)["threads"] == 4
    assert len(run_local(whole, store, worker_command=FAKE).cached) == 3


def test_every_worker_gets_a_gpu_of_its_own(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ("0", "1"))
    run_local(sweep(3), store, worker_command=FAKE)
    devices = {tuple(line.split()[2:5:2]) for line in journal.read_text().splitlines()}
    assert sorted(device for _process, device in devices) == ["0", "1"]


def test_more_stages_than_gpus_share_them(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ("0", "1"))
    behave(monkeypatch)
    run_local(sweep(8), store, jobs=4, worker_command=FAKE)
    devices = {tuple(line.split()[2:5:2]) for line in journal.read_text().splitlines()}
    assert sorted(device for _process, device in devices) == ["0", "0", "1", "1"]


def test_a_stage_takes_a_gpu_for_each_of_its_devices(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ("0", "1", "2"))
    data = stage("prepare", "ukb")
    pairs = [stage("fit", f"pair{number}", (data,), lr=number, devices=2) for number in range(3)]
    single = stage("fit", "single", (data,), epochs=1)
    outcome = run_local(graph(data, *pairs, single), store, worker_command=FAKE)
    assert len(outcome.done) == 5
    for pair in pairs:
        gpus = store.results(pair.digest)["gpus"].split(",")
        assert len(set(gpus)) == 2
        (worker,) = [line.split() for line in journal.read_text().splitlines() if line.startswith(f"start {pair.name} ")]
        assert worker[-1] == gpus[0], "its worker sits at the first of them"
    assert store.results(single.digest)["gpus"] is None
    lines = [line.split()[:2] for line in journal.read_text().splitlines() if "pair" in line]
    assert all(
        first == ["start", name] and second == ["end", name]
        for first, second in zip(lines[::2], lines[1::2], strict=True)
        for name in [first[1]]
    )


def test_a_dying_worker_fails_only_its_stage_which_is_tried_again_once(
    journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(monkeypatch, left="crash", right="crash once")
    events: list[Event] = []
    outcome = run_local(diamond(), store, observer=events.append, worker_command=FAKE)

    (failed,) = outcome.failed
    stages = {stage.name: stage.digest for stage in diamond().stages}
    assert failed == stages["left"]
    assert "SIGKILL" in outcome.failed[failed]
    assert "segmentation fault" in outcome.failed[failed]
    assert outcome.skipped == {stages["test"]: stages["left"]}
    assert names(journal, "start").count("left") == 2
    assert names(journal, "start").count("right") == 2
    assert store.is_done(stages["right"])
    assert store.state(stages["left"]) == "failed"
    assert "SIGKILL" in store.failure(stages["left"])
    assert [event.kind for event in events].count("retried") == 2

    behave(monkeypatch)
    assert not run_local(diamond(), store, worker_command=FAKE).failed
    assert store.state(stages["left"]) == "done"


@pytest.mark.parametrize(("behaviour", "message"), [("fail", "no participant has a label"), ("no results", "without results")])
def test_a_stage_that_says_it_failed_is_not_tried_again(
    journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch, behaviour: str, message: str
) -> None:
    behave(monkeypatch, pretrain=behaviour)
    outcome = run_local(diamond(), store, worker_command=FAKE)
    assert [text for text in outcome.failed.values() if message in text]
    assert names(journal, "start") == ["ukb", "pretrain"]
    assert len(outcome.skipped) == 3


def test_workers_that_cannot_start_end_the_run(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, all="stillborn")
    with pytest.raises(TlimbError, match="cannot import torch"):
        run_local(sweep(3), store, worker_command=FAKE)


def test_a_stage_that_another_run_is_at_is_waited_for(journal: Path, store: Store) -> None:
    whole = diamond()
    digest = whole.stages[0].digest
    partial = store.begin(digest)
    lock = (partial / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert store.state(digest) == "running"

    def finish() -> None:
        store.folder(digest).mkdir()
        (store.folder(digest) / "results.json").write_text(json.dumps({"format": 1, "digest": digest}))
        lock.close()

    timer = threading.Timer(0.5, finish)
    timer.start()
    outcome = run_local(whole, store, worker_command=FAKE)
    timer.join()
    assert len(outcome.done) == 5
    assert "ukb" not in names(journal, "start")


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from run.test_local import FAKE, diamond
from tlimb.run.local import run_local
from tlimb.run.store import Store
outcome = run_local(diamond(), Store(Path({store!r})), worker_command=FAKE, observer=lambda event: print(event.kind, flush=True))
sys.exit(130 if outcome.interrupted else 0)
"""


def start(store: Store) -> "subprocess.Popen[bytes]":
    """The run as a process of its own, which is in the middle of its second stage when this returns."""
    script = RUN.format(tests=str(Path(__file__).parents[1]), store=str(store.root))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    first, second = diamond().stages[:2]
    deadline = time.monotonic() + 30
    while not ((store.partial(second.digest) / ".slow").exists() and store.is_done(first.digest)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def alive(journal: Path) -> list[int]:
    found = []
    for process in {int(line.split()[2]) for line in journal.read_text().splitlines() if line.startswith("start")}:
        stat = Path(f"/proc/{process}/stat")
        if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z":
            found.append(process)
    return found


def test_ctrl_c_stops_in_order_and_the_next_run_goes_on(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, pretrain="slow")
    process = start(store)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert "stopped" in journal.read_text()
    assert not alive(journal)
    assert store.state(diamond().stages[1].digest) == "new"

    behave(monkeypatch)
    outcome = run_local(diamond(), store, worker_command=FAKE)
    assert (len(outcome.cached), len(outcome.done)) == (1, 4)


def test_workers_end_with_a_run_that_is_killed(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, pretrain="slow")
    process = start(store)
    process.kill()
    process.wait(timeout=20)
    deadline = time.monotonic() + 20
    while alive(journal) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(journal)
