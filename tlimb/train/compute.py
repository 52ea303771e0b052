"""How a stage computes: the layout of images and weights in memory, compilation, number formats."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlimb.components.contracts import Network, Term
from tlimb.errors import InputError
from tlimb.train.config import arguments_of
from tlimb.train.job import Job

Compute = Mapping[str, Any]
FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}
"""By the number of axes of the images."""

_OF_COMPILERS = ("torch._dynamo.exc", "torch._inductor.exc")
SLOWER = 1.2
"""How many times as long something may take before one is warned: below that it may be the measurement."""

RECOMPILATIONS = 64
"""Of one function: training and evaluation, batches of one image, and each phase of unfreezing have graphs of their own."""


def lay_out(network: Network, compute: Compute, spatial_dims: int) -> None:
    """Give weights and images the layout that the stage asks for; what is saved has the usual one.

    Before anything remembers the weights: a copy of them has their layout, and sums over both are fast only where it is the same.

    Args:
        network: Changed in place.
        compute: As in `stage.yaml`.
        spatial_dims: Axes of the images.

    Raises:
        InputError: there is no such layout for these images.
    """
    if not compute.get("channels_last"):
        return
    if spatial_dims not in FORMATS:
        raise InputError(f"compute.channels_last: images of {spatial_dims} axes have no such layout", "leave it out for time series")
    layout = FORMATS[spatial_dims]
    encoder = network.get_submodule("encoder")
    for parameter in encoder.parameters():
        if parameter.ndim == spatial_dims + 2:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    encoder.register_forward_pre_hook(partial(_image_laid_out, layout))


def _image_laid_out(layout: torch.memory_format, _encoder: nn.Module, images: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    image, *others = images
    return (image.contiguous(memory_format=layout), *others)


def compile_encoders(compute: Compute, *networks: Network, terms: Mapping[str, nn.Module] | None = None) -> None:
    """Have the encoders compiled when they first run; modules and names of weights stay as they are.

    Args:
        compute: As in `stage.yaml`.
        networks: Each once; they must not be copied afterwards.
        terms: Of the loss. Where one of them runs the encoder by itself, it is that part of it which is compiled.
    """
    backend = compute.get("compile")
    if not backend:
        return
    from torch import _dynamo

    # A worker runs one stage after another: without this, graphs of earlier ones count as compilations of the same function.
    _dynamo.reset()
    _dynamo.config.recompile_limit = RECOMPILATIONS
    apart = any(cast(Term, term).encodes for term in (terms or {}).values())
    for network in networks:
        encoder = network.get_submodule("encoder")
        method = "forward" if not apart else "tokens" if hasattr(encoder, "tokens") else "feature_map"
        setattr(encoder, method, _compiled(getattr(encoder, method), backend))


def _compiled(method: Callable[..., Tensor], backend: str) -> Callable[..., Tensor]:
    """A method of an encoder with one graph for all numbers of images.

    By itself PyTorch makes a graph for the first number of images and another one for all further ones, which then computes the first
    number too: last digits would depend on which batches came before, and so on where a training was interrupted.
    """
    # Random numbers are those of the network as it is written, not inductor's own.
    compiled = torch.compile(method, backend=backend, options={"fallback_random": True} if backend == "inductor" else None)

    def run(*tensors: Tensor) -> Tensor:
        for tensor in tensors:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return compiled(*tensors)

    return run


@contextmanager
def compiling(job: Job) -> Iterator[None]:
    """While open, a machine that cannot compile is told as such; what compilation took is told in the end.

    Raises:
        InputError: the compiler is absent or refuses the network.
    """
    backend = (job.config.get("compute") or {}).get("compile")
    if not backend:
        yield
        return
    from torch._dynamo.utils import calculate_time_spent

    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(_OF_COMPILERS):
            raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"compute.compile: {backend} cannot compile this network here: {reason}",
            "inductor needs a C++ compiler (g++, or what CXX names) for a CPU and Triton for a GPU: install it, or leave compile out",
        ) from error
    seconds = calculate_time_spent().get("total_wall_time", 0.0)  # since `compile_encoders`
    job.notes["compile_seconds"] = round(seconds, 1)
    print(f"compiling took {seconds:.0f} s of this")


def uncompiled(job: Job) -> AbstractContextManager[Any]:
    """While open, compiled networks run as they are written: where what they compute changes with every batch."""
    return torch.compiler.set_stance("force_eager") if (job.config.get("compute") or {}).get("compile") else nullcontext()


def on_cpu(arguments: Mapping[str, Any]) -> bool:
    """Whether a Trainer with these arguments computes on the CPU."""
    return arguments.get("accelerator", "auto") == "cpu" or not torch.cuda.is_available()


def check_precision(job: Job) -> None:
    """Refuse number formats that a CPU does not train with, and warn of those that make it slower.

    Raises:
        InputError: fp16 on a CPU, which Lightning would replace by bf16.
    """
    arguments = arguments_of(job.config["trainer"])
    precision = str(arguments.get("precision") or "32")
    if not on_cpu(arguments):
        return
    if precision.startswith(("16", "transformer-engine")):
        raise InputError(
            f"trainer.precision is {precision}: half precision is for GPUs, and this stage computes on the CPU",
            "leave precision out; bf16 runs on a CPU too, and is faster than 32-true on few of them",
        )
    if precision.startswith("bf16") and (ratio := bf16_ratio()) > SLOWER:
        job.warn(
            f"precision {precision}: a convolution takes {ratio:.1f} times as long as in float32 on this CPU, so the stage will be slower; "
            "leave precision out"
        )


@cache
def bf16_ratio() -> float:
    """How many times as long as in float32 a convolution takes in bf16 on this CPU, forward and backward, measured."""
    image, kernel = torch.ones(2, 16, 12, 12, 12), torch.ones(32, 16, 3, 3, 3, requires_grad=True)

    def seconds(enabled: bool) -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            F.conv3d(image, kernel).sum().backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - started

    times = [(seconds(True), seconds(False)) for _ in range(4)][1:]  # the first time includes preparations
    return min(mixed for mixed, _ in times) / min(single for _, single in times)
