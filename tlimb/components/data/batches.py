"""Whole batches straight from memory-mapped arrays, in an order that depends on seed and epoch only."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from tlimb.errors import InputError

Rows = NDArray[np.int64]
RowPair = tuple[Rows, Rows]
"""Labelled and unlabelled rows of one batch."""


class ArrayDataset(Dataset[dict[str, Any]]):
    """Rows of one or several prepared arrays of equal row shape, indexed by whole batches.

    Args:
        arrays: Files (rows, C, space…) float32; row numbers go on from one to the next.
        lengths: Rows of each file.
        targets: Truth by target name, one value a row.
    """

    def __init__(self, arrays: Sequence[Path], lengths: Sequence[int], targets: Mapping[str, Tensor]) -> None:
        self.arrays = tuple(arrays)
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.targets = dict(targets)
        self._open: list[NDArray[np.float32]] = []

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        # A pickled memory map is a copy of the whole file: each loader process opens its own.
        return self.__dict__ | {"_open": []}

    def __getitem__(self, rows: Rows | RowPair) -> dict[str, Any]:
        """The batch of these rows: `image` (B, C, space…) float32, `targets` {name: (B,)}, `row` (B,) int64.

        Of a pair the second rows make `unlabelled`, a batch without targets.
        """
        if isinstance(rows, tuple):
            labelled, unlabelled = rows
            return {**self._batch(labelled, self.targets), "unlabelled": self._batch(unlabelled, {})}
        return self._batch(rows, self.targets)

    def _batch(self, rows: Rows, targets: Mapping[str, Tensor]) -> dict[str, Any]:
        index = torch.from_numpy(rows)
        return {
            "image": torch.from_numpy(self._images(rows)),
            "targets": {name: values[index] for name, values in targets.items()},
            "row": index,
        }

    def _images(self, rows: Rows) -> NDArray[np.float32]:
        if not self._open:
            self._open = [np.asarray(np.load(path, mmap_mode="r")) for path in self.arrays]
        if len(self._open) == 1:
            return self._open[0][rows]  # nearly twice as fast as np.take here
        images = np.empty((len(rows), *self._open[0].shape[1:]), dtype=np.float32)
        for array, start, end in zip(self._open, self.starts[:-1], self.starts[1:], strict=True):
            mine = (rows >= start) & (rows < end)
            images[mine] = array[rows[mine] - start]
        return images


class Batches(DistributedSampler[Rows | RowPair]):
    """Batches of row numbers, or of labelled and unlabelled ones side by side.

    A `DistributedSampler`, so that Lightning neither wraps nor replaces it, and calls `set_epoch` at the start of each epoch. The order
    is a function of (seed, epoch): a resumed run sees the same batches. With several processes a training step is one batch of
    `batch_size` rows for each of them, the same rows as of one process with a batch that many times as large; of other rows each process
    has its own share.

    Args:
        rows: The rows of one role.
        batch_size: Rows in a batch of one process; the last one is smaller.
        seed: Of the order.
        train: Shuffle, and drop a last batch that leaves a process with one row or none (BatchNorm cannot train on it).
        unlabelled: Further rows, of which each batch gets some: an epoch lasts until all rows of both were seen, the fewer begin anew.
        ratio: Unlabelled rows for each labelled one.

    Raises:
        InputError: there are fewer rows than processes.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int, *, train: bool, unlabelled: Rows | None = None, ratio: int = 1) -> None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        replicas, rank = (torch.distributed.get_world_size(), torch.distributed.get_rank()) if distributed else (1, 0)
        super().__init__(rows, num_replicas=replicas, rank=rank, shuffle=train, seed=seed)  # type: ignore[arg-type]
        if (least := min(len(rows), *([] if unlabelled is None else [len(unlabelled)]), replicas)) < replicas > 1:
            raise InputError(f"data: {least} images cannot be shared by {replicas} devices", "use fewer devices, or more participants")
        self.rows = rows
        self.batch_size = batch_size
        self.train = train
        self.unlabelled = unlabelled
        self.ratio = ratio
        self._orders: dict[tuple[int, ...], tuple[tuple[int, ...], Rows]] = {}

    @property
    def mine(self) -> Rows:
        """The share of this process outside training: about as many rows as the others have, in order."""
        return np.array_split(self.rows, self.num_replicas)[self.rank]

    def __len__(self) -> int:
        if not self.train:
            return -(-len(self.mine) // self.batch_size)
        total = self._count(self.rows, self.batch_size)
        return total if self.unlabelled is None else max(total, self._count(self.unlabelled, self.batch_size * self.ratio))

    def __iter__(self) -> Iterator[Rows | RowPair]:
        if not self.train:
            mine = self.mine
            for first in range(0, len(mine), self.batch_size):
                yield mine[first : first + self.batch_size]
            return
        for number in range(len(self)):
            labelled = self._nth(self.rows, self.batch_size, number)
            yield labelled if self.unlabelled is None else (labelled, self._nth(self.unlabelled, self.batch_size * self.ratio, number, 1))

    def _nth(self, rows: Rows, size: int, number: int, *stream: int) -> Rows:
        """This process's part of the n-th batch of an endless sequence of passes over the rows, each in an order of its own."""
        round_, within = divmod(number, self._count(rows, size))
        # The first pass of the labelled rows is seeded by (seed, epoch) alone.
        key = (self.seed, self.epoch, *((round_, *stream) if round_ or stream else ()))
        if self._orders.get(stream, ((), rows))[0] != key:
            self._orders[stream] = (key, np.random.default_rng(key).permutation(rows))
        size *= self.num_replicas
        batch = self._orders[stream][1][within * size : (within + 1) * size]
        return batch if self.num_replicas == 1 else np.array_split(batch, self.num_replicas)[self.rank]

    def _count(self, rows: Rows, size: int) -> int:
        """Training batches of one pass, each of `size` rows for every process."""
        size *= self.num_replicas
        total = -(-len(rows) // size)
        return max(1, total - int(total > 1 and 0 < len(rows) % size < 2 * self.num_replicas))
