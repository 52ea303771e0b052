"""Metrics against formulas written out, by unit and over the whole epoch."""

import math

import numpy as np
import pytest
import torch

from tlimb.components.scenarios.evaluation import Estimate, Table, by_unit, score
from tlimb.train.results import baselines

RANDOM = np.random.default_rng(1)


def test_regression_metrics() -> None:
    truth = RANDOM.normal(50, 15, 40)
    prediction = truth + RANDOM.normal(2, 8, 40)
    error = prediction - truth
    values = score("number", Estimate(np.append(truth, math.nan), np.append(prediction, 0.0)))
    assert values == pytest.approx(
        {
            "mae": np.abs(error).mean(),
            "mse": (error**2).mean(),
            "rmse": math.sqrt((error**2).mean()),
            "r2": 1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum(),
            "pearson_r": np.corrcoef(truth, prediction)[0, 1],
        }
    )


def test_two_classes() -> None:
    truth = np.array([0, 0, 0, 1, 1, -1])
    probability = np.array([0.1, 0.6, 0.3, 0.4, 0.9, 0.9])
    values = score("category", Estimate(truth.astype(float), np.stack([1 - probability, probability], 1)))
    right = [0.9, 0.4, 0.7, 0.4, 0.9]
    assert values == pytest.approx(
        {
            "accuracy": 3 / 5,
            "balanced_accuracy": (2 / 3 + 1 / 2) / 2,
            "auroc": 5 / 6,
            "f1": (2 * 2 / (3 + 3) + 2 * 1 / (2 + 2)) / 2,
            "cross_entropy": -np.log(right).mean(),
        },
        abs=1e-6,
    )


def test_three_classes_of_which_one_is_never_true() -> None:
    probability = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])
    values = score("category", Estimate(np.array([0.0, 1.0, 1.0, 0.0]), probability))
    assert values["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert values["auroc"] == pytest.approx((1.0 + 0.75) / 2)


def test_undefined_metrics_are_none() -> None:
    one = score("number", Estimate(np.array([40.0]), np.array([41.0])))
    assert one == {"mae": 1.0, "mse": 1.0, "rmse": 1.0, "r2": None, "pearson_r": None}
    constant = score("number", Estimate(np.array([40.0, 50.0]), np.array([45.0, 45.0])))
    assert constant["pearson_r"] is None
    assert constant["r2"] == 0.0
    single = score("category", Estimate(np.array([1.0, 1.0]), np.array([[0.4, 0.6], [0.2, 0.8]])))
    assert single["auroc"] is None
    assert single["balanced_accuracy"] == 1.0
    assert set(score("number", Estimate(np.array([math.nan]), np.array([1.0]))).values()) == {None}
    assert set(score("number", Estimate(np.array([1.0, 2.0]), np.array([math.inf, 0.0]))).values()) == {None}


def test_rows_count_once_and_sessions_are_averaged() -> None:
    table = Table()
    table.add(torch.tensor([3, 0]), {"age": torch.tensor([30.0, 10.0])}, {"age": torch.tensor([33.0, 10.0])})
    table.add(torch.tensor([1, 2, 0]), {"age": torch.tensor([10.0, 20.0, 10.0])}, {"age": torch.tensor([16.0, 20.0, 10.0])})
    rows, estimates = table.gathered()
    assert rows.tolist() == [0, 1, 2, 3]
    units = by_unit([("a", "1", "val"), ("a", "1", "val"), ("a", "2", "val"), ("b", "1", "val")], estimates)
    assert units.who == (("a", "1", "val"), ("a", "2", "val"), ("b", "1", "val"))
    assert units.estimates["age"].prediction.tolist() == [13.0, 20.0, 33.0]
    assert units.estimates["age"].truth.tolist() == [10.0, 20.0, 30.0]


def test_baselines() -> None:
    sizes = RANDOM.normal(1400, 100, 60)
    age, sex = sizes / 20, (sizes > 1400).astype(np.int64)
    age[0], sex[1] = math.nan, -1
    split = {"train": slice(0, 40), "test": slice(40, 60)}
    volumes = {part: {"volume_ml": sizes[rows], "truth": {"age": age[rows], "sex": sex[rows]}} for part, rows in split.items()}
    targets = [{"name": "age", "kind": "number"}, {"name": "sex", "kind": "category", "classes": ["F", "M"]}]
    found = baselines(targets, volumes, "val.sex.auroc")
    assert list(found) == ["test.age.mae", "test.sex.balanced_accuracy", "test.sex.auroc"]
    assert found["test.age.mae"]["constant"] == pytest.approx(np.abs(age[40:] - age[1:40].mean()).mean())
    assert found["test.age.mae"]["head_size"] == pytest.approx(0, abs=1e-9), "age is a line of head size here"
    assert found["test.sex.balanced_accuracy"]["constant"] == 0.5
    assert found["test.sex.auroc"] == pytest.approx({"constant": 0.5, "head_size": 1.0})
