"""Soft labels against scipy: their masses, their divergence, their mean; what lies outside."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from scipy.stats import norm

from tlimb.components.architectures import SFCN, SoftLabels, SoftNumberHead
from tlimb.components.contracts import Head
from tlimb.components.objectives import MultitaskObjective, RegressionObjective
from tlimb.errors import InputError
from tlimb.train.anatomy import anatomy
from tlimb.train.network import build_network

NAN = math.nan
PAPER = SoftLabels.of([42, 82], 1.0, 1.0)


def masses(value: float, labels: SoftLabels = PAPER) -> np.ndarray:
    edges = np.linspace(labels.low, labels.high, labels.bins + 1)
    return np.diff(norm.cdf(edges, value, labels.sigma))


@pytest.mark.parametrize("value", [42.0, 41.0, 39.5, 47.3, 62.0, 81.9, 85.0])
def test_labels_are_the_mass_of_a_normal_in_each_bin(value: float) -> None:
    label = SoftNumberHead(4, PAPER).encode(torch.tensor([value]))[0].double().numpy()
    assert label.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(label, masses(value) / masses(value).sum(), rtol=1e-4, atol=1e-12)


def test_the_authors_labels_lack_the_mass_outside() -> None:
    """Why ours are divided by their sum: without it a person of 42 years would count half, one of 85 almost nothing."""
    assert [masses(value).sum() for value in (42.0, 41.0, 85.0)] == pytest.approx([0.5, 0.1587, 0.00135], rel=1e-2)


def test_other_ranges_and_widths() -> None:
    labels = SoftLabels.of([22, 37], 2.5, 3.0)
    head = SoftNumberHead(4, labels)
    assert labels.bins == 6
    expected = masses(30.0, labels) / masses(30.0, labels).sum()
    np.testing.assert_allclose(head.encode(torch.tensor([30.0]))[0], expected, rtol=1e-4)
    certain = torch.full((1, 6), -1e9)
    certain[0, 1] = 0.0
    assert head.predict(certain).item() == pytest.approx(25.75)


def test_missing_stays_missing_and_far_outside_is_refused() -> None:
    head = SoftNumberHead(4, PAPER)
    label = head.encode(torch.tensor([NAN, 50.0]))
    assert label[0].isnan().all()
    assert label[1].isfinite().all()
    with pytest.raises(InputError, match=r"target of 30 lies outside .* 42 to 82(.|\n)*soft_range"):
        head.encode(torch.tensor([50.0, 30.0]))


@pytest.mark.parametrize("objective", [RegressionObjective("mae"), MultitaskObjective()])
def test_the_loss_is_the_divergence_over_labelled_rows(objective: Any) -> None:
    torch.manual_seed(0)
    head = SoftNumberHead(8, PAPER)
    features = torch.randn(3, 8)
    ages = torch.tensor([55.0, NAN, 70.5])
    output = head(features)
    loss = objective({"age": output}, {"targets": {"age": head.encode(ages)}})
    log_q = output.detach().double().numpy()
    np.testing.assert_allclose(np.exp(log_q).sum(1), 1, rtol=1e-5)
    divergence = [rel_entr(masses(age) / masses(age).sum(), np.exp(log_q[row])).sum() for row, age in ((0, 55.0), (2, 70.5))]
    assert loss.item() == pytest.approx(np.mean(divergence), rel=1e-4)
    loss.backward()
    # d KL / d logits = q - p, averaged over the labelled rows; the bias sums it.
    difference = [np.exp(log_q[row]) - masses(age) / masses(age).sum() for row, age in ((0, 55.0), (2, 70.5))]
    np.testing.assert_allclose(head.linear.bias.grad, np.mean(difference, 0), atol=1e-6)
    np.testing.assert_allclose(head.predict(output).detach(), np.exp(log_q) @ np.arange(42.5, 82), rtol=1e-5)


def test_a_batch_without_labels_adds_nothing() -> None:
    head = SoftNumberHead(8, PAPER)
    loss = RegressionObjective()({"age": head(torch.randn(2, 8))}, {"targets": {"age": head.encode(torch.tensor([NAN, NAN]))}})
    loss.backward()
    assert loss.item() == 0
    assert not head.linear.weight.grad.any()


def test_a_head_learns_an_age() -> None:
    torch.manual_seed(0)
    head = SoftNumberHead(2, PAPER)
    features, ages = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([50.0, 75.0])
    optimizer = torch.optim.Adam(head.parameters(), 0.3)
    for _ in range(150):
        optimizer.zero_grad()
        RegressionObjective()({"age": head(features)}, {"targets": {"age": head.encode(ages)}}).backward()
        optimizer.step()
    torch.testing.assert_close(head.predict(head(features)), ages, atol=0.2, rtol=0)


def test_an_architecture_with_a_range_has_soft_heads_for_numbers_only() -> None:
    arguments = {"channels": [4, 8], "spatial_dims": 2, "soft_range": [42, 82]}
    config = {"class_path": "tlimb.components.architectures.SFCN", "init_args": arguments}
    targets = [{"name": "age", "kind": "number"}, {"name": "sex", "kind": "category", "classes": ["F", "M"]}]
    network = build_network(config, targets, {"age": {"mean": 60.0, "sd": 8.0}}, 0)
    outputs = network(torch.randn(3, 1, 8, 8))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {"age": (3, 40), "sex": (3, 2)}
    assert isinstance(network.heads["age"], Head)
    assert network.head("age").kind == "number"
    assert network.head("age").predict(outputs["age"]).shape == (3,)
    described = anatomy(config)
    assert described is not None
    assert described["number_outputs"] == 40
    assert sum(parameter.numel() for parameter in network.heads["age"].parameters()) == 40 * (described["feature_dim"] + 1)
    assert SFCN().soft_labels is None
