"""`TimeSeriesDataModule`: series of regions over time, such as resting-state fMRI averaged over the regions of an atlas."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from tlimb.components.data.base import BaseDataModule, Image, one_of
from tlimb.components.data.batches import ArrayDataset, Batches, RowPair, Rows
from tlimb.components.data.prepared import Prepared
from tlimb.components.data.scan import Volume
from tlimb.components.data.series import ROWS, read_series
from tlimb.errors import InputError

_SHOWN = 5


class TimeSeriesDataModule(BaseDataModule):
    """Series of regions over time: a table of each scan, its regions as channels; predictions of a session's runs are averaged.

    In training each series gives a crop of `length` time points that starts at random, another one in each epoch; validation and test see
    the whole series, in batches of equal length. Nothing is ever padded. Series shorter than `length` cannot be used (see `on_bad`).

    Args:
        length: Time points of a training crop; none takes whole series, which must then be equally long.
        whole: Whether validation and test see whole series; false gives them the middle `length` time points, for networks that take one
            length only.
        row: What a row of a table is: time (a time point), region, or auto, which follows from the file: names at the top or at the left,
            and the axes of .1D and CIFTI files.
        variable: Name of the matrix in .mat files; none where they hold one only.
        zscore: Whether each region gets mean 0 and sd 1 over time; constant regions become 0.
        on_bad: What to do about series that cannot be used: error (name all of them and stop) or skip (go on without them and count them).
        batch_size: Series in a batch.
        num_workers: Loader processes; 0 is fastest for prepared arrays.
        n: Use only the first n training participants; a smaller n is a subset of a larger one.
        augment: Train-time augmentations, each {class_path, init_args}, applied in order to a batch of images on the device.
        unlabelled_ratio: Unlabelled images for each labelled one in a batch, where a stage has both.
    """

    LOADING: ClassVar[tuple[str, ...]] = (*BaseDataModule.LOADING, "length", "whole")
    RAGGED: ClassVar[bool] = True

    def __init__(
        self,
        length: int | None = None,
        whole: bool = True,
        *,
        row: Literal["auto", "time", "region"] = "auto",
        variable: str | None = None,
        zscore: bool = True,
        on_bad: str = "error",
        batch_size: int = 16,
        num_workers: int = 0,
        n: int | None = None,
        augment: Sequence[Mapping[str, Any]] = (),
        unlabelled_ratio: int = 1,
    ) -> None:
        super().__init__(
            on_bad=on_bad, batch_size=batch_size, num_workers=num_workers, n=n, augment=augment, unlabelled_ratio=unlabelled_ratio
        )
        one_of("row", row, ROWS)
        if length is not None and length < 2:
            raise InputError(f"data: length is {length}; it is at least 2 time points", "e.g. length=100")
        self.length = length
        self.whole = whole
        self.row = row
        self.variable = variable
        self.zscore = zscore

    def read(self, files: Sequence[Path]) -> Volume:
        """The series of one scan, (regions, time)."""
        return read_series(files, row=self.row, variable=self.variable, zscore=self.zscore)

    def views(self, image: Image, fill: Image, spacing_mm: Sequence[float]) -> list[tuple[str, Image]]:
        """The whole series."""
        return [("", image)]

    def _usable(self, data: Prepared) -> NDArray[np.bool_]:
        frames = _frames(data)
        short = frames < (self.length or 0)
        if self.on_bad == "error" and short.any():
            who = [f"{data.participants[row]} {frames[row]}" for row in np.flatnonzero(short)]
            listed = ", ".join(who[:_SHOWN]) + (f" and {len(who) - _SHOWN} more" if len(who) > _SHOWN else "")
            raise InputError(
                f"data: {len(who)} of {len(frames)} series of {data.document['dataset']} are shorter than length {self.length}: {listed}",
                f"length={frames.min()} fits all, or leave the short ones out: on_bad=skip",
            )
        return ~short

    def _shape(self, data: Prepared) -> tuple[int, ...]:
        frames = _frames(data)
        if self.length is None and frames.min() < frames.max():
            raise InputError(
                f"data: the series of {data.document['dataset']} are {frames.min()} to {frames.max()} time points long",
                f"train on crops of them, e.g. length={frames.min()}",
            )
        return data.shape[0], self.length or int(frames.max())

    def _loader(self, batches: Batches) -> DataLoader[dict[str, Any]]:
        targets = {name: torch.from_numpy(values) for name, values in self._truth.items()}
        frames = [_frames(data) for data in self._data.values()]
        dataset = SeriesDataset([data.images for data in self._data.values()], frames, targets)
        cuts = Cuts(batches, np.concatenate(frames), self.length, self.whole)
        return DataLoader(dataset, batch_size=None, sampler=cuts, num_workers=self.num_workers, pin_memory=torch.cuda.is_available())


class SeriesDataset(ArrayDataset):
    """Cuts of series of different length, indexed by whole batches of (B, 3) int64: row, first time point, number of time points.

    Args:
        arrays: Files (time of all rows, C) float32; row numbers go on from one to the next.
        frames: Time points by row, of each file.
        targets: Truth by target name, one value a row.
    """

    def __init__(self, arrays: Sequence[Path], frames: Sequence[NDArray[np.int64]], targets: Mapping[str, Tensor]) -> None:
        super().__init__(arrays, [len(lengths) for lengths in frames], targets)
        self.offsets = [np.concatenate([[0], np.cumsum(lengths)]) for lengths in frames]

    def _batch(self, rows: Rows, targets: Mapping[str, Tensor]) -> dict[str, Any]:
        index = torch.from_numpy(rows[:, 0].copy())
        image = torch.from_numpy(self._images(rows))
        return {"image": image, "targets": {name: values[index] for name, values in targets.items()}, "row": index}

    def _images(self, rows: Rows) -> NDArray[np.float32]:
        if not self._open:
            self._open = [np.asarray(np.load(path, mmap_mode="r")) for path in self.arrays]
        images = np.empty((len(rows), self._open[0].shape[1], int(rows[0, 2])), dtype=np.float32)
        for image, (row, start, length) in zip(images, rows.tolist(), strict=True):
            file = int(np.searchsorted(self.starts, row, side="right")) - 1
            first = int(self.offsets[file][row - self.starts[file]]) + start
            image[:] = self._open[file][first : first + length].T
        return images


class Cuts(Batches):
    """`Batches` of cuts: in training at a random place, which follows from (seed, epoch, batch); else batches of equally long series.

    Args:
        batches: The rows.
        frames: Time points by row.
        length: Time points of a cut; none for whole series.
        whole: Whether validation and test see whole series.
    """

    def __init__(self, batches: Batches, frames: NDArray[np.int64], length: int | None, whole: bool) -> None:
        super().__init__(
            batches.rows,
            batches.batch_size,
            batches.seed,
            train=batches.train,
            unlabelled=batches.unlabelled,
            ratio=batches.ratio,
        )
        self.frames = frames
        self.length = length
        self.even: list[Rows] = []
        if not self.train:
            mine = self.mine
            lengths = frames[mine] if whole or length is None else np.full(len(mine), length)
            for value in np.unique(lengths):
                rows = mine[lengths == value]
                starts = (frames[rows] - value) // 2
                cuts = np.stack([rows, starts, np.full(len(rows), value)], axis=1)
                self.even.extend(cuts[first : first + self.batch_size] for first in range(0, len(cuts), self.batch_size))

    def __len__(self) -> int:
        return super().__len__() if self.train else len(self.even)

    def __iter__(self) -> Iterator[Rows | RowPair]:
        if not self.train:
            yield from self.even
            return
        for number, item in enumerate(super().__iter__()):
            random = np.random.default_rng((self.seed, self.epoch, self.rank + number * self.num_replicas, 2))
            yield (self._cut(item[0], random), self._cut(item[1], random)) if isinstance(item, tuple) else self._cut(item, random)

    def _cut(self, rows: Rows, random: np.random.Generator) -> Rows:
        frames = self.frames[rows]
        length = self.length or int(frames[0])
        return np.stack([rows, random.integers(0, frames - length + 1), np.full(len(rows), length)], axis=1)


def _frames(data: Prepared) -> NDArray[np.int64]:
    frames = data.frames
    if frames is None:
        raise InputError(f"data: {data.document['dataset']} was prepared as images", "prepare it anew with data timeseries")
    return frames
