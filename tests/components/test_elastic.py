"""The elastic penalty against its formula, and what must not change it."""

from typing import Any

import numpy as np
import pytest
import torch
from small_networks import Convolutions, network, step

from tlimb.components.contracts import Network
from tlimb.components.objectives import ElasticPenalty
from tlimb.errors import InputError


def moved(seed: int = 0, **arguments: Any) -> tuple[ElasticPenalty, Network, dict[str, torch.Tensor]]:
    """A connected penalty, the network afterwards, and the weights before."""
    torch.manual_seed(seed)
    net = network(Convolutions(), age=None, sex=2)
    term = ElasticPenalty(**arguments)
    term.connect(net)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    return term, net, before


def by_numpy(net: Network, before: dict[str, torch.Tensor], alpha: float, beta: float, least: int) -> float:
    total = 0.0
    for name, parameter in net.named_parameters():
        if parameter.ndim >= least and parameter.requires_grad:
            now = parameter.detach().double().numpy()
            if name.startswith("encoder."):
                total += alpha / 2 * np.sum((now - before[name].double().numpy()) ** 2)
            else:
                total += beta / 2 * np.sum(now**2)
    return total


@pytest.mark.parametrize(("which", "least"), [("kernels", 2), ("all", 0)])
@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.01), (2.0, 0.0), (0.0, 3.0)])
def test_it_is_the_sum_of_squares(which: Any, least: int, alpha: float, beta: float) -> None:
    term, net, before = moved(alpha=alpha, beta=beta, which=which)
    assert term(step(net)).item() == pytest.approx(by_numpy(net, before, alpha, beta, least), rel=1e-6)


def test_its_gradient_pulls_to_the_start_and_the_heads_to_zero() -> None:
    term, net, before = moved(alpha=0.5, beta=0.25, which="all")
    term(step(net)).backward()
    for name, parameter in net.named_parameters():
        start = before[name] if name.startswith("encoder.") else torch.zeros_like(parameter)
        torch.testing.assert_close(parameter.grad, (0.5 if name.startswith("encoder.") else 0.25) * (parameter.detach() - start))


def test_before_the_first_step_the_encoders_part_is_exactly_zero_and_its_gradient_finite() -> None:
    net = network(age=None)
    term = ElasticPenalty(1e6, beta=0.0, which="all")
    term.connect(net)
    loss = term(step(net))
    loss.backward()
    assert loss.item() == 0.0
    assert all((parameter.grad == 0).all() for parameter in net.encoder.parameters())


def test_without_weights_it_adds_nothing() -> None:
    term, net, _ = moved(alpha=0.0, beta=0.0)
    loss = term(step(net))
    assert loss.item() == 0.0
    (loss + sum(parameter.sum() for parameter in net.parameters())).backward()
    assert all((parameter.grad == 1).all() for parameter in net.parameters())


def test_frozen_weights_and_running_statistics_do_not_count() -> None:
    term, net, before = moved(alpha=1.0, beta=0.0, which="all")
    net.encoder.norm.running_mean += 100
    net.encoder.conv1.requires_grad_(False)
    expected = by_numpy(net, before, 1.0, 0.0, 0)
    assert term(step(net)).item() == pytest.approx(expected, rel=1e-6)
    net.encoder.conv1.requires_grad_(True)
    assert term(step(net)).item() > expected, "what is unfrozen later is pulled to where it was frozen"


def test_a_large_penalty_keeps_the_encoder() -> None:
    torch.manual_seed(0)
    drift = {}
    for alpha in (0.0, 100.0):
        torch.manual_seed(1)
        net, image, truth = network(age=None), torch.randn(8, 1, 8, 8), torch.randn(8)
        term = ElasticPenalty(alpha, beta=0.0, which="all")
        term.connect(net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.005)
        start = [parameter.detach().clone() for parameter in net.encoder.parameters()]
        for _ in range(30):
            optimizer.zero_grad()
            ((net(image)["age"] - truth).square().mean() + term(step(net))).backward()
            optimizer.step()
        drift[alpha] = sum((now - then).square().sum().item() for now, then in zip(net.encoder.parameters(), start, strict=True))
    assert drift[100.0] < drift[0.0] / 100


def test_the_start_survives_saving() -> None:
    term, net, _ = moved()
    again = ElasticPenalty()
    again.connect(net)  # as a resumed stage does: from weights that are not the start
    assert again(step(net)).item() != pytest.approx(term(step(net)).item())
    again.load_state_dict(term.state_dict())
    assert again(step(net)).item() == term(step(net)).item()


def test_it_has_no_parameters_of_its_own() -> None:
    assert not list(moved()[0].parameters())


@pytest.mark.parametrize("arguments", [{"alpha": -1}, {"beta": -0.1}, {"which": "bias"}])
def test_wrong_arguments_are_told(arguments: Any) -> None:
    with pytest.raises(InputError, match="elastic"):
        ElasticPenalty(**arguments)
