"""Runs that a store knows of: at work, ended, killed; started in the background, stopped, and a file that grows."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tlimb.errors import InputError
from tlimb.run import background, runs
from tlimb.run.background import Options, start, stop
from tlimb.run.runs import KEPT, Run, Runs, enrol, present
from tlimb.run.store import Store
from tlimb.run.tail import Tail, last_lines

FAKE_RUN = (sys.executable, str(Path(__file__).with_name("fake_run.py")))
RECIPE = "data axial_slice(size=32x32)\npretrain resnet10 on tiny.age with epochs=2\nfinetune freeze layer4 on tiny.sex with epochs=2\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "runs")
    made.create()
    return made


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose runs train nothing."""
    monkeypatch.setattr(background, "COMMAND", FAKE_RUN)
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n")
    file = tmp_path / "card é.tlr"
    file.write_text(RECIPE)
    return file


def until(wanted: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def the(store: Store) -> Run:
    (run,) = runs.runs(store)
    return run


def test_a_run_is_at_work_while_it_is_open_and_says_how_it_ended(store: Store) -> None:
    looks = Runs(store)
    assert looks.look() == ()
    with present(store, "card", "local", ["d1", "d2"]) as presence:
        (run,) = looks.look()
        assert (run.state, run.recipe, run.pid, run.here, run.stages) == ("running", "card", os.getpid(), True, {"d1", "d2"})
        presence.computes(["d1", "d2", "d3"])
        presence.status = 130
    (run,) = looks.look()
    assert (run.state, run.status, len(run.stages)) == ("ended", 130, 3)
    with pytest.raises(ZeroDivisionError), present(store, "card", "local", []):
        _ = 1 / 0
    assert [run.status for run in looks.look()] == [130, 1]


def test_a_killed_run_is_lost(store: Store) -> None:
    child = os.fork()
    if not child:
        enrol(store, "card", "local")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert the(store).state == "lost"


def test_what_is_broken_is_no_run_and_only_the_latest_are_kept(store: Store) -> None:
    (store.root / ".runs" / "20200101-000000-1").mkdir(parents=True)
    (store.root / ".runs" / "20200101-000000-1" / "run.json").write_text('{"recipe": "x"')
    (store.root / ".runs" / "file").write_text("")
    for _ in range(KEPT + 3):
        with present(store, "card", "local", []):
            pass
    found = runs.runs(store)
    assert len(found) == KEPT + 1
    assert list(found) == sorted(found, key=lambda run: run.started)


def test_a_run_in_the_background_is_seen_from_its_first_moment_and_ends_by_itself(store: Store, recipe: Path) -> None:
    started = start(recipe, store, Options(jobs=1, only=("pretrain",)))
    assert (started.state, started.pid != os.getpid(), started.stages) == ("running", True, frozenset())
    until(lambda: the(store).state != "running")
    run = the(store)
    assert (run.status, run.recipe, len(run.stages)) == (0, "card é", 2)
    assert run.log is not None
    assert "1 of the 3 stages of the recipe are not finished" in run.log.read_text()
    with pytest.raises(InputError, match="has ended"):
        stop(run)


def test_the_first_stop_saves_and_the_second_ends_at_once(
    store: Store, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKE_WORKER", json.dumps({"pretrain": "deaf"}))
    start(recipe, store, Options(jobs=1))
    until(lambda: list(store.root.glob(".partial/*/.slow")))
    stop(the(store))
    time.sleep(0.3)  # the worker is deaf: nothing happens
    assert the(store).state == "running"
    stop(the(store))
    until(lambda: the(store).state == "ended")
    assert the(store).status == 130


def test_a_recipe_with_mistakes_leaves_its_log(store: Store, recipe: Path) -> None:
    recipe.write_text("pretrain resnet99 on tiny.age\n")
    start(recipe, store)
    until(lambda: the(store).state == "lost")
    log = the(store).log
    assert log is not None
    assert "resnet99" in log.read_text()


def test_a_run_on_another_machine_is_not_signalled(store: Store) -> None:
    folder, lock = enrol(store, "card", "local")
    document = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(document | {"host": "elsewhere", "pid": 1}))
    with pytest.raises(InputError, match="is on elsewhere"):
        stop(the(store))
    os.close(lock)


def test_a_tail_gives_whole_lines_once_and_follows_a_file_that_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "log"
    tail = Tail(file)
    assert tail.news() == []
    file.write_text("one\ntwo\nthr")
    assert tail.news() == ["one", "two"]
    with file.open("a") as more:
        more.write("ee\n")
    assert tail.news() == ["three"]
    assert tail.news() == []
    file.write_text("new\n")
    assert tail.news() == ["new"]
    (tmp_path / "other").write_text("quite another text\n")
    (tmp_path / "other").rename(file)
    assert tail.news() == ["quite another text"]
    assert Tail(file, skip=True).news() == []
    assert last_lines(file, 5) == ["quite another text"]
    assert last_lines(tmp_path / "none", 5) == []
