"""What a stage costs beside its training steps: many tiny stages through the local engine, and the same steps in plain PyTorch.

python benchmarks/bench_engine.py [--stages 24] [--epochs 5] [--jobs 1]

CPU seconds of `tlimb run` for a sweep, less those of a run with a single stage, divided by the further stages.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from bench_workload import measured

from tlimb.components.architectures import ResNet

RECIPE = """\
data axial_slice(size=SIZExSIZE)
train resnet10(widen_factor=0.0625) on demo.age with epochs=EPOCHS
sweep lr in [LRS]
"""
SIZE, BATCH, BATCHES, EVALUATED = 32, 16, 6, 4
"""Of the stages: 120 participants, of which 84 train, 18 validate and 18 test."""


def floor_s(epochs: int) -> float:
    """CPU seconds of the steps of one stage in plain PyTorch, the best of several."""
    torch.set_num_threads(1)
    found = []
    for _ in range(5):
        encoder, head = ResNet(10, spatial_dims=2, widen_factor=0.0625), torch.nn.LazyLinear(1)
        network = torch.nn.Sequential(encoder, head)
        image, truth = torch.randn(BATCH, 1, SIZE, SIZE), torch.randn(BATCH, 1)
        network(image)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        started = time.process_time()
        for _ in range(epochs):
            network.train()
            for _ in range(BATCHES):
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(network(image), truth).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            network.eval()
            with torch.inference_mode():
                for _ in range(EVALUATED // 2):
                    network(image)
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        for stages in (2, 1, 1 + options.stages):  # the first run draws the brains and compiles modules; all prepare the data
            recipe = Path(name) / f"{stages}.tlr"
            rates = ", ".join(f"{(number + 1) / 1e4:.4f}" for number in range(stages))
            text = RECIPE.replace("SIZE", str(SIZE)).replace("EPOCHS", str(options.epochs)).replace("LRS", rates)
            recipe.write_text(text if stages > 1 else text.rpartition("sweep")[0])
            command = [
                sys.executable,
                "-m",
                "tlimb",
                "run",
                recipe,
                "--store",
                Path(name) / f"store{stages}",
                "--jobs",
                options.jobs,
                "--threads",
                1,
            ]
            seconds[stages] = measured(command)
    (one_cpu, one_wall), (all_cpu, all_wall) = seconds[1], seconds[1 + options.stages]
    floor = floor_s(options.epochs)
    cpu, wall = ((whole - one) / options.stages for whole, one in ((all_cpu, one_cpu), (all_wall, one_wall)))
    print(f"{options.stages} stages of {options.epochs} epochs and {options.epochs * BATCHES} steps, {options.jobs} at a time")
    print(f"{'':36} {'CPU s':>8} {'wall s':>8}")
    print(f"{'first stage, with starting a worker':36} {one_cpu:8.2f} {one_wall:8.2f}")
    print(f"{'each further stage':36} {cpu:8.3f} {wall:8.3f}")
    print(f"{'its steps in plain PyTorch':36} {floor:8.3f}")
    print(f"{'cost of a stage beside its steps':36} {cpu - floor:8.3f}")


if __name__ == "__main__":
    main()
