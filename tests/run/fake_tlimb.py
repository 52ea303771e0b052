"""A `tlimb` command for tests of compiled projects: it takes the real arguments, checks what it is given and trains nothing.

FAKE_TLIMB holds a JSON object, stage name (or "NAME LR" for one of a sweep) to what the stage does: "fail", "stop once" (exit 75 and go on
when tried again), "slow", or "crash" (the whole task dies). FAKE_JOURNAL names a file that gets a line per task: the stages it computed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Collection
from pathlib import Path

import yaml

parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest="command", required=True)
stage = commands.add_parser("stage").add_subparsers(required=True).add_parser("run")
stage.add_argument("configs", type=Path, nargs="+")
where = stage.add_mutually_exclusive_group(required=True)
where.add_argument("--out", type=Path)
where.add_argument("--into", type=Path)
stage.add_argument("--parent", type=Path, action="append", default=[])
stage.add_argument("--datasets", type=Path, required=True)
stage.add_argument("--threads", type=int, required=True)
stage.add_argument("--state", type=Path, required=True)
rank = commands.add_parser("rank")
rank.add_argument("plan", type=Path)
rank.add_argument("--store", type=Path, required=True)
rank.add_argument("--out", type=Path, required=True)
arguments = parser.parse_args()


def compute(file: Path, out: Path, state: Path, given: Collection[str]) -> None:
    """One stage; SystemExit where it fails or is stopped."""
    config = yaml.safe_load(file.read_text())
    wanted = {parent["digest"] for parent in config["parents"]}
    if not wanted <= set(given):
        sys.exit(f"wanted {wanted}, given {given}")
    state.mkdir(parents=True, exist_ok=True)
    lr = config.get("scenario", {}).get("init_args", {}).get("optimizer", {}).get("init_args", {}).get("lr")
    behaviours = json.loads(os.environ.get("FAKE_TLIMB", "{}"))
    behaviour = behaviours.get(f"{config['name']} {lr}", behaviours.get(config["name"]))
    if behaviour == "crash":
        sys.exit(127)
    if behaviour == "fail":
        sys.exit("no participant has a label")
    if behaviour == "stop once" and not (state / "last.ckpt").exists():
        (state / "last.ckpt").touch()
        sys.exit(75)
    with (state / "events.jsonl").open("a") as events:
        events.write(json.dumps({"event": "started"}) + "\n")
        events.write(json.dumps({"event": "epoch", "epoch": 1, "epochs": 2, "metrics": {"val.auroc": 0.5}}) + "\n")
    if behaviour == "slow":
        time.sleep(60)
    out.mkdir(parents=True)
    document = {"format": 1, "digest": config["digest"], "metrics": {"val.auroc": 0.75}, "threads": arguments.threads}
    (out / "results.json").write_text(json.dumps(document))


if arguments.command == "rank":
    plan = json.loads(arguments.plan.read_text())
    finished = {json.loads(file.read_text())["digest"] for file in arguments.store.glob("*/results.json")}
    ranked = [stage["name"] for stage in plan["stages"] if stage["digest"] in finished]
    (arguments.out / "results.csv").write_text("\n".join(ranked))
    (arguments.out / "results.json").write_text("{}")
    (arguments.out / "report.html").write_text("")
    sys.exit()

if not arguments.datasets.is_file():
    sys.exit(f"no {arguments.datasets}")
given = [json.loads((parent / "results.json").read_text())["digest"] for parent in arguments.parent]
needed = {parent["digest"] for file in arguments.configs for parent in yaml.safe_load(file.read_text())["parents"]}
if needed != set(given):
    sys.exit(f"needed {needed}, given {given}")
if "FAKE_JOURNAL" in os.environ:
    with open(os.environ["FAKE_JOURNAL"], "a") as journal:
        journal.write(" ".join(file.stem for file in arguments.configs) + "\n")
if arguments.out:
    (config,) = arguments.configs
    compute(config, arguments.out, arguments.state, given)
    sys.exit()
failed = False
for config in arguments.configs:
    try:
        compute(config, arguments.into / config.stem, arguments.state / config.stem.rpartition("-")[2], given)
    except SystemExit as end:
        if end.code in (75, 127):
            raise
        print(end, file=sys.stderr)
        failed = True
sys.exit(int(failed))
