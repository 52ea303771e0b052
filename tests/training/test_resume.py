"""A stage that was killed and run again says the same, bit for bit, as one that ran through."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import AGE, SEX, stage
from made_data import KILL

from tlimb.train.stage import run_stage
from tlimb.train.stopping import StoppedError

LR = "torch.optim.lr_scheduler."
CASES: dict[str, dict[str, Any]] = {
    "plain": stage(AGE),
    "one cycle": stage(AGE, scenario__schedule={"class_path": f"{LR}OneCycleLR", "init_args": {"max_lr": 0.01}}),
    "cosine and momentum": stage(
        SEX,
        scenario__optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9}},
        scenario__schedule={"class_path": f"{LR}CosineAnnealingLR", "init_args": {}},
    ),
    "plateau, patience and freeze": stage(
        SEX,
        scenario__schedule={"class_path": f"{LR}ReduceLROnPlateau", "init_args": {"patience": 0}},
        scenario__patience=2,
        scenario__freeze="layer3.0.conv1",
        trainer__max_epochs=6,
    ),
    "several targets with missing labels": stage(AGE, SEX, data__missing=3),
}


def in_child(run: Callable[[], Any]) -> int:
    """The exit status of a child process that runs this; negative for a signal. A fork, since importing torch takes seconds."""
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        except StoppedError as stopped:
            os._exit(stopped.exit_status)
        except BaseException:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finals(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("results.json", "model.safetensors", "predictions.csv", "history.csv")}


@pytest.mark.parametrize(("case", "every_s"), [*((case, "0") for case in CASES), ("plain", "1000")])
def test_killed_and_run_again_equals_uninterrupted(
    case: str, every_s: str, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = every_s == "0"
    config = write(CASES[case])
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", every_s)
    run_stage(config, tmp_path / "through")
    monkeypatch.setenv(KILL, "SIGKILL:2:3")
    assert in_child(lambda: run_stage(config, tmp_path / "killed")) == -signal.SIGKILL
    partial = tmp_path / ".partial" / "killed"
    assert (partial / "last.ckpt").exists() == saved
    assert not (tmp_path / "killed").exists()
    monkeypatch.delenv(KILL)
    run_stage(config, tmp_path / "killed")
    assert finals(tmp_path / "killed") == finals(tmp_path / "through")
    assert not partial.exists()
    assert not list((tmp_path / "killed").glob("*ckpt")) + list((tmp_path / "killed").glob("best*"))
    log = (tmp_path / "killed" / "log.txt").read_text()
    assert ("going on after epoch 2" in log) == saved


def test_two_kills_in_a_row(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(stage(AGE, trainer__max_epochs=4))
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    run_stage(config, tmp_path / "through")
    for place in ("1:2", "3:0"):
        monkeypatch.setenv(KILL, f"SIGKILL:{place}")
        assert in_child(lambda: run_stage(config, tmp_path / "killed")) == -signal.SIGKILL
    monkeypatch.delenv(KILL)
    run_stage(config, tmp_path / "killed")
    assert finals(tmp_path / "killed") == finals(tmp_path / "through")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_saves_the_epoch_and_ends(name: str, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(stage(AGE))
    run_stage(config, tmp_path / "through")
    monkeypatch.setenv(KILL, f"{name}:1:1")
    with pytest.raises(StoppedError) as stopped:
        run_stage(config, tmp_path / "stopped")
    assert stopped.value.exit_status == 75
    assert (tmp_path / ".partial" / "stopped" / "last.ckpt").exists(), "no checkpoint was due, but one was asked to end"
    monkeypatch.delenv(KILL)
    run_stage(config, tmp_path / "stopped")
    assert finals(tmp_path / "stopped") == finals(tmp_path / "through")
    assert "going on after epoch 2" in (tmp_path / "stopped" / "log.txt").read_text()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_ctrl_c_is_130(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KILL, "SIGINT:0:1")
    assert in_child(lambda: run_stage(write(stage(AGE)), tmp_path / "out")) == 130


def test_a_damaged_checkpoint_starts_afresh_and_says_so(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(stage(AGE))
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    run_stage(config, tmp_path / "through")
    monkeypatch.setenv(KILL, "SIGKILL:2:0")
    in_child(lambda: run_stage(config, tmp_path / "out"))
    monkeypatch.delenv(KILL)
    checkpoint = tmp_path / ".partial" / "out" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    run_stage(config, tmp_path / "out")
    assert "last.ckpt cannot be used, training starts afresh" in (tmp_path / "out" / "log.txt").read_text()
    assert finals(tmp_path / "out") == finals(tmp_path / "through")
