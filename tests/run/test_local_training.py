"""The local engine with the real training side, on a few demo brains."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tlimb.run.local import run_local
from tlimb.run.opening import open_recipe
from tlimb.run.progress import Event
from tlimb.run.store import Store

RECIPE = """
data axial_slice(size=24x24)
pretrain resnet10 on demo.age with epochs=3
"""


FIT = ("results.json", "predictions.csv", "model.safetensors", "history.csv")


def same(folder: Path, other: Path, names: Sequence[str]) -> None:
    for name in names:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def kill_workers() -> None:
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the worker by /proc")
def test_a_stage_whose_worker_is_killed_ends_as_if_nothing_had_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.tlr").write_text(RECIPE)
    (tmp_path / "datasets.yaml").write_text("demo: {format: demo, participants: 24}\n")
    opened = open_recipe(str(tmp_path / "small.tlr"))
    graph = opened.graph()
    digest = graph.stages[-1].digest

    quiet = Store(tmp_path / "quiet")
    outcome = run_local(graph, quiet, datasets=tmp_path / "datasets.yaml", threads=1)
    assert (len(outcome.done), dict(outcome.failed)) == (2, {})
    assert set(quiet.states(graph).values()) == {"done"}

    seen: list[str] = []

    def kill_once(event: Event) -> None:
        seen.append(event.kind)
        if event.digest == digest and event.kind == "epoch" and "retried" not in seen and event.epoch == 2:
            kill_workers()

    disturbed = Store(tmp_path / "disturbed")
    outcome = run_local(graph, disturbed, datasets=tmp_path / "datasets.yaml", threads=1, observer=kill_once)
    assert seen.count("retried") == 1
    assert (len(outcome.done), dict(outcome.failed)) == (2, {})
    same(disturbed.folder(digest), quiet.folder(digest), FIT)
    assert len(run_local(graph, disturbed).cached) == 2

    lost = Store(tmp_path / "lost")
    command = [sys.executable, "-m", "tlimb", "run", str(tmp_path / "small.tlr"), "--store", str(lost.root), "--threads", "1"]
    whole = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert whole.stdout is not None
    said = ""
    while "epoch 2/3" not in said:
        line = whole.stdout.readline()
        assert line, said
        said += line
    whole.kill()
    whole.communicate(timeout=60)
    assert whole.returncode == -signal.SIGKILL
    outcome = run_local(graph, lost, datasets=tmp_path / "datasets.yaml", threads=1)
    assert (len(outcome.done), len(outcome.cached), dict(outcome.failed)) == (1, 1, {})
    same(lost.folder(digest), quiet.folder(digest), FIT)

    prepared = graph.stages[0].digest
    for file in (disturbed.folder(prepared) / "images.npy", disturbed.folder(digest) / "model.safetensors"):
        os.truncate(file, file.stat().st_size // 2)
    outcome = run_local(graph, disturbed, datasets=tmp_path / "datasets.yaml", threads=1)
    assert (len(outcome.done), dict(outcome.failed)) == (2, {})
    same(disturbed.folder(digest), quiet.folder(digest), FIT)
    same(disturbed.folder(prepared), quiet.folder(prepared), ("images.npy", "index.csv", "prepared.json"))
