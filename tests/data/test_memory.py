"""A worker's own memory does not depend on how large the prepared data are."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from tlimb.components.data.batches import ArrayDataset, Batches

ROW = (1, 64, 64, 64)
MIB = 2**20


def sparse(path: Path, rows: int) -> ArrayDataset:
    """A prepared array that takes no disk: a hole behind a header."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, *ROW)})
        file.truncate(file.tell() + rows * int(np.prod(ROW)) * 4)
    return ArrayDataset([path], [rows], {})


def own_memory() -> int:
    """Bytes of this process that are not pages of files, which the system takes back when it needs them."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon:")) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("rows", [32, 32_768], ids=["32 MiB", "32 GiB"])
def test_batches_of_a_large_array_take_the_memory_of_a_batch(tmp_path: Path, rows: int) -> None:
    dataset = sparse(tmp_path / "images.npy", rows)
    batches = iter(Batches(np.arange(rows), 8, 0, train=True))
    dataset[next(batches)]
    before = own_memory()
    for _ in range(3):
        assert dataset[next(batches)]["image"].shape == (8, *ROW)
    assert own_memory() - before < 24 * MIB  # a batch has 8 MiB


def test_a_loader_process_is_sent_no_copy_of_the_array(tmp_path: Path) -> None:
    dataset = sparse(tmp_path / "images.npy", 4096)
    dataset[np.arange(2)]
    assert len(pickle.dumps(dataset)) < 4096
