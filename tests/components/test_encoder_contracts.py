"""What every architecture of the catalogue keeps, on tiny inputs: its shapes, its seed, its gradients, and that frozen means frozen."""

import math
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tlimb.catalogue.registry import load_catalogue
from tlimb.components.contracts import Network, PatchEncoder, SpatialEncoder
from tlimb.components.objectives import MultitaskObjective
from tlimb.components.scenarios import Supervised
from tlimb.components.scenarios.freezing import frozen_part, outermost
from tlimb.errors import InputError
from tlimb.train.anatomy import anatomy
from tlimb.train.network import build_network

CATALOGUE = load_catalogue()
# Narrower, so that all are cheap; what the words differ in besides (depths, patches, blocks) stays.
NARROW: dict[str, dict[str, Any]] = {
    "ResNet": {"widen_factor": 0.125},
    "SFCN": {"channels": [4, 4, 8, 8, 8, 8]},
    "Swin": {"embed_dim": 24, "window_size": 3},
    "ViT": {"hidden_size": 24, "num_heads": 2},
}
DIMS = {"Swin": (2, 3)}
TARGETS = [{"name": "age", "kind": "number"}, {"name": "sex", "kind": "category", "classes": ["F", "M"]}]
CHANNELS, SIDE = 2, 32


def config(word: str, dims: int) -> dict[str, Any]:
    entry = CATALOGUE.components["architecture", word]
    name = entry.class_path.rpartition(".")[2]
    given = {**entry.arguments, **NARROW.get(name, {}), "dropout": 0.1, "spatial_dims": dims, "in_channels": CHANNELS}
    if name == "ViT":
        given["input_shape"] = [CHANNELS, *[SIDE] * dims]
    return {"class_path": entry.class_path, "init_args": given}


def words() -> list[Any]:
    found = []
    for word in CATALOGUE.words("architecture"):
        name = CATALOGUE.components["architecture", word].class_path.rpartition(".")[2]
        for dims in DIMS.get(name, (1, 2, 3)):
            found.append(pytest.param(word, dims, id=f"{word}-{dims}d"))
    return found


FAMILIES = {"resnet10": 2, "resnet50": 1, "sfcn": 2, "vit": 1, "swin": 2}


def network(word: str, dims: int, seed: int = 0) -> Network:
    return build_network(config(word, dims), TARGETS, {"age": {"mean": 50.0, "sd": 10.0}}, seed)


def images(dims: int, rows: int = 3) -> Tensor:
    return torch.randn(rows, CHANNELS, *[SIDE] * dims, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("word", "dims"), words())
def test_shapes_pooling_and_gradients(word: str, dims: int) -> None:
    net = network(word, dims)
    encoder: Any = net.encoder
    outputs = net(images(dims))
    assert (outputs["age"].shape, outputs["sex"].shape) == ((3,), (3, 2))
    (outputs["age"].square().sum() + outputs["sex"].square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad, f"{name} counts as trainable in no architecture and must be a buffer, or absent"
        assert parameter.grad is not None, f"{name} gets no gradient: DDP would wait for it"
        assert parameter.grad.isfinite().all(), name

    assert isinstance(encoder, SpatialEncoder)
    encoder.eval()
    with torch.no_grad():
        features, where = encoder(images(dims)), encoder.feature_map(images(dims))
    assert features.shape == (3, encoder.feature_dim)
    assert where.shape[:2] == features.shape
    assert where.ndim == dims + 2
    torch.testing.assert_close(where.flatten(2).mean(-1), features)
    if isinstance(encoder, PatchEncoder):
        assert tuple(where.shape[2:]) == encoder.grid
        assert [part * whole for part, whole in zip(encoder.patch_size, encoder.grid, strict=True)] == [SIDE] * dims
        assert encoder.tokens(images(dims)).shape == (3, math.prod(encoder.grid), encoder.feature_dim)


@pytest.mark.parametrize("word", CATALOGUE.words("architecture"))
def test_a_seed_makes_the_same_network_again(word: str) -> None:
    first, again, other = network(word, 2).state_dict(), network(word, 2).state_dict(), network(word, 2, seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("word", CATALOGUE.words("architecture"))
def test_freeze_points_are_in_order_and_counted(word: str) -> None:
    described = anatomy(config(word, 2))
    assert described is not None
    net = network(word, 2)
    points = list(net.encoder.freeze_points())
    assert [point for point, _ in described["layers"]] == points
    total = described["encoder_parameters"]
    assert described["feature_dim"] == net.encoder.feature_dim
    frozen = [sum(parameter.numel() for parameter in frozen_part(net, point).parameters) for point in points]
    assert frozen[0] == 0, "the first point is where the encoder starts"
    assert frozen == sorted(frozen)
    for number, point in enumerate(points):
        assert sum(count for _, count in described["layers"][number:]) == total - frozen[number], point
        assert described["own"][point] == sum(parameter.numel() for parameter in frozen_part(net, point, only=True).parameters), point
    shown = ", ".join(point for point in points if point.count(".") < 2)
    with pytest.raises(InputError) as error:
        frozen_part(net, "nowhere")
    assert (shown if len(points) > 30 else ", ".join(points)) in error.value.hint


@pytest.mark.parametrize("word", FAMILIES)
@pytest.mark.parametrize("where", ["middle", "only", "all"])
@pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec.*", "ignore:.*in eval mode.*", "ignore:.*num_workers.*")
def test_frozen_means_frozen(word: str, where: str) -> None:
    dims = FAMILIES[word]
    net = network(word, dims)
    encoder = net.get_submodule("encoder")
    points = outermost(net)
    point = "all" if where == "all" else points[len(points) // 2]
    only = where == "only"
    part = frozen_part(net, point, only)
    frozen = {name for name, parameter in encoder.named_parameters() if any(parameter is held for held in part.parameters)}
    frozen |= {
        f"{name}.{buffer}".lstrip(".")
        for name, module in encoder.named_modules()
        for buffer, _ in module.named_buffers(recurse=False)
        if any(module is held for held in part.modules)
    }
    probe = images(dims, 5)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    features = encoder.eval()(probe)
    encoder.train()

    fit(net, dims, freeze=point, freeze_only=only)
    for name, tensor in encoder.state_dict().items():
        fixed = name in frozen or not (tensor.is_floating_point() or "num_batches" in name)
        assert torch.equal(tensor, before[name]) == fixed, name
    if where == "all":
        assert torch.equal(encoder.eval()(probe), features)


def fit(net: Network, dims: int, **freezing: Any) -> None:
    """Two epochs of two batches, shifted and scaled so that running statistics would move."""
    generator = torch.Generator().manual_seed(2)
    batches = [
        {
            "image": 3 + 2 * torch.randn(3, CHANNELS, *[SIDE] * dims, generator=generator),
            "targets": {"age": torch.tensor([40.0, math.nan, 60.0]), "sex": torch.tensor([0, 1, -1])},
            "row": torch.arange(3) + 3 * number,
        }
        for number in range(2)
    ]
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01, "weight_decay": 0.1}}

    def unit(rows: Any) -> list[tuple[str, str, str]]:
        return [(f"p{row}", "", "val") for row in rows]

    scenario = Supervised(net, MultitaskObjective(), unit, monitor="val.age.mae", optimizer=optimizer, **freezing)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(scenario, loader, loader)


def test_an_encoder_that_looks_at_values_while_it_is_built_is_counted_all_the_same() -> None:
    """MONAI's Swin cannot be built without memory."""
    with pytest.raises(RuntimeError), torch.device("meta"):
        network("swin", 2)
    assert anatomy(config("swin", 2)) is not None


def test_an_architecture_for_one_size_is_counted_once_the_size_is_known() -> None:
    known = config("vit", 2)
    shape = known["init_args"].pop("input_shape")
    assert anatomy(known) is None
    described = anatomy({**known, "input_shape": shape})
    assert described is not None
    assert described["layers"][0] == ["patch_embedding", described["own"]["patch_embedding"]]
    assert anatomy({**config("resnet10", 2), "input_shape": shape}) == anatomy(config("resnet10", 2))
