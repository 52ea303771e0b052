"""Values, stores and prepared data as only users and full disks make them: each is told before or instead of a traceback."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.registry import load_catalogue
from tlimb.components.architectures import ResNet
from tlimb.components.data.prepared import read_prepared
from tlimb.errors import InputError
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse


def told(text: str) -> list[tuple[str, str]]:
    return [(text[d.span.start : d.span.end], d.message) for d in check(parse(text).recipe, load_catalogue(), find_datasets())]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("lr", "-1", "'lr' is at least 0, not -1"),
        ("weight_decay", "-0.1", "'weight_decay' is at least 0, not -0.1"),
        ("batch", "0", "'batch' is at least 1, not 0"),
        ("epochs", "0", "'epochs' is at least 1, not 0"),
        ("seed", "-1", "'seed' is at least 0, not -1"),
        ("n", "0", "'n' is at least 1, not 0"),
        ("workers", "-1", "'workers' is at least 0, not -1"),
        ("patience", "0", "'patience' is at least 1, not 0"),
        ("dropout", "2", "'dropout' is at least 0 and below 1, not 2"),
    ],
)
def test_a_value_out_of_range_is_told_by_check(setting: str, value: str, message: str) -> None:
    expected = [(value, message)]
    assert told(f"train resnet10 on demo.age with {setting}={value}\n") == expected
    assert told(f"train resnet10 on demo.age\nset {setting} = {value}\n") == expected
    assert told(f"train resnet10 on demo.age\nsweep {setting} in [{value}]\n") == expected


@pytest.mark.parametrize("text", ["train resnet10(dropout=1) on demo.age\n", "train resnet10 on demo.age with optimizer=adamw(lr=-1)\n"])
def test_an_argument_out_of_range_is_told_by_check(text: str) -> None:
    (found,) = told(text)
    assert "at least 0" in found[1]


def test_values_at_their_bounds_pass() -> None:
    settings = "lr=0, weight_decay=0, batch=1, epochs=1, seed=0, n=1, workers=0, patience=1, dropout=0"
    assert told(f"train resnet10 on demo.age with {settings}\n") == []
    assert told("data axial_slice(size=32x32)\ntrain resnet10(dropout=0.9) on demo.age with n=none\n") == []


def test_a_size_of_zero_is_told_by_check() -> None:
    (found,) = told("data axial_slice(size=0x32)\ntrain resnet10 on demo.age\n")
    assert "'size' is at least 1" in found[1]


def test_a_network_without_channels_is_refused() -> None:
    with pytest.raises(InputError, match=r"widen_factor 0\.01 leaves no filters"):
        ResNet(depth=10, widen_factor=0.01)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = tmp_path / "prepared"
    folder.mkdir()
    np.save(folder / "images.npy", np.zeros((2, 1, 4, 4), dtype=np.float32))
    (folder / "prepared.json").write_text(json.dumps({"format": 1, "dataset": "d", "channels": 1, "shape": [4, 4], "labels": {"age": {}}}))
    (folder / "index.csv").write_text("row,participant_id,session,volume_ml,age\n0,a,,1.5,30\n1,b,,1.5,40\n")
    return folder


def test_whole_prepared_data_are_read(prepared: Path) -> None:
    assert read_prepared(prepared).participants == ("a", "b")


@pytest.mark.parametrize("file", ["images.npy", "index.csv", "prepared.json"])
@pytest.mark.parametrize("kept", [0.0, 0.9])
def test_prepared_data_cut_off_say_which_file_and_the_way_out(prepared: Path, file: str, kept: float) -> None:
    whole = (prepared / file).read_bytes()
    (prepared / file).write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InputError, match=file.replace(".", r"\.")) as caught:
        read_prepared(prepared)
    assert "run the recipe again" in caught.value.hint


def test_images_of_other_prepared_data_are_refused(prepared: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.zeros((3, 1, 4, 4), dtype=np.float32))
    shutil.copy(tmp_path / "other.npy", prepared / "images.npy")
    with pytest.raises(InputError, match="its shape is"):
        read_prepared(prepared)
