"""A search trained for real by both engines."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent.parent / ".venv/nextflow/25.04.4/nextflow"
RECIPE = """data axial_slice(size=24x24)
pretrain resnet10(widen_factor=0.25) on tiny.sex with epochs=1
finetune on tiny.age with epochs=1
sweep finetune.lr in 1e-5..1e-1 log
search tpe(round=2) 4
"""


def tlimb(*arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "NO_COLOR": "1", "TLIMB_NEXTFLOW": str(ENGINE), "NXF_OPTS": "-Xmx512m"}
    done = subprocess.run(
        [sys.executable, "-m", "tlimb", *arguments], cwd=cwd, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(store: Path) -> list[tuple[str, str, str]]:
    found = csv.DictReader((store / "search" / "results.csv").read_text().splitlines())
    return [(row["rank"], row["variant"], row["settings.finetune.lr"]) for row in found]


@pytest.mark.nextflow
@pytest.mark.skipif(not ENGINE.exists(), reason="the engine is not installed: run .ci/nextflow/install")
def test_both_engines_search_alike(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n")
    (tmp_path / "search.tlr").write_text(RECIPE)
    assert "search tpe: 4 trials in 2 rounds of 2; 2 are known, 2 follow from the results" in tlimb("plan", "search.tlr", cwd=tmp_path)
    tlimb("run", "search.tlr", "--store", "local", "--threads", "1", cwd=tmp_path)
    tlimb("run", "search.tlr", "--store", "flow", "--engine", "nextflow", "--profile", "test", cwd=tmp_path)
    assert rows(tmp_path / "flow") == rows(tmp_path / "local")
    assert len({lr for _, _, lr in rows(tmp_path / "local")}) == 4
    plan = json.loads(tlimb("plan", "search.tlr", "--store", "local", "--json", cwd=tmp_path))
    assert len(plan["variants"]) == plan["search"]["trials"] == 4
    assert {stage["state"] for stage in plan["stages"]} == {"done"}
    assert tlimb("results", "search.tlr", "--store", "flow", cwd=tmp_path) == tlimb(
        "results", "search.tlr", "--store", "local", cwd=tmp_path
    )
