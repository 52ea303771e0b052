"""Unfreezing and learning rates by layer: what trains from which epoch on, and how fast."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from conftest import AGE, stage
from made_data import KILL, MadeDataModule
from test_resume import finals, in_child
from torch import nn

from tlimb.components.architectures import NumberHead, ResNet
from tlimb.components.contracts import Network
from tlimb.components.objectives import RegressionObjective
from tlimb.components.scenarios import Supervised
from tlimb.components.scenarios.freezing import outermost, phases
from tlimb.errors import InputError
from tlimb.train.stage import run_stage

LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}}
ADAM = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01, "weight_decay": 0.5}}
Write = Callable[..., Path]


def network(depth: int = 10) -> Network:
    torch.manual_seed(0)
    encoder = ResNet(depth, spatial_dims=2, widen_factor=0.125)
    return Network(encoder, {"age": NumberHead(encoder.feature_dim, 50, 20)})


def scenario(**arguments: Any) -> Supervised:
    return Supervised(network(), RegressionObjective(), list, monitor="val.mae", **arguments)


class Snapshots(lightning.Callback):
    """The encoder, and which of its parts were in training mode, at the end of each epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []
        self.modes: list[set[str]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.modes.append({layer for layer in LAYERS if pl_module.network.encoder.get_submodule(layer).training})

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.states.append({name: value.clone() for name, value in pl_module.network.encoder.state_dict().items()})


def fitted(epochs: int, **arguments: Any) -> tuple[Supervised, Snapshots, dict[str, torch.Tensor]]:
    module = MadeDataModule()
    module.connect([{"name": "age", "label": "age", "kind": "number"}], {}, {}, 0)
    learner = Supervised(network(), RegressionObjective(), module.unit, monitor="val.mae", **arguments)
    start = {name: value.clone() for name, value in learner.network.encoder.state_dict().items()}
    seen = Snapshots()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", callbacks=[seen], num_sanity_val_steps=0, **quiet)
    trainer.fit(learner, datamodule=module)
    return learner, seen, start


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def named(learner: Supervised, parameters: Sequence[nn.Parameter]) -> set[str]:
    """The outermost layers (or heads) that parameters belong to."""
    wanted = {id(parameter) for parameter in parameters}
    return {name.split(".")[1] for name, value in learner.network.named_parameters() if id(value) in wanted}


def test_a_layer_and_all_after_it_train_from_the_epoch_on() -> None:
    learner, seen, start = fitted(4, freeze="layer4", unfreeze={"layer": "layer3", "epoch": 3, "lr": 1e-4}, optimizer=ADAM)
    assert moved(start, seen.states[1]) == {"layer4"}, "parameters and buffers bit-equal for two epochs"
    assert moved(seen.states[1], seen.states[2]) == {"layer3", "layer4"}
    assert moved(start, seen.states[3]) == {"layer3", "layer4"}
    assert seen.modes == [{"layer4"}, {"layer4"}, {"layer3", "layer4"}, {"layer3", "layer4"}]
    groups = learner.trainer.optimizers[0].param_groups
    assert {tuple(sorted(named(learner, group["params"]))): group["lr"] for group in groups if group["weight_decay"]} == {
        ("age", "layer4"): 0.01,
        ("layer3",): 1e-4,
    }
    assert groups[0]["lr"] == 0.01, "what history.csv calls lr"
    held = [parameter for group in groups for parameter in group["params"]]
    assert named(learner, held) == {"age", "layer3", "layer4"}, "what stays frozen has no optimizer state"


def test_gradual_unfreezing_goes_from_the_top_down() -> None:
    _, seen, start = fitted(4, freeze="all", gradual=1)
    assert moved(start, seen.states[0]) == set()
    for epoch, layer in ((1, "layer4"), (2, "layer3"), (3, "layer2")):
        assert layer not in moved(start, seen.states[epoch - 1])
        assert moved(seen.states[epoch - 1], seen.states[epoch]) == set(LAYERS[LAYERS.index(layer) :])


def test_phases_of_gradual_unfreezing() -> None:
    net = network(18)
    assert outermost(net) == LAYERS
    assert [phase.epoch for phase in phases(net, "all", gradual=2)] == [1, 3, 5, 7, 9, 11, 13]
    found = phases(net, "layer3.1", gradual=3)
    assert [phase.epoch for phase in found] == [1, 4, 7, 10, 13, 16], "first the rest of layer3"
    assert found[-1].frozen.parameters == ()
    sizes = [len(phase.frozen.parameters) for phase in found]
    assert sizes == sorted(sizes, reverse=True)


def test_one_layer_that_was_frozen_alone_is_freed() -> None:
    net = network()
    first, second = phases(net, "layer2", only=True, unfreeze={"layer": "layer1", "epoch": 2})
    assert set(first.frozen.parameters) == set(net.encoder.get_submodule("layer2").parameters())
    assert second.frozen.parameters == ()


def test_what_the_architecture_keeps_from_training_is_not_freed() -> None:
    net = network()
    fixed = next(net.encoder.get_submodule("layer3").parameters()).requires_grad_(False)
    learner = Supervised(net, RegressionObjective(), list, monitor="val.mae", freeze="all", unfreeze={"layer": "layer3", "epoch": 1})
    assert not fixed.requires_grad
    assert all(parameter.requires_grad for parameter in net.encoder.get_submodule("layer4").parameters())
    assert learner.network is net


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unfreeze": {"layer": "layer3", "epoch": 2}}, "nothing is frozen"),
        ({"freeze": "none", "gradual": 1}, "scenario.gradual: nothing is frozen"),
        ({"freeze": "layer3", "unfreeze": {"layer": "layer4", "epoch": 2}}, "train anyway, as freeze is 'layer3'"),
        ({"freeze": "layer3", "unfreeze": {"layer": "layer3", "epoch": 2}}, "unfreeze a layer before 'layer3'"),
        ({"freeze": "layer3", "unfreeze": {"layer": "lyer2", "epoch": 2}}, "did you mean 'layer2'"),
        ({"freeze": "layer3", "unfreeze": {"layer": None, "epoch": 2}}, "all frees the whole encoder"),
        ({"freeze": "layer3", "unfreeze": {"layer": "layer2", "epoch": 0}}, "counted from 1"),
        ({"freeze": "layer3", "unfreeze": {"layer": "layer2"}}, "it has layer and epoch"),
        ({"freeze": "layer3", "unfreeze": {"layer": "layer2", "epoch": 2, "lr": -1}}, "is above 0"),
        ({"freeze": "layer3", "unfreeze": {"layer": "layer2", "epoch": 2}, "gradual": 1}, "exclude each other"),
        ({"freeze": "layer3", "gradual": 0}, "gradual is 0; it is a whole number"),
        ({"encoder_lr": 0}, "scenario.encoder_lr: 0 is out of range"),
    ],
)
def test_mistakes_say_what_to_do(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scenario(**arguments)


@pytest.mark.parametrize("arguments", [{"unfreeze": {"layer": "layer3", "epoch": 4}}, {"gradual": 3}])
def test_an_epoch_that_never_comes_is_refused(arguments: dict[str, Any], write: Write, tmp_path: Path) -> None:
    config = stage(AGE, scenario__freeze="layer4", **{f"scenario__{name}": value for name, value in arguments.items()})
    with pytest.raises(InputError, match=r"unfreeze at epoch 4: this stage has 3 epochs"):
        run_stage(write(config), tmp_path / "out")


def test_unfreezing_in_the_first_epoch_is_freezing_less(write: Write, tmp_path: Path) -> None:
    less = stage(AGE, scenario__freeze="layer3")
    at_once = stage(AGE, scenario__freeze="layer4", scenario__unfreeze={"layer": "layer3", "epoch": 1})
    before = stage(AGE, scenario__freeze="layer4", trainer__max_epochs=2)
    later = stage(AGE, scenario__freeze="layer4", scenario__unfreeze={"layer": "layer3", "epoch": 3})
    out = {}
    for name, config in (("less", less), ("at_once", at_once), ("before", before), ("later", later)):
        run_stage(write(config, f"{name}.yaml"), tmp_path / name)
        out[name] = finals(tmp_path / name)
    for file in ("model.safetensors", "history.csv"):
        assert out["less"][file] == out["at_once"][file]
    assert out["later"]["history.csv"].splitlines()[:3] == out["before"]["history.csv"].splitlines()
    assert out["later"]["history.csv"] != out["less"]["history.csv"]


CASES = {
    "unfreeze": stage(
        AGE, scenario__freeze="layer4", scenario__unfreeze={"layer": "layer2", "epoch": 3, "lr": 5e-4}, trainer__max_epochs=4
    ),
    "gradual, momentum, one cycle": stage(
        AGE,
        scenario__freeze="all",
        scenario__gradual=1,
        scenario__layer_decay=0.5,
        scenario__optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9}},
        scenario__schedule={"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": {"max_lr": 0.02}},
        trainer__max_epochs=4,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_killed_and_run_again_equals_uninterrupted(case: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(CASES[case])
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    run_stage(config, tmp_path / "through")
    for place in ("1:2", "2:3", "3:1"):
        monkeypatch.setenv(KILL, f"SIGKILL:{place}")
        assert in_child(lambda: run_stage(config, tmp_path / "killed")) == -signal.SIGKILL
    monkeypatch.delenv(KILL)
    run_stage(config, tmp_path / "killed")
    assert finals(tmp_path / "killed") == finals(tmp_path / "through")
    assert "going on after epoch 3" in (tmp_path / "killed" / "log.txt").read_text()


def test_rates_by_layer() -> None:
    learner = scenario(encoder_lr=0.5, layer_decay=0.8, optimizer=SGD)
    groups = learner.configure_optimizers().param_groups
    found = {next(iter(named(learner, group["params"]))): group["lr"] for group in groups if group["weight_decay"]}
    assert next(iter(found)) == "age"
    convolutions = [layer for layer in LAYERS if layer != "bn1"]
    assert found == pytest.approx({"age": 0.1} | {layer: 0.1 * 0.5 * 0.8 ** (6 - LAYERS.index(layer)) for layer in convolutions})
    assert next(group["lr"] for group in groups if named(learner, group["params"]) == {"bn1"}) == pytest.approx(0.05 * 0.8**5)
    everything = [parameter for group in groups for parameter in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(learner.network.parameters()))


def test_without_factors_there_are_the_two_groups_of_plain_training() -> None:
    learner = scenario(optimizer=SGD)
    heavy, light = learner.configure_optimizers().param_groups
    parameters = list(learner.network.parameters())
    assert [id(item) for item in heavy["params"]] == [id(item) for item in parameters if item.ndim > 1]
    assert [id(item) for item in light["params"]] == [id(item) for item in parameters if item.ndim == 1]


def test_sgd_steps_are_scaled_by_the_factors() -> None:
    plain = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
    steps = {}
    for factors in ({}, {"encoder_lr": 0.25, "layer_decay": 0.5}):
        learner = scenario(optimizer=plain, **factors)
        before = {name: value.detach().clone() for name, value in learner.network.named_parameters()}
        optimizer = learner.configure_optimizers()
        learner.network(torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1)))["age"].square().sum().backward()
        optimizer.step()
        steps[bool(factors)] = {name: value.detach() - before[name] for name, value in learner.network.named_parameters()}
    for name, step in steps[True].items():
        part = name.split(".")[1]
        factor = 0.25 * 0.5 ** (6 - LAYERS.index(part)) if part in LAYERS else 1.0
        torch.testing.assert_close(step, steps[False][name] * factor, rtol=1e-3, atol=1e-6)


def test_embeddings_of_positions_and_variances_are_not_decayed() -> None:
    class Encoder(ResNet):
        def __init__(self) -> None:
            super().__init__(10, spatial_dims=2, widen_factor=0.125)
            self.position_embeddings = nn.Parameter(torch.zeros(1, 4, 8))
            self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
            self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))

    class Weighted(RegressionObjective, nn.Module):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.log_variance = nn.Parameter(torch.zeros(2))

    encoder = Encoder()
    objective = Weighted()
    learner = Supervised(Network(encoder, {"age": NumberHead(64)}), objective, list, monitor="val.mae", optimizer=SGD)
    heavy, light = learner.configure_optimizers().param_groups
    none = {encoder.position_embeddings, encoder.cls_token, encoder.relative_position_bias_table, objective.log_variance}
    assert none <= set(light["params"])
    assert light["weight_decay"] == 0
    assert heavy["weight_decay"] == 0.5


def test_the_history_shows_the_rate_of_the_heads_and_schedules_move_all_rates(write: Write, tmp_path: Path) -> None:
    config = stage(
        AGE,
        scenario__encoder_lr=0.1,
        scenario__schedule={"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.5}},
    )
    run_stage(write(config), tmp_path / "out")
    lines = (tmp_path / "out" / "history.csv").read_text().splitlines()
    assert [float(line.split(",")[1]) for line in lines[1:]] == [0.003, 0.0015, 0.00075]
