"""Nextflow itself ended by force in the middle of a task: it is said, and the next run ends with what an undisturbed one has."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from emit.small_graphs import sweep

from run.test_nextflow_engine import NEW, RUN, engine, fake, files, needs_engine
from tlimb.run.nextflow import run_nextflow, write_project
from tlimb.run.store import Store

__all__ = ["fake"]


def processes(*words: str) -> Iterator[int]:
    """Those whose command line has the words."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if all(word in command for word in words):
                yield int(file.parent.name)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the engine by /proc")
@needs_engine
def test_an_engine_that_is_killed_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    engine(monkeypatch, NEW)
    monkeypatch.setenv("FAKE_TLIMB", json.dumps({"pretrain": "slow"}))
    project, store = write_project(files(sweep(1)), tmp_path / "project"), Store(tmp_path / "runs")
    pretrain = next(stage for stage in sweep(1).stages if stage.name == "pretrain")
    script = RUN.format(tests=str(Path(__file__).parents[1]), tools=str(fake), project=str(project), store=str(store.root))
    run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (store.partial(pretrain.digest) / "events.jsonl").exists():
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.05)
    (java,) = processes("nextflow.cli.Launcher", str(project))
    os.kill(java, signal.SIGKILL)
    _, words = run.communicate(timeout=60)
    assert "nextflow ended with status" in words
    # A task outlives its engine, and would hold the lock of its folder of work until it ends.
    for number in processes("fake_tlimb.py", pretrain.digest):
        os.kill(number, signal.SIGKILL)

    monkeypatch.setenv("FAKE_TLIMB", "{}")
    outcome = run_nextflow(project, sweep(1), store)
    assert outcome.failed == {}
    assert sweep(1).stages[0].digest in outcome.cached
    assert pretrain.digest in outcome.done
    assert set(store.states(sweep(1)).values()) == {"done"}
    undisturbed = Store(tmp_path / "undisturbed")
    run_nextflow(write_project(files(sweep(1)), tmp_path / "other"), sweep(1), undisturbed)
    for stage in sweep(1).stages:
        assert store.results(stage.digest) == undisturbed.results(stage.digest)
