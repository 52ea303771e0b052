"""CPU seconds of the compile side, beside Python's own start: medians of interleaved runs, and their ratios.

python benchmarks/bench_compile.py [--runs 5]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def long_recipe(statements: int) -> str:
    """A recipe of one pre-training and many fine-tunings."""
    lines = ["pretrain resnet18 on demo.age"]
    lines += [f"finetune freeze layer{1 + n % 4} on demo.sex from pretrain with epochs={1 + n} as s{n}" for n in range(statements - 1)]
    return "\n".join(lines) + "\n"


def wide_recipe(variants: int) -> str:
    """A recipe with a grid of that many variants (a square number)."""
    values = ", ".join(f"{(n + 1) / 1e6:.6f}" for n in range(int(variants**0.5)))
    return (
        "pretrain resnet18 on demo.age; finetune freeze layer4 on demo.sex\n"
        f"sweep finetune.lr in [{values}]\nsweep finetune.weight_decay in [{values}]\n"
    )


def cpu_seconds(command: list[str], folder: Path) -> float:
    """User and system time of a command and its children."""
    before = os.times()
    # As where packages are installed with their compiled modules.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "tlimb-bench")}
    subprocess.run(command, cwd=folder, capture_output=True, check=True, env=environment)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Print one row a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    tlimb = [sys.executable, "-m", "tlimb"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "long.tlr").write_text(long_recipe(200))
        (folder / "wide.tlr").write_text(wide_recipe(10_000))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "tlimb --help": [*tlimb, "--help"],
            "tlimb check, 200 lines": [*tlimb, "check", "long.tlr"],
            "tlimb plan, 10,000 variants": [*tlimb, "plan", "wide.tlr"],
            "tlimb compile, 10,000 variants": [*tlimb, "compile", "wide.tlr", "-o", "out"],
        }
        measured: dict[str, list[float]] = {label: [] for label in commands}
        for command in commands.values():
            cpu_seconds(command, folder)  # parameter counts are cached by architecture, modules are compiled
        for _ in range(runs):
            for label, command in commands.items():
                measured[label].append(cpu_seconds(command, folder))
    base = statistics.median(measured["python -c pass"])
    print(f"{'command':32} {'CPU s':>8} {'x start':>8}")
    for label, values in measured.items():
        median = statistics.median(values)
        print(f"{label:32} {median:8.3f} {median / base:8.1f}")


if __name__ == "__main__":
    main()
