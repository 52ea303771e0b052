"""Small data sets on disk."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tlimb.catalogue.datasets import Dataset, find_datasets
from tlimb.components.data import BaseDataModule, CropCenterDataModule
from tlimb.components.data.preparation import prepare

AGE = {"name": "age", "dataset": "lab", "part": None, "label": "age", "kind": "number", "unit": "years", "classes": None, "weight": 1.0}
SEX = {
    "name": "sex",
    "dataset": "lab",
    "part": None,
    "label": "sex",
    "kind": "category",
    "unit": None,
    "classes": ["F", "M"],
    "weight": 1.0,
}


def write(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """A NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def noise(number: int, shape: tuple[int, ...] = (6, 8, 7)) -> np.ndarray:
    """Positive voxels that differ between numbers."""
    return np.random.default_rng(number).uniform(1, 200, shape).astype(np.float32)


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Dataset]:
    """Makes a BIDS data set of noise: `lab(count=40, images={"3": array or bytes}, labels={"3": ("", "M")})`, named `lab`."""

    def make(
        count: int = 40,
        images: Mapping[str, Any] | None = None,
        labels: Mapping[str, tuple[str, str]] | None = None,
        name: str = "lab",
        entry: str = "",
    ) -> Dataset:
        root = tmp_path / name
        lines = ["participant_id\tage\tsex"]
        for number in range(1, count + 1):
            age, sex = (labels or {}).get(str(number), (str(20 + number), "FM"[number % 2]))
            lines.append(f"sub-{number}\t{age or 'n/a'}\t{sex or 'n/a'}")
            content = (images or {}).get(str(number), noise(number))
            path = root / f"sub-{number}/anat/sub-{number}_T1w.nii.gz"
            if isinstance(content, bytes):
                path.parent.mkdir(parents=True)
                path.write_bytes(content)
            else:
                write(path, content)
        (root / "participants.tsv").write_text("\n".join(lines) + "\n")
        text = f"{name}: {{format: bids, root: {name}, labels: {{age: {{unit: years}}, sex: {{classes: [F, M]}}}}{entry}}}\n"
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        return find_datasets(explicit=file)[name]

    return make


@pytest.fixture
def ready(tmp_path: Path) -> Callable[..., tuple[BaseDataModule, Path]]:
    """Prepares a data set and connects its module: `ready(dataset, arguments, targets, split)`."""

    def make(
        dataset: Dataset,
        arguments: Mapping[str, Any] | None = None,
        targets: Any = (AGE, SEX),
        split: Mapping[str, Any] | None = None,
        module_class: type[BaseDataModule] = CropCenterDataModule,
        seed: int = 0,
    ) -> tuple[BaseDataModule, Path]:
        out = tmp_path / f"prepared-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        prepare(dataset, out, module_class=module_class, arguments=arguments or {})
        module = module_class(**(arguments or {}))
        module.connect(targets, split or {}, {dataset.name: out}, seed)
        return module, out

    return make
