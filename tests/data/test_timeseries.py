"""Time series: tables read, standardised, cropped in training and whole in evaluation."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.io import savemat

from tests.data.conftest import AGE, SEX
from tlimb.catalogue.datasets import Dataset, find_datasets
from tlimb.components.data import BaseDataModule, TimeSeriesDataModule
from tlimb.components.data.preparation import prepare
from tlimb.components.data.scan import UnusableError
from tlimb.components.data.series import read_series, read_table
from tlimb.errors import InputError

Ready = Callable[..., tuple[BaseDataModule, Path]]
LENGTHS = [20, 20, 26, 31]


def walk(number: int, length: int, regions: int = 5) -> np.ndarray:
    """(time, regions); region 3 is constant."""
    series = 100 + np.random.default_rng(number).standard_normal((length, regions)).cumsum(axis=0)
    series[:, 3:4] = 7
    return series


def expected(number: int, length: int) -> np.ndarray:
    series = walk(number, length)
    sd = series.std(axis=0)
    return np.divide(series - series.mean(axis=0), sd, out=np.zeros_like(series), where=sd > 0).T


@pytest.fixture
def rois(tmp_path: Path) -> Callable[..., Dataset]:
    def make(count: int = 40, lengths: list[int] = LENGTHS, runs: int = 1) -> Dataset:
        root = tmp_path / "rois"
        root.mkdir()
        lines = ["participant_id,age,sex"]
        for number in range(1, count + 1):
            lines.append(f"p{number},{20 + number},{'FM'[number % 2]}")
            for run in range(runs):
                np.savetxt(root / f"p{number}_{run}.1D", walk(100 * run + number, lengths[number % len(lengths)]), header="a\tb")
        (root / "labels.csv").write_text("\n".join(lines))
        labels = "labels: {age: {unit: years}, sex: {classes: [F, M]}}"
        (tmp_path / "datasets.yaml").write_text(
            f'lab: {{format: images, root: rois, pattern: "{{participant}}_*.1D", table: labels.csv, {labels}}}\n'
        )
        return find_datasets(tmp_path)["lab"]

    return make


def test_series_are_standardised_and_constant_regions_are_told(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.1D", walk(1, 30))
    volume = read_series([tmp_path / "a.1D"])
    np.testing.assert_allclose(volume.image, expected(1, 30), atol=1e-5)
    assert volume.flat == 1
    assert not volume.image[3].any()
    raw = read_series([tmp_path / "a.1D"], zscore=False)
    np.testing.assert_allclose(raw.image[[0, 1, 2, 4]], walk(1, 30).T[[0, 1, 2, 4]], rtol=1e-6)


def test_every_kind_of_table_is_read_as_regions_by_time(tmp_path: Path) -> None:
    table = walk(1, 8, 3)
    names, index = ["a", "b", "c"], list(map(str, range(8)))
    rows = [list(map(repr, row)) for row in table.tolist()]
    columns = [list(map(repr, row)) for row in table.T.tolist()]

    def text(name: str, lines: list[list[str]], separator: str) -> Path:
        (tmp_path / name).write_text("\n".join(separator.join(cells) for cells in lines) + "\n")
        return tmp_path / name

    named = [
        text("top.csv", [names, *rows], ","),
        text("top.tsv", [names, *rows], "\t"),
        text("top.txt", [names, *rows], " "),
        text("left.csv", [[name, *cells] for name, cells in zip(names, columns, strict=True)], ";"),
        text("index.csv", [["", *names], *([number, *cells] for number, cells in zip(index, rows, strict=True))], ","),
        text("comment.1D", [["# by 3dROIstats"], *rows], " "),
    ]
    for file in named:
        np.testing.assert_array_equal(read_table(file), table.T, err_msg=file.name)
    np.save(tmp_path / "x.npy", table)
    savemat(tmp_path / "x.mat", {"ts": table, "tr_s": 0.72})
    savemat(tmp_path / "two.mat", {"ts": table, "mask": table.T})
    unnamed = [tmp_path / "x.npy", tmp_path / "x.mat", text("bare.csv", rows, ","), text("numbered.csv", [index[:3], *rows], ",")]
    for file in unnamed:
        with pytest.raises(UnusableError, match="row=time or row=region"):
            read_table(file)
        np.testing.assert_array_equal(read_table(file, "time"), table.T, err_msg=file.name)
    np.testing.assert_array_equal(read_table(tmp_path / "two.mat", "region", "mask"), table.T)
    with pytest.raises(UnusableError, match=r"ts \(8 x 3\), mask \(3 x 8\): write variable=NAME"):
        read_table(tmp_path / "two.mat", "time")


def cifti(path: Path, axes: tuple[Any, Any], data: np.ndarray) -> Path:
    nib.save(nib.Cifti2Image(data.astype(np.float32), nib.cifti2.Cifti2Header.from_axes(axes)), path)
    return path


def test_parcellated_cifti_tells_its_axes(tmp_path: Path) -> None:
    table = walk(1, 9, 4).astype(np.float32)
    brain = nib.cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 1)), "thalamus_left", np.eye(4))
    parcels = nib.cifti2.ParcelsAxis.from_brain_models([(f"r{number}", brain[number : number + 1]) for number in range(4)])
    time = nib.cifti2.SeriesAxis(0, 0.72, 9)
    np.testing.assert_array_equal(read_table(cifti(tmp_path / "x.ptseries.nii", (time, parcels), table)), table.T)
    np.testing.assert_array_equal(read_table(cifti(tmp_path / "y.ptseries.nii", (parcels, time), table.T)), table.T)
    with pytest.raises(UnusableError, match="Series x BrainModel, not parcels over time; parcellate"):
        read_table(cifti(tmp_path / "x.dtseries.nii", (time, brain), table))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("a,b\n", "no values"),
        ("a,b\n1,2\n3\n", "row 3 has 1 cells, the first has 2"),
        ("a,b\n1,2\n3,x\n", "'x' in data row 2 is not a number"),
        ("a,b\n1,2\n3,n/a\n", "missing or infinite, first in region 2 at time point 2"),
        ("a,b\n1,2\n1,2\n", "all 2 series are constant"),
        ("a,b\n1,2\n", "one time point only"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UnusableError, match=message):
        read_series([tmp_path / "x.csv"])


def test_a_region_that_was_never_measured_becomes_zero(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b,c\n1,,3\n2,NaN,5\n")
    volume = read_series([tmp_path / "x.csv"])
    assert (volume.flat, volume.image.tolist()) == (1, [[-1, 1], [0, 0], [-1, 1]])


def test_batches_hold_crops_in_training_and_whole_series_elsewhere(rois: Callable[..., Dataset], ready: Ready) -> None:
    module, out = ready(rois(), {"length": 12, "batch_size": 4}, module_class=TimeSeriesDataModule)
    assert (module.input_shape, module.spatial_dims, module.channels) == ((5, 12), 1, 5)
    assert np.load(out / "images.npy").shape == (sum(LENGTHS) * 10, 5)
    starts = set()
    for batch in module.train_dataloader():
        assert batch["image"].shape[1:] == (5, 12)
        for image, unit, age in zip(batch["image"].numpy(), module.unit(batch["row"]), batch["targets"]["age"], strict=True):
            number = int(unit.participant_id[1:])
            whole = expected(number, LENGTHS[number % 4])
            start = next(start for start in range(whole.shape[1] - 11) if np.allclose(whole[:, start : start + 12], image, atol=1e-5))
            starts.add(start)
            assert float(age) == 20 + number
    assert len(starts) > 3
    seen = []
    for batch in [*module.val_dataloader(), *module.test_dataloader()]:
        for image, unit in zip(batch["image"].numpy(), module.unit(batch["row"]), strict=True):
            number = int(unit.participant_id[1:])
            np.testing.assert_allclose(image, expected(number, LENGTHS[number % 4]), atol=1e-5)
            seen.append(number)
    assert len(seen) == len(set(seen)) == module.subjects["val"] + module.subjects["test"]
    assert len(module.val_dataloader()) == len(list(module.val_dataloader()))


def test_the_middle_of_a_series_where_a_network_takes_one_length_only(rois: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(rois(), {"length": 12, "whole": False}, module_class=TimeSeriesDataModule)
    for batch in module.test_dataloader():
        for image, unit in zip(batch["image"].numpy(), module.unit(batch["row"]), strict=True):
            whole = expected(int(unit.participant_id[1:]), LENGTHS[int(unit.participant_id[1:]) % 4])
            start = (whole.shape[1] - 12) // 2
            np.testing.assert_allclose(image, whole[:, start : start + 12], atol=1e-5)


def test_crops_follow_from_seed_and_epoch_whatever_loads_them(rois: Callable[..., Dataset], ready: Ready) -> None:
    module, out = ready(rois(), {"length": 12, "batch_size": 4}, module_class=TimeSeriesDataModule)

    def images(module: BaseDataModule, epoch: int) -> torch.Tensor:
        loader = module.train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return torch.cat([batch["image"] for batch in loader])

    workers = TimeSeriesDataModule(length=12, batch_size=4, num_workers=1)
    workers.connect([AGE, SEX], {}, {"lab": out}, 0)
    assert torch.equal(images(module, 2), images(workers, 2))
    assert not torch.equal(images(module, 2), images(module, 3))


def test_unlabelled_series_stand_beside_labelled_ones(rois: Callable[..., Dataset], ready: Ready) -> None:
    _, out = ready(rois(), module_class=TimeSeriesDataModule, arguments={"length": 12})
    module = TimeSeriesDataModule(length=12, batch_size=3, unlabelled_ratio=2)
    split = {"lab": {"parts": [["a", 20], ["b", 20]], "val": 0.2, "test": 0.2}}
    module.connect([AGE | {"part": "a"}], split, {"lab": out}, 0, [{"dataset": "lab", "part": "b"}])
    for batch in module.train_dataloader():
        assert (batch["image"].shape[1:], batch["unlabelled"]["image"].shape[1:]) == ((5, 12), (5, 12))
        assert not {unit.participant_id for unit in module.unit(batch["row"])} & {
            unit.participant_id for unit in module.unit(batch["unlabelled"]["row"])
        }


def test_runs_are_rows_of_one_participant(rois: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(rois(runs=2), {"length": 12}, module_class=TimeSeriesDataModule)
    assert all(len(module.rows(role)) == 2 * module.subjects[role] for role in ("train", "val", "test"))  # type: ignore[arg-type]


def test_short_series_are_named_or_left_out(rois: Callable[..., Dataset], ready: Ready) -> None:
    dataset = rois()
    with pytest.raises(InputError, match=r"20 of 40 series of lab are shorter than length 24: p\d+ 20, .* and 15 more") as error:
        ready(dataset, {"length": 24}, module_class=TimeSeriesDataModule)
    assert "length=20 fits all" in error.value.hint
    module, _ = ready(dataset, {"length": 24, "on_bad": "skip"}, module_class=TimeSeriesDataModule)
    assert module.subjects["bad"] == 20
    assert sum(module.subjects[role] for role in ("train", "val", "test")) == 20
    with pytest.raises(InputError, match="20 to 31 time points long") as error:
        ready(dataset, {}, module_class=TimeSeriesDataModule)
    assert "length=20" in error.value.hint


def test_equal_lengths_need_no_crop(rois: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(rois(lengths=[25]), {}, module_class=TimeSeriesDataModule)
    assert module.input_shape == (5, 25)
    assert all(batch["image"].shape[1:] == (5, 25) for batch in module.train_dataloader())


def test_differing_numbers_of_regions_are_named(rois: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = rois(4)
    np.savetxt(tmp_path / "rois/p3_0.1D", walk(3, 20, 6))
    with pytest.raises(InputError, match=r"number of channels or regions: 5 \(p1\); 6 \(p3\)"):
        prepare(dataset, tmp_path, module_class=TimeSeriesDataModule, arguments={})


def test_constant_regions_are_counted_in_the_prepared_data(
    rois: Callable[..., Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = prepare(rois(4), tmp_path, module_class=TimeSeriesDataModule, arguments={})
    assert document["flat"] == {"channels": 4, "scans": 4}
    assert "lab: 4 channels of 4 scans are constant" in capsys.readouterr().out


@pytest.mark.real_data
def test_real_series() -> None:
    folder = os.environ.get("TLIMB_REAL_DATA")
    if not folder:
        pytest.skip("TLIMB_REAL_DATA is not set")
    resting = read_series([Path(folder) / "nitime_fmri/fmri_timeseries.csv"])
    assert resting.image.shape[0] == 31
    np.testing.assert_allclose(resting.image.std(axis=1), 1, atol=1e-4)
    parcels = read_table(Path(folder) / "cifti2_pddl/Conte69.MyelinAndCorrThickness.32k_fs_LR.ptseries.nii")
    assert parcels.shape == (54, 2)
