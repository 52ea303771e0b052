"""Weights from elsewhere, on files made with the names and containers of other packages."""

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import SEX, stage
from monai.networks.nets.resnet import ResNet as MonaiResNet
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.vit import ViT as MonaiViT
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tlimb.catalogue.layouts import recognise
from tlimb.components.architectures import SFCN, ResNet, Swin, ViT
from tlimb.errors import InputError
from tlimb.train.foreign import convert, read_foreign
from tlimb.train.matching import match, to_channels
from tlimb.train.stage import run_stage
from tlimb.train.weights import inspect, renamed

Write = Callable[..., Path]
_KINDS = {
    10: ("basic", [1, 1, 1, 1], "B"),
    18: ("basic", [2, 2, 2, 2], "A"),
    34: ("basic", [3, 4, 6, 3], "A"),
    50: ("bottleneck", [3, 4, 6, 3], "B"),
}


def monai_resnet(depth: int, shortcut: str | None = None, *, planes: int = 8, dims: int = 3, bias: bool = False, channels: int = 1) -> Any:
    """MONAI's ResNet, thin, with running statistics that are not those of a new network."""
    block, layers, usual = _KINDS[depth]
    torch.manual_seed(depth)
    network = MonaiResNet(
        block,
        layers,
        [planes, 2 * planes, 4 * planes, 8 * planes],
        spatial_dims=dims,
        n_input_channels=channels,
        conv1_t_stride=2,
        shortcut_type=shortcut or usual,
        bias_downsample=bias,
        feed_forward=False,
    )
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            buffer.data = torch.rand_like(buffer) + (0.5 if "var" in name else 0.0)
    return network.eval()


def medicalnet(depth: int) -> dict[str, Any]:
    """A checkpoint as MedicalNet writes it: DataParallel's prefix, a segmentation decoder, no last layer."""
    state = {f"module.{name}": tensor for name, tensor in monai_resnet(depth).state_dict().items()}
    return {"state_dict": {**state, "module.conv_seg.0.weight": torch.zeros(2, 2, 2, 2, 2)}, "epoch": 20}


def encoder_of(match_: Any, encoder: nn.Module) -> nn.Module:
    encoder.load_state_dict({**encoder.state_dict(), **match_.tensors})
    return encoder.eval()


# ---------------------------------------------------------------------- layouts
@pytest.mark.parametrize("depth", [10, 18, 34, 50])
def test_medicalnet_computes_what_monai_computes(depth: int, tmp_path: Path) -> None:
    torch.save(medicalnet(depth), tmp_path / "net.pth")
    foreign = read_foreign(tmp_path / "net.pth")
    layout = recognise(list(foreign.tensors))
    assert layout is not None
    assert layout.name == "MedicalNet"
    assert layout.architecture == f"resnet{depth}" + ("(shortcut=A)" if depth in (18, 34) else "")
    assert "dilation" in layout.note
    encoder = ResNet(depth, widen_factor=0.125, shortcut=_KINDS[depth][2])  # type: ignore[arg-type]
    found = match(encoder, foreign.tensors)
    assert found.share == 1
    assert found.missing == found.mismatched == ()
    assert found.unexpected == ("conv_seg.0.weight",)
    image = torch.randn(1, 1, 32, 33, 34)
    torch.testing.assert_close(encoder_of(found, encoder)(image), monai_resnet(depth)(image))


def test_a_padded_shortcut_passes_a_gradient_and_equals_monais() -> None:
    encoder, theirs = ResNet(18, 2, widen_factor=0.125, shortcut="A"), monai_resnet(18, dims=2)
    encoder.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 1, 33, 40)
    assert torch.equal(encoder.eval()(image), theirs(image))
    block = encoder.layer2[0]
    for parameter in block.parameters():
        parameter.data.zero_()  # only the shortcut is left
    inside = torch.rand(1, 8, 4, 4, requires_grad=True)
    block(inside).sum().backward()
    assert inside.grad is not None
    assert inside.grad.sum() == 8 * 4  # each of 8 channels at every second place of 4 x 4


def test_biases_of_shortcuts_move_into_the_norm() -> None:
    theirs = monai_resnet(10, bias=True)
    found = match(ResNet(10, widen_factor=0.125), theirs.state_dict())
    assert found.unexpected == ()
    assert any("biases" in note for note in found.notes)
    image = torch.randn(1, 1, 32, 32, 32)
    encoder = encoder_of(found, ResNet(10, widen_factor=0.125))
    torch.testing.assert_close(encoder(image), theirs(image), rtol=1e-4, atol=1e-5)


def test_sfcn_of_the_paper() -> None:
    torch.manual_seed(1)
    source = SFCN(channels=(4, 8, 8, 8, 8, 6)).eval()
    state = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    state |= {"module.classifier.conv_6.weight": torch.zeros(40, 6, 1, 1, 1), "module.classifier.conv_6.bias": torch.zeros(40)}
    layout = recognise(list(state))
    assert layout is not None
    assert (layout.name, layout.architecture) == ("SFCN", "sfcn")
    encoder = SFCN(channels=(4, 8, 8, 8, 8, 6))
    found = match(encoder, state)
    assert found.share == 1
    assert found.unexpected == ("classifier.conv_6.weight", "classifier.conv_6.bias")
    image = torch.randn(1, 1, 32, 32, 32)
    assert torch.equal(encoder_of(found, encoder)(image), source(image))


def test_the_encoder_of_swin_unetr_without_its_decoder() -> None:
    theirs = SwinUNETR(in_channels=1, out_channels=2, feature_size=12)
    state = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    encoder = Swin(embed_dim=12)
    found = match(encoder, state)
    assert found.missing == ("norm.weight", "norm.bias")  # ours, which theirs does not have
    assert found.share > 0.99
    assert torch.equal(found.tensors["layers4.0.blocks.0.attn.qkv.weight"], theirs.swinViT.layers4[0].blocks[0].attn.qkv.weight)


def test_monais_vit_computes_the_same_mean_of_tokens() -> None:
    torch.manual_seed(2)
    theirs = MonaiViT(1, (16, 16, 16), (8, 8, 8), hidden_size=24, mlp_dim=96, num_layers=2, num_heads=3).eval()
    encoder = ViT(8, 24, num_layers=2, num_heads=3, input_shape=[1, 16, 16, 16])
    found = match(encoder, {f"vit.{name}": tensor for name, tensor in theirs.state_dict().items()})
    assert found.share == 1
    image = torch.randn(2, 1, 16, 16, 16)
    torch.testing.assert_close(encoder_of(found, encoder)(image), theirs(image)[0].mean(1))


# ---------------------------------------------------------------------- containers and names
@pytest.mark.parametrize("wrap", ["", "state_dict", "model_state_dict", "network_weights", "model", "net"])
def test_containers(wrap: str, tmp_path: Path) -> None:
    state: Mapping[str, Any] = {"_orig_mod.model.encoder.conv.weight": torch.ones(2)}
    torch.save({wrap: state, "epoch": 1} if wrap else state, tmp_path / "a.pt")
    foreign = read_foreign(tmp_path / "a.pt")
    assert list(foreign.tensors) == ["_orig_mod.model.encoder.conv.weight"]
    assert f"'{wrap}'" in foreign.container or not wrap


def test_a_lightning_checkpoint_and_safetensors(tmp_path: Path) -> None:
    torch.save({"pytorch-lightning_version": "2.6", "state_dict": {"net.a": torch.ones(1)}, "hyper_parameters": {}}, tmp_path / "l.ckpt")
    assert read_foreign(tmp_path / "l.ckpt").container == "a Lightning checkpoint under 'state_dict'"
    save_file({"a": torch.ones(1)}, tmp_path / "s.bin")
    assert read_foreign(tmp_path / "s.bin").container == "safetensors"


def test_only_as_many_prefixes_go_as_needed() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 2)

    found = match(Nested(), {"module.net.weight": torch.ones(2, 2), "model.net.bias": torch.ones(2)})
    assert set(found.tensors) == {"net.weight", "net.bias"}


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match=r"model.bias and net.bias would both be bias"):
        match(nn.Linear(2, 2), {"model.bias": torch.ones(2), "net.bias": torch.ones(2)})


class _Bomb:
    """An object whose pickle runs code when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_runs_nothing_until_it_is_trusted(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(3)}, "args": _Bomb(tmp_path / "ran")}, tmp_path / "old.pth")
    with pytest.raises(InputError, match="more than tensors") as error:
        read_foreign(tmp_path / "old.pth")
    assert "tlimb weights convert old.pth --trust" in error.value.hint
    assert not (tmp_path / "ran").exists()
    convert(tmp_path / "old.pth", tmp_path / "new.safetensors")
    assert (tmp_path / "ran").exists()
    assert torch.equal(read_foreign(tmp_path / "new.safetensors").tensors["a"], torch.ones(3))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04nothing", pickle.dumps([1, 2])])
def test_what_is_no_file_of_weights(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.pth"):
        read_foreign(tmp_path / "x.pth")


def test_rename_rules_apply_in_order() -> None:
    tensors = {"features.0.weight": torch.ones(1)}
    assert list(renamed(tensors, {r"^features\.(\d+)": r"conv\1", "weight$": "w"})) == ["conv0.w"]
    with pytest.raises(InputError, match="no replacement"):
        renamed(tensors, {"(": ""})
    with pytest.raises(InputError, match="two tensors become"):
        renamed({"a": torch.ones(1), "b": torch.ones(1)}, {"[ab]": "c"})


# ---------------------------------------------------------------------- channels
def test_channels_against_numpy() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 5, 5)).astype(np.float32)
    given = torch.from_numpy(weight)
    mean = to_channels(given, 2, "mean").numpy()
    np.testing.assert_allclose(mean, np.stack([weight.mean(1) * 1.5] * 2, 1), rtol=1e-5)
    np.testing.assert_allclose(to_channels(given, 4, "repeat").numpy(), weight[:, [0, 1, 2, 0]] * 0.75, rtol=1e-6)
    partial = to_channels(given, 4, "partial").numpy()
    np.testing.assert_array_equal(partial, np.concatenate([weight, np.zeros((4, 1, 5, 5), np.float32)], 1))


@pytest.mark.parametrize("rule", ["mean", "repeat"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_equal_channels_give_what_they_gave(rule: Any, channels: int) -> None:
    theirs = monai_resnet(10, dims=2, channels=3)
    encoder = ResNet(10, 2, channels, widen_factor=0.125)
    plain = match(encoder, theirs.state_dict())
    assert [name for name, *_ in plain.mismatched] == ["conv1.weight"]
    found = match(encoder, theirs.state_dict(), channels=rule)
    assert found.share == 1
    image = torch.randn(2, 1, 32, 32)
    if rule == "mean" or channels == 6:  # whole cycles of the three channels
        torch.testing.assert_close(encoder_of(found, encoder)(image.expand(-1, channels, -1, -1)), theirs(image.expand(-1, 3, -1, -1)))


# ---------------------------------------------------------------------- stages
def lab(tmp_path: Path, state: Mapping[str, Tensor] | dict[str, Any], **how: Any) -> tuple[Path, Path]:
    """A folder with a file of weights, a datasets.yaml that says where it lies, and the stage that reads it."""
    import hashlib

    torch.save(state, tmp_path / "foreign.pth")
    fingerprint = hashlib.sha256((tmp_path / "foreign.pth").read_bytes()).hexdigest()
    datasets = tmp_path / "datasets.yaml"
    datasets.write_text(yaml.safe_dump({".weights": {fingerprint: str(tmp_path / "foreign.pth")}}))
    init_args = {"depth": 10, "widen_factor": 0.125, "spatial_dims": how.pop("dims", 2), "in_channels": 1}
    document = {
        "tlimb": 1,
        "kind": "weights",
        "name": "foreign",
        "targets": [],
        "weights": {"fingerprint": fingerprint, **how},
        "architecture": {"class_path": "tlimb.components.architectures.ResNet", "init_args": init_args},
    }
    (tmp_path / "weights.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "weights.yaml", datasets


def child(tmp_path: Path, parent: Path, **changes: Any) -> dict[str, Any]:
    digest = yaml.safe_load((parent / "stage.yaml").read_text())["digest"]
    return {**stage(SEX, **changes), "parents": [{"role": "weights", "name": "foreign", "digest": str(digest)}]}


def test_a_fit_starts_from_a_foreign_file(tmp_path: Path, write: Write) -> None:
    theirs = monai_resnet(10, dims=2)
    config, datasets = lab(tmp_path, {"state_dict": {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}})
    results = run_stage(config, tmp_path / "store" / "parent", datasets=datasets)
    assert results["weights"]["share"] == 1
    fit = child(tmp_path, tmp_path / "store" / "parent", scenario__freeze="all", trainer__max_epochs=1)
    run_stage(write(fit), tmp_path / "store" / "fit", parents=[tmp_path / "store" / "parent"])
    trained = load_file(tmp_path / "store" / "fit" / "model.safetensors")
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(trained[f"encoder.{name}"], tensor), name


def test_a_part_is_refused_unless_allowed_and_the_rest_stays_random(tmp_path: Path, write: Write) -> None:
    state = {name: tensor for name, tensor in monai_resnet(10, dims=2).state_dict().items() if not name.startswith("layer4")}
    config, datasets = lab(tmp_path, state)
    with pytest.raises(InputError, match=r"only \d+% of the encoder is in foreign: \d+ missing: layer4") as error:
        run_stage(config, tmp_path / "a", datasets=datasets)
    assert "weights.allow_partial=true" in error.value.hint
    config, datasets = lab(tmp_path, state, allow_partial=True)
    run_stage(config, tmp_path / "store" / "parent", datasets=datasets)
    starts = []
    for seed in (1, 2):
        fit = child(tmp_path, tmp_path / "store" / "parent", scenario__freeze="all", trainer__max_epochs=1, seed=seed)
        run_stage(write(fit), tmp_path / "store" / f"fit{seed}", parents=[tmp_path / "store" / "parent"])
        starts.append(load_file(tmp_path / "store" / f"fit{seed}" / "model.safetensors"))
    assert torch.equal(starts[0]["encoder.layer3.0.conv1.weight"], state["layer3.0.conv1.weight"])
    assert not torch.equal(starts[0]["encoder.layer4.0.conv1.weight"], starts[1]["encoder.layer4.0.conv1.weight"])


def test_other_channels_need_a_rule(tmp_path: Path) -> None:
    state = monai_resnet(10, dims=2, channels=3).state_dict()
    config, datasets = lab(tmp_path, state)
    with pytest.raises(InputError, match="images of 3 channels, the data have 1") as error:
        run_stage(config, tmp_path / "a", datasets=datasets)
    assert "weights.channels=mean" in error.value.hint
    config, datasets = lab(tmp_path, state, channels="mean")
    assert run_stage(config, tmp_path / "b", datasets=datasets)["weights"]["share"] == 1


def test_a_file_that_is_another_or_gone_or_broken_is_refused(tmp_path: Path) -> None:
    state = monai_resnet(10, dims=2).state_dict()
    config, datasets = lab(tmp_path, state)
    torch.save({"a": torch.ones(1)}, tmp_path / "foreign.pth")
    with pytest.raises(InputError, match="has changed"):
        run_stage(config, tmp_path / "a", datasets=datasets)
    (tmp_path / "foreign.pth").unlink()
    with pytest.raises(InputError, match="is not here"):
        run_stage(config, tmp_path / "b", datasets=datasets)
    state["layer1.0.conv1.weight"].fill_(torch.nan)
    config, datasets = lab(tmp_path, state)
    with pytest.raises(InputError, match="no numbers"):
        run_stage(config, tmp_path / "c", datasets=datasets)


def test_own_weights_keep_their_heads(tmp_path: Path, write: Write) -> None:
    run_stage(write(stage(SEX, trainer__max_epochs=1)), tmp_path / "fit")
    foreign = read_foreign(tmp_path / "fit" / "model.safetensors")
    assert foreign.description["targets"][0]["name"] == "sex"
    found = inspect(tmp_path / "fit" / "model.safetensors", {}, None)
    assert found["container"] == "TLIMB's safetensors"
    assert found["fits"][0] == {"architecture": "as TLIMB wrote it", "share": 1.0, "used": pytest.approx(1, abs=0.01)}


def test_inspect_names_the_architecture(tmp_path: Path) -> None:
    theirs = monai_resnet(18, planes=64)
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}}, tmp_path / "net.pth")
    found = inspect(tmp_path / "net.pth", {}, None)
    assert found["fits"][0]["architecture"] == "resnet18(shortcut=A)"
    assert found["fits"][0]["share"] == 1
    assert found["prefixes"] == {"module.": len(theirs.state_dict())}
    assert found["parameters"] == sum(tensor.numel() for tensor in theirs.state_dict().values())
    assert re.fullmatch(r"conv1", found["modules"][0]["module"])
