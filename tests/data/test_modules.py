"""Data modules: roles, labels, statistics and batches of a stage."""

import inspect
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import numpy as np
import pytest
import torch

from tests.data.conftest import AGE, SEX, noise
from tlimb.catalogue.datasets import Dataset
from tlimb.catalogue.splits import Split, assign, select
from tlimb.components.data import BaseDataModule, CropCenterDataModule, SliceDataModule, TimeSeriesDataModule
from tlimb.components.data.batches import ArrayDataset, Batches
from tlimb.components.data.preparation import prepare
from tlimb.errors import InputError

Ready = Callable[..., tuple[BaseDataModule, Path]]


def who(module: BaseDataModule, role: str) -> set[str]:
    return {unit.participant_id for unit in module.unit(module.rows(role))}  # type: ignore[arg-type]


def test_batches_hold_the_right_image_label_and_participant(lab: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(lab(), {"intensity": "none", "batch_size": 4})
    assert (module.input_shape, module.spatial_dims, module.channels) == ((1, 6, 8, 7), 3, 1)
    seen = []
    for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader()):
        for batch in loader:
            assert (batch["image"].dtype, batch["targets"]["age"].dtype, batch["targets"]["sex"].dtype) == (
                torch.float32,
                torch.float32,
                torch.int64,
            )
            for image, age, sex, unit in zip(
                batch["image"], batch["targets"]["age"], batch["targets"]["sex"], module.unit(batch["row"]), strict=True
            ):
                number = int(unit.participant_id)
                np.testing.assert_array_equal(image[0], noise(number))
                assert (float(age), int(sex)) == (20 + number, number % 2)
                seen.append((unit.participant_id, unit.part))
    assert len(seen) == len(set(seen)) == 40
    roles = assign({str(number): str(number) for number in range(1, 41)}, Split())
    assert dict(seen) == {name: info.role for name, info in roles.items()}


def test_subjects_without_a_label_are_dropped_and_counted(lab: Callable[..., Dataset], ready: Ready) -> None:
    dataset = lab(labels={"1": ("", ""), "2": ("30", ""), "3": ("", "M")})
    module, _ = ready(dataset)
    assert module.subjects["dropped"] == {"age": 2, "sex": 2}
    assert sum(module.subjects[role] for role in ("train", "val", "test")) == 39
    module, _ = ready(dataset, targets=[SEX])
    assert module.subjects["dropped"] == {"sex": 2}
    assert sum(module.subjects[role] for role in ("train", "val", "test")) == 38


def test_a_row_with_one_of_two_labels_has_the_other_as_missing(lab: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(lab(labels={str(number): ("", "M") for number in range(1, 21)} | {"40": ("50", "")}))
    batches = [*module.train_dataloader(), *module.val_dataloader(), *module.test_dataloader()]
    age = torch.cat([batch["targets"]["age"] for batch in batches])
    sex = torch.cat([batch["targets"]["sex"] for batch in batches])
    assert (len(age), int(age.isnan().sum()), int((sex == -1).sum())) == (40, 20, 1)


def test_statistics_come_from_training_subjects_only(lab: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(lab(), {"n": 10})
    ages = np.array([20.0 + int(name) for name in who(module, "train")])
    assert len(ages) == 10
    assert module.train_statistics["age"] == pytest.approx({"mean": ages.mean(), "sd": ages.std()}, rel=1e-5)
    assert sum(module.train_statistics["sex"]["counts"]) == 10


def test_n_takes_the_first_labelled_training_subjects(lab: Callable[..., Dataset], ready: Ready) -> None:
    dataset = lab()
    first = select(assign(dataset.listing().groups, Split()), None, "train")
    few, _ = ready(dataset, {"n": 5})
    assert who(few, "train") == set(first[:5])
    assert few.subjects["val"] == ready(dataset)[0].subjects["val"]


def test_parts_and_a_shared_test_part(lab: Callable[..., Dataset], ready: Ready) -> None:
    dataset = lab()
    split = {"lab": {"parts": [["base", 22], ["target", 10], ["test", 8]], "val": 0.3}}
    base, _ = ready(dataset, targets=[AGE | {"part": "base"}], split=split)
    target, _ = ready(dataset, targets=[SEX | {"part": "target"}], split=split)
    assert who(base, "test") == who(target, "test")
    assert len(who(base, "test")) == 8
    assert (len(who(base, "train") | who(base, "val")), len(who(target, "train") | who(target, "val"))) == (22, 10)
    assert not (who(base, "train") | who(base, "val")) & (who(target, "train") | who(target, "val"))
    with pytest.raises(InputError, match="there is no part 'bse'"):
        ready(dataset, targets=[AGE | {"part": "bse"}], split=split)


def test_two_parts_in_one_stage_each_give_their_own_label_only(lab: Callable[..., Dataset], ready: Ready) -> None:
    split = {"lab": {"parts": [["a", 20], ["b", 20]], "val": 0.2, "test": 0.2}}
    module, _ = ready(lab(), targets=[AGE | {"part": "a"}, SEX | {"part": "b"}], split=split)
    for batch in module.train_dataloader():
        assert bool((batch["targets"]["age"].isnan() != (batch["targets"]["sex"] == -1)).all())


def test_two_data_sets_are_one_set_of_rows(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    folders = {}
    for name, count in (("here", 30), ("there", 25)):
        folders[name] = tmp_path / f"prepared-{name}"
        folders[name].mkdir()
        images = {str(number): noise(number + 1000) for number in range(1, count + 1)} if name == "there" else None
        prepare(lab(count, images, name=name), folders[name], module_class=CropCenterDataModule, arguments={"intensity": "none"})
    module = CropCenterDataModule(batch_size=8)
    module.connect([AGE | {"dataset": "here"}, SEX | {"dataset": "there"}], {}, folders, 0)
    seen = set()
    for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader()):
        for batch in loader:
            for image, age, sex, unit in zip(
                batch["image"], batch["targets"]["age"], batch["targets"]["sex"], module.unit(batch["row"]), strict=True
            ):
                name, number = unit.participant_id.split(":")
                np.testing.assert_array_equal(image[0], noise(int(number) + 1000 * (name == "there")))
                assert (not age.isnan()) == (name == "here")
                assert (int(sex) == -1) == (name == "here")
                seen.add(unit.participant_id)
    assert len(seen) == 55
    module.connect([AGE | {"dataset": "there", "name": "b"}], {}, folders, 0)
    assert {":" in unit.participant_id for unit in module.unit(module.rows("train"))} == {False}


def test_data_sets_of_different_shape_are_refused(lab: Callable[..., Dataset], tmp_path: Path) -> None:
    folders = {}
    for name, size in (("here", [4, 4, 4]), ("there", [5, 4, 4])):
        folders[name] = tmp_path / f"prepared-{name}"
        folders[name].mkdir()
        prepare(lab(20, name=name), folders[name], module_class=CropCenterDataModule, arguments={"size": size})
    with pytest.raises(InputError, match="here: 1 x 4 x 4 x 4; there: 1 x 5 x 4 x 4"):
        CropCenterDataModule().connect([AGE | {"dataset": "here"}, SEX | {"dataset": "there"}], {}, folders, 0)


def test_slices_of_a_participant_share_the_role_and_count_once(lab: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(lab(), {"count": 3, "step_mm": 1.0, "size": [6, 8]}, module_class=SliceDataModule)
    assert (module.input_shape, module.spatial_dims) == ((1, 6, 8), 2)
    assert len(module.rows("train")) == 3 * module.subjects["train"]
    assert not who(module, "train") & (who(module, "val") | who(module, "test"))
    volumes = module.volumes["test"]
    assert len(volumes["volume_ml"]) == len(volumes["truth"]["age"]) == module.subjects["test"]
    np.testing.assert_allclose(volumes["volume_ml"], 0.336)


def test_an_empty_role_is_an_error_with_counts(lab: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(lab(6), split={"lab": {"val": 0.001}})
    with pytest.raises(InputError, match=r"no participant is left for val \(train \d, val 0, test \d\)"):
        module.train_dataloader()
    with pytest.raises(InputError, match="split lab into val COUNT, test COUNT"):
        module.val_dataloader()
    if module.subjects["test"]:
        assert len(module.test_dataloader()) == 1


def test_an_unknown_label_or_class_is_refused(lab: Callable[..., Dataset], ready: Ready) -> None:
    dataset = lab(20)
    with pytest.raises(InputError, match="no label 'iq'"):
        ready(dataset, targets=[AGE | {"label": "iq"}])
    with pytest.raises(InputError, match="has the class 'F'"):
        ready(dataset, targets=[SEX | {"classes": ["M", "W"]}])
    with pytest.raises(InputError, match="data set other is not prepared"):
        ready(dataset, targets=[AGE | {"dataset": "other"}])


def order(batches: Batches, epoch: int) -> list[list[int]]:
    batches.set_epoch(epoch)
    return [batch.tolist() for batch in batches]


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    rows = np.arange(100, 150)
    first, second = Batches(rows, 8, 0, train=True), Batches(rows, 8, 0, train=True)
    order(first, 0)
    assert order(first, 3) == order(second, 3)
    assert order(first, 3) != order(first, 4)
    assert order(first, 3) != order(Batches(rows, 8, 1, train=True), 3)
    assert sorted(flat(order(first, 3))) == rows.tolist()
    assert flat(order(Batches(rows, 8, 0, train=False), 3)) == rows.tolist()


@pytest.mark.parametrize(("rows", "sizes"), [(17, [8, 8]), (18, [8, 8, 2]), (1, [1]), (16, [8, 8])])
def test_only_a_last_training_batch_of_one_is_dropped(rows: int, sizes: list[int]) -> None:
    batches = Batches(np.arange(rows), 8, 0, train=True)
    assert [len(batch) for batch in batches] == sizes
    assert len(batches) == len(sizes)
    assert sum(len(batch) for batch in Batches(np.arange(rows), 8, 0, train=False)) == rows


def test_processes_share_the_batches_of_an_epoch() -> None:
    def of(rank: int, *, train: bool) -> list[list[int]]:
        batches = Batches(np.arange(50), 8, 0, train=train)
        batches.num_replicas, batches.rank = 3, rank
        assert len(order(batches, 2)) == len(batches)
        return order(batches, 2)

    train = [of(rank, train=True) for rank in range(3)]
    assert {len(batches) for batches in train} == {2}
    rows = [row for batches in train for row in flat(batches)]
    assert len(rows) == len(set(rows)) == 48
    assert sorted(row for rank in range(3) for row in flat(of(rank, train=False))) == list(range(50))


class Recorder(lightning.LightningModule):
    """Records the rows of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.epochs: dict[int, list[int]] = {}

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        self.epochs.setdefault(self.current_epoch, []).extend(batch["row"].tolist())
        return self.weight.sum()

    def predict_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        return torch.as_tensor(batch["row"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(epochs: int, folder: Path) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder
    )


@pytest.mark.filterwarnings("ignore")
def test_lightning_sets_the_epoch_and_a_resumed_run_sees_the_same_batches(
    lab: Callable[..., Dataset], ready: Ready, tmp_path: Path
) -> None:
    dataset = lab()
    module, out = ready(dataset)
    whole = Recorder()
    trainer(3, tmp_path / "whole").fit(whole, train_dataloaders=module.train_dataloader())
    assert whole.epochs[0] != whole.epochs[1]
    half = trainer(1, tmp_path / "half")
    half.fit(Recorder(), train_dataloaders=module.train_dataloader())
    half.save_checkpoint(tmp_path / "last.ckpt")
    again = CropCenterDataModule()
    again.connect([AGE, SEX], {}, {"lab": out}, 0)
    resumed = Recorder()
    trainer(3, tmp_path / "half").fit(resumed, train_dataloaders=again.train_dataloader(), ckpt_path=tmp_path / "last.ckpt")
    assert resumed.epochs == {epoch: whole.epochs[epoch] for epoch in (1, 2)}
    predicted = trainer(1, tmp_path).predict(Recorder(), module.test_dataloader())
    assert torch.cat(predicted).tolist() == module.rows("test").tolist()  # type: ignore[arg-type]


def test_loader_processes_give_the_same_batches(lab: Callable[..., Dataset], ready: Ready) -> None:
    module, out = ready(lab(), {"batch_size": 8})
    workers = CropCenterDataModule(batch_size=8, num_workers=1)
    workers.connect([AGE, SEX], {}, {"lab": out}, 0)
    for one, two in zip(module.train_dataloader(), workers.train_dataloader(), strict=True):
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["row"], two["row"])


def test_a_data_set_sent_to_a_process_does_not_carry_its_images(lab: Callable[..., Dataset], ready: Ready) -> None:
    module, _ = ready(lab())
    dataset = module.test_dataloader().dataset
    assert isinstance(dataset, ArrayDataset)
    before = dataset[np.array([3, 1])]
    text = pickle.dumps(dataset)
    assert len(text) < 40 * 6 * 8 * 7
    assert torch.equal(pickle.loads(text)[np.array([3, 1])]["image"], before["image"])


class Negative(torch.nn.Module):
    """An augmentation."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return -self.factor * image


def _transferred(module: BaseDataModule, loader: Iterable[dict[str, Any]], stage: str) -> list[dict[str, Any]]:
    """Batches after Lightning has moved them, as in a stage of the trainer."""
    module.trainer = SimpleNamespace(training=stage == "train", validating=stage == "val")  # type: ignore[assignment]
    return [module.on_after_batch_transfer(batch, 0) for batch in loader]


def test_augmentations_change_training_images_only(lab: Callable[..., Dataset], ready: Ready) -> None:
    augment = [{"class_path": f"{__name__}.Negative", "init_args": {"factor": 2.0}}]
    module, _ = ready(lab(), {"intensity": "none", "augment": augment})
    assert all(bool((batch["image"] < 0).all()) for batch in _transferred(module, module.train_dataloader(), "train"))
    assert all(bool((batch["image"] > 0).all()) for batch in _transferred(module, module.val_dataloader(), "val"))


UNLABELLED = [{"dataset": "lab", "part": None}]


def test_unlabelled_images_come_beside_labelled_ones_without_their_labels(lab: Callable[..., Dataset], ready: Ready) -> None:
    augment = [{"class_path": f"{__name__}.Negative", "init_args": {"factor": 2.0}}]
    module, folder = ready(lab(), {"intensity": "none", "augment": augment, "batch_size": 4, "unlabelled_ratio": 2})
    module.connect(module.targets, {}, {"lab": folder}, 0, UNLABELLED)
    module.unlabelled_views = ("weak", "full")
    batches = _transferred(module, module.train_dataloader(), "train")
    train = set(module.rows("train").tolist())
    assert set(module.unlabelled_rows.tolist()) == train
    for batch in batches:
        beside = batch["unlabelled"]
        assert beside["targets"] == {}
        assert len(beside["row"]) <= 2 * 4
        weak, full = beside["views"]
        assert torch.equal(full, -2 * weak)  # the only augmentation is none of the weak ones
        assert torch.equal(weak, beside["image"])
    assert {row for batch in batches for row in batch["row"].tolist()} == train
    assert {row for batch in batches for row in batch["unlabelled"]["row"].tolist()} == train
    assert "unlabelled" not in next(iter(module.val_dataloader()))


def test_two_data_sets_are_one_where_they_share_a_label(lab: Callable[..., Dataset], ready: Ready, tmp_path: Path) -> None:
    """One head, rows of both; each keeps its own roles, and a person's name says which data set it is of."""
    first, second = lab(), lab(count=20, name="other")
    folders = {}
    for dataset in (first, second):
        folders[dataset.name] = tmp_path / f"prepared-{dataset.name}"
        folders[dataset.name].mkdir()
        prepare(dataset, folders[dataset.name], module_class=CropCenterDataModule, arguments={})
    module = CropCenterDataModule()
    module.connect([SEX, {**SEX, "dataset": "other"}], {}, folders, 0)
    alone = CropCenterDataModule()
    alone.connect([SEX], {}, folders, 0)
    mine = {name.partition(":")[2] for name in who(module, "train") if name.startswith("lab:")}
    assert mine == who(alone, "train")
    assert {name.partition(":")[0] for name in who(module, "test")} == {"lab", "other"}
    assert sum(module.train_statistics["sex"]["counts"]) == len(who(module, "train")) > len(mine)
    truth = {
        unit.participant_id: int(sex)
        for batch in module.test_dataloader()
        for unit, sex in zip(module.unit(batch["row"]), batch["targets"]["sex"], strict=True)
    }
    assert truth == {name: int(name.partition(":")[2]) % 2 for name in truth}


def test_images_alone_have_views_in_training_and_validation(lab: Callable[..., Dataset], ready: Ready) -> None:
    augment = [{"class_path": f"{__name__}.Negative", "init_args": {"factor": 2.0}}]
    module, folder = ready(lab(), {"intensity": "none", "augment": augment})
    module.connect([], {}, {"lab": folder}, 0, UNLABELLED)
    module.unlabelled_views = ("full", "plain")
    assert module.subjects["train"] > 0
    assert module.subjects["val"] > 0
    assert module.train_statistics == {}
    for stage, loader in (("train", module.train_dataloader()), ("val", module.val_dataloader())):
        for batch in _transferred(module, loader, stage):
            full, plain = batch["views"]
            assert torch.equal(full, -2 * plain)
            assert torch.equal(plain, batch["image"])


def test_the_fewer_rows_begin_anew_in_another_order() -> None:
    few, many = np.arange(4), np.arange(100, 120)
    batches = Batches(few, 2, seed=0, train=True, unlabelled=many, ratio=2)
    pairs = [pair for pair in batches if isinstance(pair, tuple)]
    assert len(pairs) == len(batches) == 5
    assert sorted(np.concatenate([unlabelled for _, unlabelled in pairs]).tolist()) == many.tolist()
    first, second = (np.concatenate([pairs[2 * n][0], pairs[2 * n + 1][0]]).tolist() for n in range(2))
    assert sorted(first) == sorted(second) == few.tolist()
    again = Batches(few, 2, seed=0, train=True, unlabelled=many, ratio=2)
    assert all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(pairs, again, strict=True))  # type: ignore[index]
    again.set_epoch(1)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(pairs, again, strict=True))  # type: ignore[index]


@pytest.mark.parametrize("module_class", BaseDataModule.__subclasses__())
def test_every_module_takes_and_documents_the_common_arguments(module_class: type[BaseDataModule]) -> None:
    of_images = {"orientation", "spacing_mm", "intensity"} if module_class is TimeSeriesDataModule else set()
    common = {name: parameter for name, parameter in inspect.signature(BaseDataModule).parameters.items() if name not in of_images}
    own = inspect.signature(module_class).parameters
    assert {name: own[name].default for name in common} == {name: parameter.default for name, parameter in common.items()}
    assert {name: own[name].annotation for name in common} == {name: parameter.annotation for name, parameter in common.items()}
    assert set(BaseDataModule.LOADING) <= set(common)
    assert all(f"\n        {name}: " in (module_class.__doc__ or "") for name in own)
