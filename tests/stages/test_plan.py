"""What a recipe asks to be computed: variants, shared stages, settings, roles."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tlimb.configs.text import dump_graph, load_graph
from tlimb.errors import RecipeError
from tlimb.stages.digest import digest
from tlimb.stages.graph import StageGraph

Plan = Callable[[str], StageGraph]
CARD = "pretrain resnet18 on ukb.age; finetune freeze layer4 on ukb.sex; "


def trained(graph: StageGraph) -> list[str]:
    return [stage.name for stage in graph.stages if stage.kind != "prepare"]


def test_a_sweep_of_all_stages_and_one_of_a_single_stage(plan: Plan) -> None:
    everywhere = plan(CARD + "sweep lr in [1e-4,1e-3,1e-2]")
    assert len(everywhere.variants) == 3
    assert sorted(trained(everywhere)) == ["finetune"] * 3 + ["pretrain"] * 3
    one = plan(CARD + "sweep finetune.lr in [1e-4,1e-3,1e-2]")
    assert len(one.variants) == 3
    assert sorted(trained(one)) == ["finetune"] * 3 + ["pretrain"]
    assert {variant.runs[0].stages["pretrain"] for variant in one.variants} == {one.stages[1].digest}


def test_parents_come_before_children_and_the_data_are_prepared_once(plan: Plan) -> None:
    graph = plan(CARD + "sweep lr in [1e-4,1e-3]\nsweep batch in [4, 8]\nrepeat 2")
    seen: set[str] = set()
    for stage in graph.stages:
        assert set(stage.parents) <= seen
        seen.add(stage.digest)
    assert [stage.kind for stage in graph.stages].count("prepare") == 1
    assert len(graph.variants) == 4
    assert all(len(variant.runs) == 2 for variant in graph.variants)
    assert len(trained(graph)) == 2 * 4 * 2


def test_equal_work_under_two_names_is_one_stage(plan: Plan) -> None:
    graph = plan("pretrain resnet18 on ukb.age as a\nfinetune on ukb.sex from a as b\nfinetune on ukb.sex from a as c")
    assert len(trained(graph)) == 2
    stages = graph.variants[0].runs[0].stages
    assert stages["b"] == stages["c"]


@pytest.mark.parametrize(
    ("text", "stage", "path", "value"),
    [
        ("set lr = 0.5\n" + CARD, "finetune", "scenario.optimizer.lr", 0.5),
        ("set lr = 0.5\nset finetune.lr = 0.25\n" + CARD, "finetune", "scenario.optimizer.lr", 0.25),
        ("set lr = 0.5\nset finetune.lr = 0.25\n" + CARD, "pretrain", "scenario.optimizer.lr", 0.5),
        ("set lr = 0.5\ntrain resnet18 on ukb.age with lr=0.1", "train", "scenario.optimizer.lr", 0.1),
        ("train resnet18 on ukb.age with lr=0.1; sweep lr in [0.2]", "train", "scenario.optimizer.lr", 0.2),
        ("train resnet18 on ukb.age with epochs=3", "train", "trainer.max_epochs", 3),
        ("train resnet18 on ukb.age with optimizer=sgd(momentum=0.9), lr=0.1", "train", "scenario.optimizer.momentum", 0.9),
        ("train resnet18 on ukb.age with lr=0.1, optimizer=sgd(momentum=0.9)", "train", "scenario.optimizer.lr", 0.1),
        ("train resnet18 on ukb.age with schedule=cosine, epochs=7", "train", "scenario.schedule.T_max", 7),
        ("train resnet18(dropout=0.2) on ukb.age", "train", "architecture.dropout", 0.2),
        (CARD + "sweep architecture in [resnet10]", "finetune", "architecture.depth", 10),
        ("train resnet18 on ukb.age with scenario.init_args.patience=4", "train", "scenario.patience", 4),
        (CARD, "finetune", "scenario.freeze", "layer4"),
        ("data axial_slice(size=64x72)\n" + CARD, "finetune", "data.size", [64, 72]),
        ("data axial_slice(size=64x72)\n" + CARD, "finetune", "architecture.spatial_dims", 2),
        (CARD, "pretrain", "architecture.spatial_dims", 3),
        (CARD, "pretrain", "scenario.monitor", "val.mae"),
        (CARD, "finetune", "scenario.monitor", "val.balanced_accuracy"),
        ("multitask resnet18 on 2*ukb.age + ukb.sex", "multitask", "objective.weights", {"age": 2.0, "sex": 1.0}),
    ],
)
def test_a_setting_reaches_its_field(plan: Plan, text: str, stage: str, path: str, value: object) -> None:
    config = next(s.config for s in plan(text).stages if s.name == stage)
    section, name = path.rsplit(".", 1)
    place = config
    for piece in section.split("."):
        place = place[piece]
        place = place.get("init_args", place)
    assert place[name] == value


def test_freezing_binds_only_stages_that_start_from_weights(plan: Plan) -> None:
    graph = plan(
        "pretrain resnet18 on ukb.age\nfinetune on ukb.age\nsweep freeze in [none, layer3.1.conv1, layer4.0.conv1, layer4.1.conv1]"
    )
    assert trained(graph) == ["pretrain"] + ["finetune"] * 4
    freezes = [s.config["scenario"]["init_args"].get("freeze") for s in graph.stages if s.name == "finetune"]
    assert freezes == [None, "layer3.1.conv1", "layer4.0.conv1", "layer4.1.conv1"]


def test_names_comments_and_settings_without_effect_do_not_change_the_digest(plan: Plan) -> None:
    one = plan("train resnet18 on ukb.age with epochs=2")
    same = plan('about title="x"\n# why\ntrain resnet18 on ukb.age with epochs=2, workers=2 as control')
    other = plan("train resnet18 on ukb.age with epochs=3")
    assert one.stages[1].digest == same.stages[1].digest
    assert one.stages[1].digest != other.stages[1].digest


def test_touched_images_change_the_digests_of_all_that_read_them(plan: Plan, lab: Path) -> None:
    text = "pretrain resnet18 on ukb.age; evaluate on hcp.age"
    before = {s.name: s.digest for s in plan(text).stages}
    (lab / "hcp/sub-h000/anat/sub-h000_T1w.nii.gz").write_bytes(b"another image")
    after = {s.name: s.digest for s in plan(text).stages}
    assert {name for name in before if before[name] != after[name]} == {"hcp", "evaluate"}


def test_the_digest_is_the_hash_of_the_documented_identity(plan: Plan) -> None:
    stage = plan(CARD).stages[-1]
    assert digest(stage.config) == stage.digest
    assert digest({**stage.config, "name": "x", "about": {}}) == stage.digest
    assert digest({**stage.config, "seed": 1}) != stage.digest


def test_a_data_set_that_no_stage_trains_on_is_all_test(plan: Plan) -> None:
    graph = plan("pretrain resnet18 on ukb.age\nevaluate on hcp.age")
    config = graph.stages[-1].config
    assert config["kind"] == "evaluate"
    assert config["split"] == {"hcp": {"parts": [["test", 1.0]], "val": 0.15, "test": 0.15, "seed": 0}}


def test_leaves_are_the_stages_no_other_stage_continues(plan: Plan) -> None:
    graph = plan("pretrain resnet18 on ukb.age\nfinetune on ukb.sex\nevaluate on hcp.sex\ntrain resnet18 on ukb.sex as scratch")
    assert graph.variants[0].runs[0].leaves == ("finetune", "scratch")
    assert graph.rank.metric == "val.balanced_accuracy"


@pytest.mark.parametrize("dataset", ["copy", "again"])
def test_test_subjects_seen_upstream_under_another_name_are_an_error(plan: Plan, dataset: str) -> None:
    text = f"split {dataset} into test 0.9, train 0.05, val 0.05\npretrain resnet18 on ukb.age\nfinetune on {dataset}.sex{{}}"
    with pytest.raises(RecipeError) as caught:
        plan(text.format(""))
    (found,) = [d for d in caught.value.diagnostics if d.code == "leakage"]
    assert "'finetune' were seen by 'pretrain'" in found.message
    waived = plan(text.format(' allow overlap "the same scans on purpose"'))
    assert "the same scans on purpose" in waived.warnings[0]


def test_different_people_with_other_ids_do_not_leak(plan: Plan) -> None:
    assert plan("pretrain resnet18 on ukb.age\nfinetune on hcp.sex").warnings == ()


def test_a_role_without_subjects_is_an_error_with_the_counts(plan: Plan) -> None:
    with pytest.raises(RecipeError) as caught:
        plan("split ukb into train 100, val 10\nset split.test = 0\ntrain resnet18 on ukb[val].age")
    assert "no train" in caught.value.diagnostics[0].message


def test_the_yaml_of_a_graph_reads_back_as_the_same_graph(plan: Plan) -> None:
    graph = plan("about title=\"Größe: 'x'\"\n" + CARD + "sweep lr in [1e-4, 1e-3]\nrepeat 2\nevaluate on hcp.sex")
    assert load_graph(dump_graph(graph), "x") == graph


def test_ten_thousand_variants_share_what_they_share(plan: Plan) -> None:
    values = ", ".join(f"{number / 1e6:.6f}" for number in range(1, 101))
    graph = plan(CARD + f"sweep finetune.lr in [{values}]\nsweep finetune.weight_decay in [{values}]")
    assert len(graph.variants) == 10_000
    assert len(graph.stages) == 10_002
    grid = list(itertools.product(range(100), range(100)))
    assert graph.variants[grid.index((3, 7))].settings == {"finetune.lr": 4e-06, "finetune.weight_decay": 8e-06}
