"""What stands around the epochs of a fit: the best weights, going on after an end by force, progress, history."""

import csv
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import Logger

from tlimb.components.contracts import Network
from tlimb.components.scenarios import Supervised
from tlimb.train.folder import write_atomic
from tlimb.train.network import save_network
from tlimb.train.randomness import reseed
from tlimb.train.stopping import Stop, StoppedError

FORMAT = 1
CHECKPOINT = "last.ckpt"
Event = Callable[[dict[str, Any]], None]


def best_file(folder: Path, epoch: int) -> Path:
    """The weights of the best epoch, from 0, in a folder of work."""
    return folder / f"best-{epoch}.safetensors"


class Selection(Callback):
    """Keeps the weights of the best epoch and ends training when patience is over or the scenario gives up.

    Attributes:
        best: The best monitored value; NaN where none was a number.
        epoch: Its epoch, from 0.
        stopped: The epoch, from 0, after which the scenario gave up; None where it did not.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self.best = math.nan
        self.epoch = -1
        self.waited = 0
        self.stopped: int | None = None
        self.saved_epoch = -1
        """The best epoch that the checkpoint on disk refers to: its weights are kept too."""
        self._folder = folder
        self._description = description

    @property
    def file(self) -> Path:
        """The best weights."""
        return best_file(self._folder, self.epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare this epoch; a value that is no number is only better than none, so the last one wins there."""
        module = cast(Supervised, pl_module)
        value = module.metrics.get(module.monitor)
        value = math.nan if value is None else value
        better = value < self.best if module.mode == "min" else value > self.best
        if better or math.isnan(self.best):
            self.waited = 0 if math.isfinite(value) else self.waited + 1
            self.best, self.epoch = value, trainer.current_epoch
            if trainer.is_global_zero:
                self.keep(module.learned)
        else:
            self.waited += 1
        if self.stopped is None and module.gives_up(trainer.current_epoch + 1, self.best):
            self.stopped = trainer.current_epoch
        if self.stopped is not None or (module.patience is not None and self.waited >= module.patience):
            trainer.should_stop = True

    def keep(self, network: Network) -> None:
        """Write weights as those of the chosen epoch."""
        save_network(network, self.file, self._description)
        self.tidy()

    def tidy(self) -> None:
        """Remove the weights that neither the present state nor the checkpoint refers to."""
        kept = {self.file, best_file(self._folder, self.saved_epoch)}
        for file in self._folder.glob("best-*.safetensors"):
            if file not in kept:
                file.unlink()

    def state_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {"best": self.best, "epoch": self.epoch, "waited": self.waited, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.best, self.epoch, self.waited = state_dict["best"], state_dict["epoch"], state_dict["waited"]
        self.stopped = state_dict.get("stopped")
        self.saved_epoch = self.epoch


class Continuation(Callback):
    """Saves the state between two epochs and goes on from it, with the same result as if nothing had happened.

    Lightning's own way back into its loops runs differently after an epoch's end than in an uninterrupted fit (schedules, iterators), so
    the state is taken at the start of an epoch, when all of the epoch before is done, and put back before the first epoch.

    Args:
        folder: Where `last.ckpt` lies.
        digest: Of the stage.
        seed: Of the stage.
        rank: Of this process among those that train together: each draws random numbers of its own, only the first one saves.
        stop: Whether one should end.
        selection: Whose state belongs to it.
        every_s: Time between two checkpoints; 0 saves after every epoch.
    """

    def __init__(self, folder: Path, *, digest: str, seed: int, rank: int, stop: Stop, selection: Selection, every_s: float) -> None:
        self.resumed_from: int | None = None
        self._file = folder / CHECKPOINT
        self._digest = digest
        self._seed = seed
        self._rank = rank
        self._stop = stop
        self._selection = selection
        self._every_s = every_s
        self._saved_at = time.monotonic()
        self._safe_epoch = 0
        self._state = self._read()

    @property
    def start(self) -> int:
        """The epoch to begin with, from 0."""
        return int(self._state["epoch"]) if self._state else 0

    def _read(self) -> dict[str, Any] | None:
        if not self._file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
            if state["format"] > FORMAT or state["digest"] != self._digest:
                raise ValueError("it belongs to another stage or a newer version")
            best = best_file(self._file.parent, state["selection"]["epoch"])
            if not best.exists():
                raise ValueError(f"{best.name} is absent")
        except Exception as error:  # a damaged file fails in as many ways as there are readers
            print(f"{CHECKPOINT} cannot be used, training starts afresh: {error}")
            self._file.unlink(missing_ok=True)
            return None
        return state

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the state back: optimizers exist, no loop has begun."""
        state, self._state = self._state, None
        if state is None:
            return
        epoch, steps = state["epoch"], state["steps"]
        pl_module.load_state_dict(state["module"])
        for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for config, saved in zip(trainer.lr_scheduler_configs, state["schedules"], strict=True):
            config.scheduler.load_state_dict(saved)
        trainer.precision_plugin.load_state_dict(state["precision"])
        self._selection.load_state_dict(state["selection"])
        loop = trainer.fit_loop
        for progress in (loop.epoch_progress.current, loop.epoch_progress.total):
            progress.ready = progress.started = progress.processed = progress.completed = epoch  # type: ignore[attr-defined]
        step = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        step.ready = step.completed = steps
        loop.epoch_loop._batches_that_stepped = steps
        self._safe_epoch = self.resumed_from = epoch
        print(f"going on after epoch {epoch}", flush=True)  # also where the process is ended by force

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has just set handlers of its own."""
        self._stop.install()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save when it is time to, or when one has to end."""
        epoch = trainer.current_epoch
        if self._rank == 0 and epoch > self._safe_epoch and (self._stop.requested or time.monotonic() - self._saved_at >= self._every_s):
            self._save(trainer, pl_module)
        self._end_if_safe(epoch)
        reseed(self._seed, "epoch", epoch, *(("rank", self._rank) if self._rank else ()))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End in the middle of an epoch only where the one before is saved; other epochs are short."""
        self._end_if_safe(trainer.current_epoch)

    def _end_if_safe(self, epoch: int) -> None:
        if self._stop.requested and epoch == self._safe_epoch:
            raise StoppedError

    def _save(self, trainer: Trainer, module: LightningModule) -> None:
        state = {
            "format": FORMAT,
            "digest": self._digest,
            "epoch": trainer.current_epoch,
            "steps": trainer.global_step,
            "module": module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
            "precision": trainer.precision_plugin.state_dict(),
            "selection": self._selection.state_dict(),
        }
        temporary = self._file.with_name(f".{self._file.name}")
        torch.save(state, temporary)
        os.replace(temporary, self._file)
        self._selection.saved_epoch = self._selection.epoch
        self._selection.tidy()
        self._safe_epoch = trainer.current_epoch
        self._saved_at = time.monotonic()


class Clock(Callback):
    """Counts the time in training and evaluation steps; what a stage takes beside it is loading, starting and writing.

    Attributes:
        steps_s: Wall time so far; on a GPU, which works behind, as long as the process waits for it.
    """

    def __init__(self) -> None:
        self.steps_s = 0.0
        self._started = 0.0

    def _begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter()

    def _end(self, *_: Any, **__: Any) -> None:
        self.steps_s += time.perf_counter() - self._started

    on_train_batch_start = on_validation_batch_start = on_test_batch_start = _begin
    on_train_batch_end = on_validation_batch_end = on_test_batch_end = _end


class Progress(Callback):
    """Tells of each epoch."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After validation."""
        metrics = cast(Supervised, pl_module).metrics
        self._event({"event": "epoch", "epoch": trainer.current_epoch + 1, "epochs": trainer.max_epochs, "metrics": dict(metrics)})


class HistoryLogger(Logger):
    """`history.csv`: a row per epoch, from 1, whole at every moment.

    Args:
        file: Rows of an interrupted fit are kept up to where it goes on.
        start: The epoch to begin with, from 0.
    """

    def __init__(self, file: Path, start: int = 0) -> None:
        super().__init__()
        self._file = file
        self._rows: dict[int, dict[str, str]] = {}
        if start and file.exists():
            with file.open(encoding="utf-8", newline="") as stream:
                rows = {int(row["epoch"]): dict(row) for row in csv.DictReader(stream)}
            self._rows = {epoch: row for epoch, row in rows.items() if epoch <= start}

    @property
    def name(self) -> str:
        """The file's."""
        return self._file.name

    @property
    def version(self) -> int:
        """There is one."""
        return 0

    @property
    def epochs(self) -> int:
        """The last epoch."""
        return max(self._rows, default=0)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """They stand in `stage.yaml`."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add to the row of the metrics' epoch."""
        epoch = int(metrics["epoch"]) + 1
        row = self._rows.setdefault(epoch, {"epoch": str(epoch)})
        row |= {name: "" if math.isnan(value) else f"{value:.7g}" for name, value in metrics.items() if name != "epoch"}
        columns = list(dict.fromkeys(["epoch", "lr", "train.loss", "val.loss", *(name for row in self._rows.values() for name in row)]))
        lines = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in self._rows.values())]
        write_atomic(self._file, "\n".join(lines) + "\n")
