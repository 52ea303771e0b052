"""What channels_last, bf16 and compile bring on this machine: training steps and evaluation batches, medians of interleaved rounds.

python benchmarks/bench_compute.py [--batch 8] [--rounds 7] [--threads 1] [--only resnet18-2d]

A step is forward, backward and a step of AdamW; evaluation is a forward pass. The first of each, which compiles, is shown apart.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tlimb.components.contracts import Network
from tlimb.train.compute import compile_encoders, lay_out
from tlimb.train.network import build_network

IMAGES: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "resnet18-2d": ("ResNet", {"depth": 18}, (128, 128)),
    "resnet18-3d": ("ResNet", {"depth": 18}, (48, 56, 48)),
    "vit-3d": ("ViT", {}, (48, 56, 48)),
}
WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "as usual": ({}, False),
    "channels_last": ({"channels_last": True}, False),
    "bf16": ({}, True),
    "channels_last, bf16": ({"channels_last": True}, True),
    "compile": ({"compile": "inductor"}, False),
}


def made(name: str, compute: dict[str, Any]) -> Network:
    """The network of a row."""
    kind, arguments, size = IMAGES[name]
    given = {**arguments, "spatial_dims": len(size), **({"input_shape": [1, *size]} if kind == "ViT" else {})}
    config = {"class_path": f"tlimb.components.architectures.{kind}", "init_args": given}
    network = build_network(config, [{"name": "age", "kind": "number"}], {}, 0)
    lay_out(network, compute, len(size))
    compile_encoders(compute, network)
    return network


def sides(name: str, way: str, batch: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """A training step and an evaluation of a batch."""
    compute, mixed = WAYS[way]
    network = made(name, compute)
    image = torch.randn(batch, 1, *IMAGES[name][2], generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.AdamW(network.parameters(), fused=not torch.cuda.is_available())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, image = network.to(device), image.to(device)

    def outputs() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16) if mixed else contextlib.nullcontext():
            return network(image)["age"].float()

    def train() -> None:
        network.train()
        optimizer.zero_grad()
        outputs().square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def evaluate() -> None:
        network.eval()
        with torch.inference_mode():
            outputs()

    return train, evaluate


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Print a table a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=IMAGES)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in [options.only] if options.only else IMAGES:
        runs = {way: sides(name, way, options.batch) for way in WAYS}
        first = {way: tuple(map(seconds, pair)) for way, pair in runs.items()}
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, (train, evaluate) in runs.items():
                times[way].append((seconds(train), seconds(evaluate)))
        medians = {way: [statistics.median(values) for values in zip(*found, strict=True)] for way, found in times.items()}
        usual = medians["as usual"]
        print(f"\n{name}, batches of {options.batch}, medians of {options.rounds} rounds")
        print(f"{'':22}{'training ms':>12}{'x usual':>9}{'evaluation ms':>15}{'x usual':>9}{'first two s':>13}")
        for way, (step, tested) in medians.items():
            cells = f"{step * 1e3:12.0f}{step / usual[0]:9.2f}{tested * 1e3:15.0f}{tested / usual[1]:9.2f}{sum(first[way]):13.1f}"
            print(f"{way:22}{cells}", flush=True)


if __name__ == "__main__":
    main()
