"""The contrastive loss of two processes is that of one with both their batches."""

from pathlib import Path

import pytest
import torch
from small_networks import network, seen, step
from torch import distributed, multiprocessing

from tlimb.components.objectives import Contrastive

SIZES = (3, 2)


def term() -> Contrastive:
    torch.manual_seed(0)
    term = Contrastive(temperature=0.3, hidden=5, projection=4)
    term.connect(network())
    return term


def features() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(sum(SIZES), 6) for _ in range(2)]


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=len(SIZES))
    mine = [view.split(SIZES)[rank].clone().requires_grad_() for view in features()]
    contrastive = term()
    loss = contrastive(step(network(), None, *(seen(features=view) for view in mine)))
    loss.backward()
    alone = contrastive.eval()(step(network(), None, *(seen(features=view) for view in mine)))
    torch.save(
        {
            "loss": loss.detach(),
            "alone": alone.detach(),
            "features": [view.grad for view in mine],
            "parameters": [p.grad for p in contrastive.parameters()],
        },
        folder / f"{rank}.pt",
    )
    distributed.barrier()
    distributed.destroy_process_group()


def test_two_processes_are_one_with_both_batches(tmp_path: Path) -> None:
    multiprocessing.start_processes(process, (tmp_path,), nprocs=len(SIZES), start_method="fork")
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(SIZES))]
    whole = [view.requires_grad_() for view in features()]
    single = term()
    loss = single(step(network(), None, *(seen(features=view) for view in whole)))
    loss.backward()
    for result in results:
        torch.testing.assert_close(result["loss"], loss.detach())
        assert result["alone"].item() != pytest.approx(loss.item()), "outside training each process has its own"
    for view in range(2):
        # Data-parallel training averages over processes.
        together = torch.cat([result["features"][view] for result in results]) / len(SIZES)
        torch.testing.assert_close(together, whole[view].grad)
    for index, parameter in enumerate(single.parameters()):
        average = torch.stack([result["parameters"][index] for result in results]).mean(0)
        torch.testing.assert_close(average, parameter.grad)
