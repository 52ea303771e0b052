"""The built-in data set seen by another scanner: the same brains, other intensities."""

from pathlib import Path

import numpy as np
import pytest

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.formats import demo as catalogue
from tlimb.components.data.demo import draw
from tlimb.errors import InputError


def test_no_shift_is_the_usual_scanner() -> None:
    image = draw(age=40, sex="M", key="x")
    assert np.array_equal(image, draw(age=40, sex="M", key="x", shift=0.0))


def test_another_scanner_sees_the_same_brain_with_another_contrast() -> None:
    usual, other = (draw(age=40, sex="M", key="x", shift=shift).astype(float) for shift in (0.0, 1.0))
    assert np.array_equal(usual > 0, other > 0)
    inside = usual > 0
    assert 0.5 < np.corrcoef(usual[inside], other[inside])[0, 1] < 0.95
    spread = [image[inside].std() / image[inside].mean() for image in (usual, other)]
    assert spread[1] < 0.8 * spread[0], "less contrast between tissues"
    assert np.array_equal(other, draw(age=40, sex="M", key="x", shift=1.0).astype(float))


def test_a_shift_is_another_data_set_of_the_same_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path))
    (tmp_path / "datasets.yaml").write_text("a: {format: demo}\nb: {format: demo, shift: 0}\nc: {format: demo, shift: 1.5}\n")
    found = find_datasets(tmp_path)
    assert found["a"].root == found["b"].root == tmp_path / f"demo-{catalogue.VERSION}-120-0"
    assert found["c"].root == tmp_path / f"demo-{catalogue.VERSION}-120-0-shift1.5"
    identities = [catalogue.read(name, found[name].root, found[name].options).identity for name in "abc"]
    assert identities[0] == identities[1] != identities[2]
    assert [dict(scan.labels) for scan in found["a"].listing().scans] == [dict(scan.labels) for scan in found["c"].listing().scans]


@pytest.mark.parametrize("shift", ["-1", "3", "true", "far"])
def test_a_shift_out_of_range(shift: str, tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text(f"far: {{format: demo, shift: {shift}}}\n")
    with pytest.raises(InputError, match=r"demo: shift .* must be a number from 0"):
        find_datasets(tmp_path)["far"]
