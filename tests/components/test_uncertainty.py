"""Learned weights of several targets, and soft labels, against formulas written out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tlimb.components.objectives import MultitaskObjective, RegressionObjective, UncertaintyObjective
from tlimb.components.scenarios.optimization import build_optimizer
from tlimb.errors import InputError

NAN = math.nan
OUTPUTS = {"age": torch.tensor([1.0, 5.0, 3.0]), "sex": torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.5, 0.5]])}
TARGETS = {"age": [0.0, NAN, 1.0], "sex": [1, 0, -1]}


def batch(**targets: Any) -> Any:
    return {"targets": {name: torch.as_tensor(values) for name, values in targets.items()}}


def uncertain(age: float = 0.0, sex: float = 0.0, **arguments: Any) -> UncertaintyObjective:
    objective = UncertaintyObjective({"age": 1.0, "sex": 1.0}, **arguments)
    with torch.no_grad():
        objective.log_variance.copy_(torch.tensor([age, sex]))
    return objective


@pytest.mark.parametrize(("age", "sex"), [(0.0, 0.0), (1.5, -0.7)])
def test_it_is_kendalls_formula(age: float, sex: float) -> None:
    squared = (1 + 4) / 2
    entropy = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))) / 2
    expected = 0.5 * math.exp(-age) * squared + age / 2 + math.exp(-sex) * entropy + sex / 2
    assert uncertain(age, sex)(OUTPUTS, batch(**TARGETS)).item() == pytest.approx(expected, rel=1e-6)


def test_gradients_agree_with_finite_differences() -> None:
    objective = uncertain(0.4, -0.3).double()
    outputs = {name: output.double().requires_grad_() for name, output in OUTPUTS.items()}
    targets = batch(**TARGETS)

    def loss(log_variance: torch.Tensor, age: torch.Tensor, sex: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(objective, {"log_variance": log_variance}, ({"age": age, "sex": sex}, targets))

    assert torch.autograd.gradcheck(loss, (objective.log_variance, outputs["age"], outputs["sex"]))


@pytest.mark.parametrize(("missing", "index"), [({"age": [NAN] * 3, "sex": [1, 0, 1]}, 0), ({"age": [1.0, 2.0, 3.0], "sex": [-1] * 3}, 1)])
def test_a_target_without_labels_adds_exactly_nothing(missing: dict[str, Any], index: int) -> None:
    objective = uncertain(0.8, 0.8)
    outputs = {name: output.clone().requires_grad_() for name, output in OUTPUTS.items()}
    loss = objective(outputs, batch(**missing))
    loss.backward()
    name, other = ("age", "sex") if index == 0 else ("sex", "age")
    assert objective.log_variance.grad is not None
    assert objective.log_variance.grad[index] == 0
    assert objective.log_variance.grad[1 - index] != 0
    assert (outputs[name].grad == 0).all()
    alone = uncertain(0.8, 0.8)({other: OUTPUTS[other]}, batch(**{other: missing[other]}))
    assert loss.item() == alone.item()


def test_without_any_label_it_is_zero_and_differentiable() -> None:
    objective = uncertain(2.0, 2.0)
    loss = objective(OUTPUTS, batch(age=[NAN] * 3, sex=[-1] * 3))
    loss.backward()
    assert loss.item() == 0.0
    assert (objective.log_variance.grad == 0).all()


def test_the_best_uncertainty_is_the_loss_itself() -> None:
    objective = uncertain()
    targets = batch(age=[0.0, 2.0, 1.0])
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        objective({"age": OUTPUTS["age"]}, targets).backward()
        optimizer.step()
    assert objective.log_variance[0].exp().item() == pytest.approx((1 + 9 + 4) / 3, rel=1e-3)
    assert objective.log_variance[1].item() == 0.0


def test_weights_multiply_a_targets_whole_part() -> None:
    targets = batch(**TARGETS)
    parts = [uncertain(0.3, 0.6)({name: OUTPUTS[name]}, targets).item() for name in OUTPUTS]
    weighted = UncertaintyObjective({"age": 2.0, "sex": 0.5})
    with torch.no_grad():
        weighted.log_variance.copy_(torch.tensor([0.3, 0.6]))
    assert weighted(OUTPUTS, targets).item() == pytest.approx(2 * parts[0] + 0.5 * parts[1], rel=1e-6)


def test_uncertainty_gets_no_weight_decay_and_trains() -> None:
    module = nn.ModuleList([nn.Linear(3, 2), uncertain()])
    optimizer = build_optimizer({"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "weight_decay": 0.5}}, module)
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    assert groups[id(module[1].log_variance)]["weight_decay"] == 0
    assert groups[id(module[0].weight)]["weight_decay"] == 0.5


def test_an_output_without_a_weight_is_told() -> None:
    with pytest.raises(InputError, match="sex") as error:
        UncertaintyObjective({"age": 1.0})(OUTPUTS, batch(**TARGETS))
    assert "age" in error.value.hint


def test_one_target_of_a_multitask_objective_is_the_single_objective() -> None:
    targets = batch(age=[0.0, NAN, 1.0])
    assert torch.equal(MultitaskObjective()({"age": OUTPUTS["age"]}, targets), RegressionObjective()({"age": OUTPUTS["age"]}, targets))


# ------------------------------------------------------------------ soft labels
def soft() -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    logits, mass = generator.normal(size=(4, 6)), generator.random((4, 6))
    mass[0, 0] = 0
    mass /= mass.sum(1, keepdims=True)
    mass[2] = NAN
    return torch.from_numpy(logits).log_softmax(1).requires_grad_(), torch.from_numpy(mass)


def test_the_loss_of_soft_labels_is_the_divergence_over_labelled_rows() -> None:
    output, target = soft()
    q, log_p = target.numpy()[[0, 1, 3]], output.detach().numpy()[[0, 1, 3]]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nansum(q * (np.log(q) - log_p)) / 3
    for objective in (RegressionObjective(), MultitaskObjective()):
        loss = objective({"age": output}, batch(age=target))
        assert loss.item() == pytest.approx(expected)
    assert RegressionObjective()({"age": target[:2].log().clamp(min=-99)}, batch(age=target[:2])).item() == pytest.approx(0, abs=1e-6)


def test_missing_soft_labels_have_no_gradient() -> None:
    output, target = soft()
    (gradient,) = torch.autograd.grad(RegressionObjective()({"age": output}, batch(age=target)), output)
    assert (gradient[2] == 0).all()
    assert gradient.isfinite().all()
    nothing = RegressionObjective()({"age": output}, batch(age=torch.full_like(target, NAN)))
    assert nothing.item() == 0.0


def test_uncertainty_takes_soft_labels() -> None:
    output, target = soft()
    objective = UncertaintyObjective({"age": 1.0})
    plain = RegressionObjective()({"age": output}, batch(age=target)).item()
    assert objective({"age": output}, batch(age=target)).item() == pytest.approx(plain)
