"""A stage that is hopeless at an epoch ends there, says so, and a killed one decides as an uninterrupted one."""

import csv
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import AGE, SEX, stage
from made_data import KILL
from test_resume import finals, in_child

from tlimb.components.architectures import NumberHead, ResNet
from tlimb.components.contracts import Network
from tlimb.components.objectives import RegressionObjective
from tlimb.components.scenarios import Supervised
from tlimb.errors import InputError
from tlimb.train.stage import run_stage

Write = Callable[..., Path]


def supervised(monitor: str, give_up: Any) -> Supervised:
    encoder = ResNet(10, spatial_dims=2, widen_factor=0.125)
    network = Network(encoder, {"age": NumberHead(encoder.feature_dim)})
    return Supervised(network, RegressionObjective(), list, monitor=monitor, give_up=give_up)


@pytest.mark.parametrize(
    ("monitor", "epoch", "best", "expected"),
    [
        ("val.mae", 3, 0.7, True),
        ("val.mae", 3, 0.6, False),  # as good as it has to be
        ("val.mae", 3, 0.5, False),
        ("val.mae", 2, 9.9, False),  # no epoch at which one decides
        ("val.mae", 3, math.nan, True),
        ("val.r2", 3, 0.5, True),
        ("val.r2", 3, 0.6, False),
        ("val.r2", 3, 0.7, False),
    ],
)
def test_what_is_worse_than_the_limit_gives_up(monitor: str, epoch: int, best: float, expected: bool) -> None:
    assert supervised(monitor, {1: 0.0 if monitor == "val.r2" else 9.0, 3: 0.6}).gives_up(epoch, best) is expected


@pytest.mark.parametrize("give_up", [{0: 0.5}, {"soon": 0.5}, {3: "low"}, {3: math.nan}, [3, 0.5]])
def test_a_limit_that_is_none_is_told(give_up: Any) -> None:
    with pytest.raises(InputError, match=r"scenario\.give_up: (.|\n)*e\.g\. \{3: 0\.6\}"):
        supervised("val.mae", give_up)


def curve(folder: Path, column: str) -> list[float]:
    return [float(row[column]) for row in csv.DictReader((folder / "history.csv").read_text().splitlines())]


@pytest.mark.parametrize(("target", "metric", "sign"), [(AGE, "mae", 1), (SEX, "accuracy", -1)])
def test_training_ends_after_the_first_epoch_whose_best_is_too_bad(
    target: dict[str, Any], metric: str, sign: int, write: Write, tmp_path: Path
) -> None:
    changes = {"scenario__monitor": f"val.{metric}", "trainer__max_epochs": 6}
    whole = run_stage(write(stage(target, **changes)), tmp_path / "whole")
    assert "stopped_early" not in whole
    values = curve(tmp_path / "whole", f"val.{metric}")
    best = [sign * min(sign * value for value in values[: epoch + 1]) for epoch in range(6)]
    limits = {1: best[0], 2: best[1] - sign * 1e-4, 4: best[3] + sign}
    results = run_stage(write(stage(target, **changes, scenario__give_up=limits)), tmp_path / "stopped")
    assert (results["stopped_early"], results["epochs"]) == (2, 2)
    assert curve(tmp_path / "stopped", f"val.{metric}") == values[:2]
    assert results["metrics"][f"val.{metric}"] == pytest.approx(best[1], rel=1e-6)
    assert json.loads((tmp_path / "stopped" / "results.json").read_text())["stopped_early"] == 2
    limits = {epoch: value + sign * 1e-4 for epoch, value in enumerate(best[:5], 1)}
    kept = run_stage(write(stage(target, **changes, scenario__give_up=limits)), tmp_path / "kept")
    assert {key: value for key, value in kept.items() if key != "digest"} == {key: value for key, value in whole.items() if key != "digest"}


@pytest.mark.parametrize("place", ["1:2", "2:0", "2:3"])
def test_killed_before_the_decision_equals_uninterrupted(place: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    config = write(stage(AGE, trainer__max_epochs=6, scenario__give_up={1: 1e9, 3: 0.0}))
    assert run_stage(config, tmp_path / "through")["stopped_early"] == 3
    monkeypatch.setenv(KILL, f"SIGKILL:{place}")
    assert in_child(lambda: run_stage(config, tmp_path / "killed")) == -signal.SIGKILL
    monkeypatch.delenv(KILL)
    run_stage(config, tmp_path / "killed")
    assert finals(tmp_path / "killed") == finals(tmp_path / "through")
