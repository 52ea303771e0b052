"""Networks: parameter counts against published and independently computed numbers, shapes, freezing that really freezes."""

from typing import Any

import pytest
import torch
from made_data import MadeDataModule

from tlimb.components.architectures import CategoryHead, NumberHead, ResNet
from tlimb.components.contracts import Network
from tlimb.components.objectives import RegressionObjective
from tlimb.components.scenarios import Supervised
from tlimb.components.scenarios.freezing import frozen_part
from tlimb.errors import InputError
from tlimb.train.anatomy import anatomy
from tlimb.train.results import parameter_counts

# With one linear output; ResNet-18 in 2-D is torchvision's 11,689,512 - 513,000 (its 1000 classes) + 513 - 6,272 (two of three channels).
COUNTS = {
    10: (1_751_617, 4_900_033, 14_356_033),
    18: (3_844_417, 11_170_753, 33_160_513),
    34: (7_218_753, 21_278_913, 63_470_145),
    50: (15_956_289, 23_503_809, 46_157_121),
    101: (28_263_745, 42_495_937, 85_203_265),
}


@pytest.mark.parametrize("depth", COUNTS)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_parameter_counts(depth: int, dims: int) -> None:
    with torch.device("meta"):
        encoder = ResNet(depth, spatial_dims=dims)
        network = Network(encoder, {"age": NumberHead(encoder.feature_dim)})
    assert sum(parameter.numel() for parameter in network.parameters()) == COUNTS[depth][dims - 1]
    assert encoder.feature_dim == (512 if depth < 50 else 2048)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("depth", [10, 50])
def test_forward_shapes(depth: int, dims: int) -> None:
    encoder = ResNet(depth, spatial_dims=dims, in_channels=2, widen_factor=0.25)
    network = Network(encoder, {"age": NumberHead(encoder.feature_dim), "sex": CategoryHead(encoder.feature_dim, ("F", "M", "X"))})
    outputs = network(torch.randn(4, 2, *[32] * dims))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {"age": (4,), "sex": (4, 3)}


TABLE = {None: 11_170_753, "layer3.1.conv1": 9_574_913, "layer4.0.conv1": 8_394_241, "layer4": 8_394_241, "layer4.1.conv1": 4_721_153}


@pytest.mark.parametrize("freeze", TABLE)
def test_the_papers_freezing_table(freeze: str | None) -> None:
    encoder = ResNet(18, spatial_dims=2)
    scenario = Supervised(Network(encoder, {"age": NumberHead(512)}), RegressionObjective(), list, monitor="val.mae", freeze=freeze)
    assert parameter_counts(scenario.network)["trainable"] == TABLE[freeze]
    assert sum(parameter_counts(scenario.network).values()) == TABLE[None]


@pytest.mark.parametrize("config", [(18, 2), (50, 1), (10, 3)])
def test_anatomy_counts_what_a_frozen_network_has(config: tuple[int, int]) -> None:
    arguments = {"depth": config[0], "spatial_dims": config[1], "widen_factor": 0.25}
    described = anatomy({"class_path": "tlimb.components.architectures.ResNet", "init_args": arguments})
    points = [point for point, _ in described["layers"]]
    head = described["feature_dim"] + 1
    assert points[:3] == ["conv1", "bn1", "layer1"]
    assert not [point for point in points if "downsample" in point]
    assert head + described["encoder_parameters"] == _trainable(arguments, None, False)
    assert head == _trainable(arguments, "all", False)
    for number, point in enumerate(points):
        if number % 3 == 0 or point in ("layer4", "layer4.0.bn2"):
            assert head + sum(count for _, count in described["layers"][number:]) == _trainable(arguments, point, False), point
            assert head + described["encoder_parameters"] - described["own"][point] == _trainable(arguments, point, True), point


def _trainable(arguments: dict[str, Any], freeze: str | None, only: bool) -> int:
    with torch.device("meta"):
        encoder = ResNet(**arguments)
        network = Network(encoder, {"age": NumberHead(encoder.feature_dim)})
    for parameter in frozen_part(network, freeze, only).parameters:
        parameter.requires_grad_(False)
    return parameter_counts(network)["trainable"]


def test_only_layer4() -> None:
    assert _trainable({"depth": 18, "spatial_dims": 2}, "layer4", True) == 2_777_025


@pytest.mark.parametrize(
    ("freeze", "only", "frozen"),
    [
        ("layer3.0.conv1", False, ("conv1", "bn1", "layer1", "layer2")),
        ("layer2.0.conv2", False, ("conv1", "bn1", "layer1", "layer2.0.conv1", "layer2.0.bn1")),
        ("layer2", True, ("layer2",)),
        ("all", False, ("",)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec.*", "ignore:.*in eval mode.*")
def test_frozen_parts_do_not_move_and_the_others_do(freeze: str, only: bool, frozen: tuple[str, ...]) -> None:
    import lightning

    torch.manual_seed(0)
    encoder = ResNet(10, spatial_dims=2, widen_factor=0.125)
    network = Network(encoder, {"age": NumberHead(encoder.feature_dim, 50, 20)})
    module = MadeDataModule()
    module.connect([{"name": "age", "label": "age", "kind": "number"}], {}, {}, 0)
    scenario = Supervised(network, RegressionObjective(), module.unit, monitor="val.mae", freeze=freeze, freeze_only=only)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(scenario, datamodule=module)
    for name, value in encoder.state_dict().items():
        still = any(not layer or name.startswith(layer + ".") for layer in frozen)
        assert torch.equal(value, before[name]) == still, name
    held = {id(parameter) for group in trainer.optimizers[0].param_groups for parameter in group["params"]}
    assert not held & {id(parameter) for parameter in network.parameters() if not parameter.requires_grad}


def test_no_weight_decay_on_biases_and_norms() -> None:
    encoder = ResNet(10, spatial_dims=2)
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "weight_decay": 0.5}}
    scenario = Supervised(Network(encoder, {"age": NumberHead(512)}), RegressionObjective(), list, monitor="val.mae", optimizer=optimizer)
    heavy, light = scenario.configure_optimizers().param_groups
    assert (heavy["weight_decay"], light["weight_decay"]) == (0.5, 0.0)
    assert all(parameter.ndim > 1 for parameter in heavy["params"])
    assert all(parameter.ndim == 1 for parameter in light["params"])


def test_a_wrong_freeze_point_lists_the_right_ones_in_order() -> None:
    network = Network(ResNet(18, spatial_dims=2), {"age": NumberHead(512)})
    with pytest.raises(InputError, match=r"no freeze point 'layer5'(.|\n)*none, conv1, bn1, layer1, layer1.0, layer1.1, layer2(.|\n)*all"):
        frozen_part(network, "layer5")
    with pytest.raises(InputError, match=r"did you mean 'layer4\.0\.conv1'"):
        frozen_part(network, "layer4.0.cnv1")


def test_number_heads_predict_in_natural_units() -> None:
    head = NumberHead(4, mean=50.0, sd=20.0)
    target = torch.tensor([30.0, torch.nan])
    assert head.encode(target)[0] == -1.0
    assert head.encode(target)[1].isnan()
    assert torch.equal(head.predict(torch.tensor([-1.0, 0.5])), torch.tensor([30.0, 60.0]))
    assert NumberHead(4, mean=5.0, sd=0.0).encode(torch.tensor([5.0])) == 0, "a constant target is no division by zero"


def test_wrong_arguments_are_input_errors() -> None:
    for arguments in ({"depth": 19}, {"spatial_dims": 4}, {"dropout": 1.0}):
        with pytest.raises(InputError):
            ResNet(**arguments)
    with pytest.raises(InputError, match="Linear is no encoder"):
        Network(torch.nn.Linear(1, 1), {})
