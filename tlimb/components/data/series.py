"""One table of time series from its file: ROI tables (.1D, .csv, .tsv, .txt, .npy, .mat) and parcellated CIFTI."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tlimb.catalogue.tables import MISSING
from tlimb.components.data.scan import UnusableError, Volume

EXTENSIONS = (".1D", ".csv", ".tsv", ".txt", ".npy", ".mat", ".ptseries.nii")
ROWS = ("auto", "time", "region")
_FLAT = 1e-7
"""A series whose sd is below this share of its mean is constant: no more than float32 rounds."""
Table = NDArray[np.float64]


def read_series(files: Sequence[Path], *, row: str = "auto", variable: str | None = None, zscore: bool = True) -> Volume:
    """Read the series of one scan, (regions, time) float32; several files give the regions of each, one after the other.

    z-scores are over time, (x - mean) / sd for each region. A region that is constant or nowhere measured becomes 0 and is counted in
    `flat`.

    Args:
        files: Of one scan.
        row: What a row of a table is: time (a time point), region, or auto, which asks the file.
        variable: Name of the matrix in a .mat file; none where it holds one only.
        zscore: Whether to standardise each region.

    Raises:
        UnusableError: a file is absent, empty or damaged, it does not tell time from regions, values are missing, files differ in length,
            or all regions are constant.
    """
    tables = [read_table(file, row, variable) for file in files]
    if len({table.shape[1] for table in tables}) > 1:
        lengths = ", ".join(f"{file.name} {table.shape[1]}" for file, table in zip(files, tables, strict=True))
        raise UnusableError(f"the files differ in their number of time points: {lengths}")
    series = np.concatenate(tables)
    if series.shape[1] < 2:
        raise UnusableError("the series have one time point only")
    series[np.isnan(series).all(axis=1)] = 0
    if not np.isfinite(series).all():
        region, frame = np.argwhere(~np.isfinite(series))[0] + 1
        raise UnusableError(f"values are missing or infinite, first in region {region} at time point {frame}")
    constant = flat(series)
    if constant.all():
        raise UnusableError(f"all {len(series)} series are constant")
    if zscore:
        mean, sd = series.mean(axis=1, keepdims=True), series.std(axis=1, keepdims=True)
        series = (series - mean) / np.where(sd > 0, sd, 1)
    series[constant] = 0
    return Volume(series.astype(np.float32), np.zeros(len(series), np.float32), (1.0,), 0.0, int(constant.sum()))


def flat(series: Table) -> NDArray[np.bool_]:
    """By region of (regions, time), whether its series is constant or nowhere measured."""
    absent = np.isnan(series).all(axis=1, keepdims=True)
    measured = np.where(absent, 0, series)
    constant: NDArray[np.bool_] = measured.std(axis=1) <= _FLAT * np.abs(measured.mean(axis=1))
    return constant


def read_table(file: Path, row: str = "auto", variable: str | None = None) -> Table:
    """One table as (regions, time) float64, NaN where a value is missing.

    Raises:
        UnusableError: see `read_series`.
    """
    if not file.exists():
        raise UnusableError("the file does not exist")
    if file.stat().st_size == 0:
        raise UnusableError("the file is empty (0 bytes)")
    name = file.name.lower()
    try:
        if name.endswith(".nii"):
            table, found = _cifti(file)
        elif name.endswith(".npy"):
            table, found = np.asarray(np.load(file, allow_pickle=False)), None
        elif name.endswith(".mat"):
            table, found = _mat(file, variable), None
        elif name.endswith(".1d"):
            table, found = np.loadtxt(file, ndmin=2), "time"
        else:
            table, found = _text(file)
    except UnusableError:
        raise
    except Exception as error:  # whatever a damaged file makes a reader raise is a reason to name it
        raise UnusableError(f"the file cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    if table.ndim != 2 or min(table.shape) < 1 or not np.issubdtype(table.dtype, np.number) or np.iscomplexobj(table):
        raise UnusableError(f"{_size(table)} values of type {table.dtype} are no table of time points and regions")
    if row == "auto" and found is None:
        raise UnusableError(f"the file does not tell which axis of its {_size(table)} values is time: write row=time or row=region")
    table = table.astype(np.float64)
    return table.T if (found if row == "auto" else row) == "time" else table


def is_series(file: Path) -> bool:
    """Whether a file's name says that it holds time series; a .npy file may also be an image."""
    return file.name.lower().endswith(tuple(extension.lower() for extension in EXTENSIONS if extension != ".npy"))


def _cifti(file: Path) -> tuple[Table, str]:
    image: Any = nib.load(file)
    if not isinstance(image, nib.Cifti2Image):
        raise UnusableError("this NIfTI file holds no parcellated series (CIFTI .ptseries.nii)")
    axes = [type(image.header.get_axis(number)).__name__.removesuffix("Axis") for number in range(image.ndim)]
    if set(axes) != {"Series", "Parcels"}:
        hint = "; parcellate it first (wb_command -cifti-parcellate)" if "BrainModel" in axes else ""
        raise UnusableError(f"this CIFTI file holds {' x '.join(axes)}, not parcels over time{hint}")
    return np.asarray(image.dataobj, dtype=np.float64), "time" if axes[0] == "Series" else "region"


def _mat(file: Path, variable: str | None) -> Table:
    from scipy.io import loadmat

    try:
        content = loadmat(file)
    except NotImplementedError:  # MATLAB 7.3 is HDF5
        raise UnusableError("MATLAB 7.3 files are not read; save it with save(…, '-v7') or as .npy") from None
    matrices = {
        name: value
        for name, value in content.items()
        if not name.startswith("__")
        and isinstance(value, np.ndarray)
        and value.ndim == 2
        and value.dtype.kind in "fiu"
        and min(value.shape) > 1
    }
    if variable not in matrices and (variable is not None or len(matrices) != 1):
        there = ", ".join(f"{name} ({_size(value)})" for name, value in matrices.items()) or "none"
        raise UnusableError(
            f"which matrix? it holds {there}: write variable=NAME" if variable is None else f"no matrix '{variable}': it holds {there}"
        )
    return np.asarray(matrices[variable or next(iter(matrices))])


def _text(file: Path) -> tuple[Table, str | None]:
    """Names at the top mean that a row is a time point, names at the left that it is a region; a column without a name is an index."""
    text = file.read_text(encoding="utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise UnusableError("the table is empty")
    separator = "\t" if file.suffix == ".tsv" else max(",;\t", key=lines[0].count)
    cells = list(csv.reader(lines, delimiter=separator)) if separator in lines[0] else [line.split() for line in lines]
    head, width = cells[0], len(cells[0])
    index = not head[0].strip()
    rest = head[1:] if index else head
    named = any(_number(cell) is None for cell in head[1:] or head)
    numbered = len(rest) > 2 and [str(number + int(rest[0] == "1")) for number in range(len(rest))] == rest
    body = cells[1:] if named or numbered else cells
    if not body:
        raise UnusableError("the table has no values")
    if odd := next((number for number, row in enumerate(cells, start=1) if len(row) != width), None):
        raise UnusableError(f"row {odd} has {len(cells[odd - 1])} cells, the first has {width}")
    left = any(_number(row[0]) is None for row in body)
    values = [row[1:] if left or (index and len(body) < len(cells)) else row for row in body]
    numbers = [[_number(cell) for cell in row] for row in values]
    if wrong := next(((r, c) for r, row in enumerate(numbers) for c, number in enumerate(row) if number is None), None):
        raise UnusableError(f"'{values[wrong[0]][wrong[1]]}' in data row {wrong[0] + 1} is not a number")
    return np.array(numbers, dtype=np.float64), None if named == left else "time" if named else "region"


def _number(cell: str) -> float | None:
    """A cell as a number, NaN where the value is missing; None for text."""
    text = cell.strip()
    if text.casefold() in MISSING:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return None


def _size(table: NDArray[Any]) -> str:
    return " x ".join(map(str, table.shape))
