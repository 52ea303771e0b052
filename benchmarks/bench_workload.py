"""The timed workload of the TLIMB paper beside the same by hand in plain Lightning: CPU seconds, wall time and their ratios.

python benchmarks/bench_workload.py --peer FOLDER [--runs 3] [--lrs 1e-4 1e-3 1e-2] [--epochs 10] [--jobs 2] [--threads 1]

Two architectures, some learning rates, without and with an elastic penalty: age first, then sex from its weights, a test after each. The
folder holds `make_data.py`, which writes 160 brains, and `manual.py`, the pipelines in one loop. Runs take turns; medians count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

DATASETS = """\
brains:
  format: bids
  root: DATA
  image: T1w
  labels: {age: {column: age, unit: years}, sex: {column: sex, classes: [F, M]}}
"""
RECIPE = """\
data axial_slice(size=96x112, intensity=zscore_all); set optimizer = adam; set split.val = 0.2
split brains into base 80, target 40, test 40
pretrain resnet18 on brains[base].age with epochs=EPOCHS; finetune on brains[target].sex with epochs=1
sweep architecture in [resnet18, vit(patch_size=16, num_layers=12)]
sweep lr in [LRS]; sweep elastic in [none, 0.01]
"""


def measured(command: Sequence[object]) -> tuple[float, float]:
    """CPU seconds of a command with its children, and wall time."""
    before, started = os.times(), time.perf_counter()
    # As where packages are installed with their compiled modules.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "tlimb-bench")}
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu_s, time.perf_counter() - started


def metrics(store: Path) -> dict[str, float]:
    """Medians over the stages of a store of what both sides report."""
    found = [json.loads(file.read_bytes()).get("metrics", {}) for file in store.glob("*/results.json")]
    return {name: statistics.median(values[name] for values in found if name in values) for name in ("test.mae", "test.accuracy")}


def manual_metrics(file: Path) -> dict[str, float]:
    """The same of the manual side."""
    trials = json.loads(file.read_bytes())["trials"]
    return {
        "test.mae": statistics.median(trial["pretrain"]["test_mae"] for trial in trials),
        "test.accuracy": statistics.median(trial["finetune"]["test_acc"] for trial in trials),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="folder of manual.py and make_data.py")
    parser.add_argument("--data", type=Path, help="what make_data.py wrote; default: written anew")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lrs", nargs="+", default=["1e-4", "1e-3", "1e-2"])
    parser.add_argument("--epochs", type=int, default=10, help="of age; sex has one")
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time")
    parser.add_argument("--threads", type=int, default=1, help="of a stage")
    parser.add_argument("--manual-workers", type=int, default=0, help="loader processes of the manual side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = options.data or folder / "data"
        if not data.exists():
            measured([sys.executable, options.peer / "make_data.py", "--out", data])
        (folder / "datasets.yaml").write_text(DATASETS.replace("DATA", str(data.resolve())))
        recipe = folder / "workload.tlr"
        recipe.write_text(RECIPE.replace("EPOCHS", str(options.epochs)).replace("LRS", ", ".join(options.lrs)))
        sides: dict[str, list[tuple[float, float]]] = {"manual": [], "tlimb": [], "tlimb again": []}
        manual = [sys.executable, options.peer / "manual.py", "--data", data, "--workers", options.manual_workers, "--lrs", *options.lrs]
        for run in range(options.runs):
            store = folder / f"store{run}"
            tlimb = [sys.executable, "-m", "tlimb", "run", recipe, "--store", store, "--jobs", options.jobs, "--threads", options.threads]
            out = [*manual, "--pretrain-epochs", options.epochs, "--out", folder / f"manual{run}", "--json", folder / "manual.json"]
            sides["manual"].append(measured(out))
            sides["tlimb"].append(measured(tlimb))
            sides["tlimb again"].append(measured(tlimb))
        results = {"manual": manual_metrics(folder / "manual.json"), "tlimb": metrics(store)}
    cpu, wall = ({side: statistics.median(values[index] for values in found) for side, found in sides.items()} for index in (0, 1))
    print(f"{4 * len(options.lrs)} pipelines of {options.epochs} and 1 epochs, medians of {options.runs} runs")
    print(f"{'side':12} {'CPU s':>8} {'wall s':>8} {'x CPU':>6} {'x wall':>6} {'age MAE':>8} {'sex accuracy':>12} {'lines':>6}")
    lines = {"tlimb": len(RECIPE.splitlines()), "manual": len((options.peer / "manual.py").read_text().splitlines())}
    for side in sides:
        found = results.get(side)
        told = f"{found['test.mae']:8.2f} {found['test.accuracy']:12.2f}" if found else " " * 21
        print(
            f"{side:12} {cpu[side]:8.1f} {wall[side]:8.1f} {cpu[side] / cpu['manual']:6.2f} {wall[side] / wall['manual']:6.2f} "
            f"{told} {lines.get(side, ''):>6}"
        )


if __name__ == "__main__":
    main()
