"""`MeanTeacher`: a teacher that is the average of the student's past."""

from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tlimb.components.contracts import Batch, Network, Objective, Pass, Step
from tlimb.components.scenarios.inference import UnitsOf
from tlimb.components.scenarios.joint import Joint
from tlimb.errors import InputError


class MeanTeacher(Joint):
    """Mean Teacher (Tarvainen & Valpola 2017): the student agrees with a teacher whose weights are a moving average of its own.

    After each step teacher = decay * teacher + (1 - decay) * student; running statistics are copied. The teacher is in eval mode, it is
    what is validated and kept.

    Args:
        decay: Share of its weights that the teacher keeps in each step, 0 to 1.
    """

    def __init__(self, network: Network, objective: Objective | None, unit: UnitsOf, *, decay: float = 0.99, **arguments: Any) -> None:
        super().__init__(network, objective, unit, **arguments)
        if not 0 <= decay <= 1:
            raise InputError(f"scenario.decay: {decay} is out of range", "decay is from 0 (the student itself) to 1 (a constant teacher)")
        self.teacher = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
        self.teacher.requires_grad_(False).eval()
        # Its first update would copy the student after a step; the teacher starts from the student's start instead.
        self.teacher.n_averaged.fill_(1)
        self._updated = 0

    @property
    def learned(self) -> Network:
        """The teacher."""
        return cast(Network, self.teacher.module)

    def train(self, mode: bool = True) -> "MeanTeacher":
        """The teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def observe(self, batch: Batch) -> Step:
        """Student and teacher on the same unlabelled images, each on a view of its own."""
        step = super().observe(batch)
        last = step.unlabelled[-1].image
        with torch.no_grad():
            features = self.learned.get_submodule("encoder")(last)
            teacher = Pass(last, features, self.learned.read(features))
        return Step(step.network, step.labelled, step.targets, step.unlabelled, teacher, step.progress)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Remember whether a step follows: with accumulated gradients several batches make one."""
        self._updated = self.trainer.global_step

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Move the teacher."""
        if self.trainer.global_step > self._updated:
            self.teacher.update_parameters(self.network)
