"""Reading speed of the prepared array, beside raw reads of the same bytes and other ways to read volumes: medians of interleaved epochs.

python benchmarks/bench_loader.py [--scans 128] [--size 64] [--batch 8] [--runs 5]

Each side yields every volume once, (B, 1, size, size, size) float32 in a shuffled order, in this process. Times are CPU seconds, since all
files are in the page cache after the first epoch. TorchIO takes part where it is installed.
"""

import argparse
import importlib
import importlib.util
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import CacheDataset, PersistentDataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, ToTensord
from torch.utils.data import DataLoader, Dataset

from tlimb.components.data.batches import ArrayDataset, Batches

Epoch = Callable[[int], Iterable[torch.Tensor]]


class Files(Dataset[torch.Tensor]):
    """The volumes as most scripts read them: one file an item, decoded each time."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.asarray(nibabel.load(self.files[index]).dataobj, dtype=np.float32))[None]


def written(folder: Path, scans: int, size: int) -> list[Path]:
    """Compressed volumes of smooth 16-bit noise."""
    random, files = np.random.default_rng(0), []
    for number in range(scans):
        coarse = random.integers(0, 1000, (size // 4,) * 3)
        volume = np.kron(coarse, np.ones((4, 4, 4), dtype=np.int64)) + random.integers(0, 40, (size,) * 3)
        files.append(folder / f"{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(volume.astype(np.int16), np.eye(4)), files[-1])
    return files


def sides(folder: Path, files: list[Path], batch: int) -> dict[str, Epoch]:
    """By name, what yields the batches of an epoch."""
    array = folder / "images.npy"
    np.save(array, np.stack([Files(files)[index].numpy() for index in range(len(files))]))
    raw, rows = np.load(array, mmap_mode="r"), np.arange(len(files))
    prepared = ArrayDataset([array], [len(files)], {})
    load = Compose([LoadImaged("image"), EnsureChannelFirstd("image"), ToTensord("image", track_meta=False)])
    items = [{"image": str(file)} for file in files]

    def plain(epoch: int) -> Iterable[torch.Tensor]:
        order = np.random.default_rng(epoch).permutation(rows)
        return (torch.from_numpy(raw[order[first : first + batch]]) for first in range(0, len(order), batch))

    order = Batches(rows, batch, 0, train=True)
    loader = DataLoader(prepared, batch_size=None, sampler=order, collate_fn=lambda batch: batch)  # as a data module makes it

    def tlimb(epoch: int) -> Iterable[torch.Tensor]:
        order.set_epoch(epoch)
        return (found["image"] for found in loader)

    def by_item(dataset: Dataset[torch.Tensor]) -> Epoch:
        return lambda epoch: DataLoader(dataset, batch, shuffle=True)

    def monai(dataset: Dataset[dict[str, torch.Tensor]]) -> Epoch:
        return lambda epoch: (found["image"] for found in DataLoader(dataset, batch, shuffle=True))

    found = {
        "raw np.memmap": plain,
        "prepared array": tlimb,
        "nibabel per item": by_item(Files(files)),
        "MONAI PersistentDataset": monai(PersistentDataset(items, load, folder / "cache")),
        "MONAI CacheDataset": monai(CacheDataset(items, load, progress=False, copy_cache=False)),
    }
    if importlib.util.find_spec("torchio"):
        torchio: Any = importlib.import_module("torchio")

        subjects = torchio.SubjectsDataset([torchio.Subject(image=torchio.ScalarImage(file)) for file in files])
        by_subject = torchio.SubjectsLoader(subjects, batch_size=batch, shuffle=True)
        found["TorchIO"] = lambda epoch: (item["image"][torchio.DATA] for item in by_subject)
    return found


def main() -> None:
    """Print a row a side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=128)
    parser.add_argument("--size", type=int, default=64, help="voxels along each axis, a multiple of 4")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        epochs = sides(Path(name), written(Path(name), options.scans, options.size), options.batch)
        times: dict[str, list[float]] = {side: [] for side in epochs}
        for run in range(options.runs + 1):
            for side, epoch in epochs.items():
                started = time.process_time()
                seen = sum(len(batch) for batch in epoch(run))
                if run:  # the first epoch fills the caches
                    times[side].append((time.process_time() - started) / seen)
    per_scan = {side: statistics.median(values) for side, values in times.items()}
    print(f"{options.scans} volumes of {options.size}^3, batches of {options.batch}, medians of {options.runs} epochs")
    print(f"{'side':26} {'ms a volume':>12} {'throughput / raw':>17} {'prepared / this':>16}")
    for side, value in per_scan.items():
        print(f"{side:26} {value * 1e3:12.2f} {per_scan['raw np.memmap'] / value:17.2f} {value / per_scan['prepared array']:16.1f}")


if __name__ == "__main__":
    main()
