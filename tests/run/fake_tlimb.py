"""A `tlimb` command for tests of compiled projects: it takes the real arguments, checks what it is given and trains nothing.

FAKE_TLIMB holds a JSON object, stage name to what the stage does: "fail", "stop once" (exit 75 and go on when tried again) or "slow".
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import yaml

parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest="command", required=True)
stage = commands.add_parser("stage").add_subparsers(required=True).add_parser("run")
stage.add_argument("config", type=Path)
stage.add_argument("--out", type=Path, required=True)
stage.add_argument("--parent", type=Path, action="append", default=[])
stage.add_argument("--datasets", type=Path, required=True)
stage.add_argument("--threads", type=int, required=True)
stage.add_argument("--state", type=Path, required=True)
rank = commands.add_parser("rank")
rank.add_argument("plan", type=Path)
rank.add_argument("--store", type=Path, required=True)
rank.add_argument("--out", type=Path, required=True)
arguments = parser.parse_args()

if arguments.command == "rank":
    plan = json.loads(arguments.plan.read_text())
    finished = {json.loads(file.read_text())["digest"] for file in arguments.store.glob("*/results.json")}
    ranked = [stage["name"] for stage in plan["stages"] if stage["digest"] in finished]
    (arguments.out / "results.csv").write_text("\n".join(ranked))
    (arguments.out / "results.json").write_text("{}")
    (arguments.out / "report.html").write_text("")
    sys.exit()

config = yaml.safe_load(arguments.config.read_text())
wanted = sorted(parent["digest"] for parent in config["parents"])
given = sorted(json.loads((parent / "results.json").read_text())["digest"] for parent in arguments.parent)
if wanted != given:
    sys.exit(f"wanted {wanted}, given {given}")
if not arguments.datasets.is_file():
    sys.exit(f"no {arguments.datasets}")
arguments.state.mkdir(parents=True, exist_ok=True)
behaviour = json.loads(os.environ.get("FAKE_TLIMB", "{}")).get(config["name"])
if behaviour == "fail":
    sys.exit("no participant has a label")
if behaviour == "stop once" and not (arguments.state / "last.ckpt").exists():
    (arguments.state / "last.ckpt").touch()
    sys.exit(75)
with (arguments.state / "events.jsonl").open("a") as events:
    events.write(json.dumps({"event": "epoch", "epoch": 1, "epochs": 2, "metrics": {"val.auroc": 0.5}}) + "\n")
if behaviour == "slow":
    time.sleep(60)
arguments.out.mkdir()
document = {"format": 1, "digest": config["digest"], "metrics": {"val.auroc": 0.75}, "threads": arguments.threads}
(arguments.out / "results.json").write_text(json.dumps(document))
