"""The timed workload of the TLIMB paper beside the same by hand in plain Lightning: CPU seconds, wall time and their ratios.

python benchmarks/bench_workload.py --peer FOLDER [--runs 3] [--lrs 1e-4 1e-3 1e-2] [--epochs 10] [--jobs 2] [--threads 1]

Two architectures, some learning rates, without and with an elastic penalty: age first, then sex from its weights, a test after each. The
folder holds `make_data.py`, which writes 160 brains, and `manual.py`, the pipelines in one loop. Runs take turns; medians count.

Both sides train the same networks with the same optimizer, batches and steps on the same participants in the same roles: the table that
they read is written so that the manual side, which goes by a column and by the order of rows, draws those whom TLIMB draws. They differ in
what intensities are normalised over (slice, volume) and in their random numbers.
"""

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from tlimb.catalogue.splits import ROLES, Role, Split, assign

DATASETS = """\
brains:
  format: bids
  root: DATA
  image: T1w
  labels: {age: {column: age, unit: years}, sex: {column: sex, classes: [F, M]}}
"""
RECIPE = """\
data axial_slice(size=96x112, intensity=zscore_all); set optimizer = adam; set scenario.monitor = val.loss
split brains into base 80, target 40, test 40; set split.val = 0.2; set split.seed = SEED
pretrain resnet18 on brains[base].age with epochs=EPOCHS; finetune on brains[target].sex with epochs=1
sweep architecture in [resnet18, vit(patch_size=16, num_layers=12, pool=token, qkv_bias=true)]
sweep lr in [LRS]; sweep elastic in [none, 0.01]
"""
PARTS, VAL = {"base": 80, "target": 40, "test": 40}, 0.2
NAMED = {"base": "pretrain", "target": "finetune", "test": "test"}
"""The parts as the manual side calls them."""


def measured(command: Sequence[object]) -> tuple[float, float]:
    """CPU seconds of a command with its children, and wall time."""
    before, started = os.times(), time.perf_counter()
    # As where packages are installed with their compiled modules.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "tlimb-bench")}
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu_s, time.perf_counter() - started


def shared_roles(data: Path, folder: Path) -> int:
    """The data in another folder, with a table that gives the manual side the same roles as TLIMB; returns the seed of TLIMB's split.

    The seed is the first one whose validation sets are as large as the manual side's, which takes the first places of a permutation for
    training.
    """
    with (data / "participants.tsv").open(newline="") as file:
        rows = {row["participant_id"].removeprefix("sub-"): row for row in csv.DictReader(file, delimiter="\t")}
    for seed in itertools.count():
        roles = assign({name: name for name in rows}, Split(tuple(PARTS.items()), val=VAL, seed=seed))
        drawn = {(part, role): [name for name in rows if roles[name] == Role(part, role)] for part in PARTS for role in ROLES}
        if all(len(drawn[part, "val"]) == round(PARTS[part] * VAL) for part in ("base", "target")):
            break
    ordered: list[dict[str, str]] = []
    for part, name in NAMED.items():
        places = torch.randperm(PARTS[part], generator=torch.Generator().manual_seed(0)).tolist()
        members = dict(zip(places, drawn[part, "train"] + drawn[part, "val"] + drawn[part, "test"], strict=True))
        ordered += [{**rows[members[place]], "split": name} for place in sorted(members)]
    folder.mkdir()
    for path in data.iterdir():
        if path.name != "participants.tsv":
            (folder / path.name).symlink_to(path.resolve())
    with (folder / "participants.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ordered[0], delimiter="\t")
        writer.writeheader()
        writer.writerows(ordered)
    return seed


def read(store: Path) -> list[dict[str, Any]]:
    """Config, results and environment of all stages of a store."""
    stages = []
    for file in store.glob("*/stage.yaml"):
        told, surroundings = (json.loads((file.parent / f"{name}.json").read_bytes()) for name in ("results", "environment"))
        stages.append({**yaml.safe_load(file.read_text()), **told, **surroundings})
    return stages


def ours(stages: Sequence[dict[str, Any]]) -> dict[tuple[str, str, float], list[float]]:
    """Test error of age and test accuracy of sex by metric, architecture and learning rate."""
    found: dict[tuple[str, str, float], list[float]] = {}
    for stage in stages:
        if stage["kind"] == "fit":
            architecture = str(stage["architecture"]["class_path"]).rpartition(".")[2].lower()
            lr = stage["scenario"]["init_args"]["optimizer"]["init_args"]["lr"]
            for name in {"test.mae", "test.accuracy"} & stage["metrics"].keys():
                found.setdefault((name, architecture, lr), []).append(stage["metrics"][name])
    return found


def theirs(trials: Sequence[dict[str, Any]]) -> dict[tuple[str, str, float], list[float]]:
    """The same of the manual side."""
    found: dict[tuple[str, str, float], list[float]] = {}
    for trial in trials:
        architecture = "resnet" if trial["arch"].startswith("resnet") else trial["arch"]
        found.setdefault(("test.mae", architecture, trial["lr"]), []).append(trial["pretrain"]["test_mae"])
        found.setdefault(("test.accuracy", architecture, trial["lr"]), []).append(trial["finetune"]["test_acc"])
    return found


def main() -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="folder of manual.py and make_data.py")
    parser.add_argument("--data", type=Path, help="what make_data.py wrote; default: written anew")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lrs", nargs="+", default=["1e-4", "1e-3", "1e-2"])
    parser.add_argument("--epochs", type=int, default=10, help="of age; sex has one")
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time")
    parser.add_argument("--threads", type=int, default=1, help="of a stage")
    parser.add_argument("--manual-workers", type=int, default=0, help="loader processes of the manual side")
    parser.add_argument("--manual-threads", type=int, default=1, help="threads of the manual side; 0 is torch's default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = options.data or folder / "made"
        if not made.exists():
            measured([sys.executable, options.peer / "make_data.py", "--out", made])
        data, recipe = folder / "brains", folder / "workload.tlr"
        seed = shared_roles(made, data)
        (folder / "datasets.yaml").write_text(DATASETS.replace("DATA", str(data)))
        text = RECIPE.replace("EPOCHS", str(options.epochs)).replace("LRS", ", ".join(options.lrs)).replace("SEED", str(seed))
        recipe.write_text(text)
        sides: dict[str, list[tuple[float, float]]] = {"manual": [], "tlimb": [], "tlimb again": []}
        manual = [sys.executable, options.peer / "manual.py", "--data", data, "--workers", options.manual_workers, "--lrs", *options.lrs]
        manual += ["--threads", options.manual_threads, "--pretrain-epochs", options.epochs, "--json", folder / "manual.json"]
        for run in range(options.runs):
            store = folder / f"store{run}"
            tlimb = [sys.executable, "-m", "tlimb", "run", recipe, "--store", store, "--jobs", options.jobs, "--threads", options.threads]
            sides["manual"].append(measured([*manual, "--out", folder / f"manual{run}"]))
            sides["tlimb"].append(measured(tlimb))
            sides["tlimb again"].append(measured(tlimb))
        stages, told = read(store), json.loads((folder / "manual.json").read_bytes())
    cpu, wall = ({side: statistics.median(values[index] for values in found) for side, found in sides.items()} for index in (0, 1))
    lines = {"tlimb": len(RECIPE.splitlines()), "manual": len((options.peer / "manual.py").read_text().splitlines())}
    print(f"{4 * len(options.lrs)} pipelines of {options.epochs} and 1 epochs, medians of {options.runs} runs")
    print(f"{'side':12} {'CPU s':>8} {'wall s':>8} {'x CPU':>6} {'x wall':>6} {'lines':>6}")
    for side in sides:
        ratios = f"{cpu[side] / cpu['manual']:6.2f} {wall[side] / wall['manual']:6.2f}"
        print(f"{side:12} {cpu[side]:8.1f} {wall[side]:8.1f} {ratios} {lines.get(side, ''):>6}")
    steps = sum(stage.get("steps_seconds", 0) for stage in stages)
    long = [stage["steps_seconds"] / stage["seconds"] for stage in stages if stage.get("steps_seconds") and stage["kind"] == "fit"]
    print(f"\nthe last run of tlimb: {steps / (options.jobs * sides['tlimb'][-1][1]):.2f} of the workers' time in training and evaluation")
    print(f"steps; of the time of a training stage {min(long):.2f} to {max(long):.2f}; manual {_steps(told):.2f}")
    found, other = ours(stages), theirs(told["trials"])
    print(f"\n{'the last runs, medians':34} {'manual':>8} {'tlimb':>8}")
    for key in sorted(found, reverse=True):
        print(f"{key[0]:14} {key[1]:10} lr {key[2]:<6g} {statistics.median(other[key]):8.2f} {statistics.median(found[key]):8.2f}")


def _steps(told: dict[str, Any]) -> float:
    return float(sum(told["phases_s"][name] for name in ("train_step", "eval_step")) / told["total_s"])


if __name__ == "__main__":
    main()
