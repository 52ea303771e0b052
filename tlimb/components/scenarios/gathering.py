"""One loss for the batches of all processes: what the network made of them is gathered, with gradient.

A loss is no mean over rows where labels are missing, classes have weights, or rows are compared with each other. Each process therefore
computes the whole loss, and the mean of the processes' gradients is that of one process with all rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, distributed

from tlimb.components.contracts import Batch, Pass, Step

Share = tuple[Tensor, Mapping[str, Tensor], Mapping[str, Tensor]]
"""Of some rows: their numbers, and outputs and encoded targets by target."""


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered_step(step: Step, batch: Batch) -> tuple[Step, Batch, float]:
    """The rows of all processes, in their order: features, outputs and targets of the step, and `row` of the batch.

    Images stay those of this process: they are large, and only terms that run the encoder themselves look at them.

    Returns:
        Step and batch, and the factor that makes the mean over processes of such a term's loss a mean over images.
    """
    images = batch.get("unlabelled", batch)["row"]
    passes = [made for made in (step.labelled, *step.unlabelled, step.teacher) if made is not None]
    tensors = [
        images,
        batch["row"],
        *step.targets.values(),
        *(tensor for made in passes for tensor in (made.features, *made.outputs.values())),
    ]
    all_images, row, *others = gathered(tensors)
    rest = iter(others)

    def named(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: next(rest) for name in tensors}

    def whole(made: Pass) -> Pass:
        return Pass(made.image, next(rest), named(made.outputs))

    targets = named(step.targets)
    labelled = whole(step.labelled) if step.labelled else None
    unlabelled = tuple(whole(made) for made in step.unlabelled)
    teacher = whole(step.teacher) if step.teacher else None
    share = len(images) * processes() / len(all_images)
    return Step(step.network, labelled, targets, unlabelled, teacher, step.progress), cast(Batch, {**batch, "row": row}), share


def gathered_batches(shares: Sequence[Share]) -> list[Share]:
    """What all processes saw of an epoch without gradient, as the batches of one process with as many rows a batch as all of them.

    Processes may have different numbers of batches, and some rows twice (a sampler for several processes repeats some).
    """
    device = shares[0][0].device
    everyone: list[Any] = [None] * processes()
    distributed.all_gather_object(everyone, [_moved(share, torch.device("cpu")) for share in shares])
    size = processes() * max(len(row) for seen in everyone for row, _, _ in seen)
    rows, *tables = zip(*(share for seen in everyone for share in seen), strict=True)
    row = torch.cat(rows)
    values, place = torch.unique(row, return_inverse=True)
    first = torch.full_like(values, len(row)).scatter_reduce(0, place, torch.arange(len(row)), "amin")
    outputs, targets = ({name: torch.cat([table[name] for table in each])[first] for name in each[0]} for each in tables)
    return [
        _moved((values[part], {n: o[part] for n, o in outputs.items()}, {n: t[part] for n, t in targets.items()}), device)
        for part in torch.split(torch.arange(len(values)), size)
    ]


def _moved(share: Share, device: torch.device) -> Share:
    row, outputs, targets = share
    return row.to(device), {name: tensor.to(device) for name, tensor in outputs.items()}, {n: t.to(device) for n, t in targets.items()}


def gathered(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The rows (B, …) of each tensor of all processes, in the processes' order, with gradient; B may differ between processes.

    Each process is to compute the loss of all rows; a gradient flows back to the process whose rows they are.
    """
    own = torch.tensor([len(tensor) for tensor in tensors], device=tensors[0].device)
    lengths = [torch.empty_like(own) for _ in range(processes())]
    distributed.all_gather(lengths, own)
    result: tuple[Tensor, ...] = _Gathered.apply(torch.stack(lengths).T.tolist(), *tensors)
    return result


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lengths: list[list[int]], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.lengths = lengths
        results = tuple(_all_rows(tensor, each) for tensor, each in zip(tensors, lengths, strict=True))
        ctx.mark_non_differentiable(
            *(result for result, needed in zip(results, ctx.needs_input_grad[1:], strict=True) if not needed),
        )
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Every process has the gradient of the whole loss already; their average over processes is taken afterwards, so the sum goes in.
        rank = distributed.get_rank()
        results: list[Tensor | None] = [None]
        for gradient, lengths, needed in zip(gradients, ctx.lengths, ctx.needs_input_grad[1:], strict=True):
            if not needed:
                results.append(None)
                continue
            total = gradient.contiguous().clone()
            distributed.all_reduce(total)
            start = sum(lengths[:rank])
            results.append(total[start : start + lengths[rank]])
        return tuple(results)


def _all_rows(rows: Tensor, lengths: Sequence[int]) -> Tensor:
    if not any(lengths):
        return rows.clone()
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])
