"""Images of several channels: pictures, stacks and volumes."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data.conftest import AGE, SEX, noise, write
from tlimb.catalogue.datasets import Dataset, find_datasets
from tlimb.components.data import BioImageDataModule, CropCenterDataModule
from tlimb.components.data.pictures import read_picture
from tlimb.components.data.preparation import prepare
from tlimb.components.data.reading import read_volume
from tlimb.components.data.scan import UnusableError
from tlimb.errors import InputError

RGB = np.random.default_rng(0).integers(1, 255, (5, 7, 3)).astype(np.uint8)
"""(y, x, colour)"""


def test_colour_pictures_have_three_channels_in_x_and_y(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([RGB, RGB[..., :1]])).save(tmp_path / "alpha.png")
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    tifffile.imwrite(tmp_path / "planar.tif", RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    for name in ("a.png", "alpha.png", "a.tif", "planar.tif"):
        array, affine = read_picture(tmp_path / name)
        assert affine is None
        np.testing.assert_array_equal(array, RGB.transpose(2, 1, 0), err_msg=name)
    grey, _ = read_picture(tmp_path / "a.png", colour="grey")
    np.testing.assert_allclose(grey[0], (RGB @ [0.299, 0.587, 0.114]).T, rtol=1e-5)


def test_grey_pictures_keep_their_depth(tmp_path: Path) -> None:
    deep = (RGB[..., 0].astype(np.uint16) * 200) + 1
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png")[0], deep.T[None])
    three, _ = read_picture(tmp_path / "deep.png", colour="rgb")
    assert three.shape == (3, 7, 5)
    tifffile.imwrite(tmp_path / "float.tif", deep.astype(np.float32) / 3)
    np.testing.assert_allclose(read_picture(tmp_path / "float.tif")[0], deep.T[None] / 3, rtol=1e-6)


def test_stacks_say_what_their_pages_are_or_the_user_does(tmp_path: Path) -> None:
    stack = np.random.default_rng(1).integers(0, 99, (4, 2, 5, 7)).astype(np.uint16)  # z, channel, y, x
    tifffile.imwrite(tmp_path / "imagej.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "ome.ome.tif", stack, metadata={"axes": "ZCYX"})
    for name in ("imagej.tif", "ome.ome.tif"):
        np.testing.assert_array_equal(read_picture(tmp_path / name)[0], stack.transpose(1, 3, 2, 0), err_msg=name)
    tifffile.imwrite(tmp_path / "pages.tif", stack[:, 0], photometric="minisblack")
    with pytest.raises(UnusableError, match="what its 4 pages are: write stack=depth or stack=channels"):
        read_picture(tmp_path / "pages.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "pages.tif", stack="depth")[0], stack[:, 0].transpose(2, 1, 0)[None])
    np.testing.assert_array_equal(read_picture(tmp_path / "pages.tif", stack="channels")[0], stack[:, 0].transpose(0, 2, 1))
    tifffile.imwrite(tmp_path / "time.tif", stack[:, 0], imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(UnusableError, match="4 points in time"):
        read_picture(tmp_path / "time.tif")


def test_arrays_and_volumes_with_channels(tmp_path: Path) -> None:
    volume = noise(1, (4, 5, 6, 2))
    np.save(tmp_path / "x.npy", volume)
    write(tmp_path / "x.nii.gz", volume)
    for name in ("x.npy", "x.nii.gz"):
        with pytest.raises(UnusableError, match="stack=channels"):
            read_picture(tmp_path / name)
        np.testing.assert_array_equal(read_picture(tmp_path / name, stack="channels")[0], np.moveaxis(volume, -1, 0))
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    with pytest.raises(UnusableError, match="cannot be read"):
        read_picture(tmp_path / "broken.tif")


def test_only_files_with_an_orientation_are_turned(tmp_path: Path) -> None:
    array, affine = noise(1), np.diag([-2.0, 3, 4, 1])
    write(tmp_path / "x.nii.gz", array, affine)
    np.save(tmp_path / "x.npy", array)
    module = BioImageDataModule(intensity="none")
    volume = module.read([tmp_path / "x.nii.gz"])
    np.testing.assert_array_equal(volume.image[0], array[::-1])
    assert (volume.spacing_mm, volume.volume_ml) == ((2, 3, 4), pytest.approx(array.size * 24 / 1000))
    np.testing.assert_array_equal(module.read([tmp_path / "x.npy"]).image[0], array)


def test_a_volume_is_read_as_by_the_other_module(tmp_path: Path) -> None:
    turn = nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), nib.orientations.axcodes2ornt("PSR"))
    nib.save(nib.Nifti1Image(noise(1), np.diag([2.0, 2, 2, 1])).as_reoriented(turn), tmp_path / "x.nii.gz")
    other = read_volume([tmp_path / "x.nii.gz"], orientation="RAS", spacing_mm=(3, 3, 3), intensity="zscore")
    own = BioImageDataModule(spacing_mm=3).read([tmp_path / "x.nii.gz"])
    np.testing.assert_array_equal(own.image, other.image)
    assert (own.spacing_mm, own.volume_ml) == (other.spacing_mm, pytest.approx(other.volume_ml))


def test_files_are_channels_normalised_on_their_own(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", np.zeros((7, 5), np.float32))
    volume = BioImageDataModule().read([tmp_path / "a.png", tmp_path / "b.npy"])
    assert (volume.image.shape, volume.flat) == ((4, 7, 5), 1)
    np.testing.assert_allclose(volume.image[:3].mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(volume.image[:3].std(axis=(1, 2)), 1, atol=1e-5)
    assert not volume.image[3].any()
    np.save(tmp_path / "c.npy", np.zeros((6, 5), np.float32))
    with pytest.raises(UnusableError, match=r"c\.npy lies on another grid than a\.png"):
        BioImageDataModule().read([tmp_path / "a.png", tmp_path / "c.npy"])
    with pytest.raises(UnusableError, match="constant"):
        BioImageDataModule().read([tmp_path / "b.npy"])


def test_three_ways_to_a_size() -> None:
    x, y = np.meshgrid(np.arange(20.0), np.arange(10.0), indexing="ij")
    image = np.stack([x, y]).astype(np.float32)
    fill = np.array([-1, -2], dtype=np.float32)

    def view(fit: str) -> np.ndarray:
        [(_, result)] = BioImageDataModule(size=(10, 10), fit=fit).views(image, fill, (1, 1))  # type: ignore[arg-type]
        assert result.shape == (2, 10, 10)
        return result

    np.testing.assert_array_equal(view("crop"), image[:, 5:15])
    stretched = view("resize")
    np.testing.assert_allclose(np.diff(stretched[0, 2:-2, 5]), 2, atol=0.05)  # x was halved,
    np.testing.assert_allclose(np.diff(stretched[1, 5, 2:-2]), 1, atol=0.05)  # y was not
    contained = view("contain")
    assert (contained[0, :, [0, 1, 8, 9]] == -1).all()
    assert (contained[1, :, [0, 1, 8, 9]] == -2).all()
    np.testing.assert_allclose(np.diff(contained[0, 2:-2, 5]), 2, atol=0.05)


def pictures(root: Path, shapes: list[tuple[int, ...]]) -> Dataset:
    root.mkdir()
    for number, shape in enumerate(shapes):
        Image.fromarray(np.random.default_rng(number).integers(1, 255, shape).astype(np.uint8)).save(root / f"p{number}.png")
    (root.parent / "datasets.yaml").write_text("lab: {format: images, root: lab}\n")
    return find_datasets(root.parent)["lab"]


def test_differing_channels_and_sizes_are_named(tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "lab", [(8, 9, 3), (8, 9, 3), (8, 9)])
    with pytest.raises(InputError, match=r"number of channels or regions: 3 \(p0\); 1 \(p2\)"):
        prepare(dataset, tmp_path, module_class=BioImageDataModule, arguments={})
    document = prepare(dataset, tmp_path, module_class=BioImageDataModule, arguments={"colour": "rgb", "size": [4, 4], "fit": "resize"})
    assert (document["channels"], document["shape"], document["spatial_dims"]) == (3, [4, 4], 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fit": "squeeze"}, "fit 'squeeze'"),
        ({"colour": "red"}, "colour 'red'"),
        ({"stack": "time"}, "stack 'time'"),
        ({"size": [4]}, "size is 4; it is"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BioImageDataModule(**arguments)  # type: ignore[arg-type]


def test_data_sets_of_two_formats_in_one_module(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    folder = tmp_path / "arrays"
    folder.mkdir()
    lines = ["file,subject,sex"]
    for number in range(30):
        np.save(folder / f"{number}.npy", noise(1000 + number))
        lines.append(f"{number}.npy,a{number},{'FM'[number % 2]}")
    (folder / "scans.csv").write_text("\n".join(lines))
    entry = "arrays: {format: table, root: arrays, table: scans.csv, path: file, participant: subject, labels: {sex: {classes: [F, M]}}}"
    (tmp_path / "datasets.yaml").write_text(entry)
    prepared = {}
    for dataset in (lab(30), find_datasets(tmp_path)["arrays"]):
        prepared[dataset.name] = tmp_path / f"prepared-{dataset.name}"
        prepared[dataset.name].mkdir()
        prepare(dataset, prepared[dataset.name], module_class=CropCenterDataModule, arguments={"intensity": "none"})
    module = CropCenterDataModule(batch_size=7)
    module.connect([AGE, SEX | {"dataset": "arrays"}], {}, prepared, 0)
    seen = 0
    for batch in [*module.train_dataloader(), *module.val_dataloader(), *module.test_dataloader()]:
        for image, age, sex, unit in zip(
            batch["image"], batch["targets"]["age"], batch["targets"]["sex"], module.unit(batch["row"]), strict=True
        ):
            name, who = unit.participant_id.split(":")
            number = int(who.removeprefix("a"))
            np.testing.assert_array_equal(image[0], noise(number if name == "lab" else 1000 + number))
            assert (float(age), int(sex)) == (20 + number, -1) if name == "lab" else age.isnan() and int(sex) == number % 2
            seen += 1
    assert seen == 60
