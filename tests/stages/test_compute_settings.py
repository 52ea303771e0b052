"""How a stage computes is part of what it is, where it is not as usual."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tlimb.stages.digest import digest
from tlimb.stages.graph import StageGraph

Plan = Callable[[str], StageGraph]
_COMPONENTS = "tlimb.components"
_AGE = {"name": "age", "dataset": "ukb", "part": None, "label": "age", "kind": "number", "unit": "years", "classes": None, "weight": 1.0}
EARLIER = {
    "tlimb": 1,
    "kind": "fit",
    "seed": 0,
    "targets": [_AGE],
    "split": {},
    "data": {"class_path": f"{_COMPONENTS}.data.CropCenterDataModule", "init_args": {"batch_size": 8}},
    "architecture": {"class_path": f"{_COMPONENTS}.architectures.ResNet", "init_args": {"depth": 18}},
    "trainer": {"class_path": "lightning.Trainer", "init_args": {"max_epochs": 10}},
    "parents": [{"role": "data", "name": "ukb", "digest": "0f5e"}],
}


def configs(graph: StageGraph) -> dict[str, Mapping[str, Any]]:
    return {stage.name: stage.config for stage in graph.stages}


def test_a_stage_keeps_its_identity_where_nothing_is_asked_for(plan: Plan) -> None:
    assert digest(EARLIER) == "eb4ba0abd45c4abf", "stores of earlier versions hold the stage under this name"
    usual = {stage.digest for stage in plan("train resnet18 on ukb.age").stages}
    for given in ("channels_last=false", "compile=false", "compile=false, channels_last=false"):
        assert {stage.digest for stage in plan(f"train resnet18 on ukb.age with {given}").stages} == usual


def test_equal_settings_are_one_stage_and_others_are_others(plan: Plan) -> None:
    graph = plan("train resnet18 on ukb.age\nsweep compile in [false, true, inductor, eager]\nsweep channels_last in [true, false]")
    assert len({stage.digest for stage in graph.stages if stage.kind == "fit"}) == 6
    assert len({stage.digest for stage in graph.stages if stage.kind == "prepare"}) == 1


def test_fine_tuning_and_evaluation_compute_as_the_recipe_says(plan: Plan) -> None:
    text = "pretrain resnet18 on ukb.age with compile=true\nfinetune on ukb.sex\nevaluate on hcp.sex\nset channels_last = true\n"
    found = configs(plan(text + "set evaluate.compute.compile = aot_eager"))
    assert found["pretrain"]["compute"] == {"channels_last": True, "compile": "inductor"}
    assert found["finetune"]["compute"] == {"channels_last": True}
    assert found["evaluate"]["compute"] == {"channels_last": True, "compile": "aot_eager"}
    assert "compute" not in found["ukb"]


@pytest.mark.parametrize("path", ["channels_last", "compute.channels_last"])
def test_a_sweep_of_one_stage_shares_the_others(path: str, plan: Plan) -> None:
    graph = plan(f"pretrain resnet18 on ukb.age\nfinetune on ukb.sex\nsweep finetune.{path} in [true, false]")
    assert [stage.name for stage in graph.stages if stage.kind == "fit"] == ["pretrain", "finetune", "finetune"]
