"""Every shipped recipe, run for real with tiny settings: one epoch, few subjects."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.tlr"))
TINY = ("trainer.max_epochs=1", "data.n=8", "data.batch_size=8")
FURTHER = {
    "brain-age": ("data.size=16x16x16", "architecture.widen_factor=0.25"),
    "freezing": ("architecture.widen_factor=0.25",),
    "search": ("data.n=4",),
}
"""Settings of single recipes: large networks and volumes are made small."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: what recipes share is computed once."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_a_shipped_recipe_runs(recipe: Path, store: Path) -> None:
    sets = [piece for setting in (*TINY, *FURTHER.get(recipe.stem, ())) for piece in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "tlimb", "run", str(recipe), "--store", str(store), "--jobs", "1", *sets],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    home = store / recipe.stem
    rows = list(csv.DictReader((home / "results.csv").read_text(encoding="utf-8").splitlines()))
    document = json.loads((home / "results.json").read_text(encoding="utf-8"))
    assert [row["rank"] for row in rows] == [str(number + 1) for number in range(len(rows))]
    assert all(float(row[document["by"]]) == float(row[document["by"]]) for row in rows)  # a number, not NaN
    assert (home / "report.html").stat().st_size > 10_000
