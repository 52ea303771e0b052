"""A worker for tests of the scheduler: it obeys the protocol and trains nothing. FAKE_WORKER: JSON, stage name to behaviour."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tlimb.train.folder import publish, record, workplace

behaviours = json.loads(os.environ.get("FAKE_WORKER", "{}"))
journal = Path(os.environ["FAKE_JOURNAL"])


def say(**reply: object) -> None:
    print(json.dumps(reply), flush=True)


def note(word: str, name: str) -> None:
    with journal.open("a") as file:
        file.write(f"{word} {name} {os.getpid()} {os.environ['OMP_NUM_THREADS']} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")


def stop(number: int, frame: object) -> None:
    note("stopped", "")
    sys.exit(75)


def compute(request: dict[str, Any], name: str, partial: Path) -> None:
    """A stage, in its locked folder of work."""
    job, out = request["job"], Path(request["out"])
    behaviour = behaviours.get(name, "")
    note("start", name)
    assert all((Path(parent) / "results.json").exists() for parent in request["parents"])
    say(job=job, event="started")
    record(partial, {"event": "started"})
    print(f"training {name}", file=sys.stderr, flush=True)
    first = not (partial / ".tried").exists()
    (partial / ".tried").touch()
    if behaviour == "crash" or (behaviour == "crash once" and first):
        print("segmentation fault", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "fail":
        say(job=job, event="failed", message="no participant has a label", status=2)
        return
    if behaviour == "no results":
        say(job=job, event="finished", metrics={})
        return
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "warn":
        say(job=job, event="warning", message="bf16 is slow here")
    if behaviour in ("slow", "deaf"):
        (partial / ".slow").touch()
        time.sleep(60)
    if behaviour == "garbage":
        sys.stdout.buffer.write(
            b"\xff\xfe\x00 bytes\n" + b"[" * 100_000 + b'\n[1, 2]\n"text"\nnull\n{"event": "finished", "job": "another"}\n'
        )
    epoch = {"event": "epoch", "epoch": 1, "epochs": 2, "metrics": {"val.auroc": 0.5}}
    say(job=job, **epoch)
    record(partial, epoch)
    (partial / "history.csv").write_text("epoch,lr,train.loss,val.loss,val.auroc\n1,0.001,0.7,0.6,0.5\n")
    print("not a reply")
    if behaviour == "half":
        time.sleep(60)
    time.sleep(0.05)
    note("end", name)
    config = yaml.safe_load(Path(request["config"]).read_text())
    if config["kind"] == "prepare":
        (partial / "prepared.json").write_text(json.dumps({"channels": 1, "shape": [32, 32], "spatial_dims": 2}))
    identity = {"format": 1, "digest": job, "name": name, "kind": config["kind"], "metrics": {"val.auroc": 0.75}}
    (partial / "results.json").write_text(json.dumps({**identity, "threads": request["threads"], "gpus": request["gpus"]}))
    (partial / "model.safetensors").write_bytes(name.encode() * 1000)
    publish(partial, out, job)
    say(job=job, event="finished", metrics={"val.auroc": 0.75})


signal.signal(signal.SIGTERM, stop)
if behaviours.get("*") == "stillborn":
    sys.exit("cannot import torch")
if behaviours.get("*") == "hang":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    note("start", "import")
    time.sleep(60)
say(event="ready")
for line in sys.stdin:
    request = json.loads(line)
    with workplace(Path(request["out"]), Path(request["state"]), request["job"]) as partial:
        if partial is None:
            say(job=request["job"], event="finished", metrics={})
            continue
        compute(request, yaml.safe_load(Path(request["config"]).read_text())["name"], partial)
