"""Losses against formulas written out; what a missing label must not do."""

import math
from typing import Any

import pytest
import torch

from tlimb.components.objectives import ClassificationObjective, MultitaskObjective, RegressionObjective
from tlimb.errors import InputError

NAN = math.nan


def batch(**targets: list[float]) -> Any:
    return {"targets": {name: torch.tensor(values) for name, values in targets.items()}}


@pytest.mark.parametrize(("loss", "value"), [("mse", (1 + 9) / 2), ("mae", (1 + 3) / 2), ("huber", (0.5 + 2.5) / 2)])
def test_regression_is_the_mean_over_labelled_rows(loss: str, value: float) -> None:
    outputs = {"age": torch.tensor([1.0, 5.0, 3.0])}
    assert RegressionObjective(loss)(outputs, batch(age=[0.0, NAN, 0.0])).item() == pytest.approx(value)


def test_cross_entropy_is_the_mean_over_labelled_rows() -> None:
    outputs = {"sex": torch.tensor([[0.0, math.log(3.0)], [9.0, 0.0], [0.0, 0.0]])}
    assert ClassificationObjective()(outputs, batch(sex=[1, -1, 0])).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_balanced_weights_count_classes_alike() -> None:
    objective = ClassificationObjective(class_weights="balanced")
    objective.connect({"sex": [30, 10]})
    outputs = {"sex": torch.zeros(4, 2)}
    rare, common = (objective(outputs, batch(sex=[label] * 4)).item() for label in (1, 0))
    assert rare == pytest.approx(3 * common)
    assert objective(outputs, batch(sex=[0, 0, 0, 1])).item() == pytest.approx(math.log(2)), "in the training mixture the weights mean 1"


@pytest.mark.parametrize("missing", [{"age": [NAN, NAN], "sex": [1, 0]}, {"age": [1.0, 2.0], "sex": [-1, -1]}])
def test_a_batch_without_labels_of_a_target_adds_exactly_nothing(missing: dict[str, list[float]]) -> None:
    outputs = {"age": torch.tensor([1.0, 5.0], requires_grad=True), "sex": torch.randn(2, 2, requires_grad=True)}
    absent = "age" if missing["age"][0] != missing["age"][0] else "sex"
    present = "sex" if absent == "age" else "age"
    loss = MultitaskObjective()(outputs, batch(**missing))
    alone = MultitaskObjective()({present: outputs[present]}, batch(**missing))
    assert loss.item() == alone.item()
    loss.backward()
    assert outputs[absent].grad is not None
    assert torch.equal(outputs[absent].grad, torch.zeros_like(outputs[absent]))


def test_multitask_is_the_weighted_sum_and_one_task_is_single_task() -> None:
    outputs = {"age": torch.randn(6), "sex": torch.randn(6, 2)}
    both = batch(age=[0.1, NAN, 2.0, 1.0, 0.0, 3.0], sex=[0, 1, -1, 1, 0, 1])
    number, category = RegressionObjective("mae"), ClassificationObjective(0.1)
    one, two = number({"age": outputs["age"]}, both), category({"sex": outputs["sex"]}, both)
    multitask = MultitaskObjective({"age": 2.0, "sex": 0.5}, loss="mae", label_smoothing=0.1)
    assert multitask(outputs, both).item() == pytest.approx((2 * one + 0.5 * two).item())
    assert torch.equal(MultitaskObjective(loss="mae")({"age": outputs["age"]}, both), one)


def test_wrong_arguments_are_input_errors() -> None:
    with pytest.raises(InputError, match="mse, mae, huber"):
        RegressionObjective("mes")
    with pytest.raises(InputError):
        ClassificationObjective(label_smoothing=1)
    with pytest.raises(InputError):
        ClassificationObjective(class_weights="some")
