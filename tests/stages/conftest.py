"""A catalogue of data sets that holds only tables and empty image files: the compile side opens no image."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.registry import load_catalogue
from tlimb.configs.build import build
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse
from tlimb.stages.graph import StageGraph


def write_bids(root: Path, count: int, prefix: str = "s", offset: float = 0.0) -> None:
    """A BIDS folder of `count` participants with age and sex; its images are never opened here."""
    lines = ["participant_id\tage\tsex"]
    for number in range(count):
        who = f"sub-{prefix}{number:03d}"
        lines.append(f"{who}\t{20 + number % 60 + offset + number / 1000}\t{'FM'[number % 2]}")
        image = root / who / "anat" / f"{who}_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        image.write_bytes(b"x")
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A lab's folder with the data sets ukb (120 participants), hcp (60) and copy (the people of ukb under another name)."""
    write_bids(tmp_path / "ukb", 120)
    write_bids(tmp_path / "hcp", 60, "h", 0.5)
    write_bids(tmp_path / "again", 120)
    labels = "labels: {age: {column: age, unit: years}, sex: {column: sex, classes: [F, M]}}"
    entries = [
        f"{name}:\n  format: bids\n  root: {folder}\n  image: T1w\n  {labels}\n"
        for name, folder in (("ukb", "ukb"), ("hcp", "hcp"), ("copy", "ukb"), ("again", "again"))
    ]
    (tmp_path / "datasets.yaml").write_text("".join(entries))
    return tmp_path


@pytest.fixture
def plan(lab: Path) -> Callable[[str], StageGraph]:
    """Recipe text -> stage graph; the text must have no mistake that `check` finds."""

    def plan_text(text: str) -> StageGraph:
        datasets = find_datasets(lab)
        parsed = parse(text)
        assert not parsed.diagnostics
        assert check(parsed.recipe, load_catalogue(), datasets) == []
        return build(parsed.recipe, "test", load_catalogue(), datasets)

    return plan_text
