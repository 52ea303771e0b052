"""The optimizer's steps against the formulas of their papers, in numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tlimb.components.scenarios.optimization import build_optimizer

RATE, DECAY, STEPS = 0.01, 0.1, 6


def stepped(config: dict[str, Any], start: list[torch.Tensor], gradients: list[list[torch.Tensor]]) -> list[np.ndarray[Any, Any]]:
    """A weight and a bias after some steps."""
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.weight.copy_(start[0])
        module.bias.copy_(start[1])
    optimizer = build_optimizer(config, module)
    for weight, bias in gradients:
        module.weight.grad, module.bias.grad = weight.clone(), bias.clone()
        optimizer.step()
    return [module.weight.detach().numpy(), module.bias.detach().numpy()]


def adamw(value: np.ndarray[Any, Any], gradients: list[np.ndarray[Any, Any]], decay: float) -> np.ndarray[Any, Any]:
    """Algorithm 2 of Loshchilov & Hutter 2019."""
    first, second = np.zeros_like(value), np.zeros_like(value)
    for step, gradient in enumerate(gradients, start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        update = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        value = value - RATE * (update + decay * value)
    return value


@pytest.mark.parametrize("more", [{}, {"foreach": True}, {"fused": False}])
def test_adamw_decays_weights_and_no_biases(more: dict[str, Any]) -> None:
    random = torch.Generator().manual_seed(0)
    start = [torch.randn(2, 3, generator=random), torch.randn(2, generator=random)]
    gradients = [[torch.randn(2, 3, generator=random), torch.randn(2, generator=random)] for _ in range(STEPS)]
    config = {"class_path": "torch.optim.AdamW", "init_args": {"lr": RATE, "weight_decay": DECAY, **more}}
    found = stepped(config, start, gradients)
    for index, decay in enumerate((DECAY, 0.0)):
        expected = adamw(start[index].double().numpy(), [pair[index].double().numpy() for pair in gradients], decay)
        np.testing.assert_allclose(found[index], expected, atol=2e-6)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad", "RMSprop", "NAdam", "LBFGS"])
def test_every_optimizer_is_built_with_or_without_fused_steps(name: str) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) if name != "LBFGS" else nn.Linear(3, 2, bias=False)
    optimizer = build_optimizer({"class_path": f"torch.optim.{name}", "init_args": {"lr": RATE}}, module)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    module(torch.randn(4, 3)).square().mean().backward()
    loss = torch.tensor(1.0)
    optimizer.step(lambda: float(loss))
    assert any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
