"""What transfer is worth on brains with a planted effect: few labels after pre-training, and another scanner after adaptation.

python benchmarks/bench_methods.py [--seeds 4] [--store FOLDER] [--threads 1]

Each arm is a stage of a recipe; the table has a row an arm and a column a seed. Analytic brains (`format: demo`): `lab` has 600
participants, `clinic` 240 others, seen by a scanner with another contrast, field and noise.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

DATASETS = """\
lab: {format: demo, participants: 600}
clinic: {format: demo, participants: 240, seed: 1, shift: SHIFT}
"""
NETWORK = "resnet10(widen_factor=0.25, conv1_t_stride=1)"
COMMON = """\
data axial_slice(size=40x48, position=0.55)
set schedule = cosine
set split.test = 0.4
"""
FEW_LABELS = f"""{COMMON}
pretrain {NETWORK} on lab.age with epochs=12, lr=3e-3
finetune on clinic.age with n=20, epochs=30
train {NETWORK} on clinic.age with n=20, epochs=30, lr=3e-3 as scratch
rank by val.mae
"""
OTHER_SCANNER = f"""{COMMON}
train {NETWORK} on lab.sex with n=160, epochs=12, lr=3e-3 as source_only
evaluate on clinic.sex as source_only_there
adapt on lab.sex to clinic via adabn from source_only as adabn
evaluate on clinic.sex as adabn_there
adapt {NETWORK} on lab.sex to clinic via coral with n=160, epochs=12, lr=3e-3 as coral
evaluate on clinic.sex as coral_there
adapt {NETWORK} on lab.sex to clinic via mmd with n=160, epochs=12, lr=3e-3 as mmd
evaluate on clinic.sex as mmd_there
adapt {NETWORK} on lab.sex to clinic via dann with n=160, epochs=12, lr=3e-3 as dann
evaluate on clinic.sex as dann_there
train {NETWORK} on clinic.sex with n=160, epochs=12, lr=3e-3 as labelled_there
"""
EXPERIMENTS = {
    "few-labels": (FEW_LABELS, "test.mae", ("finetune", "scratch")),
    "other-scanner": (
        OTHER_SCANNER,
        "test.balanced_accuracy",
        ("source_only", *(f"{arm}_there" for arm in ("source_only", "adabn", "coral", "mmd", "dann")), "labelled_there"),
    ),
}


def measure(name: str, folder: Path, store: Path, *, seeds: int, shift: float, threads: int) -> dict[str, list[float]]:
    """Run the recipe of an experiment; the metric of each arm by seed."""
    recipe, metric, arms = EXPERIMENTS[name]
    (folder / "datasets.yaml").write_text(DATASETS.replace("SHIFT", str(shift)), encoding="utf-8")
    file = folder / f"{name}.tlr"
    file.write_text(f"{recipe}repeat {seeds}\n", encoding="utf-8")
    command = [sys.executable, "-m", "tlimb", "run", str(file), "--store", str(store), "--threads", str(threads)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    text = subprocess.run(
        [sys.executable, "-m", "tlimb", "plan", "--json", str(file), "--store", str(store)], check=True, capture_output=True, text=True
    ).stdout
    runs = [run for variant in json.loads(text)["variants"] for run in variant["runs"]]
    return {
        arm: [json.loads((store / run["stages"][arm] / "results.json").read_bytes())["metrics"][metric] for run in runs] for arm in arms
    }


def main() -> None:
    """Print a table an experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--shift", type=float, default=1.0, help="of the clinic's scanner")
    parser.add_argument("--store", type=Path, help="where stages are kept; default a folder that is removed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=EXPERIMENTS, help="one experiment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for experiment in [options.only] if options.only else EXPERIMENTS:
            metric = EXPERIMENTS[experiment][1]
            found = measure(
                experiment, folder, options.store or folder / "store", seeds=options.seeds, shift=options.shift, threads=options.threads
            )
            print(f"\n{experiment}: {metric}\n{'arm':20} {'mean':>7} {'sd':>7}   by seed")
            for arm, values in found.items():
                spread = statistics.stdev(values) if len(values) > 1 else float("nan")
                print(f"{arm:20} {statistics.mean(values):7.3f} {spread:7.3f}   {' '.join(f'{value:.3f}' for value in values)}")


if __name__ == "__main__":
    main()
