"""Semi-supervised terms: predictions of unlabelled images agree with a teacher's, or with the network's own where it is sure."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from tlimb.components.contracts import Network, Step, View
from tlimb.components.objectives.terms import AuxiliaryTerm, nothing, within
from tlimb.errors import InputError


class Consistency(AuxiliaryTerm):
    """Consistency of Mean Teacher (Tarvainen & Valpola 2017): the squared distance of the student's outputs to the teacher's.

    Mean over images (and classes) of (p_student - p_teacher)^2 with class probabilities p, or standardised numbers; summed over targets.
    The weight rises as exp(-5 (1 - t)^2), t from 0 to 1 over the first part of the training.

    Args:
        weight: Factor on the loss when it has risen.
        ramp: Share of the training over which the weight rises; 0 starts with the whole weight.
    """

    views: ClassVar[tuple[View, ...]] = ("full", "full")

    def __init__(self, weight: float = 1.0, ramp: float = 0.25) -> None:
        super().__init__()
        self.weight = within("meanteacher: weight", weight, 0)
        self.ramp = within("meanteacher: ramp", ramp, 0, 1)

    def forward(self, step: Step) -> Tensor:
        """The loss of the student's first view against the teacher's view."""
        if step.teacher is None or not step.unlabelled or not step.teacher.outputs:
            return nothing(next(step.network.parameters()).device)
        student, teacher = step.unlabelled[0].outputs, step.teacher.outputs
        losses = [F.mse_loss(_comparable(student[name]), _comparable(teacher[name]).detach()) for name in student]
        return self.weight * rise(step.progress, self.ramp) * torch.stack(losses).sum()


class PseudoLabels(AuxiliaryTerm):
    """Pseudo-labels of FixMatch (Sohn et al. 2020): what is sure of a weakly augmented image is the label of a strongly augmented one.

    Mean over all unlabelled images of 1[max p_weak >= threshold] * CE(full, argmax p_weak), no gradient through the weak view; summed
    over targets. For categories only.

    Args:
        threshold: The least probability at which a prediction becomes a label; above 1 none does.
        weight: Factor on the loss.
    """

    views: ClassVar[tuple[View, ...]] = ("weak", "full")

    def __init__(self, threshold: float = 0.95, weight: float = 1.0) -> None:
        super().__init__()
        self.threshold = within("fixmatch: threshold", threshold, 0)
        self.weight = within("fixmatch: weight", weight, 0)

    def connect(self, network: Network) -> None:
        """Refuse numbers.

        Raises:
            InputError: a target is a number, of which no prediction is ever sure.
        """
        if numbers := [name for name in network.heads if network.head(name).kind == "number"]:
            raise InputError(
                f"fixmatch needs categories, but {', '.join(numbers)} {'is a number' if len(numbers) == 1 else 'are numbers'}",
                "use meanteacher, which takes any target",
            )

    def forward(self, step: Step) -> Tensor:
        """The loss of the second view against labels from the first one."""
        if len(step.unlabelled) < 2 or not step.unlabelled[0].outputs:
            return nothing(next(step.network.parameters()).device)
        weak, full = (view.outputs for view in step.unlabelled[:2])
        losses = []
        for name, logits in full.items():
            sureness, label = weak[name].detach().float().softmax(dim=1).max(dim=1)
            losses.append((F.cross_entropy(logits.float(), label, reduction="none") * (sureness >= self.threshold)).mean())
        return self.weight * torch.stack(losses).sum()


def rise(progress: float, ramp: float) -> float:
    """exp(-5 (1 - t)^2) with t = progress / ramp, at most 1."""
    return math.exp(-5 * (1 - min(1.0, progress / ramp)) ** 2) if ramp else 1.0


def _comparable(output: Tensor) -> Tensor:
    """Logits (B, K) as probabilities, numbers (B,) as they are; float32."""
    return output.float().softmax(dim=1) if output.ndim == 2 else output.float()
