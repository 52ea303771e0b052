"""Counts of parameters without torch in this process, and their cache."""

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emit.small_graphs import graph, stage

from tlimb.errors import InputError
from tlimb.run import anatomy
from tlimb.run.anatomy import anatomies, parameters
from tlimb.stages.graph import Stage

NUMBER = {"name": "age", "dataset": "ukb", "part": None, "label": "age", "kind": "number", "unit": "years", "classes": None, "weight": 1.0}


def training(number: int, target: dict[str, Any] | None = None, **arguments: Any) -> Stage:
    made = stage("fit", "train", lr=number)
    config = copy.deepcopy(dict(made.config))
    del config["scenario"]["init_args"]["freeze"]
    config["scenario"]["init_args"].update(arguments)
    config["targets"] = [target] if target else config["targets"]
    return replace(made, config=config)


@pytest.fixture(scope="module")
def _asked() -> None:
    """One child process for all tests of this module."""
    anatomies([training(0).config["architecture"]])


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


def test_an_unknown_architecture_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="NoNet"):
        anatomies([{"class_path": "tlimb.components.architectures.NoNet", "init_args": {}}])


def test_the_engines_load_no_torch() -> None:
    code = "import sys, tlimb.run.local, tlimb.run.nextflow, tlimb.run.anatomy, tlimb.run.progress; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "lightning", "monai", "rich", "textual", "optuna"} & set(loaded)
