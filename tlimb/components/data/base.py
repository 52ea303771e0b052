"""`BaseDataModule`: what every data module knows about roles, labels and batches; subclasses say how an image becomes rows."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from tlimb.catalogue.splits import ROLES, RoleName, Split, assign, select
from tlimb.components.contracts import View
from tlimb.components.data.batches import ArrayDataset, Batches, Rows
from tlimb.components.data.prepared import Prepared, read_prepared
from tlimb.components.data.reading import read_volume
from tlimb.components.data.scan import Volume
from tlimb.errors import InputError

INTENSITIES = ("zscore", "zscore_all", "minmax", "percentile", "mean", "none")
Image = NDArray[np.float32]


class Unit(NamedTuple):
    """Whom a row belongs to; with several data sets in a stage the id starts with the data set's name and a colon."""

    participant_id: str
    session: str
    part: RoleName


class BaseDataModule(lightning.LightningDataModule):
    """Batches of one stage.

    Arguments named in `LOADING` say how rows are read; all others shape the prepared array.

    Args:
        orientation: Axis codes of the images after reading: the direction in which each axis grows.
        spacing_mm: Voxel size to resample to, one number or one for each axis; none keeps each image's own.
        intensity: zscore (mean 0 and sd 1 over voxels > 0, the others 0), zscore_all (over all voxels), minmax (0 to 1), percentile (1st to
            99th of voxels > 0 to 0 to 1, clipped), mean (divided by the mean of voxels > 0), or none.
        on_bad: What to do about images that cannot be used: error (name all of them and stop) or skip (go on without them and count them).
        batch_size: Rows in a batch.
        num_workers: Loader processes; 0 is fastest for prepared arrays.
        n: Use only the first n training participants; a smaller n is a subset of a larger one.
        augment: Train-time augmentations, each {class_path, init_args}, applied in order to a batch of images on the device.
        unlabelled_ratio: Unlabelled images for each labelled one in a batch, where a stage has both.

    Attributes:
        unlabelled_views: The views of unlabelled images that batches hold; a scenario asks for them.
    """

    LOADING: ClassVar[tuple[str, ...]] = ("batch_size", "num_workers", "n", "augment", "unlabelled_ratio")
    RAGGED: ClassVar[bool] = False
    """Whether rows may differ in length along their only axis; the prepared array then holds them one after the other, (time, C)."""

    def __init__(
        self,
        *,
        orientation: str = "RAS",
        spacing_mm: float | Sequence[float] | None = None,
        intensity: str | None = "zscore",
        on_bad: str = "error",
        batch_size: int = 16,
        num_workers: int = 0,
        n: int | None = None,
        augment: Sequence[Mapping[str, Any]] = (),
        unlabelled_ratio: int = 1,
    ) -> None:
        super().__init__()
        intensity = intensity or "none"
        one_of("intensity", intensity, INTENSITIES)
        one_of("on_bad", on_bad, ("error", "skip"))
        if len(orientation) != 3 or any(not set(pair) & set(orientation) for pair in ("LR", "PA", "IS")):
            raise InputError(f"data: orientation is {orientation!r}; it is one letter of each pair L/R, P/A, I/S", "e.g. orientation=RAS")
        if min(batch_size, unlabelled_ratio) < 1 or num_workers < 0 or (n is not None and n < 1):
            raise InputError(
                f"data: batch_size {batch_size}, num_workers {num_workers}, n {n}, unlabelled_ratio {unlabelled_ratio}",
                "batch_size, n and unlabelled_ratio start at 1, num_workers at 0",
            )
        self.orientation = orientation
        self.spacing_mm = (
            (spacing_mm,) * 3 if isinstance(spacing_mm, int | float) else None if spacing_mm is None else tuple(map(float, spacing_mm))
        )
        if self.spacing_mm is not None and (len(self.spacing_mm) != 3 or min(self.spacing_mm) <= 0):
            raise InputError(f"data: spacing_mm is {spacing_mm}; it is one voxel size above 0, or three, in mm", "e.g. spacing_mm=2")
        self.intensity = intensity
        self.on_bad = on_bad
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.n = n
        self.augment = tuple(_built(item) for item in augment)
        self.unlabelled_ratio = unlabelled_ratio
        self.unlabelled_views: tuple[View, ...] = ()

    @property
    def axes(self) -> str:
        """Axis codes of the rows' space, such as RAS; empty where they are unknown."""
        return ""

    def read(self, files: Sequence[Path]) -> Volume:
        """One scan from its files.

        Raises:
            UnusableError: it cannot be used; says why.
        """
        return read_volume(files, orientation=self.orientation, spacing_mm=self.spacing_mm, intensity=self.intensity)

    def views(self, image: Image, fill: Image, spacing_mm: Sequence[float]) -> list[tuple[str, Image]]:
        """The rows that one image gives: a name (which slice; empty for the whole) and the array (C, space…) of each.

        Args:
            image: Oriented, resampled and normalised, (C, R, A, S) or (C, x, y).
            fill: What background is after normalisation, (C,).
            spacing_mm: Voxel size by axis.

        Raises:
            InputError: the image has no such view.
        """
        raise NotImplementedError

    def connect(
        self,
        targets: Sequence[Mapping[str, Any]],
        split: Mapping[str, Any],
        prepared: Mapping[str, Path],
        seed: int,
        unlabelled: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Give the module its stage: all other properties exist from here on.

        Args:
            targets: As in `stage.yaml`.
            split: As in `stage.yaml`: by data set; the default split for those that are absent.
            prepared: Folder of each prepared data set by name.
            seed: Of the order of training batches.
            unlabelled: {dataset, part} of images without targets; their labels, where they have any, are never read.

        Raises:
            InputError: a data set is not prepared, images of different data sets differ in shape, or a label or part does not exist.
        """
        self.targets = [dict(target) for target in targets]
        self._seed = seed
        names = dict.fromkeys(str(item["dataset"]) for item in (*targets, *unlabelled))
        self._data = {name: self._opened(name, prepared) for name in names}
        shapes = {name: self._shape(data) for name, data in self._data.items()}
        if len(set(shapes.values())) != 1:
            listed = "; ".join(f"{name}: {' x '.join(map(str, shape))}" for name, shape in shapes.items())
            raise InputError(
                f"data: the data sets of a stage differ in shape (channels first): {listed}",
                "give data a size, so that all are cropped to it",
            )
        self.input_shape = next(iter(shapes.values()))
        for augmentation in self.augment:
            if hasattr(augmentation, "connect"):
                augmentation.connect(self.axes)
        lengths = [len(data.participants) for data in self._data.values()]
        starts = dict(zip(self._data, np.concatenate([[0], np.cumsum(lengths)])[:-1].tolist(), strict=True))
        truth = {str(target["name"]): _missing(target, sum(lengths)) for target in targets}
        self._role = np.full(sum(lengths), -1, dtype=np.int8)
        self._unlabelled = np.full(sum(lengths), -1, dtype=np.int8)
        dropped = dict.fromkeys(truth, 0)
        for name, data in self._data.items():
            roles = assign(data.document["participants"], Split.read(split.get(name) or {}))
            rows_of: dict[str, list[int]] = {}
            for row in np.flatnonzero(self._usable(data)).tolist():
                rows_of.setdefault(data.participants[row], []).append(row)
            for part in dict.fromkeys(target["part"] for target in targets if target["dataset"] == name):
                mine = [target for target in targets if target["dataset"] == name and target["part"] == part]
                _known_part(name, part, split)
                values = {str(target["name"]): data.values(target) for target in mine}
                labelled = {target: {p for p, rows in rows_of.items() if _present(value[rows]).any()} for target, value in values.items()}
                among = set().union(*labelled.values())
                for index, role in enumerate(ROLES):
                    chosen = select(roles, part, role, self.n if role == "train" else None, among)
                    eligible = set(select(roles, part, role)) & rows_of.keys()
                    rows = np.array([row for participant in chosen for row in rows_of[participant]], dtype=np.int64)
                    self._role[starts[name] + rows] = index
                    for target, value in values.items():
                        truth[target][starts[name] + rows] = value[rows]
                        dropped[target] += len(eligible - labelled[target])
            for part in dict.fromkeys(item["part"] for item in unlabelled if item["dataset"] == name):
                _known_part(name, part, split)
                for index, role in enumerate(ROLES[:2]):
                    limit = self.n if role == "train" and not targets else None
                    chosen = select(roles, part, role, limit, set(rows_of))
                    rows = np.array([row for participant in chosen for row in rows_of[participant]], dtype=np.int64)
                    self._unlabelled[starts[name] + rows] = index
        if targets:
            self._role[~np.any([_present(values) for values in truth.values()], axis=0)] = -1
        else:
            self._role = self._unlabelled
        self._truth = truth
        several = len(self._data) > 1
        self._participants = [f"{name}:{item}" if several else item for name, data in self._data.items() for item in data.participants]
        self._sessions = [session for data in self._data.values() for session in data.sessions]
        self._volume_ml = np.concatenate([data.volume_ml for data in self._data.values()])
        counts: dict[str, int] = {role: len({self._participants[row] for row in self.rows(role)}) for role in ROLES}
        bad = sum(len(data.document["bad"]) + int((~self._usable(data)).sum()) for data in self._data.values())
        self.subjects: dict[str, Any] = {**counts, "dropped": dropped, "bad": bad}
        if targets and unlabelled:
            self.subjects["unlabelled"] = len({self._participants[row] for row in self.unlabelled_rows})

    @property
    def channels(self) -> int:
        """C of the images."""
        return self.input_shape[0]

    @property
    def spatial_dims(self) -> int:
        """1, 2 or 3."""
        return len(self.input_shape) - 1

    @property
    def train_statistics(self) -> dict[str, dict[str, Any]]:
        """Of the training rows, by target: `mean` and `sd` of numbers (natural units), `counts` by class of categories."""
        rows = self.rows("train")
        statistics: dict[str, dict[str, Any]] = {}
        for target in self.targets:
            values = self._truth[target["name"]][rows]
            values = values[_present(values)]
            if target["kind"] == "number":
                statistics[target["name"]] = {
                    "mean": float(np.mean(values, dtype=np.float64)),
                    "sd": float(np.std(values, dtype=np.float64)),
                }
            else:
                statistics[target["name"]] = {"counts": np.bincount(values, minlength=len(target["classes"])).tolist()}
        return statistics

    @property
    def volumes(self) -> dict[str, dict[str, Any]]:
        """For the head-size baseline, by role and one entry a participant's session: `volume_ml` (U,) and `truth` {target: (U,)}."""
        result: dict[str, dict[str, Any]] = {}
        for role in ROLES:
            first: dict[tuple[str, str], int] = {}
            for row in self.rows(role).tolist():
                first.setdefault((self._participants[row], self._sessions[row]), row)
            rows = np.array(list(first.values()), dtype=np.int64)
            result[role] = {"volume_ml": self._volume_ml[rows], "truth": {name: values[rows] for name, values in self._truth.items()}}
        return result

    def rows(self, role: RoleName) -> Rows:
        """The rows of a role, in order."""
        return np.flatnonzero(self._role == ROLES.index(role))

    def unit(self, rows: Iterable[int]) -> list[Unit]:
        """Participant, session and part (train, val or test) of rows, such as those in a batch's `row`."""
        return [Unit(self._participants[row], self._sessions[row], ROLES[self._role[row]]) for row in map(int, rows)]

    @property
    def unlabelled_rows(self) -> Rows:
        """The rows of images that train without labels, in order."""
        return np.flatnonzero(self._unlabelled == ROLES.index("train"))

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Shuffled batches, labelled and unlabelled images side by side where the stage has both.

        Raises:
            InputError: training, validation or test is left without participants.
        """
        self._demand(ROLES if self.targets else ROLES[:2])
        beside = self.unlabelled_rows if self.targets and (self._unlabelled >= 0).any() else None
        if beside is not None and not len(beside):
            raise InputError("data: no participant is left for training without labels", "give the unlabelled data set more participants")
        batches = Batches(self.rows("train"), self.batch_size, self._seed, train=True, unlabelled=beside, ratio=self.unlabelled_ratio)
        return self._loader(batches)

    def unlabelled_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches of the images that train without labels, in order."""
        return self._loader(Batches(self.unlabelled_rows, self.batch_size, self._seed, train=False))

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches of the validation rows in order; raises `InputError` where there is none."""
        self._demand(("val",))
        return self._loader(Batches(self.rows("val"), self.batch_size, self._seed, train=False))

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches of the test rows in order; raises `InputError` where there is none."""
        self._demand(("test",))
        return self._loader(Batches(self.rows("test"), self.batch_size, self._seed, train=False))

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Augment a batch on its device: labelled images in training, and the views that are asked for of unlabelled ones."""
        if self.trainer is None or not (self.trainer.training or self.trainer.validating):
            return batch
        if not self.targets:
            batch["views"] = self._seen(batch["image"])
        elif self.trainer.training:
            batch["image"] = self._augmented(batch["image"], "weak" if "weak" in self.unlabelled_views else "full")
            if "unlabelled" in batch:
                batch["unlabelled"]["views"] = self._seen(batch["unlabelled"]["image"])
        return batch

    def _seen(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._augmented(image, view) for view in self.unlabelled_views)

    def _augmented(self, image: Tensor, view: View) -> Tensor:
        for augmentation in self.augment if view != "plain" else ():
            if view == "full" or getattr(augmentation, "weak", False):
                image = augmentation(image)
        return image

    def _shape(self, data: Prepared) -> tuple[int, ...]:
        """(C, space…) of the batches that a prepared data set gives in training; must be equal for all data sets of a stage."""
        return data.shape

    def _usable(self, data: Prepared) -> NDArray[np.bool_]:
        """By row of a prepared data set, whether the stage can use it."""
        return np.ones(len(data.participants), dtype=np.bool_)

    def _loader(self, batches: Batches) -> DataLoader[dict[str, Any]]:
        targets = {name: torch.from_numpy(values) for name, values in self._truth.items()}
        arrays = [data.images for data in self._data.values()]
        dataset = ArrayDataset(arrays, [len(data.participants) for data in self._data.values()], targets)
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=batches,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_whole,  # type: ignore[arg-type]  # torch thinks of lists of items
        )

    def _demand(self, roles: Sequence[RoleName]) -> None:
        if empty := [role for role in roles if not self.subjects[role]]:
            counts = ", ".join(f"{role} {self.subjects[role]}" for role in ROLES)
            lost = ", ".join(f"{count} without {target}" for target, count in self.subjects["dropped"].items() if count)
            names = ", ".join(self._data)
            raise InputError(
                f"split of {names}: no participant is left for {' and '.join(empty)} ({counts}{'; dropped: ' + lost if lost else ''})",
                f"with so few participants, fix the sizes: split {next(iter(self._data))} into val COUNT, test COUNT",
            )

    def _opened(self, name: str, prepared: Mapping[str, Path]) -> Prepared:
        if name not in prepared:
            raise InputError(f"data: data set {name} is not prepared", f"prepared: {', '.join(prepared) or 'none'}")
        return read_prepared(Path(prepared[name]))


def _whole(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch is made as one: nothing is left to put together or to convert."""
    return batch


def _missing(target: Mapping[str, Any], rows: int) -> NDArray[Any]:
    return np.full(rows, np.nan, dtype=np.float32) if target["kind"] == "number" else np.full(rows, -1, dtype=np.int64)


def _present(values: NDArray[Any]) -> NDArray[np.bool_]:
    present: NDArray[np.bool_] = values >= 0 if values.dtype == np.int64 else ~np.isnan(values)
    return present


def _known_part(dataset: str, part: str | None, split: Mapping[str, Any]) -> None:
    names = [str(name) for name, _ in (split.get(dataset) or {}).get("parts") or ()]
    if part is not None and part not in names:
        raise InputError(f"split of {dataset}: there is no part '{part}'", f"parts: {', '.join(names) or 'none'}")


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"data: {name} {value!r} is unknown", f"known: {', '.join(known)}")


def _built(item: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    module, _, name = str(item["class_path"]).rpartition(".")
    built: Callable[[Tensor], Tensor] = getattr(importlib.import_module(module), name)(**item.get("init_args", {}))
    return built
