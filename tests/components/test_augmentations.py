"""Augmentations against direct computations; what they must leave alone."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tlimb.catalogue.registry import load_catalogue
from tlimb.components.augmentations import (
    Affine,
    Augmentation,
    BiasField,
    Cutout,
    ElasticDeformation,
    Flip,
    Gamma,
    Ghosting,
    Motion,
    Noise,
    ResizedCrop,
    Spike,
)
from tlimb.components.augmentations.spatial import rotation, warp
from tlimb.errors import InputError

STRONGEST: dict[type[Augmentation], dict[str, Any]] = {
    Affine: {"degrees": 30, "scale": 0.3, "translate": 0.1, "shear": 0.2},
    ElasticDeformation: {"displacement": 0.05},
    Flip: {"axis": 0},
    ResizedCrop: {"scale": 0.5},
    Noise: {"sd": 1.0},
    BiasField: {"strength": 1.0},
    Gamma: {"log_range": 1.0},
    Cutout: {"size": 0.5},
    Ghosting: {"strength": 1.0, "ghosts": 3},
    Spike: {"strength": 2.0},
    Motion: {"degrees": 20, "translate": 0.1},
}
NO_STRENGTH: dict[type[Augmentation], dict[str, Any]] = {
    Affine: {"degrees": 0, "scale": 0, "translate": 0, "shear": 0},
    ElasticDeformation: {"displacement": 0},
    Flip: {"probability": 0},
    ResizedCrop: {"scale": 1},
    Noise: {"sd": 0},
    BiasField: {"strength": 0},
    Gamma: {"log_range": 0},
    Cutout: {"size": 0},
    Ghosting: {"strength": 0},
    Spike: {"strength": 0},
    Motion: {"degrees": 0, "translate": 0},
}
SHAPES = {1: (20,), 2: (12, 15), 3: (8, 9, 10)}
CASES = [(kind, dims) for kind in STRONGEST for dims in kind.dims]
each_case = pytest.mark.parametrize(("kind", "dims"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))


def images(count: int = 4, dims: int = 2, channels: int = 2) -> Tensor:
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.normal(size=(count, channels, *SHAPES[dims])).astype(np.float32))


def strongest(kind: type[Augmentation], **arguments: Any) -> Augmentation:
    return kind(**STRONGEST[kind], **{"probability": 1.0, **arguments})


def blob(shape: tuple[int, ...], centre: tuple[float, ...], width: float = 2.0) -> Tensor:
    """A smooth image, which interpolation hardly changes."""
    axes = np.meshgrid(*(np.arange(length) for length in shape), indexing="ij")
    distance = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True))
    return torch.from_numpy(np.exp(-np.asarray(distance) / (2 * width**2)).astype(np.float32))[None, None]


# ------------------------------------------------------------------ all of them
@each_case
def test_shape_dtype_and_the_given_images_are_kept(kind: type[Augmentation], dims: int) -> None:
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        image = images(dims=dims).to(dtype)
        before = image.clone()
        changed = strongest(kind)(image)
        assert changed.shape == image.shape
        assert changed.dtype == dtype
        assert changed.device == image.device
        assert changed.isfinite().all()
        assert not torch.equal(changed, image)
        torch.testing.assert_close(image, before, rtol=0, atol=0)


@each_case
def test_without_strength_nothing_changes(kind: type[Augmentation], dims: int) -> None:
    image = images(dims=dims)
    probability = {} if kind is Flip else {"probability": 1.0}
    torch.testing.assert_close(kind(**NO_STRENGTH[kind], **probability)(image), image, rtol=1e-4, atol=1e-5)


@each_case
def test_the_seed_decides(kind: type[Augmentation], dims: int) -> None:
    augmentation, image, results = strongest(kind, probability=0.5), images(8, dims), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augmentation(image))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@each_case
def test_each_image_is_changed_in_its_own_way(kind: type[Augmentation], dims: int) -> None:
    torch.manual_seed(0)
    image = images(1, dims).expand(6, -1, *SHAPES[dims]).clone()
    changed = strongest(kind, probability=0.5 if kind is Flip else 1.0)(image)
    assert len({tuple(one.flatten().tolist()) for one in changed}) > 1


@each_case
def test_a_batch_of_one_and_of_none(kind: type[Augmentation], dims: int) -> None:
    assert strongest(kind)(images(1, dims)).shape == (1, 2, *SHAPES[dims])
    assert strongest(kind)(images(0, dims)).shape == (0, 2, *SHAPES[dims])


@each_case
def test_the_probability_says_how_many_images_change(kind: type[Augmentation], dims: int) -> None:
    torch.manual_seed(0)
    image = images(60, dims, channels=1)
    changed = (strongest(kind, probability=0.25)(image) != image).flatten(1).any(1)
    assert 5 <= changed.sum() <= 26
    assert torch.equal(strongest(kind, probability=0)(image), image)


@each_case
def test_all_channels_move_alike(kind: type[Augmentation], dims: int) -> None:
    if kind is Noise:
        return
    torch.manual_seed(0)
    image = images(3, dims, channels=1).expand(-1, 2, *SHAPES[dims])
    changed = strongest(kind)(image)
    torch.testing.assert_close(changed[:, 0], changed[:, 1])


@each_case
def test_images_of_background_stay_finite(kind: type[Augmentation], dims: int) -> None:
    changed = strongest(kind)(torch.zeros(2, 1, *SHAPES[dims]))
    assert changed.isfinite().all()
    assert kind is Noise or (changed == 0).all()


@pytest.mark.parametrize("kind", STRONGEST)
def test_images_for_which_it_makes_no_sense_are_refused(kind: type[Augmentation]) -> None:
    for dims in {1, 2, 3, 4} - set(kind.dims):
        with pytest.raises(InputError, match=kind.__name__):
            strongest(kind)(torch.zeros(1, 1, *(6,) * dims))


def test_flips_crops_and_affine_maps_are_weak() -> None:
    assert {kind for kind in STRONGEST if kind.weak} == {Affine, Flip, ResizedCrop}


def test_every_augmentation_has_a_word() -> None:
    catalogue = load_catalogue()
    entries = [component for component in catalogue.components.values() if component.kind == "augmentation"]
    assert {entry.class_path.rpartition(".")[2] for entry in entries} == {kind.__name__ for kind in STRONGEST}
    assert all("probability" in {parameter.name for parameter in entry.parameters} for entry in entries)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Affine, {"degrees": -1}),
        (Affine, {"scale": 1}),
        (ElasticDeformation, {"displacement": 0.2}),
        (ElasticDeformation, {"points": 1}),
        (Flip, {"axis": "up"}),
        (Flip, {"axis": 3}),
        (ResizedCrop, {"scale": 0}),
        (Noise, {"sd": -0.1}),
        (BiasField, {"order": 0}),
        (Gamma, {"log_range": -1}),
        (Cutout, {"size": 1.5}),
        (Ghosting, {"ghosts": 1}),
        (Spike, {"strength": math.nan}),
        (Motion, {"count": 0}),
        (Noise, {"probability": 2}),
    ],
)
def test_arguments_out_of_range_are_told(kind: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        kind(**arguments)
    assert next(iter(arguments)) in error.value.message
    assert error.value.hint


# ------------------------------------------------------------------ space
def test_a_quarter_turn_is_rot90() -> None:
    image = torch.randn(2, 3, 9, 9)
    quarter = torch.full((2, 1), math.pi / 2)
    turned = warp(image, rotation(quarter, 2), torch.zeros(2, 2))
    torch.testing.assert_close(turned, image.rot90(1, (2, 3)), atol=1e-4, rtol=0)
    volume = torch.randn(1, 1, 7, 8, 8)
    for plane, sides in enumerate([(2, 3), (2, 4), (3, 4)]):
        angles = torch.zeros(1, 3)
        angles[0, plane] = math.pi / 2
        cube = volume[..., :7, :7, :7]
        torch.testing.assert_close(warp(cube, rotation(angles, 3), torch.zeros(1, 3)), cube.rot90(1, sides), atol=1e-4, rtol=0)


def test_shifts_are_in_voxels_also_where_axes_differ() -> None:
    image = torch.randn(1, 1, 6, 11)
    shifted = warp(image, torch.eye(2)[None], torch.tensor([[2.0, -3.0]]))
    expected = torch.zeros_like(image)
    expected[..., 2:, :-3] = image[..., :-2, 3:]
    torch.testing.assert_close(shifted, expected, atol=1e-4, rtol=0)


def test_content_moves_to_where_the_matrix_says() -> None:
    shape, start = (24, 31), np.array([15.0, 12.0])
    centre = (np.array(shape) - 1) / 2
    matrix = np.array([[0.9, -0.3], [0.2, 1.1]])
    moved = warp(blob(shape, tuple(start)), torch.from_numpy(matrix[None].astype(np.float32)), torch.tensor([[1.5, -2.0]]))[0, 0].numpy()
    mass = [float((moved * axis).sum() / moved.sum()) for axis in np.meshgrid(*map(np.arange, shape), indexing="ij")]
    np.testing.assert_allclose(mass, centre + matrix @ (start - centre) + [1.5, -2.0], atol=0.02)


def test_affine_keeps_to_its_limits() -> None:
    torch.manual_seed(0)
    shape = (41, 41)
    image = blob(shape, (30, 20), 1.5).expand(200, 1, *shape)
    changed = Affine(degrees=30, scale=0, translate=0)(image)[:, 0].numpy()
    rows, columns = np.meshgrid(*map(np.arange, shape), indexing="ij")
    mass = changed.sum((1, 2))
    x, y = (changed * rows).sum((1, 2)) / mass - 20, (changed * columns).sum((1, 2)) / mass - 20
    np.testing.assert_allclose(np.hypot(x, y), 10, atol=0.1)
    angles = np.degrees(np.arctan2(y, x))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -25
    assert angles.max() > 25


def test_scaling_keeps_the_centre_and_changes_the_volume() -> None:
    torch.manual_seed(0)
    shape = (31, 31, 31)
    image = blob(shape, (15, 15, 15), 3.0).expand(20, 1, *shape)
    changed = Affine(degrees=0, scale=0.2, translate=0)(image)
    ratio = (changed.sum((1, 2, 3, 4)) / image[0].sum()) ** (1 / 3)
    assert 0.79 < ratio.min() < 0.9
    assert 1.1 < ratio.max() < 1.21
    torch.testing.assert_close(changed, changed.flip(2, 3, 4), atol=1e-4, rtol=0)


def test_flip_mirrors_the_named_axis() -> None:
    volume = images(2, 3)
    always: Callable[[Any], Flip] = lambda axis: Flip(axis, probability=1)  # noqa: E731
    for index, name in enumerate(("lr", "ap", "si")):
        torch.testing.assert_close(always(name)(volume), volume.flip(2 + index), rtol=0, atol=0)
        torch.testing.assert_close(always(index)(volume), volume.flip(2 + index), rtol=0, atol=0)
    flip = always("lr")
    flip.connect("PSR")
    torch.testing.assert_close(flip(volume), volume.flip(4), rtol=0, atol=0)
    coronal = images(2, 2)
    flip = always("si")
    flip.connect("RS")
    torch.testing.assert_close(flip(coronal), coronal.flip(3), rtol=0, atol=0)


def test_flip_of_an_axis_that_is_not_there_names_those_that_are() -> None:
    sagittal = Flip("lr", probability=1)
    sagittal.connect("AS")
    with pytest.raises(InputError, match="no axis lr") as error:
        sagittal(images(1, 2))
    assert "ap, si" in error.value.hint
    with pytest.raises(InputError, match="no axis lr"):
        Flip("lr", probability=1)(images(1, 2))
    unnamed = Flip("lr", probability=1)
    unnamed.connect("")
    with pytest.raises(InputError, match="no axis lr"):
        unnamed(images(1, 3))
    with pytest.raises(InputError, match="no axis 2"):
        Flip(2, probability=1)(images(1, 2))


def test_a_crop_magnifies_a_box_inside_the_image() -> None:
    torch.manual_seed(0)
    shape = (40, 50)
    ramp = torch.stack(torch.meshgrid(*(torch.arange(length, dtype=torch.float32) for length in shape), indexing="ij"))
    changed = ResizedCrop(0.5)(ramp.expand(30, 2, *shape) + 1)
    inner = changed[:, :, 2:-2, 2:-2]
    assert inner.min() >= 0.5, "nothing from outside"
    steps = torch.stack([inner[:, 0].diff(dim=1).mean((1, 2)), inner[:, 1].diff(dim=2).mean((1, 2))])
    torch.testing.assert_close(steps[0], steps[1], atol=1e-4, rtol=0)
    assert 0.49 < steps.min() < 0.6
    assert 0.9 < steps.max() < 1.01
    starts = changed[:, 0, 2, 0]
    assert starts.std() > 1, "boxes lie anywhere"


def test_an_elastic_deformation_moves_voxels_by_no_more_than_it_says() -> None:
    torch.manual_seed(0)
    shape = (60, 80)
    ramp = torch.stack(torch.meshgrid(*(torch.arange(length, dtype=torch.float32) for length in shape), indexing="ij"))
    moved = (ElasticDeformation(0.04, points=5)(ramp.expand(10, 2, *shape)) - ramp)[:, :, 6:-6, 6:-6]
    largest = moved.abs().amax((0, 2, 3))
    assert 0.6 * 0.04 * 60 < largest[0] <= 0.04 * 60 + 1e-3
    assert 0.6 * 0.04 * 80 < largest[1] <= 0.04 * 80 + 1e-3
    deformed = moved[:, 0] + ramp[0, 6:-6, 6:-6]
    assert (deformed.diff(dim=1) > 0).all(), "no folds"


# ------------------------------------------------------------------ values
def test_noise_has_up_to_the_given_sd() -> None:
    torch.manual_seed(0)
    noise = Noise(0.5)(torch.zeros(300, 1, 20, 20)).flatten(1)
    sd = noise.std(1)
    assert sd.max() < 0.5 * 1.15
    assert sd.mean().item() == pytest.approx(0.25, abs=0.03), "uniform from 0 to 0.5"
    scaled = noise / sd[:, None]
    assert abs(scaled.mean().item()) < 0.01
    assert (scaled**4).mean().item() == pytest.approx(3, abs=0.1), "Gaussian"
    neighbours = (scaled[:, 1:] * scaled[:, :-1]).mean()
    assert abs(neighbours.item()) < 0.02, "independent"


def test_gamma_is_a_power_of_the_scaled_values_and_keeps_range_and_background() -> None:
    torch.manual_seed(0)
    image = images(5, 2, 1)
    image[:, :, :3] = 0
    changed = Gamma(1.0)(image)
    assert (changed[:, :, :3] == 0).all()
    for before, after in zip(image.flatten(1).double().numpy(), changed.flatten(1).double().numpy(), strict=True):
        low, high = before[before != 0].min(), before[before != 0].max()
        scaled, result = (before - low) / (high - low), (after - low) / (high - low)
        middle = (before != 0) & (scaled > 0.05) & (scaled < 0.95)
        gamma = np.log(result[middle]) / np.log(scaled[middle])
        np.testing.assert_allclose(gamma, gamma[0], rtol=1e-3)
        assert math.exp(-1) <= gamma[0] <= math.e
        assert after[before != 0].min() == pytest.approx(low, abs=1e-5)
        assert after[before != 0].max() == pytest.approx(high, abs=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_bias_field_is_the_exponential_of_a_polynomial(dims: int) -> None:
    torch.manual_seed(0)
    image = images(1, dims, 1).abs() + 1
    image[0, 0, 0] = 0
    changed = BiasField(0.5, order=2)(image)
    before, after = image[0, 0].double().numpy(), changed[0, 0].double().numpy()
    assert (after[0] == 0).all()
    low = before[before != 0].min()
    inside = (before != 0) & (before > low)
    field = np.log((after[inside] - low) / (before[inside] - low))
    axes = np.meshgrid(*(np.linspace(-1, 1, length) for length in before.shape), indexing="ij")
    powers = [p for p in np.ndindex(*(3,) * dims) if 0 < sum(p) <= 2]
    design = np.stack([np.prod([axis[inside] ** q for axis, q in zip(axes, p, strict=True)], axis=0) for p in powers], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, field, rcond=None)
    np.testing.assert_allclose(design @ coefficients, field, atol=1e-3)
    assert np.abs(coefficients).max() <= 0.51
    assert np.abs(coefficients).max() > 0.1


def test_cutout_sets_boxes_to_zero_and_nothing_else() -> None:
    torch.manual_seed(0)
    image = torch.ones(50, 2, 12, 15)
    changed = Cutout(size=1 / 3)(image)
    for one in changed[:, 0].numpy():
        rows, columns = np.nonzero(one == 0)
        assert len(rows) == 4 * 5 == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert len({tuple(one.flatten().tolist()) for one in changed}) > 20
    assert (Cutout(size=1 / 3)(torch.ones(2000, 1, 12, 15)) == 0).any(0).all(), "boxes reach every voxel"
    several = (Cutout(size=1 / 3, count=4)(image)[:, 0] == 0).float().mean()
    assert 20 / 180 < several < 80 / 180
    assert (Cutout(size=1)(image) == 0).all()


# ------------------------------------------------------------------ k-space
@pytest.mark.parametrize("length", [16, 15])
def test_ghosting_weakens_every_nth_line(length: int) -> None:
    torch.manual_seed(0)
    image = torch.randn(40, 1, length, length)
    changed = Ghosting(ghosts=4, strength=1.0, probability=1)(image)
    ways = set()
    for before, after in zip(image[:, 0].double().numpy(), changed[:, 0].double().numpy(), strict=True):
        fits = []
        for axis in (0, 1):
            ratio = np.fft.fft(after, axis=axis) / np.fft.fft(before, axis=axis)
            line = np.moveaxis(ratio, axis, -1).mean(0)
            for every in (2, 3, 4):
                lines = np.minimum(np.arange(length), length - np.arange(length))  # k and -k are one line
                weak = (lines % every == 0) & (lines > 0)
                expected = np.where(weak, line[every].real, 1.0)
                if np.allclose(np.moveaxis(ratio, axis, -1), expected, atol=1e-2):
                    fits.append((axis, every))
        assert fits
        ways.update(fits)
    assert {axis for axis, _ in ways} == {0, 1}
    assert {every for _, every in ways} == {2, 3, 4}


def test_a_spike_is_two_points_of_k_space() -> None:
    torch.manual_seed(0)
    image = images(20, 3, 1)
    added = (Spike(2.0, probability=1)(image) - image)[:, 0].double().numpy()
    for before, wave in zip(image[:, 0].numpy(), added, strict=True):
        power = np.abs(np.fft.fftn(wave)) ** 2
        share = np.sort(power.flatten())[::-1] / power.sum()
        assert share[:2].sum() > 0.999
        assert np.abs(wave).max() <= 2.0 * before.std(ddof=1) * 1.001


def test_motion_takes_the_centre_of_k_space_from_the_still_image() -> None:
    torch.manual_seed(0)
    shape = (33, 33)
    image = blob(shape, (14, 18), 3.0).expand(20, 1, *shape).contiguous()
    changed = Motion(degrees=15, translate=0.1, probability=1)(image)[:, 0].numpy()
    still = image[0, 0].numpy()
    for one in changed:
        errors = []
        for axis in (0, 1):
            before, after = (np.moveaxis(np.fft.fft(array, axis=axis), axis, -1) for array in (still, one))
            errors.append(np.abs(before[..., 0] - after[..., 0]).max())
        assert min(errors) < 1e-3
    assert np.abs(changed - still).max() > 0.05


def test_motion_composes_k_space_of_moved_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against numpy: with the draws fixed, lines 0-4, 5-11 and 12-15 come from three images."""
    from tlimb.components.augmentations import artefacts

    moved = [np.random.default_rng(seed).normal(size=(16, 16)).astype(np.float32) for seed in (1, 2, 3)]
    queue = [torch.from_numpy(array)[None, None] for array in moved]
    monkeypatch.setattr(artefacts, "warp", lambda *_: queue.pop(0))
    monkeypatch.setattr(artefacts.torch, "rand", lambda *_: torch.tensor([[[0.75], [0.3125]]]))
    monkeypatch.setattr(artefacts, "random_angles", lambda *_: torch.zeros(1, 1))
    monkeypatch.setattr(artefacts, "uniform", lambda low, high, *shape, like: torch.zeros(shape))
    still = torch.randn(1, 1, 16, 16)
    result = Motion()._along_last(still)[0, 0].numpy()
    sources = [moved[0], still[0, 0].numpy(), moved[2]]
    spectrum = np.zeros((16, 16), dtype=complex)
    for source, lines in zip(sources, (slice(0, 5), slice(5, 12), slice(12, 16)), strict=True):
        spectrum[:, lines] = np.fft.fftshift(np.fft.fft(source, axis=1), axes=1)[:, lines]
    np.testing.assert_allclose(result, np.fft.ifft(np.fft.ifftshift(spectrum, axes=1), axis=1).real, atol=1e-5)
