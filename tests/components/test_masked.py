"""Masked autoencoders and masked image modelling: only what is hidden counts, and only what is not is seen."""

from typing import Any

import numpy as np
import pytest
import torch
from small_networks import Convolutions, Patches, network, seen, step
from torch import Tensor, nn

from tlimb.components.objectives import MaskedAutoencoder, MaskedImageModelling
from tlimb.components.objectives.masked import (
    hidden_patches_loss,
    hidden_voxels_loss,
    patches_of,
    random_mask,
    stride_of,
    unshuffle,
)
from tlimb.errors import InputError


def masked_autoencoder(encoder: Patches, **arguments: Any) -> tuple[MaskedAutoencoder, Any]:
    torch.manual_seed(0)
    net = network(encoder)
    term = MaskedAutoencoder(**{"decoder_dim": 12, "decoder_heads": 3, "decoder_layers": 1, **arguments})
    term.connect(net)
    return term, net


def test_patches_are_cut_as_by_hand() -> None:
    image = torch.arange(2 * 2 * 4 * 6, dtype=torch.float32).reshape(2, 2, 4, 6)
    patches = patches_of(image, (2, 3), (2, 2))
    assert patches.shape == (2, 6, 8)
    number = 0
    for row in range(2):
        for column in range(3):
            by_hand = image[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(2, -1)
            torch.testing.assert_close(patches[:, number], by_hand)
            number += 1


def test_only_hidden_patches_count() -> None:
    generator = np.random.default_rng(0)
    prediction, target = generator.normal(size=(2, 6, 4)), generator.normal(size=(2, 6, 4))
    keep = np.array([[0, 3], [5, 1]])
    hidden = np.array([[p not in row for p in range(6)] for row in keep])
    expected = np.mean((prediction[hidden] - target[hidden]) ** 2)
    tensors = torch.from_numpy(prediction), torch.from_numpy(target), torch.from_numpy(keep)
    assert hidden_patches_loss(*tensors).item() == pytest.approx(expected)
    tensors[1][0, 3] += 100
    assert hidden_patches_loss(*tensors).item() == pytest.approx(expected), "a visible patch changed nothing"
    tensors[1][0, 1] += 100
    assert hidden_patches_loss(*tensors).item() > 100


@pytest.mark.parametrize(("grid", "patch", "channels"), [((8,), (3,), 5), ((2, 4), (4, 2), 1), ((2, 2, 2), (2, 3, 4), 2)])
def test_the_encoder_sees_a_quarter_of_the_patches(grid: Any, patch: Any, channels: int) -> None:
    encoder = Patches(grid, patch, channels)
    term, net = masked_autoencoder(encoder)
    image = torch.randn(3, channels, *(a * b for a, b in zip(grid, patch, strict=True)))
    loss = term(step(net, None, seen(image)))
    loss.backward()
    assert encoder.kept is not None
    assert encoder.kept.shape == (3, 2)
    assert all(len(set(row.tolist())) == 2 for row in encoder.kept)
    assert any(encoder.kept[0].tolist() != row.tolist() for row in encoder.kept), "each image has its own"
    assert all(parameter.grad is not None for parameter in [*term.parameters(), *net.encoder.parameters()])


def test_what_is_hidden_is_not_seen() -> None:
    encoder = Patches()
    term, net = masked_autoencoder(encoder, ratio=0.5)
    image = torch.randn(1, 1, 8, 6)
    losses, seen_patches = [], []
    for factor in (1.0, 5.0):
        torch.manual_seed(3)
        changed = patches_of(image, encoder.grid, encoder.patch_size).clone()
        term(step(net, None, seen(image)))
        kept = encoder.kept
        assert kept is not None
        hidden = [p for p in range(6) if p not in kept[0].tolist()]
        changed[:, hidden] *= factor
        whole = changed.reshape(1, 2, 3, 1, 4, 2).permute(0, 3, 1, 4, 2, 5).reshape(1, 1, 8, 6)
        seen_patches.append(term.decode(encoder.tokens(whole, kept), kept))
        torch.manual_seed(3)
        losses.append(term(step(net, None, seen(whole))).item())
    torch.testing.assert_close(seen_patches[0], seen_patches[1])
    assert losses[1] > losses[0]


def test_the_decoder_puts_patches_back_where_they_were() -> None:
    term, _ = masked_autoencoder(Patches(), decoder_layers=0)
    tokens = torch.randn(1, 2, 8)
    one, other = (term.decode(tokens, torch.tensor([keep])) for keep in ([4, 1], [1, 4]))
    hidden = [0, 2, 3, 5]
    torch.testing.assert_close(one[:, hidden], other[:, hidden])
    swapped = term.decode(tokens.flip(1), torch.tensor([[1, 4]]))
    torch.testing.assert_close(one, swapped)


def test_normalized_patches_have_mean_zero_and_sd_one() -> None:
    encoder = Patches()
    term, _ = masked_autoencoder(encoder, normalized=True)
    image = 5 + 3 * torch.randn(2, 1, 8, 6)
    target = term.target(image, encoder)
    torch.testing.assert_close(target.mean(2), torch.zeros(2, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.std(2), torch.ones(2, 6), atol=1e-4, rtol=0)
    assert term.target(torch.zeros(1, 1, 8, 6), encoder).isfinite().all(), "a patch of background is constant"


def test_mae_learns() -> None:
    torch.manual_seed(0)
    encoder = Patches()
    term, net = masked_autoencoder(encoder, ratio=0.5)
    level = torch.randn(32, 1, 1, 1)
    image = level.expand(32, 1, 8, 6)  # all patches of an image are alike
    optimizer = torch.optim.Adam([*net.parameters(), *term.parameters()], lr=1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = term(step(net, None, seen(image)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5


def test_mae_wants_an_encoder_of_patches() -> None:
    with pytest.raises(InputError, match="Convolutions") as error:
        MaskedAutoencoder().connect(network(Convolutions()))
    assert "simmim" in error.value.hint


def test_mae_tells_the_size_that_fits() -> None:
    with pytest.raises(InputError, match="9x6") as error:
        patches_of(torch.zeros(1, 1, 9, 6), (2, 3), (4, 2))
    assert "8x6" in error.value.hint


# ------------------------------------------------------------------ masked image modelling
def test_unshuffle_is_torchs_in_two_dimensions_and_by_hand_in_three() -> None:
    features = torch.randn(2, 3 * 4, 5, 6)
    torch.testing.assert_close(unshuffle(features, (2, 2)), nn.PixelShuffle(2)(features))
    features = torch.randn(1, 2 * 2 * 3 * 4, 2, 2, 2)
    voxels = unshuffle(features, (2, 3, 4))
    assert voxels.shape == (1, 2, 4, 6, 8)
    for channel, x, y, z in [(0, 0, 0, 0), (1, 3, 5, 7), (0, 2, 1, 6), (1, 1, 4, 3)]:
        place = features[0, channel * 24 + (x % 2) * 12 + (y % 3) * 4 + z % 4, x // 2, y // 3, z // 4]
        assert voxels[0, channel, x, y, z] == place


@pytest.mark.parametrize(("shape", "patch"), [((30,), (4,)), ((9, 8), (2, 3)), ((6, 5, 7), (2, 2, 2))])
def test_whole_patches_are_hidden_as_many_in_each_image(shape: Any, patch: Any) -> None:
    torch.manual_seed(0)
    mask = random_mask(torch.zeros(5, 2, *shape), patch, 0.6)
    assert mask.shape == (5, 1, *shape)
    grid = [-(-length // edge) for length, edge in zip(shape, patch, strict=True)]
    counts = []
    for image in mask[:, 0].numpy():
        corners = image[tuple(slice(None, None, edge) for edge in patch)]
        assert corners.shape == tuple(grid)
        whole = corners
        for axis, edge in enumerate(patch):
            whole = np.repeat(whole, edge, axis=axis)
        np.testing.assert_array_equal(image, whole[tuple(slice(length) for length in shape)])
        counts.append(int(corners.sum()))
    assert set(counts) == {round(0.6 * np.prod(grid))}
    assert not (mask[0] == mask[1]).all()


def test_the_loss_is_the_mean_absolute_difference_over_hidden_voxels() -> None:
    generator = np.random.default_rng(0)
    image, prediction, hidden = (
        generator.normal(size=(2, 3, 5, 4)),
        generator.normal(size=(2, 3, 8, 4)),
        generator.random((2, 1, 5, 4)) < 0.5,
    )
    everywhere = np.broadcast_to(hidden, image.shape)
    expected = np.mean(np.abs(prediction[:, :, :5] - image)[everywhere])
    tensors: list[Tensor] = [torch.from_numpy(array) for array in (prediction, image, hidden)]
    assert hidden_voxels_loss(*tensors).item() == pytest.approx(expected)
    tensors[1][~torch.from_numpy(everywhere.copy())] += 100
    assert hidden_voxels_loss(*tensors).item() == pytest.approx(expected), "visible voxels changed nothing"
    tensors[0][:, :, 5:] += 100
    assert hidden_voxels_loss(*tensors).item() == pytest.approx(expected), "nor does what lies beyond the image"


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [
        (Convolutions(1, channels=7), (30,)),
        (Convolutions(2), (17, 10)),
        (Convolutions(3, channels=2), (9, 8, 7)),
        (Patches((2, 3), (4, 2)), (8, 6)),
    ],
)
def test_simmim_takes_any_encoder_and_any_size(encoder: nn.Module, shape: Any) -> None:
    torch.manual_seed(0)
    net = network(encoder)
    term = MaskedImageModelling(patch=2)
    term.connect(net)
    channels = next(module for module in encoder.modules() if hasattr(module, "in_channels")).in_channels
    loss = term(step(net, None, seen(torch.randn(3, channels, *shape))))
    loss.backward()
    assert loss.item() > 0
    assert all(parameter.grad is not None for parameter in [*term.parameters(), *net.encoder.parameters()])


def test_simmim_hides_voxels_from_the_encoder() -> None:
    images = []

    class Listening(Convolutions):
        def feature_map(self, image: Tensor) -> Tensor:
            images.append(image)
            return super().feature_map(image)

    net = network(Listening())
    term = MaskedImageModelling(ratio=0.5)
    term.connect(net)
    images.clear()
    image = torch.randn(2, 1, 16, 16) + 5
    term(step(net, None, seen(image)))
    hidden = images[0] == 0
    assert hidden.float().mean() == 0.5
    torch.testing.assert_close(images[0][~hidden], image[~hidden])
    assert (image != 0).all(), "the image itself stays"
    assert hidden[0, 0, ::2, ::2].repeat_interleave(2, 0).repeat_interleave(2, 1).equal(hidden[0, 0]), "an eighth of 16 voxels"


def test_the_stride_is_found_without_moving_running_statistics() -> None:
    encoder = Convolutions(2)
    before = encoder.norm.running_mean.clone()  # type: ignore[union-attr]
    assert stride_of(encoder, 1, 2) == (4, 4)
    assert encoder.training
    torch.testing.assert_close(encoder.norm.running_mean, before)


def test_simmim_learns() -> None:
    torch.manual_seed(0)
    net = network(Convolutions(2, features=16))
    term = MaskedImageModelling(ratio=0.5, patch=1)
    term.connect(net)
    image = torch.randn(32, 1, 1, 1).expand(32, 1, 8, 8)
    optimizer = torch.optim.Adam([*net.parameters(), *term.parameters()], lr=2e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = term(step(net, None, seen(image)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_simmim_wants_features_with_places() -> None:
    class Pooled(nn.Module):
        feature_dim, dropout = 4, 0.0

        def freeze_points(self) -> list[str]:
            return []

    with pytest.raises(InputError, match="Pooled") as error:
        MaskedImageModelling().connect(network(Pooled()))
    assert "simclr" in error.value.hint
