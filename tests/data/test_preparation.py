"""The prepare stage: orientation, resampling, intensities, views, and images that cannot be used."""

import csv
import gzip
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.data.conftest import noise, write
from tlimb.catalogue.datasets import Dataset, find_datasets, suggest_entry
from tlimb.components.data import CropCenterDataModule, SliceDataModule
from tlimb.components.data.preparation import AHEAD, prepare
from tlimb.components.data.reading import normalise, read_volume
from tlimb.components.data.scan import UnusableError, Volume
from tlimb.errors import InputError


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("axes", ["RAS", "PSR", "LPI", "IRA", "ASL"])
def test_any_orientation_is_read_as_ras(tmp_path: Path, axes: str) -> None:
    array, affine = noise(1).astype(np.uint8), np.diag([2.0, 3, 4, 1])
    affine[:3, 3] = 5, -7, 11
    ras = nib.Nifti1Image(array, affine)
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(axes))
    turned = ras.as_reoriented(turn)
    assert "".join(nib.aff2axcodes(turned.affine)) == axes
    file = tmp_path / "x.nii.gz"
    nib.save(turned, file)
    volume = read_volume([file], orientation="RAS", spacing_mm=None, intensity="none")
    np.testing.assert_array_equal(volume.image[0], array)
    assert volume.spacing_mm == (2, 3, 4)
    assert volume.volume_ml == pytest.approx(array.size * 24 / 1000)


def test_resampling_keeps_the_scene(tmp_path: Path) -> None:
    # A ramp is linear, so linear interpolation on another grid must give the ramp again.
    x = np.arange(20, dtype=np.float32)
    file = write(tmp_path / "x.nii.gz", np.broadcast_to(10 + x[:, None, None], (20, 10, 10)).copy(), np.diag([2.0, 2, 2, 1]))
    volume = read_volume([file], orientation="RAS", spacing_mm=(4, 4, 4), intensity="none")
    assert volume.spacing_mm == pytest.approx((4, 4, 4))
    line = volume.image[0, :, 2, 2]
    np.testing.assert_allclose(np.diff(line)[1:-1], 2, rtol=1e-4)


@pytest.mark.parametrize(
    ("rule", "expected", "background"),
    [
        ("zscore", [0, -1.224745, 0, 1.224745], 0),
        ("zscore_all", [-1.341641, -0.447214, 0.447214, 1.341641], -1.341641),
        ("minmax", [0, 1 / 3, 2 / 3, 1], 0),
        ("percentile", [0, 0, 0.5, 1], 0),
        ("mean", [0, 0.5, 1, 1.5], 0),
        ("none", [0, 1, 2, 3], 0),
    ],
)
def test_intensity_rules(rule: str, expected: list[float], background: float) -> None:
    image, fill = normalise(np.arange(4, dtype=np.float32).reshape(4, 1, 1), rule)
    np.testing.assert_allclose(image.ravel(), expected, atol=1e-5)
    assert fill == pytest.approx(background, abs=1e-5)


def test_a_prepared_array_holds_each_scan_in_order(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = lab(count=5, labels={"2": ("", "M")})
    (tmp_path / "out").mkdir()
    seen: list[tuple[int, int]] = []
    document = prepare(
        dataset, tmp_path / "out", module_class=CropCenterDataModule, arguments={"intensity": "none"}, emit=lambda *step: seen.append(step)
    )
    images = np.load(tmp_path / "out/images.npy", mmap_mode="r")
    assert (images.dtype, images.shape) == (np.float32, (5, 1, 6, 8, 7))
    for row, scan in zip(rows(tmp_path / "out"), dataset.listing().scans, strict=True):
        np.testing.assert_array_equal(images[int(row["row"]), 0], noise(int(scan.participant_id)))
    assert rows(tmp_path / "out")[1] == {
        "row": "1",
        "participant_id": "2",
        "session": "",
        "slice": "",
        "group": "2",
        "site": "",
        "volume_ml": "0.336",
        "age": "",
        "sex": "M",
    }
    assert document == json.loads((tmp_path / "out/prepared.json").read_text())
    assert document["labels"] == {
        "age": {"kind": "number", "unit": "years", "classes": None},
        "sex": {"kind": "category", "unit": None, "classes": ["F", "M"]},
    }
    assert (document["shape"], document["spacing_mm"], document["without_image"]) == ([6, 8, 7], [1, 1, 1], 0)
    assert seen == [(number, 5) for number in range(1, 6)]


def test_threads_change_nothing(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = lab(count=9)
    for threads in (1, 3):
        (tmp_path / str(threads)).mkdir()
        prepare(dataset, tmp_path / str(threads), module_class=CropCenterDataModule, arguments={}, threads=threads)
    for name in ("images.npy", "index.csv", "prepared.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


@pytest.mark.parametrize("size", [(4, 4, 4), (9, 11, 13), (5, 8, 20)])
def test_cropping_and_padding_keep_the_centre_and_undo_each_other(size: tuple[int, int, int]) -> None:
    image = noise(3)[None]
    fill = np.array([-5.0], dtype=np.float32)
    [(_, view)] = CropCenterDataModule(size=size).views(image, fill, (1, 1, 1))
    assert view.shape == (1, *size)
    shared = [min(have, want) for have, want in zip(image.shape[1:], size, strict=True)]
    [(_, there)] = CropCenterDataModule(size=shared).views(image, fill, (1, 1, 1))
    [(_, back)] = CropCenterDataModule(size=shared).views(view, fill, (1, 1, 1))
    np.testing.assert_array_equal(there, back)
    assert (view == -5).sum() == np.prod(size) - np.prod(shared)


def test_slices_are_where_they_should_be() -> None:
    image = np.arange(9 * 11 * 13, dtype=np.float32).reshape(1, 9, 11, 13)
    fill = np.zeros(1, dtype=np.float32)

    def names(**arguments: object) -> list[str]:
        return [name for name, _ in SliceDataModule(**arguments).views(image, fill, (2, 2, 2))]  # type: ignore[arg-type]

    [(name, axial)] = SliceDataModule().views(image, fill, (2, 2, 2))
    assert name == "6"
    np.testing.assert_array_equal(axial[0], image[0, :, :, 6])
    [(_, coronal)] = SliceDataModule("coronal", size=(5, 5), position=1.0).views(image, fill, (2, 2, 2))
    np.testing.assert_array_equal(coronal[0], image[0, 2:7, 10, 4:9])
    assert names(count=3, step_mm=6.0) == ["3", "6", "9"]
    assert names(plane="sagittal", count=2) == ["4", "6"]
    assert names(position=1.0, orientation="LPI") == ["0"]
    with pytest.raises(InputError, match="5 axial slices 4 voxels apart around slice 6 leave the volume of 13"):
        names(count=5, step_mm=8.0)


def test_differing_shapes_are_listed_with_a_size_that_fits(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = lab(count=4, images={"3": noise(3, (10, 4, 7))})
    with pytest.raises(InputError, match="6 x 8 x 7 \\(1\\); 10 x 4 x 7 \\(3\\)") as error:
        prepare(dataset, tmp_path, module_class=CropCenterDataModule, arguments={})
    assert "size=10x8x7" in error.value.hint
    assert prepare(dataset, tmp_path, module_class=CropCenterDataModule, arguments={"size": [10, 8, 7]})["shape"] == [10, 8, 7]


def damaged() -> dict[str, object]:
    good = gzip.compress(nib.Nifti1Image(noise(1, (20, 20, 20)), np.eye(4)).to_bytes())
    nan = noise(1)
    nan[0, 0, 0] = np.nan
    return {
        "2": b"",
        "3": good[: len(good) // 2],
        "4": b"not a NIfTI file",
        "5": nan,
        "6": np.full((6, 8, 7), 3, np.float32),
        "7": noise(7, (6, 8, 7, 3)),
        "8": good[:-4],
        "9": good[:-8] + bytes(4) + good[-4:],
    }


def test_all_unusable_images_are_named_at_once(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = lab(count=10, images=damaged(), labels={"10": ("old", "M")})
    with pytest.raises(InputError, match="lab: 9 images or labels cannot be used") as error:
        prepare(dataset, tmp_path, module_class=CropCenterDataModule, arguments={})
    for reason in (
        "the file is empty",
        "cannot be read",
        "not numbers",
        "constant",
        "4 dimensions (6 x 8 x 7 x 3)",
        "'old' in column 'age' is not a number",
    ):
        assert reason in error.value.message
    for number in range(2, 10):
        assert f"sub-{number}/anat/sub-{number}_T1w.nii.gz" in error.value.message
    assert "on_bad=skip" in error.value.hint


def test_unusable_images_are_skipped_and_counted_on_request(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = lab(count=10, images=damaged())
    document = prepare(dataset, tmp_path, module_class=CropCenterDataModule, arguments={"on_bad": "skip"})
    assert [item["participant_id"] for item in document["bad"]] == ["2", "3", "4", "5", "6", "7", "8", "9"]
    assert [row["participant_id"] for row in rows(tmp_path)] == ["1", "10"]
    assert np.load(tmp_path / "images.npy").shape == (2, 1, 6, 8, 7)
    # Roles must not move when an image is repaired, so unusable participants keep their place.
    assert len(document["participants"]) == 10
    assert not any(str(tmp_path) in str(item) for item in document["bad"])


def test_nothing_usable_is_an_error_even_when_skipping(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = lab(count=2, images={"1": b"", "2": b""})
    with pytest.raises(InputError, match="none of its 2 images can be used"):
        prepare(dataset, tmp_path, module_class=CropCenterDataModule, arguments={"on_bad": "skip"})


def test_a_last_axis_of_one_is_still_a_volume(tmp_path: Path) -> None:
    file = write(tmp_path / "x.nii.gz", noise(1, (6, 8, 7, 1)))
    assert read_volume([file], orientation="RAS", spacing_mm=None, intensity="none").image.shape == (1, 6, 8, 7)


def test_channels_must_lie_on_one_grid(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.nii.gz", noise(1)), write(tmp_path / "b.nii.gz", noise(2))
    shifted = write(tmp_path / "c.nii.gz", noise(2), np.diag([1.0, 1, 2, 1]))
    volume = read_volume([first, second], orientation="RAS", spacing_mm=None, intensity="zscore")
    assert volume.image.shape == (2, 6, 8, 7)
    np.testing.assert_allclose(volume.image.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    with pytest.raises(UnusableError, match=r"c.nii.gz lies on another grid than a.nii.gz"):
        read_volume([first, shifted], orientation="RAS", spacing_mm=None, intensity="zscore")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"intensity": "z"}, "intensity 'z' is unknown"),
        ({"on_bad": "warn"}, "on_bad 'warn' is unknown"),
        ({"orientation": "RAR"}, "orientation is 'RAR'"),
        ({"spacing_mm": 0}, "spacing_mm"),
        ({"size": [4]}, "size is 4; it is 2 or 3 whole numbers"),
        ({"size": [4, 0, 4]}, "size is 4x0x4"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"n": 0}, "n 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CropCenterDataModule(**arguments)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_ixi_is_prepared_as_nibabel_reorients_it(tmp_path: Path) -> None:
    folder = os.environ.get("TLIMB_REAL_DATA")
    if not folder:
        pytest.skip("TLIMB_REAL_DATA is not set")
    name, text = suggest_entry(Path(folder) / "ixi_4mm_bids")
    (tmp_path / "datasets.yaml").write_text(text)
    dataset = find_datasets(tmp_path)[name]
    document = prepare(dataset, tmp_path, module_class=CropCenterDataModule, arguments={})
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert (images.shape, document["spacing_mm"], document["bad"]) == ((185, 1, 40, 48, 40), [4, 4, 4], [])
    for row in (0, 60, 184):
        volume = np.asarray(nib.as_closest_canonical(nib.load(dataset.listing().scans[row].images[0])).dataobj, dtype=np.float64)
        inside = volume[volume > 0]
        np.testing.assert_allclose(images[row, 0], np.where(volume > 0, (volume - inside.mean()) / inside.std(), 0), atol=1e-5)
    assert len(rows(tmp_path)) == 185


def test_all_threads_read_at_once_and_a_slow_scan_stops_the_others_late(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    """Three threads meet, so they read at the same time; while one hangs, the others go on until as many scans wait as may."""
    together = threading.Barrier(3, timeout=30)
    begun: list[str] = []
    enough = threading.Event()

    class Watched(CropCenterDataModule):
        def read(self, files: Sequence[Path]) -> Volume:
            begun.append(files[0].name)
            if len(begun) <= 3:
                together.wait()
            if len(begun) >= 3 * AHEAD:
                enough.set()
            if files[0].name.startswith("sub-1_"):
                assert enough.wait(30), "the others wait for the first scan of all"
            return super().read(files)

    prepare(lab(count=30), tmp_path, module_class=Watched, arguments={}, threads=3)
    people = [row["participant_id"] for row in rows(tmp_path)]
    assert len(begun) == 30
    assert people == sorted(people)


def test_few_scans_are_in_memory_at_a_time(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    read: list[str] = []
    written: list[int] = []

    class Counted(CropCenterDataModule):
        def read(self, files: Sequence[Path]) -> Volume:
            read.append(files[0].name)
            return super().read(files)

        def views(self, *arguments: Any) -> list[tuple[str, Any]]:
            written.append(len(read) - len(written))
            return super().views(*arguments)

    prepare(lab(count=40), tmp_path, module_class=Counted, arguments={}, threads=2)
    assert max(written) <= 2 * AHEAD + 1


def test_an_end_by_force_waits_for_no_scan_that_has_not_begun(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    read: list[str] = []

    class Counted(CropCenterDataModule):
        def read(self, files: Sequence[Path]) -> Volume:
            read.append(files[0].name)
            time.sleep(0.02)
            return super().read(files)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(lab(count=40), tmp_path, module_class=Counted, arguments={}, emit=stop, threads=1)
    assert len(read) <= 3
