"""`Supervised`: learn labelled targets with whatever network and objective."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn

from tlimb.catalogue.metrics import METRICS
from tlimb.catalogue.tables import did_you_mean
from tlimb.components.contracts import Batch, Network, Objective, Pass, Step, Term, View
from tlimb.components.scenarios.evaluation import metric_choices
from tlimb.components.scenarios.freezing import phases
from tlimb.components.scenarios.gathering import Share, gathered_batches, gathered_step, processes
from tlimb.components.scenarios.inference import Inference, UnitsOf
from tlimb.components.scenarios.optimization import build_optimizer, build_schedule, learning_rates
from tlimb.errors import InputError, TlimbError

_OPTIMIZER = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}


class Supervised(Inference):
    """Supervised training from the start weights of the network, which are random or a parent's.

    Args:
        network: Encoder and heads.
        objective: Of the heads' outputs and a batch; None where there is nothing but terms to learn from.
        unit: Whom rows belong to.
        terms: Auxiliary terms of the loss by name, connected.
        monitor: The validation metric by which the best epoch is chosen and training stops early: val.METRIC, val.TARGET.METRIC or
            val.loss.
        optimizer: {class_path, init_args}; biases and norms get no weight decay.
        schedule: {class_path, init_args} of a learning rate schedule; none keeps the rate.
        freeze: The layer up to which the encoder is frozen: it and all after it train. none freezes nothing, all trains only the heads.
        freeze_only: Freeze that layer alone.
        unfreeze: {layer, epoch, lr}: that layer and all after it train from that epoch on (counted from 1), what is freed with its own
            learning rate where one is given.
        gradual: Free one more of the encoder's outermost layers, the last one first, each time that many epochs are over.
        encoder_lr: Factor on the learning rate of the encoder.
        layer_decay: Factor on the learning rate of each of the encoder's outermost layers, beside that of the layer after it; the heads
            have the whole rate.
        patience: Stop after that many epochs without a better monitored value; none trains all epochs.
        give_up: {epoch: value}: stop after the validation of an epoch, counted from 1, if the best monitored value so far is worse than
            the value named for it, or is no number. A search gives it to trials that it compares with others.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective | None,
        unit: UnitsOf,
        *,
        terms: Mapping[str, Term] | None = None,
        monitor: str = "val.loss",
        optimizer: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        freeze: str | None = None,
        freeze_only: bool = False,
        unfreeze: Mapping[str, Any] | None = None,
        gradual: int | None = None,
        encoder_lr: float = 1.0,
        layer_decay: float = 1.0,
        patience: int | None = None,
        give_up: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(network, unit)
        if monitor not in (choices := metric_choices(network)):
            raise InputError(f"scenario.monitor: this stage has no '{monitor}'", did_you_mean(monitor, choices))
        if patience is not None and patience < 1:
            raise InputError(f"scenario.patience is {patience}; it is from 1 on", "leave it out to train all epochs")
        for name, factor in (("encoder_lr", encoder_lr), ("layer_decay", layer_decay)):
            if not 0 < factor < math.inf:
                raise InputError(f"scenario.{name}: {factor} is out of range", "it is above 0; freeze keeps layers as they are")
        self.objective = objective
        self.terms = nn.ModuleDict(cast(Mapping[str, nn.Module], terms or {}))
        self.monitor = monitor
        self.mode = "min" if monitor == "val.loss" else METRICS[monitor.rsplit(".", 1)[-1]].direction
        self.patience = patience
        self._give_up = _limits(give_up or {})
        self._optimizer = optimizer or _OPTIMIZER
        self._schedule = schedule
        self._factors = {"encoder_lr": float(encoder_lr), "layer_decay": float(layer_decay)}
        self._unfreeze = unfreeze
        self._phases = phases(network, freeze, freeze_only, unfreeze=unfreeze, gradual=gradual)
        # What the architecture itself keeps from training stays so.
        self._held = tuple(parameter for parameter in self._phases[0].frozen.parameters if parameter.requires_grad)
        self._freeze(1)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(f"freeze: {freeze} leaves nothing to train", "freeze less")
        self._loss = torch.zeros(())
        self._rows = 0
        self._rate = 0.0
        self._steps = 0

    @property
    def learned(self) -> Network:
        """The network whose validation counts and whose weights are kept."""
        return self.network

    @property
    def views(self) -> tuple[View, ...]:
        """The views of unlabelled images that the terms need."""
        return max((cast(Term, term).views for term in self.terms.values()), key=len, default=())

    def gives_up(self, epoch: int, best: float) -> bool:
        """Whether training is hopeless after an epoch.

        Args:
            epoch: Counted from 1.
            best: The best monitored value so far; NaN where none was a number, which is worse than any.
        """
        limit = self._give_up.get(epoch)
        return limit is not None and not (best <= limit if self.mode == "min" else best >= limit)

    def finish(self, network: Network, unlabelled: Callable[[], Any]) -> bool:
        """What is done with the chosen network when training is over.

        Args:
            network: With the weights of the best epoch.
            unlabelled: Makes a loader of the images without labels that are for training.

        Returns:
            Whether the network was changed.
        """
        return False

    def setup(self, stage: str) -> None:
        """Gradients are averaged over processes for those parameters only that train when the processes are connected."""
        if stage == "fit" and processes() > 1:
            for parameter in self._freed():
                parameter.requires_grad_(True)

    def configure_optimizers(self) -> Any:
        """Optimizer and, where there is one, schedule of all parameters that train at some time.

        Raises:
            InputError: what is to be freed would never be.
        """
        self._freeze(1)
        trainable = nn.ModuleList([self.network, *([self.objective] if isinstance(self.objective, nn.Module) else []), self.terms])
        rates = learning_rates(self._optimizer, self.network, **self._factors)
        later = self._freed()
        if self._unfreeze and self._unfreeze.get("lr") is not None:
            rates |= dict.fromkeys(later, float(self._unfreeze["lr"]))
        optimizer = build_optimizer(self._optimizer, trainable, rates=rates, later=later)
        if not self._schedule:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        epochs = self.trainer.max_epochs or 1
        schedule = build_schedule(self._schedule, optimizer, epochs=epochs, steps=steps, monitor=self.monitor, mode=self.mode)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _freed(self) -> tuple[nn.Parameter, ...]:
        """What is frozen at first and trains in the end."""
        if len(self._phases) == 1:
            return ()
        last = self.trainer.max_epochs
        reached = [phase for phase in self._phases if last is None or last < 0 or phase.epoch <= last]
        if len(reached) == 1:
            raise InputError(
                f"unfreeze at epoch {self._phases[1].epoch}: this stage has {last} epochs",
                f"free layers earlier, or train longer: epochs={self._phases[1].epoch + 1}",
            )
        still = set(reached[-1].frozen.parameters)
        return tuple(parameter for parameter in self._held if parameter not in still)

    def _freeze(self, epoch: int) -> None:
        """Freeze what is frozen in an epoch, counted from 1, and let all else train."""
        self._frozen = [phase for phase in self._phases if phase.epoch <= epoch][-1].frozen
        frozen = set(self._frozen.parameters)
        for parameter in self._held:
            parameter.requires_grad_(parameter not in frozen)
            if parameter in frozen:
                parameter.grad = None  # an optimizer moves what has a gradient, even one of 0

    def train(self, mode: bool = True) -> "Supervised":
        """Training mode for all but the frozen modules."""
        super().train(mode)
        for module in self._frozen.modules:
            module.eval()
        return self

    def on_fit_start(self) -> None:
        """Lightning does not call `train` when a fit starts."""
        self.train()
        self._steps = int(self.trainer.estimated_stepping_batches) if self.terms else 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch: that of the objective and all terms; of the batches of all processes where there are several."""
        step, share = self.observe(batch), 1.0
        if processes() > 1:
            step, batch, share = gathered_step(step, batch)
        terms = [term(step) * share if share != 1 and cast(Term, term).encodes else term(step) for term in self.terms.values()]
        loss = torch.stack([*self._primary(step, batch), *terms]).sum()
        self._count(loss, batch)
        return loss

    def observe(self, batch: Batch) -> Step:
        """Run the network on a batch."""
        return self._seen(batch, self.pass_of(batch["image"]), ())

    def pass_of(self, image: Tensor) -> Pass:
        """Features and outputs of images."""
        features = self.network.get_submodule("encoder")(image)
        return Pass(image, features, self.network.read(features))

    def _seen(self, batch: Batch, labelled: Pass | None, unlabelled: tuple[Pass, ...], teacher: Pass | None = None) -> Step:
        targets = {name: self.network.head(name).encode(batch["targets"][name]) for name in self.network.heads}
        progress = min(1.0, self.trainer.global_step / self._steps) if self._steps else 0.0
        return Step(self.network, labelled, targets, unlabelled, teacher, progress)

    def _primary(self, step: Step, batch: Batch) -> list[Tensor]:
        if self.objective is None or step.labelled is None:
            return []
        return [self.objective(step.labelled.outputs, cast(Batch, {**batch, "targets": step.targets}))]

    def on_train_epoch_start(self) -> None:
        """Free what trains from this epoch on; start the mean loss of the epoch, and remember its learning rate.

        A schedule changes the rate before the epoch's end is logged.
        """
        self._freeze(self.current_epoch + 1)
        self.train()
        self._clear()
        self._rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self) -> None:
        """Log mean loss and learning rate; a loss that is no number ends the stage, since all that follows would be none either.

        Raises:
            TlimbError: the loss is not finite.
        """
        loss = self._mean_loss()
        if not loss.isfinite():
            raise TlimbError(
                f"the training loss became {float(loss)} in epoch {self.current_epoch + 1}",
                f"try a smaller scenario.optimizer.lr (it is {self._rate:g}) or trainer.gradient_clip_val=1",
            )
        self.log_dict({"lr": self._rate, "train.loss": loss})

    def on_validation_epoch_start(self) -> None:
        """Start collecting; the training loss so far is kept beside."""
        self._training = (self._loss, self._rows)
        self._shares: list[Share] = []
        self._clear()
        self.on_test_epoch_start()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the loss of the objective, without terms, and predictions."""
        outputs = self.learned(batch["image"])
        targets = {name: self.network.head(name).encode(batch["targets"][name]) for name in outputs}
        if processes() > 1:
            self._shares.append((batch["row"], outputs, targets))
        else:
            self._validate(outputs, cast(Batch, {**batch, "targets": targets}))
        self.collect(batch, outputs)

    def _validate(self, outputs: Mapping[str, Tensor], batch: Batch) -> None:
        assert self.objective is not None
        self._count(self.objective(outputs, batch), batch)

    def on_validation_epoch_end(self) -> None:
        """Metrics over the whole epoch."""
        for row, outputs, targets in gathered_batches(self._shares) if self._shares else ():
            self._validate(outputs, cast(Batch, {"row": row, "targets": targets}))
        loss = float(self._mean_loss())
        self.evaluate("val")
        self.metrics = {"val.loss": loss, **self.metrics}
        self.log_dict({name: torch.tensor(float("nan") if value is None else value) for name, value in self.metrics.items()})
        self._loss, self._rows = self._training

    def _count(self, loss: Tensor, batch: Batch) -> None:
        rows = len(batch["row"])
        self._loss = self._loss.to(loss.device) + loss.detach().float() * rows
        self._rows += rows

    def _clear(self) -> None:
        self._loss, self._rows = torch.zeros(()), 0

    def _mean_loss(self) -> Tensor:
        """Of the rows of all processes."""
        loss, rows = self._loss.cpu(), self._rows
        if processes() > 1:
            sums = torch.tensor([float(loss), rows], dtype=torch.float64, device=self.device)
            distributed.all_reduce(sums)
            loss, rows = sums[0].float().cpu(), int(sums[1])
        return loss / max(1, rows)


def _limits(given: Mapping[int, float]) -> dict[int, float]:
    try:
        limits = {int(epoch): float(value) for epoch, value in given.items()}
    except (AttributeError, TypeError, ValueError):
        limits = {0: math.nan}
    if any(epoch < 1 or math.isnan(value) for epoch, value in limits.items()):
        raise InputError(f"scenario.give_up: {given!r} is not {{epoch: value}}", "epochs count from 1, e.g. {3: 0.6}")
    return limits
