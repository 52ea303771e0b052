"""Stages whose metric is a formula of their settings, for tests of searches: a worker of the local engine, and a `tlimb` for tasks.

A learning rate above 0.03 fails, one below 3e-5 ends without a number, and in between val.mae is least at 1e-3; it falls from epoch to
epoch, for some learning rates early and for others late. Training gives up as it is told to. The fake `tlimb` hands every other command
to the real one. FAKE_JOURNAL names a file that gets a line per stage that is computed.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import yaml


def compute(config: dict[str, Any], out: Path) -> None:
    """Write the result folder of a stage; a failure ends in ValueError."""
    with Path(os.environ["FAKE_JOURNAL"]).open("a") as file:
        file.write(f"{config['name']} {config['digest']}\n")
    metrics: dict[str, float | None] = {}
    if config["kind"] == "fit":
        lr = config["scenario"]["init_args"]["optimizer"]["init_args"]["lr"]
        if lr > 0.03:
            raise ValueError("the loss is no number")
        depth = config["architecture"]["init_args"]["depth"]
        last = 5 + (math.log10(lr) + 3) ** 2 + depth / 100 + config["seed"] / 10
        epochs = config["trainer"]["init_args"]["max_epochs"]
        curve = [last + (1 + lr * 1e3 % 5) * (1 / epoch - 1 / epochs) for epoch in range(1, epochs + 1)]
        limits = config["scenario"]["init_args"].get("give_up", {})
        stopped = next((e for e, limit in limits.items() if not (curve[e - 1] <= limit and lr > 3e-5)), None)
        curve = curve[:stopped]
        metrics = {"val.mae": curve[-1] if lr > 3e-5 else None, "test.mae": curve[-1] + 1}
    out.mkdir(parents=True)
    document = {"format": 1, "digest": config["digest"], "name": config["name"], "kind": config["kind"], "metrics": metrics}
    if config["kind"] == "fit":
        rows = [f"{epoch},{value:.7g}" if lr > 3e-5 else f"{epoch}," for epoch, value in enumerate(curve, 1)]
        (out / "history.csv").write_text("\n".join(["epoch,val.mae", *rows, ""]))
        document |= {} if stopped is None else {"stopped_early": stopped}
    (out / "results.json").write_text(json.dumps(document))


def work() -> None:
    """Serve the local engine."""
    print(json.dumps({"event": "ready"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            compute(yaml.safe_load(Path(request["config"]).read_text()), Path(request["out"]))
            reply = {"job": request["job"], "event": "finished", "metrics": {}}
        except ValueError as error:
            reply = {"job": request["job"], "event": "failed", "message": str(error), "status": 2}
        print(json.dumps(reply), flush=True)


def main(arguments: list[str]) -> None:
    """Be `tlimb`."""
    if arguments[:2] != ["stage", "run"]:
        from tlimb.cli import main as tlimb

        tlimb(arguments)
    parser = argparse.ArgumentParser()
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--into", type=Path)
    known, _ = parser.parse_known_args(arguments[2:])
    failed = ""
    for config in known.configs:
        try:
            compute(yaml.safe_load(config.read_text()), known.out or known.into / config.stem)
        except ValueError as error:
            failed = str(error)
    sys.exit(failed or 0)


if __name__ == "__main__":
    main(sys.argv[1:]) if len(sys.argv) > 1 else work()
