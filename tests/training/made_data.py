"""A data module without files: discs whose size tells age and whose brightness tells sex."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

KILL = "MADE_DATA_SIGNAL"
"""``SIGNAL:EPOCH:BATCH``: the process gets that signal when the batch is read."""


class _Order(Sampler[list[int]]):
    def __init__(self, rows: np.ndarray, batch: int, seed: int, shuffle: bool) -> None:
        self.rows, self.batch, self.seed, self.shuffle, self.epoch = rows, batch, seed, shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        rows = np.random.default_rng((self.seed, self.epoch)).permutation(self.rows) if self.shuffle else self.rows
        for number in range(len(self)):
            name, epoch, batch = os.environ.get(KILL, "SIGKILL:-1:0").split(":")
            if self.shuffle and (self.epoch, number) == (int(epoch), int(batch)):
                os.kill(os.getpid(), getattr(signal, name))
            yield rows[number * self.batch : (number + 1) * self.batch].tolist()


class _Images(Dataset[dict[str, Any]]):
    def __init__(self, module: "MadeDataModule", noise: float) -> None:
        self.module, self.noise = module, noise

    def __getitem__(self, rows: Sequence[int]) -> dict[str, Any]:
        images = self.module.images[rows]
        # Noise from the global generator: what an augmentation draws must be the same after a resume.
        return {
            "image": images + self.noise * torch.randn(images.shape),
            "targets": {name: values[rows] for name, values in self.module.truth.items()},
            "row": torch.tensor(rows),
        }


class MadeDataModule(lightning.LightningDataModule):
    """Two sessions of each of 40 participants, 24 of which train, 8 validate and 8 test.

    Args:
        batch_size: Rows in a batch.
        dims: 1, 2 or 3.
        missing: Every n-th row has no age.
    """

    LOADING: ClassVar[tuple[str, ...]] = ("batch_size",)

    def __init__(self, batch_size: int = 8, dims: int = 2, missing: int = 0) -> None:
        super().__init__()
        self.batch_size, self.dims, self.missing = batch_size, dims, missing

    def connect(
        self,
        targets: list[dict[str, Any]],
        split: Mapping[str, Any],
        prepared: Mapping[str, Path],
        seed: int,
        unlabelled: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        assert not unlabelled, "all images of this module have labels"
        random = np.random.default_rng(0)
        person = np.repeat(np.arange(40), 2)
        age, sex = 20 + 60 * random.random(40)[person], random.integers(0, 2, 40)[person]
        axes = np.meshgrid(*[np.linspace(-1, 1, 16)] * self.dims, indexing="ij")
        radius = np.sqrt(sum(axis**2 for axis in axes))
        shape = (-1, *(1 for _ in range(self.dims)))
        images = (radius[None] < (0.3 + age / 150).reshape(shape)) * (1 + sex.reshape(shape))
        self.images = torch.from_numpy(images[:, None].astype(np.float32))
        ages = torch.from_numpy(age.astype(np.float32))
        if self.missing:
            ages[:: self.missing] = torch.nan
        values = {"age": ages, "sex": torch.from_numpy(sex)}
        self.truth = {target["name"]: values[target["label"]] for target in targets}
        self.person, self.seed, self.targets = person, seed, targets
        self.role = np.array(["train"] * 24 + ["val"] * 8 + ["test"] * 8)[person]
        self.input_shape = tuple(self.images.shape[1:])
        self.channels, self.spatial_dims = 1, self.dims
        self.subjects = {"train": 24, "val": 8, "test": 8, "dropped": dict.fromkeys(self.truth, 0), "bad": 0}
        self.volume_ml = 1000 + age + 100 * sex

    @property
    def train_statistics(self) -> dict[str, dict[str, Any]]:
        train = {name: values[self.role == "train"] for name, values in self.truth.items()}
        return {
            target["name"]: {"mean": float(values.nanmean()), "sd": float(values[~values.isnan()].std())}
            if target["kind"] == "number"
            else {"counts": torch.bincount(values, minlength=2).tolist()}
            for target in self.targets
            for values in [train[target["name"]]]
        }

    @property
    def volumes(self) -> dict[str, dict[str, Any]]:
        return {
            role: {
                "volume_ml": self.volume_ml[self.role == role],
                "truth": {name: values[self.role == role].numpy() for name, values in self.truth.items()},
            }
            for role in ("train", "val", "test")
        }

    def unit(self, rows: Sequence[int]) -> list[tuple[str, str, str]]:
        return [(f"p{self.person[row]:02}", str(row % 2), str(self.role[row])) for row in rows]

    def _loader(self, role: str) -> DataLoader[dict[str, Any]]:
        order = _Order(np.flatnonzero(self.role == role), self.batch_size, self.seed, role == "train")
        return DataLoader(_Images(self, 0.05 * (role == "train")), batch_size=None, sampler=order)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:
        return self._loader("test")

    def unlabelled_dataloader(self) -> DataLoader[dict[str, Any]]:
        raise NotImplementedError
