"""Disks that fill up, files that are damaged and clocks that are set: each is told, and the next start ends with the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from conftest import AGE, stage
from made_data import KILL
from test_resume import finals, in_child

from tlimb.errors import TlimbError
from tlimb.train.stage import run_stage

Write = Callable[..., Path]
SHORT = stage(AGE, trainer__max_epochs=2)


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of the short stage, undisturbed."""
    import yaml

    folder = tmp_path_factory.mktemp("through")
    (folder / "stage.yaml").write_text(yaml.safe_dump(SHORT, sort_keys=False))
    run_stage(folder / "stage.yaml", folder / "out")
    return folder / "out"


@pytest.mark.parametrize("content", [b"", bytes(4000), b"not a checkpoint", b"PK\x03\x04" + bytes(range(256)) * 20])
def test_a_checkpoint_of_garbage_starts_afresh(content: bytes, write: Write, through: Path, tmp_path: Path) -> None:
    partial = tmp_path / ".partial" / "out"
    partial.mkdir(parents=True)
    (partial / "last.ckpt").write_bytes(content)
    run_stage(write(SHORT), tmp_path / "out")
    assert "last.ckpt cannot be used, training starts afresh" in (tmp_path / "out" / "log.txt").read_text()
    assert finals(tmp_path / "out") == finals(through)


def test_a_damaged_result_is_set_aside_and_computed_again(
    write: Write, through: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(through, out)
    weights = out / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    run_stage(write(SHORT), out)
    assert "its model.safetensors has 3000 bytes" in capsys.readouterr().err
    assert finals(out) == finals(through)
    assert (tmp_path / ".damaged" / "out-1" / "model.safetensors").stat().st_size == 3000


@pytest.mark.parametrize("jump_s", [-1000, 100_000_000], ids=["back", "years ahead"])
def test_a_clock_that_is_set_changes_nothing(
    jump_s: int, write: Write, through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(2_000_000_000, jump_s)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    run_stage(write(SHORT), tmp_path / "out")
    assert finals(tmp_path / "out") == finals(through)
    assert 0 < json.loads((tmp_path / "out" / "environment.json").read_text())["seconds"] < 1000


def test_a_stage_that_is_killed_between_its_last_epoch_and_its_end_trains_no_epoch_again(
    write: Write, through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    monkeypatch.setattr("tlimb.train.fit.baselines", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert in_child(lambda: run_stage(write(SHORT), tmp_path / "out")) == -signal.SIGKILL
    monkeypatch.undo()
    run_stage(write(SHORT), tmp_path / "out")
    assert finals(tmp_path / "out") == finals(through)
    assert "going on after epoch 1" in (tmp_path / "out" / "log.txt").read_text()


@pytest.mark.skipif(not shutil.which("mount"), reason="a full disk is made by mount")
def test_a_full_disk_is_told_and_with_room_the_stage_goes_on(
    write: Write, through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(file.stat().st_size for file in through.iterdir())
    disk = tmp_path / "small"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(2.5 * size)}", "tmpfs", str(disk)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting takes a right that this process has not: {done.stderr.decode().strip()}")
    try:
        monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
        with pytest.raises(TlimbError, match=r"takes no more: the disk or a quota is full") as error:
            run_stage(write(SHORT), disk / "out")
        assert "make room" in error.value.hint
        assert not list((disk / ".partial" / "out").glob(".*"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        run_stage(write(SHORT), disk / "out")
        assert finals(disk / "out") == finals(through)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_killed_in_every_attempt_it_still_goes_on(write: Write, through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    for place in ("0:1", "1:0", "1:2"):
        monkeypatch.setenv(KILL, f"SIGKILL:{place}")
        assert in_child(lambda: run_stage(write(SHORT), tmp_path / "out")) == -signal.SIGKILL
    monkeypatch.delenv(KILL)
    run_stage(write(SHORT), tmp_path / "out")
    assert finals(tmp_path / "out") == finals(through)
    assert "going on after epoch 1" in (tmp_path / "out" / "log.txt").read_text()
