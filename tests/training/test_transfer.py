"""Methods of domain adaptation help where only the scanner differs: averaged over seeds, on small discs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import SEX
from made_domains import discs, learning, prepare

from tlimb.train.stage import run_stage

SEEDS = 3


def evaluation_on_target(trained: str, digest: str) -> dict[str, Any]:
    """The evaluation of a stage on the labels of the target, which training never saw."""
    config = learning("Supervised")
    config |= {"kind": "evaluate", "targets": [{**SEX, "dataset": "target"}], "split": {"target": {"val": 0.2, "test": 0.4}}}
    config["parents"] = [config["parents"][1], {"role": "weights", "name": trained, "digest": digest}]
    return {key: value for key, value in config.items() if key not in ("objective", "scenario", "unlabelled")}


def accuracies(seed: int, store: Path, write: Callable[..., Path]) -> dict[str, float]:
    """Balanced accuracy on the target after learning on the source alone, AdaBN of that network, and MMD."""
    prepare(store, "source", *discs(10 + seed, 160))
    prepare(store, "target", *discs(50 + seed, 160, gain=0.6, bias=0.5, noise=0.4))
    arguments = {"monitor": "val.balanced_accuracy"}
    arms = {
        "source_only": learning("Supervised", unlabelled=False, arguments=arguments, trainer__max_epochs=10),
        "adabn": learning("AdaptiveBatchNorm", arguments=arguments, trainer__max_epochs=0),
        "mmd": learning("Joint", ("Mmd", {}), arguments=arguments, trainer__max_epochs=10),
    }
    found = {}
    for name, config in arms.items():
        config["seed"] = seed
        config["data"]["init_args"]["batch_size"] = 16
        config["architecture"]["init_args"]["dropout"] = 0.0
        for split in config["split"].values():
            split.update(val=0.2, test=0.4)
        if name == "adabn":
            digest = json.loads((store / "source_only" / "results.json").read_text())["digest"]
            config["parents"].append({"role": "weights", "name": "source_only", "digest": digest, "heads": ["sex"]})
        results = run_stage(write(config), store / name, parents=[store / "source_only"] if name == "adabn" else [])
        test = write(evaluation_on_target(name, results["digest"]))
        found[name] = run_stage(test, store / f"{name}_there", parents=[store / name])["metrics"]["test.balanced_accuracy"]
    return found


def test_adabn_and_mmd_beat_learning_on_the_source_alone(tmp_path: Path, write: Callable[..., Path]) -> None:
    found = [accuracies(seed, tmp_path / str(seed), write) for seed in range(SEEDS)]
    mean = {arm: sum(values[arm] for values in found) / SEEDS for arm in found[0]}
    assert mean["adabn"] > mean["source_only"] + 0.05, mean
    assert mean["mmd"] > mean["source_only"] + 0.05, mean
