"""A worker for tests of the scheduler: it obeys the protocol and trains nothing. FAKE_WORKER: JSON, stage name to behaviour."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import yaml

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


signal.signal(signal.SIGTERM, stop)
if behaviours.get("*") == "stillborn":
    sys.exit("cannot import torch")
say(event="ready")
for line in sys.stdin:
    request = json.loads(line)
    config = yaml.safe_load(Path(request["config"]).read_text())
    name, job, out = config["name"], request["job"], Path(request["out"])
    partial = Path(request["config"]).parent
    behaviour = behaviours.get(name, "")
    note("start", name)
    assert all((Path(parent) / "results.json").exists() for parent in request["parents"])
    say(job=job, event="started")
    print(f"training {name}", file=sys.stderr, flush=True)
    first = not (partial / "tried").exists()
    (partial / "tried").touch()
    if behaviour == "crash" or (behaviour == "crash once" and first):
        print("segmentation fault", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "fail":
        say(job=job, event="failed", message="no participant has a label", status=2)
        continue
    if behaviour == "no results":
        say(job=job, event="finished", metrics={})
        continue
    if behaviour == "slow":
        time.sleep(60)
    say(job=job, event="epoch", epoch=1, epochs=2, metrics={"val.auroc": 0.5})
    print("not a reply")
    time.sleep(0.05)
    note("end", name)
    (partial / "results.json").write_text(json.dumps({"format": 1, "digest": job, "threads": request["threads"], "gpus": request["gpus"]}))
    partial.rename(out)
    say(job=job, event="finished", metrics={"val.auroc": 0.75})
