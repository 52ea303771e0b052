"""How long stages take: a few steps of each, on this machine, before anything is trained.

One JSON object on standard input::

    {"stages": [CONFIG], "measure": [DIGEST], "store": DIR, "datasets": FILE, "threads": N}

`stages` are those to be measured and what they need, parents first. The answers are JSON lines: first ``{"event": "ready", "cpu_s": S}``
when all is imported, then for each stage that is measured ``{"event": "measured", "digest", …}`` with

- fit: `setup_s` before the first step, `step_s` a training step, `validate_s` a batch of evaluation, `epoch_s` an epoch beside its
  batches, `finish_s` after the last epoch beside its batches, `batches` {train, val, test}, `cpu_per_s` CPU seconds in a second,
  `bytes` of its result, `gpu_memory_mb` where it is on a GPU;
- evaluate: the same without steps and epochs;
- prepare: `scan_s` a scan in one thread, `scans`, `bytes`;

or ``{"event": "failed", "digest", "message"}``: the stage would fail.

Data that are not prepared are stood in for by a few of their images; all roles and labels are the true ones.
"""

import csv
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from tlimb.catalogue.datasets import Datasets, find_datasets
from tlimb.catalogue.listing import Dataset, Listing
from tlimb.components.data.demo import generate
from tlimb.components.data.preparation import prepare
from tlimb.seal import damage
from tlimb.train.config import Config, arguments_of, component_class
from tlimb.train.fit import evaluate, fit
from tlimb.train.job import Job
from tlimb.train.randomness import reseed
from tlimb.train.stopping import Stop
from tlimb.train.training import quieten
from tlimb.train.weights import adopt

SCANS = 4
"""Images that stand for those of a data set."""

EPOCHS = 2
"""The first one warms up."""

FEW, MORE = 3, 16
"""Steps and batches of an epoch; more where they are so short that a few say little."""

SHORT_S = 0.2


@dataclass(slots=True)
class Probe:
    """A run of the child process.

    Attributes:
        folder: Of work.
        store: Finished stages, which are used as they are.
        datasets: The catalogue.
        threads: Of a stage.
        made: The folder of each stage that others need, by digest.
    """

    folder: Path
    store: Path
    datasets: Datasets
    threads: int
    made: dict[str, Path]

    def place(self, config: Config) -> Path:
        """A folder of work."""
        return Path(tempfile.mkdtemp(prefix=f"{config['digest']}-", dir=self.folder))

    def job(self, config: Config, partial: Path, *callbacks: Callback) -> Job:
        """A stage whose parents are those that were made for it."""
        return Job(config, partial, self.made, lambda: self.datasets, Stop(), lambda event: None, self.threads, callbacks=callbacks)


def answer(questions: IO[str], answers: IO[str], ready: Mapping[str, float]) -> None:
    """Measure what is asked for; what stages print goes nowhere."""
    asked = json.load(questions)

    def tell(event: str, **facts: Any) -> None:
        answers.write(json.dumps({"event": event, **facts}) + "\n")
        answers.flush()

    tell("ready", **ready)
    quieten()
    torch.set_num_threads(asked["threads"])
    measured = set(asked["measure"])
    with tempfile.TemporaryDirectory(prefix="tlimb-probe-") as name, Path(os.devnull).open("w") as nowhere:
        found = find_datasets(explicit=Path(asked["datasets"]))
        probe = Probe(Path(name), Path(asked["store"]), found, asked["threads"], {})
        for config in asked["stages"]:
            try:
                with redirect_stdout(nowhere), redirect_stderr(nowhere):
                    timing = _KINDS[config["kind"]](probe, config, config["digest"] in measured)
            except Exception as error:
                tell("failed", digest=config["digest"], message=str(error) or type(error).__name__)
            else:
                if timing:
                    tell("measured", digest=config["digest"], **timing)


def _finished(probe: Probe, config: Config) -> Path | None:
    folder = probe.store / str(config["digest"])
    return folder if folder.is_dir() and not damage(folder, str(config["digest"])) else None


class Watch(Callback):
    """Notes when things happen in a fit, on a GPU when they are really over."""

    def __init__(self) -> None:
        self.first = self.first_end = self.ended = 0.0
        self.steps: list[float] = []
        self.validations: list[float] = []
        self.epochs: list[float] = []
        self._epoch = self._step = self._validation = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch = self._step = _now(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.first = self.first or _now(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = _now(trainer)
        self.first_end = self.first_end or now
        self.steps.append(now - self._step)
        self._step = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation = _now(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        now = _now(trainer)
        self.validations.append(now - self._validation)
        self._validation = now

    on_test_start, on_test_batch_end = on_validation_start, on_validation_batch_end

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append(_now(trainer) - self._epoch)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ended = _now(trainer)


def _now(trainer: Trainer) -> float:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize(trainer.strategy.root_device)
    return time.monotonic()


def _fit(probe: Probe, config: Config, measured: bool) -> dict[str, Any]:
    """A short training; where only its weights are needed, none at all."""
    if not measured:
        finished = _finished(probe, config)
        probe.made[config["digest"]] = finished or probe.place(config)
        if finished is None:
            fit(probe.job(_short(config, epochs=0, batches=1), probe.made[config["digest"]]))
        return {}
    timing = _fitted(probe, config, FEW)
    return _fitted(probe, config, MORE) if timing["step_s"] < SHORT_S else timing


def _fitted(probe: Probe, config: Config, batches: int) -> dict[str, Any]:
    watch, partial, began, cpu = Watch(), probe.place(config), time.monotonic(), time.process_time()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    job = probe.job(_short(config, epochs=EPOCHS, batches=batches), partial, watch)
    fit(job)
    total, cpu = time.monotonic() - began, time.process_time() - cpu
    probe.made[config["digest"]] = partial
    count = {part: min(batches, size) for part, size in _batches(job).items()}
    steps = watch.steps[1 : count["train"]] + watch.steps[count["train"] + 1 :] or watch.steps
    step_s, validate_s = statistics.median(steps), statistics.median(watch.validations)
    tested = (count["val"] + count["test"]) * validate_s
    return {
        "setup_s": watch.first - began + max(0.0, watch.first_end - watch.first - step_s),
        "step_s": step_s,
        "validate_s": validate_s,
        "epoch_s": max(0.0, watch.epochs[-1] - count["train"] * step_s - count["val"] * validate_s),
        "finish_s": max(0.0, began + total - watch.ended - tested),
        **_common(job, total, cpu),
    }


def _evaluate(probe: Probe, config: Config, measured: bool) -> dict[str, Any]:
    """A test of a few batches; none where that is not asked for, since nothing needs it."""
    if not measured:
        return {}
    watch, began, cpu = Watch(), time.monotonic(), time.process_time()
    job = probe.job(_short(config, epochs=None, batches=MORE), probe.place(config), watch)
    evaluate(job)
    total, cpu = time.monotonic() - began, time.process_time() - cpu
    validate_s = statistics.median(watch.validations)
    return {"finish_s": max(0.0, total - len(watch.validations) * validate_s), "validate_s": validate_s, **_common(job, total, cpu)}


def _common(job: Job, total: float, cpu: float) -> dict[str, Any]:
    on_gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
    return {
        "batches": _batches(job),
        "cpu_per_s": cpu / total,
        "bytes": sum(file.stat().st_size for file in job.partial.iterdir() if file.is_file()),
        **({"gpu_memory_mb": round(torch.cuda.max_memory_reserved() / 2**20)} if on_gpu else {}),
    }


def _batches(job: Job) -> dict[str, int]:
    """Batches of each part, in full."""
    from tlimb.train.assembly import connected

    module = connected(job, job.config["targets"])
    loaders: dict[str, Callable[[], Any]] = {"val": module.val_dataloader, "test": module.test_dataloader}
    if job.config["kind"] == "fit":
        loaders["train"] = module.train_dataloader
    return {part: len(loader()) if module.subjects[part] else 0 for part, loader in loaders.items()}


def _short(config: Config, *, epochs: int | None, batches: int) -> Config:
    """The stage with a few batches of everything, on one device."""
    arguments = {name: value for name, value in arguments_of(config["trainer"]).items() if name not in _NOT_IN_SHORT}
    limits = {f"limit_{part}_batches": batches for part in ("train", "val", "test")}
    given = {"max_epochs": epochs} if epochs is not None else {}
    return {**config, "trainer": {**config["trainer"], "init_args": {**arguments, **limits, **given}}}


_NOT_IN_SHORT = (
    "max_steps",
    "min_steps",
    "min_epochs",
    "max_time",
    "check_val_every_n_epoch",
    "val_check_interval",
    "devices",
    "strategy",
    "logger",
)


def _prepare(probe: Probe, config: Config, measured: bool) -> dict[str, Any]:
    """The finished array, or one of the right size that holds a few images; the rest of the file takes no room on the disk."""
    finished = _finished(probe, config)
    if finished is not None:
        probe.made[config["digest"]] = finished
        if not measured:
            return {}
    dataset, partial = probe.datasets[config["dataset"]["name"]], probe.place(config)
    if dataset.format == "demo":
        generate(dataset.root, dataset.options)
    listing = dataset.listing()
    few = _Few(dataset, replace(listing, scans=listing.scans[:SCANS], problems=()))
    began = time.monotonic()
    document = prepare(
        few,  # type: ignore[arg-type]
        partial,
        module_class=component_class("data", config["data"]),
        arguments={**arguments_of(config["data"]), "on_bad": "skip"},
    )
    scan_s = (time.monotonic() - began) / len(few.listing().scans)
    size = _filled_up(partial, document, listing)
    probe.made.setdefault(config["digest"], partial)
    return {"scan_s": scan_s, "scans": len(listing.scans), "bytes": size} if measured else {}


@dataclass(frozen=True, slots=True)
class _Few:
    """A data set with less in it."""

    whole: Dataset
    scans: Listing

    def listing(self) -> Listing:
        return self.scans

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


def _filled_up(folder: Path, document: dict[str, Any], listing: Listing) -> int:
    """Give a prepared sample the index of the whole data set, and room for its images; returns the bytes that these have."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    sample = {row[1]: [other for other in rows if other[1] == row[1]] for row in rows}
    views = next(iter(sample.values()))[: max(1, len(rows) // max(1, len(sample)))]
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as file:
        index = csv.writer(file, lineterminator="\n")
        index.writerow(header)
        count = 0
        for scan in listing.scans:
            for view in views:
                cells = ["" if value is None else value for value in scan.labels.values()]
                index.writerow([count, scan.participant_id, scan.session, view[3], scan.group, scan.site or "", view[6], *cells])
                count += 1
    images = np.load(folder / "images.npy", mmap_mode="r")
    frames = document.get("frames")
    shape = (images.shape[0] * count // len(rows), *images.shape[1:]) if frames else (count, *images.shape[1:])
    if frames:
        document["frames"] = [shape[0] // count] * (count - 1) + [shape[0] - shape[0] // count * (count - 1)]
        document["shape"] = [max(document["frames"])]
    with (folder / "images.npy").open("r+b") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        size = stream.tell() + 4 * int(np.prod(shape))
        stream.truncate(size)
    document["participants"] = listing.groups
    (folder / "prepared.json").write_text(json.dumps(document), encoding="utf-8")
    return size


def _weights(probe: Probe, config: Config, measured: bool) -> dict[str, Any]:
    """A file of weights is read as it is."""
    partial, began, cpu = probe.place(config), time.monotonic(), time.process_time()
    reseed(config["seed"], "probe")
    job = probe.job(config, partial)
    adopt(job)
    probe.made[config["digest"]] = partial
    total = time.monotonic() - began
    return (
        {"finish_s": total, "validate_s": 0.0, "batches": {}, "cpu_per_s": (time.process_time() - cpu) / total, "bytes": 0}
        if measured
        else {}
    )


_KINDS: dict[str, Callable[[Probe, Config, bool], dict[str, Any]]] = {
    "prepare": _prepare,
    "weights": _weights,
    "fit": _fit,
    "evaluate": _evaluate,
}
