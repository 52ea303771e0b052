"""The loss of several processes, and its gradient, are those of one with all their batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import network, seen, step
from torch import distributed, multiprocessing

from tlimb.components.contracts import Step
from tlimb.components.objectives import Coral, RegressionObjective
from tlimb.components.objectives.contrastive import nt_xent
from tlimb.components.scenarios.gathering import gathered_batches, gathered_step

LABELLED, UNLABELLED = (3, 2), (2, 4)


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "labelled": torch.randn(5, 6),
        "output": torch.randn(5),
        "target": torch.tensor([0.5, torch.nan, torch.nan, 1.5, 0.2]),
        "first": torch.randn(6, 6),
        "second": torch.randn(6, 6),
    }


def shares(rank: int) -> dict[str, torch.Tensor]:
    return {name: tensor.split(UNLABELLED if name in ("first", "second") else LABELLED)[rank].clone() for name, tensor in tensors().items()}


def joint(of: dict[str, torch.Tensor]) -> tuple[Step, Any]:
    made = seen(features=of["labelled"], age=of["output"])
    views = [seen(features=of[name]) for name in ("first", "second")]
    batch = {"row": torch.arange(len(of["output"])), "unlabelled": {"row": torch.arange(len(of["first"]))}}
    return step(network(), made, *views, targets={"age": of["target"]}), batch


def loss_of(made: Step) -> torch.Tensor:
    """Labels are missing, domains and images are compared: no part of it is a mean over rows."""
    assert made.labelled is not None
    loss = RegressionObjective()(made.labelled.outputs, {"targets": made.targets})  # type: ignore[arg-type]
    return loss + Coral()(made) + nt_xent(made.unlabelled[0].features, made.unlabelled[1].features, 0.3)


def process(rank: int, work: Callable[[int], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    torch.save(work(rank), folder / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def both(work: Callable[[int], Any], folder: Path) -> list[Any]:
    multiprocessing.start_processes(process, (work, folder), nprocs=2, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def learned(rank: int) -> dict[str, Any]:
    mine = shares(rank)
    leaves = {name: tensor.requires_grad_() for name, tensor in mine.items() if name != "target"}
    whole, batch, share = gathered_step(*joint(mine))
    loss = loss_of(whole)
    loss.backward()
    return {"loss": loss.detach(), "rows": len(batch["row"]), "share": share, **{name: leaf.grad for name, leaf in leaves.items()}}


def test_a_step_of_two_processes_is_that_of_one_with_both_batches(tmp_path: Path) -> None:
    results = both(learned, tmp_path)
    everything = tensors()
    leaves = {name: tensor.requires_grad_() for name, tensor in everything.items() if name != "target"}
    loss = loss_of(joint(everything)[0])
    loss.backward()
    for name, leaf in leaves.items():
        # Data-parallel training averages over processes.
        torch.testing.assert_close(torch.cat([result[name] for result in results]) / 2, leaf.grad)
    for result in results:
        torch.testing.assert_close(result["loss"], loss.detach())
    assert [result["rows"] for result in results] == [5, 5]
    assert [result["share"] for result in results] == pytest.approx([2 / 3, 4 / 3])


def validated(rank: int) -> list[Any]:
    # Both have row 4, and numbers of batches differ.
    rows = ([torch.tensor([0, 1, 2]), torch.tensor([6, 4])], [torch.tensor([5, 3, 4])])[rank]
    return gathered_batches([(row, {"age": row * 10.0}, {"age": row + 0.5}) for row in rows])


def test_batches_of_two_processes_without_gradient_are_each_row_once_in_order(tmp_path: Path) -> None:
    for batches in both(validated, tmp_path):
        assert [row.tolist() for row, _, _ in batches] == [[0, 1, 2, 3, 4, 5], [6]]
        for row, outputs, targets in batches:
            assert torch.equal(outputs["age"], row * 10.0)
            assert torch.equal(targets["age"], row + 0.5)
