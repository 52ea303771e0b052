"""The `prepare` stage: decode, reorient, resample and normalise each image of a data set once, into one memory-mapped array."""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tlimb.catalogue.listing import Dataset, Scan
from tlimb.components.data import demo
from tlimb.components.data.base import BaseDataModule
from tlimb.components.data.prepared import COLUMNS, FORMAT
from tlimb.components.data.scan import UnusableError, Volume
from tlimb.errors import InputError

_SHOWN = 10
AHEAD = 4
"""Scans for each thread that are read or wait to be written."""

Progress = Callable[[int, int], None]


def prepare(
    dataset: Dataset,
    out: Path,
    *,
    module_class: type[BaseDataModule],
    arguments: Mapping[str, Any],
    emit: Progress | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Write `images.npy`, `index.csv` and `prepared.json` of a data set into the folder `out`.

    Args:
        dataset: An entry of the catalogue; `demo` draws its images on first use.
        out: An existing folder.
        module_class: Makes rows of images (`views`).
        arguments: Its arguments; those in `LOADING` do not matter here.
        emit: Called with the number of scans done and of all.
        threads: Scans read at the same time. gzip releases the interpreter's lock, so more than one pays where cores are free.

    Returns:
        The content of `prepared.json`.

    Raises:
        InputError: images or label values cannot be used and `on_bad` is error (all are named), none is left, or shapes differ.
    """
    module = module_class(**arguments)
    listing = dataset.listing()
    if dataset.format == "demo":
        demo.generate(dataset.root, dataset.options)
    bad = [_bad(problem.participant_id, "", problem.file, problem.message) for problem in listing.problems if problem.kind == "bad-label"]
    shapes: dict[tuple[int, ...], str] = {}
    spacings: set[tuple[float, ...]] = set()
    frames: list[int] = []
    flat = [0, 0]
    rows = 0
    with (out / "images.npy").open("wb") as images, (out / "index.csv").open("w", encoding="utf-8", newline="") as file:
        index = csv.writer(file, lineterminator="\n")
        index.writerow([*COLUMNS, *dataset.labels])
        for done, (scan, volume) in enumerate(_volumes(listing.scans, module, threads), start=1):
            if emit:
                emit(done, len(listing.scans))
            if isinstance(volume, UnusableError):
                bad.append(_bad(scan.participant_id, scan.session, _relative(scan.images, dataset.root), str(volume)))
                continue
            for name, view in module.views(volume.image, volume.fill, volume.spacing_mm):
                shape = view.shape[:1] if module.RAGGED else view.shape
                shapes.setdefault(shape, scan.participant_id)
                if len(shapes) == 1:
                    if rows == 0:
                        _write_header(images, (0, *shape))
                    images.write(np.ascontiguousarray(view.T if module.RAGGED else view, dtype=np.float32).tobytes())
                    frames.append(view.shape[-1])
                cells = ["" if value is None else value for value in scan.labels.values()]
                index.writerow(
                    [rows, scan.participant_id, scan.session, name, scan.group, scan.site or "", round(volume.volume_ml, 3), *cells]
                )
                rows += 1
            spacings.add(tuple(round(size, 3) for size in volume.spacing_mm))
            flat = [flat[0] + volume.flat, flat[1] + bool(volume.flat)]
        if bad and module.on_bad == "error":
            way_out = "repair them, or go on without them: data …(on_bad=skip)"
            if dataset.format == "demo":
                way_out = f"its images are drawn anew when the folder {dataset.root} is removed"
            raise InputError(_refusal(dataset.name, bad), way_out)
        if not shapes:
            raise InputError(
                f"{dataset.name}: none of its {len(listing.scans)} images can be used", f"tlimb data check {dataset.name} lists why"
            )
        if len(shapes) > 1:
            raise _differ(dataset.name, shapes)
        shape = next(iter(shapes))
        _write_header(images, (sum(frames) if module.RAGGED else rows, *shape))
    if module.RAGGED:
        shape = (*shape, max(frames))
    if flat[0]:
        print(f"{dataset.name}: {flat[0]} channels of {flat[1]} scans are constant; they became 0")
    document = {
        "format": FORMAT,
        "dataset": dataset.name,
        "shape": list(shape[1:]),
        "channels": shape[0],
        "spatial_dims": len(shape) - 1,
        "spacing_mm": list(spacings.pop()) if len(spacings) == 1 else None,
        "labels": {
            name: {"kind": label.kind, "unit": label.unit, "classes": list(label.classes) if label.classes else None}
            for name, label in dataset.labels.items()
        },
        "participants": listing.groups,
        "bad": bad,
        "flat": {"channels": flat[0], "scans": flat[1]},
        **({"frames": frames} if module.RAGGED else {}),
        "without_image": sum(problem.kind == "participant-without-image" for problem in listing.problems),
    }
    (out / "prepared.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return document


def _volumes(scans: tuple[Scan, ...], module: BaseDataModule, threads: int) -> Iterator[tuple[Scan, Volume | UnusableError]]:
    """Scans with what was read, in order; a few at a time, so that memory does not grow with the data set."""

    def read(scan: Scan) -> Volume | UnusableError:
        try:
            return module.read(scan.images)
        except UnusableError as reason:
            return reason

    remaining = iter(scans)
    with ThreadPoolExecutor(threads) as pool:
        ahead = deque((scan, pool.submit(read, scan)) for scan in islice(remaining, AHEAD * threads))
        try:
            while ahead:
                scan, volume = ahead.popleft()
                read_one = volume.result()
                # Before this one is written, so that no thread waits for that.
                ahead.extend((following, pool.submit(read, following)) for following in islice(remaining, 1))
                yield scan, read_one
        finally:
            for _, volume in ahead:
                volume.cancel()


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The header of a .npy file; numpy leaves room in it for a longer first axis, so that rows can be counted at the end."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _bad(participant: str, session: str, file: str, reason: str) -> dict[str, str]:
    return {"participant_id": participant, "session": session, "file": file, "reason": reason}


def _refusal(name: str, bad: list[dict[str, str]]) -> str:
    """All of them, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for item in bad:
        by_reason.setdefault(item["reason"], []).append(item["file"])
    listed = "\n".join(f"  {reason}: {', '.join(files)}" for reason, files in by_reason.items())
    return f"{name}: {len(bad)} images or labels cannot be used:\n{listed}"


def _relative(files: tuple[Path, ...], root: Path) -> str:
    return ", ".join(str(file.relative_to(root)) if file.is_relative_to(root) else file.name for file in files)


def _differ(name: str, shapes: Mapping[tuple[int, ...], str]) -> InputError:
    shown = list(shapes.items())[:_SHOWN]
    if len({shape[0] for shape in shapes}) > 1:
        listed = "; ".join(f"{shape[0]} ({participant})" for shape, participant in shown)
        return InputError(f"{name}: the scans differ in their number of channels or regions: {listed}", "all scans need the same")
    listed = "; ".join(f"{' x '.join(map(str, shape[1:]))} ({participant})" for shape, participant in shown)
    if len({len(shape) for shape in shapes}) > 1:
        return InputError(f"{name}: some images are pictures, some are volumes: {listed}", "make two data sets of them")
    largest = [max(sizes) for sizes in zip(*(shape[1:] for shape in shapes), strict=True)]
    return InputError(f"{name}: the images differ in shape: {listed}", f"give all one size, e.g. size={'x'.join(map(str, largest))}")
