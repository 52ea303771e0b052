"""Cores and GPUs without torch."""

from pathlib import Path

import pytest

from tlimb.run import machine


def test_the_quota_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "cpu.max")
    free = machine.cores()
    assert free >= 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.cores() == free
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert machine.cores() == 1


@pytest.mark.parametrize(("named", "found"), [("", ()), ("-1", ()), ("0", ("0",)), ("2, GPU-8f", ("2", "GPU-8f"))])
def test_visible_devices_are_obeyed(monkeypatch: pytest.MonkeyPatch, named: str, found: tuple[str, ...]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert machine.gpus() == found


@pytest.mark.parametrize(("script", "found"), [("echo 'GPU 0: H100'; echo 'GPU 1: H100'", ("0", "1")), ("echo no driver; exit 9", ())])
def test_gpus_are_counted_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: tuple[str, ...]) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert machine.gpus() == found
