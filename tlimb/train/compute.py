"""How a stage computes: the layout of images and weights in memory, and compilation. Results are equal to rounding."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from tlimb.components.contracts import Network, Term
from tlimb.errors import InputError
from tlimb.train.job import Job

Compute = Mapping[str, Any]
FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}
"""By the number of axes of the images."""

_OF_COMPILERS = ("torch._dynamo.exc", "torch._inductor.exc")
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
