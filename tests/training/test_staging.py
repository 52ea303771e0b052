"""Stages that read copies of their data in a scratch: the same bytes, killed or not, on one device or two."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_domains import learning, run_and_die
from test_ddp import Forked, forked
from test_resume import finals, in_child
from test_scenarios import PLAIN, store

from tlimb.train.stage import run_stage

__all__ = ["forked", "store"]
Write = Callable[..., Path]


def config(**changes: Any) -> dict[str, Any]:
    return learning("MeanTeacher", ("Consistency", {}), architecture=PLAIN, trainer__max_epochs=2, **changes)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arrays that are opened."""
    opened: list[str] = []
    load = np.load

    def loading(path: Any, *arguments: Any, **more: Any) -> Any:
        opened.append(str(path))
        return load(path, *arguments, **more)

    monkeypatch.setattr(np, "load", loading)
    return opened


def test_data_are_read_from_the_copy_with_the_same_results(write: Write, store: Path, scratch: Path, read: list[str]) -> None:
    path = write(config())
    run_stage(path, store / "plain")
    assert {os.path.dirname(name) for name in read} == {str(store / "data-source"), str(store / "data-target")}
    read.clear()
    run_stage(path, store / "staged", scratch=scratch)
    place = scratch / f"tlimb-{os.getuid()}"
    assert {os.path.dirname(name) for name in read} == {str(place / "data-source"), str(place / "data-target")}
    assert finals(store / "staged") == finals(store / "plain")
    assert (store / "staged" / "log.txt").read_text().count("copied to") == 2
    assert str(scratch) not in (store / "staged" / "environment.json").read_text()


def test_killed_and_run_again_on_another_node(
    write: Write, store: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(config())
    run_stage(path, store / "through")
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    monkeypatch.setenv("TLIMB_SCRATCH", str(scratch))
    assert in_child(lambda: run_and_die(path, store / "killed", 1, 1)) == -signal.SIGKILL
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("TLIMB_SCRATCH", str(tmp_path / "other"))
    run_stage(path, store / "killed")
    assert finals(store / "killed") == finals(store / "through")
    assert "going on after epoch 1" in (store / "killed" / "log.txt").read_text()


def test_a_scratch_that_is_gone_warns_and_changes_nothing(write: Write, store: Path) -> None:
    events: list[dict[str, Any]] = []
    path = write(config())
    run_stage(path, store / "plain")
    run_stage(path, store / "staged", scratch=store / "no such folder", emit=events.append)
    warnings = [event["message"] for event in events if event["event"] == "warning"]
    assert len(warnings) == 1
    assert "cannot be used (No such file or directory); the data are read where they lie" in warnings[0]
    assert finals(store / "staged") == finals(store / "plain")


def test_two_devices_share_the_copy(write: Write, store: Path, scratch: Path, forked: type[Forked], read: list[str]) -> None:
    on_two = config(trainer__devices=2, trainer__strategy="ddp")
    run_stage(write(on_two), store / "plain")
    read.clear()
    run_stage(write(on_two), store / "staged", scratch=scratch)
    assert all(name.startswith(str(scratch)) for name in read)
    assert finals(store / "staged") == finals(store / "plain")
    assert not forked.alive
