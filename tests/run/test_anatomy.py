"""Counts of parameters without torch in this process, and their cache."""

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emit.small_graphs import graph, stage

from tlimb.errors import InputError
from tlimb.run import anatomy
from tlimb.run.anatomy import anatomies, anatomy_of, parameters, parameters_of
from tlimb.run.store import Store, write_json
from tlimb.stages.graph import Stage

NUMBER = {"name": "age", "dataset": "ukb", "part": None, "label": "age", "kind": "number", "unit": "years", "classes": None, "weight": 1.0}


def training(number: int, target: dict[str, Any] | None = None, **arguments: Any) -> Stage:
    made = stage("fit", "train", lr=number)
    config = copy.deepcopy(dict(made.config))
    del config["scenario"]["init_args"]["freeze"]
    config["scenario"]["init_args"].update(arguments)
    config["targets"] = [target] if target else config["targets"]
    return replace(made, config=config)


def encoding(class_path: str, arguments: dict[str, Any], data: dict[str, Any], parents: tuple[Stage, ...] = ()) -> Stage:
    made = training(0, NUMBER)
    config = copy.deepcopy(dict(made.config))
    config["architecture"] = {"class_path": class_path, "init_args": arguments}
    config["data"] = {"class_path": "tlimb.components.data.CropCenterDataModule", "init_args": data}
    config["parents"] = [{"role": "data", "name": parent.name, "digest": parent.digest} for parent in parents]
    return replace(made, config=config)


VIT = "tlimb.components.architectures.ViT"
SMALL = {"patch_size": 4, "hidden_size": 12, "mlp_dim": 24, "num_layers": 1, "num_heads": 2, "spatial_dims": 2, "in_channels": 1}
# Patches, their places (2 x 3), then the block: two norms, qkv without bias, projection, two layers; the last norm; the head.
SMALL_COUNT = (16 * 12 + 12) + 6 * 12 + 4 * 12 + 12 * 36 + (144 + 12) + (12 * 24 + 24 + 24 * 12 + 12) + 2 * 12 + 13
SERIES = {**SMALL, "spatial_dims": 1, "in_channels": 5}
SFCN = "tlimb.components.architectures.SFCN"
HARD = {"spatial_dims": 3, "in_channels": 1}
SOFT = {**HARD, "soft_range": [42, 82]}


@pytest.fixture(scope="module")
def _asked() -> None:
    """One child process for all tests of this module."""
    shapes = ((SMALL, [1, 8, 12]), (SERIES, [5, 40]), (SERIES, [5, 80]))
    anatomies(
        [
            training(0).config["architecture"],
            *({"class_path": VIT, "init_args": arguments, "input_shape": shape} for arguments, shape in shapes),
            *({"class_path": SFCN, "init_args": arguments} for arguments in (HARD, SOFT)),
        ]
    )


@pytest.mark.usefixtures("_asked")
def test_counts_of_table_4() -> None:
    layers = ["none", "layer3.1.conv1", "layer4.0.conv1", "layer4.1.conv1", "all"]
    stages = [training(number, NUMBER, freeze=layer) for number, layer in enumerate(layers)]
    counts = parameters(graph(stage("prepare", "ukb"), *stages))
    assert [counts[made.digest]["trainable"] for made in stages] == [11_170_753, 9_574_913, 8_394_241, 4_721_153, 513]
    assert {sum(count.values()) for count in counts.values()} == {11_170_753}


@pytest.mark.usefixtures("_asked")
def test_a_head_of_two_classes_has_513_more() -> None:
    number, sex = training(0, NUMBER), training(1)
    counts = parameters(graph(number, sex))
    assert counts[sex.digest]["trainable"] - counts[number.digest]["trainable"] == 513


@pytest.mark.usefixtures("_asked")
def test_freeze_only_freezes_one_layer() -> None:
    (counts,) = parameters(graph(training(0, NUMBER, freeze="layer1.0.conv1", freeze_only=True))).values()
    assert counts == {"trainable": 11_170_753 - 64 * 64 * 9, "frozen": 64 * 64 * 9}


@pytest.mark.usefixtures("_asked")
def test_an_unknown_layer_lists_those_that_exist_in_order() -> None:
    with pytest.raises(InputError, match=r"no layer 'layer9' to freeze") as error:
        parameters(graph(training(0, freeze="layer9")))
    assert error.value.hint.index("layer1") < error.value.hint.index("layer4.1.conv1") < error.value.hint.index("all")


@pytest.mark.usefixtures("_asked")
def test_what_is_known_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy, "COMMAND", ("/bin/false",))
    assert anatomies([training(0).config["architecture"]] * 2)[1]["feature_dim"] == 512


@pytest.mark.usefixtures("_asked")
def test_a_network_for_one_size_is_counted_when_the_size_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy, "COMMAND", ("/bin/false",))
    prepared = stage("prepare", "ukb")
    said, unsaid = encoding(VIT, SMALL, {"size": [8, 12]}), encoding(VIT, SMALL, {}, (prepared,))
    store = Store(tmp_path)
    assert parameters(graph(prepared, unsaid), store=store) == {}
    folder = store.folder(prepared.digest)
    folder.mkdir()
    write_json(folder / "results.json", {"format": 1, "digest": prepared.digest})
    write_json(folder / "prepared.json", {"format": 1, "channels": 1, "shape": [8, 12]})
    for made in (said, unsaid):
        (counted,) = parameters(graph(prepared, made), store=store).values()
        assert counted == {"trainable": SMALL_COUNT, "frozen": 0}


@pytest.mark.usefixtures("_asked")
def test_series_are_as_long_as_their_crops() -> None:
    (short,) = parameters(graph(encoding(VIT, SERIES, {"length": 40}))).values()
    (long,) = parameters(graph(encoding(VIT, SERIES, {"length": 80}))).values()
    assert long["trainable"] - short["trainable"] == 10 * 12


@pytest.mark.usefixtures("_asked")
def test_soft_labels_have_an_output_for_each_bin() -> None:
    (hard,) = parameters(graph(encoding(SFCN, HARD, {}))).values()
    (soft,) = parameters(graph(encoding(SFCN, SOFT, {}))).values()
    assert (hard["trainable"], soft["trainable"]) == (2_950_336 + 65, 2_952_936)


def test_an_unknown_architecture_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="NoNet"):
        anatomies([{"class_path": "tlimb.components.architectures.NoNet", "init_args": {}}])


def test_the_engines_load_no_torch() -> None:
    code = "import sys, tlimb.run.local, tlimb.run.nextflow, tlimb.run.anatomy, tlimb.run.progress; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "lightning", "monai", "rich", "textual", "optuna"} & set(loaded)


def test_the_anatomy_of_one_stage_is_asked_for_only_where_it_can_be_known() -> None:
    vit = encoding(VIT, {"spatial_dims": 3, "in_channels": 1}, {})
    assert anatomy_of(vit, ask=False) is None, "a ViT is made for one size of images"
    net = encoding("tlimb.components.architectures.ResNet", {"depth": 10, "spatial_dims": 2, "in_channels": 1, "widths": [4, 4, 4, 4]}, {})
    assert anatomy_of(net, ask=False) is None, "nobody has asked yet"
    found = anatomy_of(net)
    assert found is not None
    assert anatomy_of(net, ask=False) == found
    assert parameters_of(net, found)["frozen"] == 0


@pytest.mark.parametrize("content", [b"", b'{"layers": [[', b'{"layers": []}', b"[1]", b"\xff\xfe"])
def test_a_damaged_cache_is_asked_again(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path))
    whole = {"layers": [], "own": {}, "feature_dim": 7, "encoder_parameters": 3, "number_outputs": 1}
    monkeypatch.setattr(anatomy, "_ask", lambda configs: [whole for _ in configs])
    config = {"class_path": SFCN, "init_args": HARD}
    anatomies([config])
    (file,) = (tmp_path / "anatomy").iterdir()
    file.write_bytes(content)
    assert anatomies([config], ask=False) == [None]
    assert anatomies([config]) == [whole]
    assert json.loads(file.read_bytes()) == whole


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path / "cache"))
    whole = {"layers": [], "own": {}, "feature_dim": 7, "encoder_parameters": 3, "number_outputs": 1}
    monkeypatch.setattr(anatomy, "_ask", lambda configs: [whole for _ in configs])
    assert anatomies([{"class_path": SFCN, "init_args": HARD}]) == [whole]
