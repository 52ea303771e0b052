"""The built-in data set: deterministic brains, the right way up, in which sex and age can be seen but not read off."""

import csv
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.formats import demo as catalogue
from tlimb.components.data import CropCenterDataModule
from tlimb.components.data.demo import SPACING_MM, draw
from tlimb.components.data.inspect import inspect
from tlimb.components.data.preparation import prepare
from tlimb.errors import InputError


@pytest.fixture(scope="module")
def brains() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = catalogue.table({})
    images = np.stack([draw(age=float(row["age"]), sex=row["sex"], key=f"0/{row['participant_id']}") for row in rows])
    return images, np.array([float(row["age"]) for row in rows]), np.array([row["sex"] == "M" for row in rows])


def test_the_folder_is_bids_and_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "datasets.yaml").write_text("demo: {format: demo, participants: 6}\n")
    dataset = find_datasets(tmp_path)["demo"]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        document = prepare(dataset, tmp_path / name, module_class=CropCenterDataModule, arguments={})
        assert (document["shape"], document["bad"]) == ([40, 48, 40], [])
    assert (tmp_path / "first/images.npy").read_bytes() == (tmp_path / "second/images.npy").read_bytes()
    [folder] = (tmp_path / "cache").iterdir()
    assert folder == dataset.root
    with (folder / "participants.tsv").open() as file:
        assert list(csv.DictReader(file, delimiter="\t")) == catalogue.table(dataset.options)
    image = nib.load(folder / "sub-0001/anat/sub-0001_T1w.nii.gz")
    assert (image.shape, image.header.get_zooms(), nib.aff2axcodes(image.affine)) == ((40, 48, 40), (4, 4, 4), ("R", "A", "S"))
    # The same folder read as BIDS is the same data set.
    (tmp_path / "datasets.yaml").write_text(
        f"copy: {{format: bids, root: {folder}, labels: {{age: {{unit: years}}, sex: {{classes: [F, M]}}}}}}\n"
    )
    copy = find_datasets(tmp_path)["copy"].listing()
    assert [dict(scan.labels) for scan in copy.scans] == [dict(scan.labels) for scan in dataset.listing().scans]


def test_the_same_key_draws_the_same_brain() -> None:
    first = draw(age=50, sex="F", key="a")
    assert np.array_equal(first, draw(age=50, sex="F", key="a"))
    assert not np.array_equal(first, draw(age=50, sex="F", key="b"))


def test_brains_are_the_right_way_up(brains: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    mean = (brains[0] > 0).mean(axis=0)
    inferior, posterior = mean[:, :, :8], mean[:, :24, :8]
    assert posterior.sum() > 0.8 * inferior.sum()  # cerebellum and brain stem lie behind and below
    asymmetry = np.abs(mean - mean[::-1]).mean()
    assert asymmetry < 0.05


def test_head_size_tells_sex_only_partly(brains: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, _, male = brains
    volume_ml = (images > 0).sum(axis=(1, 2, 3)) * SPACING_MM**3 / 1000
    assert 1200 < volume_ml.min() < volume_ml.max() < 2000
    accuracy = ((volume_ml > np.median(volume_ml)) == male).mean()
    assert 0.75 < accuracy < 0.95


def test_a_linear_model_sees_age_but_not_exactly(brains: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, age, _ = brains
    voxels = np.stack([image / image[image > 0].mean() for image in images.astype(float)])
    blocks = voxels.reshape(len(images), 20, 2, 24, 2, 20, 2).mean(axis=(2, 4, 6)).reshape(len(images), -1)
    test = np.arange(len(images)) % 5 == 0
    centred = blocks - blocks[~test].mean(axis=0)
    kernel = centred[~test] @ centred[~test].T
    weights = np.linalg.solve(kernel + 10 * np.eye(len(kernel)), age[~test] - age[~test].mean())
    error = np.abs(centred[test] @ centred[~test].T @ weights + age[~test].mean() - age[test]).mean()
    guess = np.abs(age[test] - age[~test].mean()).mean()
    assert 0.3 * guess < error < 0.8 * guess


def test_inspection_finds_looks_copies_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "datasets.yaml").write_text("demo: {format: demo, participants: 4}\n")
    dataset = find_datasets(tmp_path)["demo"]
    looks = {
        "kind": "images",
        "what": "images",
        "orientation": "RAS",
        "shape": [40, 48, 40],
        "spacing_mm": [4.0, 4.0, 4.0],
        "dtype": "int16",
    }
    assert inspect(dataset) == [looks | {"count": 4, "file": "sub-0001/anat/sub-0001_T1w.nii.gz"}]
    paths = [scan.images[0] for scan in dataset.listing().scans]
    original = nib.load(paths[0])
    nib.save(nib.Nifti1Image(np.asarray(original.dataobj), original.affine), paths[1])
    paths[2].write_bytes(paths[2].read_bytes()[:3000])
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), paths[3])
    assert [(item["kind"], item.get("participant_id")) for item in inspect(dataset)] == [
        ("images", None),
        ("duplicate", "0002"),
        ("bad-image", "0003"),
        ("bad-image", "0004"),
    ]


def test_damaged_images_of_the_cache_are_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "datasets.yaml").write_text("demo: {format: demo, participants: 4}\n")
    dataset = find_datasets(tmp_path)["demo"]
    out = tmp_path / "out"
    out.mkdir()
    prepare(dataset, out, module_class=CropCenterDataModule, arguments={})
    before = (out / "images.npy").read_bytes()
    first, second = (scan.images[0] for scan in dataset.listing().scans[:2])
    first.write_bytes(first.read_bytes()[:3000])
    second.unlink()
    with pytest.raises(InputError, match="2 images or labels cannot be used") as error:
        prepare(dataset, out, module_class=CropCenterDataModule, arguments={})
    assert f"drawn anew when the folder {dataset.root} is removed" in error.value.hint
    shutil.rmtree(dataset.root)
    prepare(dataset, out, module_class=CropCenterDataModule, arguments={})
    assert (out / "images.npy").read_bytes() == before
