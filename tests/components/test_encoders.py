"""Encoders against published counts and independent computations; what they refuse; weights for other sizes and layouts."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets.masked_autoencoder_vit import MaskedAutoEncoderViT
from monai.networks.nets.swin_unetr import SwinTransformer
from monai.networks.nets.vit import ViT as MonaiViT
from torch import nn

from tlimb.components.architectures import SFCN, ResNet, Swin, ViT
from tlimb.components.architectures.vit import resize_positions
from tlimb.components.contracts import Network
from tlimb.components.scenarios.freezing import frozen_part
from tlimb.errors import InputError
from tlimb.train.network import build_network, load_encoder


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small_vit(*shape: int, **arguments: Any) -> ViT:
    given = {"patch_size": 4, "hidden_size": 12, "num_layers": 2, "num_heads": 3, **arguments}
    return ViT(spatial_dims=len(shape), in_channels=2, input_shape=[2, *shape], **given)


# ---------------------------------------------------------------------- counts
def test_sfcn_counts_of_the_paper() -> None:
    assert size(SFCN()) == 2_950_336
    assert size(SFCN()) + 64 * 40 + 40 == 2_952_936, "brain age in 40 bins"
    assert size(SFCN([28, 58, 128, 256, 256, 64])) + 64 * 2 + 2 == 2_918_144, "sex"
    assert SFCN().feature_dim == 64


def test_sfcn_has_the_names_of_the_papers_weights() -> None:
    names = list(SFCN().state_dict())
    assert names[:2] == ["feature_extractor.conv_0.0.weight", "feature_extractor.conv_0.0.bias"]
    assert {name.split(".")[1] for name in names} == {f"conv_{number}" for number in range(6)}
    kinds = [type(layer).__name__ for layer in SFCN().feature_extractor[0]]
    assert kinds == ["Conv3d", "BatchNorm3d", "MaxPool3d", "ReLU"]


SHAPES = ((224, 224), (192, 224), (96, 96, 96), (160, 192, 160))
VITS = {
    (192, 3): (5_423_424, 5_418_048, 6_164_544, 6_353_472),
    (384, 6): (21_463_680, 21_452_928, 22_945_920, 23_323_776),
    (768, 12): (85_394_688, 85_373_184, 88_359_168, 89_114_880),
}


@pytest.mark.parametrize(("hidden", "heads"), VITS)
def test_vit_counts_are_monais_without_the_norms_that_never_train(hidden: int, heads: int) -> None:
    for shape, count in zip(SHAPES, VITS[hidden, heads], strict=True):
        with torch.device("meta"):
            monai = MonaiViT(1, shape, 16, hidden, 4 * hidden, 12, heads, spatial_dims=len(shape))
            own = ViT(16, hidden, None, 12, heads, spatial_dims=len(shape), input_shape=[1, *shape])
        assert size(monai) == count
        assert size(own) == count - 12 * 2 * hidden
        assert own.feature_dim == hidden


def test_swin_counts_are_monais_and_a_norm() -> None:
    assert size(Swin()) == 2_171_466 + 2 * 384
    assert size(Swin(48)) == 8_062_002 + 2 * 768
    tiny: Any = {"embed_dim": 96, "patch_size": 4, "depths": [2, 2, 6, 2]}
    assert size(Swin(**tiny)) == 38_802_162 + 2 * 1536
    assert size(Swin(**tiny, spatial_dims=2)) == 32_239_290 + 2 * 1536


def test_slim_resnet_for_100_regions() -> None:
    encoder = ResNet(10, spatial_dims=1, in_channels=100, widths=[32, 64, 128, 256])
    assert encoder.feature_dim == 256
    # Written out: kernel 7 from 100 regions, then a block per layer: two convolutions of 3, two norms, a projection with a norm.
    widths = [32, 32, 64, 128, 256]
    blocks = [3 * (a * b + b * b) + 4 * b + (a * b + 2 * b) * (a != b) for a, b in itertools.pairwise(widths)]
    assert size(encoder) == 7 * 100 * 32 + 2 * 32 + sum(blocks)
    for frames in (16, 33, 1200):
        assert encoder.eval()(torch.zeros(1, 100, frames)).shape == (1, 256)


def test_blocks_of_a_resnet() -> None:
    encoder = ResNet(10, spatial_dims=2, layers=[2, 1, 1, 3], widths=[8, 8, 8, 16], conv1_t_size=3, conv1_t_stride=1)
    assert [len(encoder.get_submodule(f"layer{number}")) for number in (1, 2, 3, 4)] == [2, 1, 1, 3]  # type: ignore[arg-type]
    assert (encoder.conv1.kernel_size, encoder.conv1.stride, encoder.feature_dim) == ((3, 3), (1, 1), 16)
    assert ResNet(50, spatial_dims=2, widths=[8, 8, 8, 16]).feature_dim == 64


# ---------------------------------------------------------------------- values
def test_sfcn_equals_the_papers_fixed_pooling() -> None:
    torch.manual_seed(0)
    encoder = SFCN([4, 6, 8, 8, 8, 5], in_channels=1).eval()
    image = torch.randn(2, 1, 64, 96, 64)
    fixed = nn.AvgPool3d([2, 3, 2])(encoder.feature_extractor(image)).flatten(1)
    torch.testing.assert_close(encoder(image), fixed)


@pytest.mark.parametrize("shape", [(24,), (8, 12), (8, 4, 12)])
def test_vit_equals_monais_mean_of_patches(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    monai = MonaiViT(2, shape, 4, 12, 48, 2, 3, spatial_dims=len(shape), classification=True, num_classes=3).eval()
    encoder = small_vit(*shape).eval()
    adapted, notes = encoder.adapt_state(monai.state_dict())
    encoder.load_state_dict(adapted)
    assert notes == ["left out 7 tensors of a class token, a head, a decoder or a cross attention, which this encoder does not have"]
    image = torch.randn(3, 2, *shape)
    monai.classification = False
    del monai.cls_token, monai.classification_head
    torch.testing.assert_close(encoder(image), monai(image)[0].mean(1))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_vit_equals_monais_class_token(dropout: float) -> None:
    torch.manual_seed(0)
    monai = MonaiViT(2, (8, 12), 4, 12, 48, 2, 3, spatial_dims=2, classification=True, post_activation="", qkv_bias=True).eval()
    nn.init.normal_(monai.cls_token)
    encoder = small_vit(8, 12, pool="token", qkv_bias=True, dropout=dropout).eval()
    encoder.load_state_dict(encoder.adapt_state(monai.state_dict())[0])
    monai.classification_head = nn.Identity()
    image = torch.randn(3, 2, 8, 12)
    torch.testing.assert_close(encoder(image), monai(image)[0])
    assert encoder.tokens(image).shape == (3, 6, 12), "patches only"


def test_vit_takes_the_encoder_of_monais_masked_autoencoder() -> None:
    torch.manual_seed(0)
    monai = MaskedAutoEncoderViT(2, (8, 12), 4, 12, 20, 2, 3, decoder_hidden_size=12, decoder_num_heads=2, spatial_dims=2).eval()
    encoder = small_vit(8, 12, mlp_dim=20, pos_embed="sincos").eval()
    encoder.load_state_dict(encoder.adapt_state(monai.state_dict())[0])
    image = torch.randn(3, 2, 8, 12)
    torch.testing.assert_close(encoder(image), monai.blocks(monai.patch_embedding(image)).mean(1))


def test_swin_equals_monais_last_map() -> None:
    torch.manual_seed(0)
    encoder = Swin(12, 2, 3, [1, 1, 1, 1], [1, 1, 2, 2], spatial_dims=2).eval()
    monai = SwinTransformer(1, 12, (3, 3), (2, 2), [1, 1, 1, 1], [1, 1, 2, 2], spatial_dims=2).eval()
    monai.load_state_dict({name: tensor for name, tensor in encoder.state_dict().items() if not name.startswith("norm.")})
    image = torch.randn(2, 1, 45, 40)
    last = monai(image)[-1]  # normalised over channels, as ours with its own weights at their start
    torch.testing.assert_close(encoder(image), last.mean((2, 3)))


def test_left_out_patches_do_not_matter_and_order_does_not_either() -> None:
    torch.manual_seed(0)
    encoder = small_vit(8, 12).eval()
    image = torch.randn(2, 2, 8, 12)
    order = torch.stack([torch.randperm(6), torch.randperm(6)])
    whole = encoder.tokens(image)
    torch.testing.assert_close(encoder.tokens(image, order), whole.gather(1, order[..., None].expand(-1, -1, 12)))
    keep = torch.tensor([[0, 4], [0, 4]])  # of 2 x 3 patches: the first, and the one in the middle of the lower row
    changed = image.clone()
    changed[:, :, :4, 4:] = 99
    changed[:, :, 4:, :4] = 99
    torch.testing.assert_close(encoder.tokens(changed, keep), encoder.tokens(image, keep))
    assert not torch.allclose(encoder.tokens(image, keep), whole[:, [0, 4]], atol=1e-3), "the others were attended to"


def test_sincos_positions_are_as_defined_and_never_train() -> None:
    encoder = small_vit(8, 12, pos_embed="sincos")
    positions = encoder.patch_embedding.position_embeddings
    omega = 1 / 10000 ** (np.arange(3) / 3)
    for number, (row, column) in enumerate(np.ndindex(2, 3)):
        expected = [np.sin(column * omega), np.cos(column * omega), np.sin(row * omega), np.cos(row * omega)]
        np.testing.assert_allclose(positions[0, number], np.concatenate(expected), atol=1e-6)
    for pos_embed in ("sincos", None):
        encoder = small_vit(8, 12, pos_embed=pos_embed)
        names = [name for name, _ in encoder.named_parameters()]
        assert "patch_embedding.position_embeddings" not in names
        assert "patch_embedding.position_embeddings" in encoder.state_dict()


# ---------------------------------------------------------------------- another size of images
def matrix(before: int, after: int) -> np.ndarray:
    """Linear interpolation from cell centres to cell centres of the same extent, constant beyond the outermost centres."""
    weights = np.zeros((after, before))
    for place in range(after):
        at = np.clip((place + 0.5) * before / after - 0.5, 0, before - 1)
        low = min(int(at), before - 1)
        high = min(low + 1, before - 1)
        weights[place, low] += 1 - (at - low)
        weights[place, high] += at - low
    return weights


@pytest.mark.parametrize(("source", "target"), [((5,), (8,)), ((2, 3), (4, 3)), ((3, 4, 2), (5, 2, 4))])
def test_positions_are_resized_linearly(source: tuple[int, ...], target: tuple[int, ...]) -> None:
    positions = torch.randn(1, int(np.prod(source)), 6)
    expected = positions.numpy().reshape(*source, 6)
    for axis, (before, after) in enumerate(zip(source, target, strict=True)):
        expected = np.moveaxis(np.tensordot(matrix(before, after), expected, (1, axis)), 0, axis)
    resized = resize_positions(positions, source, target)
    np.testing.assert_allclose(resized.numpy(), expected.reshape(1, -1, 6), atol=1e-6)
    torch.testing.assert_close(resize_positions(positions, source, source), positions)


CONFIG = {
    "class_path": "tlimb.components.architectures.ViT",
    "init_args": {"patch_size": 4, "hidden_size": 12, "num_layers": 1, "num_heads": 3, "spatial_dims": 2},
}
AGE = [{"name": "age", "kind": "number"}]


def vit_network(shape: list[int], seed: int = 0, **arguments: Any) -> Network:
    config = {**CONFIG, "init_args": {**CONFIG["init_args"], **arguments, "input_shape": [1, *shape]}}  # type: ignore[dict-item]
    return build_network(config, AGE, {}, seed)


@pytest.mark.parametrize("pos_embed", ["learnable", "sincos", None])
def test_weights_of_one_size_start_another(pos_embed: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = vit_network([8, 12], pos_embed=pos_embed), vit_network([16, 12], seed=1, pos_embed=pos_embed)
    load_encoder(target, source.state_dict(), "pretrain")
    before, after = source.encoder.state_dict(), target.encoder.state_dict()  # type: ignore[attr-defined]
    assert "from 2x3 to 4x3 patches" in capsys.readouterr().out
    for name in before.keys() - {"patch_grid", "patch_embedding.position_embeddings"}:
        assert torch.equal(before[name], after[name]), name
    if pos_embed == "learnable":
        expected = resize_positions(before["patch_embedding.position_embeddings"], [2, 3], [4, 3])
        torch.testing.assert_close(after["patch_embedding.position_embeddings"], expected)
    assert after["patch_grid"].tolist() == [4, 3]
    assert target(torch.randn(2, 1, 16, 12))["age"].shape == (2,)


def test_patches_of_an_unknown_grid_lie_in_a_square_or_are_refused() -> None:
    encoder = small_vit(16, 12)
    state = small_vit(8, 8).state_dict()
    del state["patch_grid"]
    assert encoder.adapt_state(state)[1] == ["position embeddings resized from 2x2 to 4x3 patches"]
    state["patch_embedding.position_embeddings"] = torch.zeros(1, 6, 12)
    with pytest.raises(InputError, match=r"for 6 patches, this encoder has 4x3(.|\n)*data\.size"):
        encoder.adapt_state(state)


def test_what_cannot_be_adapted_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"patch_embeddings\.weight"):
        load_encoder(vit_network([8, 12]), vit_network([8, 12], patch_size=2).state_dict(), "pretrain")
    with pytest.raises(InputError, match=r"position_embeddings"):
        load_encoder(vit_network([8, 12]), vit_network([8, 12], hidden_size=24).state_dict(), "pretrain")


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Swin(spatial_dims=1), "Swin has no 1-dimensional form(.|\n)*2 or 3"),
        (lambda: Swin(depths=[2, 2]), "depths and num_heads have 4 numbers"),
        (lambda: Swin(embed_dim=20), "20 channels of stage 1 are not divisible by its 3 num_heads"),
        (lambda: Swin(window_size=[7, 7], spatial_dims=3), "window_size is 7x7(.|\n)*3 of them"),
        (lambda: ViT(), "made for one size of images"),
        (
            lambda: small_vit(40, 48, 41, patch_size=8),
            "images of 40x48x41 cannot be cut into patches of 8x8x8(.|\n)*40x48x40 or pad.*40x48x48",
        ),
        (lambda: small_vit(8, 2), "pad the images to 8x4"),
        (lambda: small_vit(8, 8, patch_size=[2, 2, 2]), "patch_size is 2x2x2"),
        (lambda: small_vit(8, 8, num_heads=5), "divisible by num_heads"),
        (lambda: small_vit(8, pos_embed="sincos"), "sincos is for 2-D and 3-D"),
        (lambda: small_vit(8, 8, 8, hidden_size=16, num_heads=2, pos_embed="sincos"), "divisible by 6"),
        (lambda: small_vit(8, 8, pos_embed="fourier"), "there is no pos_embed 'fourier'"),
        (lambda: ViT(spatial_dims=2, input_shape=[3, 8, 8]), "has not 1 channels"),
        (lambda: SFCN(channels=[0]), "channels"),
        (lambda: SFCN(dropout=1.0), "dropout"),
        (lambda: SFCN(soft_range=[82, 42]), "soft_range"),
        (lambda: SFCN(soft_range=[42, 82], soft_bin=3), "do not divide"),
        (lambda: SFCN(soft_range=[42, 82], soft_sigma=0), "greater than 0"),
        (lambda: ResNet(widths=[1, 2, 3]), "4 numbers"),
        (lambda: ResNet(widths=[8, 8, 8, 8], widen_factor=0.1), "leaves no filters(.|\n)*1/8"),
    ],
)
def test_mistakes_name_a_way_out(make: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


def test_images_of_a_wrong_size_name_a_way_out() -> None:
    with pytest.raises(InputError, match=r"halves images 5 times, but these are 32x31x40(.|\n)*at least 32"):
        SFCN()(torch.zeros(1, 1, 32, 31, 40))
    with pytest.raises(InputError, match=r"takes images of 8x12, but here is one of 12x8"):
        small_vit(8, 12)(torch.zeros(1, 2, 12, 8))


POINTS = {
    "SFCN": (SFCN(), "none, feature_extractor.conv_0, feature_extractor.conv_1, .*feature_extractor.conv_5, all"),
    "ViT": (small_vit(8, 8), "none, patch_embedding, blocks.0, blocks.1, norm, all"),
    "Swin": (
        Swin(12, depths=[1, 1, 1, 2], num_heads=[1] * 4),
        "none, patch_embed, layers1, layers1.0.blocks.0, .*layers4.0.blocks.1, norm, all",
    ),
}


@pytest.mark.parametrize("family", POINTS)
def test_a_wrong_layer_lists_the_right_ones_in_order(family: str) -> None:
    encoder, listed = POINTS[family]
    with pytest.raises(InputError, match=f"no freeze point 'layer9'(.|\n)*freeze points in order: {listed}"):
        frozen_part(Network(encoder, {}), "layer9")
