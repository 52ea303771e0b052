"""Two devices, here processes of a CPU, train as one does with twice the batch; whatever ends one of them ends the stage, in order."""

import csv
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
import yaml
from conftest import AGE, SEX
from made_domains import Noise, discs, learning, prepare
from safetensors.torch import load_file
from test_resume import finals

from tlimb.errors import InputError, TlimbError
from tlimb.run.local import run_local
from tlimb.run.opening import open_recipe
from tlimb.run.store import Store
from tlimb.train import devices
from tlimb.train.rank import take_part
from tlimb.train.stage import run_stage
from tlimb.train.stopping import StoppedError

PLAIN = {"class_path": "made_domains.Plain", "init_args": {}}
SLOW = "SLOW_NOISE"


class SlowNoise(Noise):
    """Gives a signal time to arrive before training is over, where the environment says so."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        time.sleep(float(os.environ.get(SLOW, 0)))
        return super().__call__(image)


class Forked:
    """A process of a rank, as `subprocess.Popen`: forked, since importing torch takes seconds."""

    alive: ClassVar[list["Forked"]] = []

    def __init__(self, command: Any, **_: Any) -> None:
        requests, replies = os.pipe(), os.pipe()
        self.pid, self.ended = os.fork(), None
        if self.pid == 0:
            os.dup2(requests[0], 0)
            os.dup2(replies[1], 1)
            os.closerange(3, 512)
            gc.freeze()  # what a test before left would wait for threads that are not here
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
            take_part()
        os.close(requests[0])
        os.close(replies[1])
        self.stdin, self.stdout = open(requests[1], "wb"), open(replies[0], "rb")  # noqa: SIM115
        Forked.alive.append(self)

    def wait(self) -> int:
        if self.ended is None:
            self.ended = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            Forked.alive.remove(self)
        return self.ended

    def kill(self) -> None:
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> type[Forked]:
    monkeypatch.setattr(devices, "subprocess", SimpleNamespace(Popen=Forked, PIPE=subprocess.PIPE))
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    Forked.alive.clear()
    return Forked


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """With two data sets of odd sizes; a quarter of one has no age."""
    images, labels = discs(1, 45)
    labels = {"age": [age if number % 4 else "" for number, age in enumerate(labels["age"])], "sex": labels["sex"]}
    prepare(tmp_path, "source", images, labels)
    prepare(tmp_path, "target", *discs(2, 43, gain=0.6, bias=0.5))
    return tmp_path


def run(config: dict[str, Any], store: Path, name: str, *, on: int = 1, emit: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """The finished folder of a stage with 8 rows in the batch of a step."""
    config["data"]["init_args"]["batch_size"] = 8 // on
    config["trainer"]["init_args"] |= {"devices": on, "strategy": "ddp"}
    path = store / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    run_stage(path, store / name, emit=emit)
    return store / name


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def everything() -> dict[str, Any]:
    """Missing labels, a teacher, terms that compare rows, layers that are freed later."""
    return learning(
        "MeanTeacher",
        ("Consistency", {}),
        ("Mmd", {}),
        ("ElasticPenalty", {}),
        targets=(AGE, SEX),
        architecture=PLAIN,
        arguments={"decay": 0.9, "monitor": "val.loss", "freeze": "all", "unfreeze": {"layer": "second", "epoch": 2}},
    )


def test_two_devices_are_one_with_twice_the_batch(store: Path, forked: type[Forked]) -> None:
    one, two = run(everything(), store, "one"), run(everything(), store, "two", on=2)
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    histories = [[{name: float(value) for name, value in row.items()} for row in rows_of(folder, "history.csv")] for folder in (one, two)]
    assert len(histories[0]) == len(histories[1]) == 3
    for single, double in zip(*histories, strict=True):
        assert double == pytest.approx(single, rel=1e-3)
    predictions = [rows_of(folder, "predictions.csv") for folder in (one, two)]
    people = [[(row["participant_id"], row["session"], row["part"]) for row in rows] for rows in predictions]
    assert people[0] == people[1]
    assert len(set(people[1])) == len(people[1])
    events = (two / "events.jsonl").read_text()
    assert events.count('"epoch"') == 3 + events.count('"epoch":')  # one event an epoch, from one process
    assert not forked.alive


def test_contrasts_are_with_the_images_of_all_devices(store: Path, forked: type[Forked]) -> None:
    def simclr() -> dict[str, Any]:
        return learning("SelfSupervised", ("Contrastive", {"projection": 8}), targets=(), architecture=PLAIN)

    one, two = (
        [float(row["train.loss"]) for row in rows_of(run(simclr(), store, f"on {count}", on=count), "history.csv")] for count in (1, 2)
    )
    assert two == pytest.approx(one, rel=1e-4)


def test_killed_stopped_and_run_again_equals_uninterrupted(store: Path, forked: type[Forked], monkeypatch: pytest.MonkeyPatch) -> None:
    """With BatchNorm, dropout and noise: statistics and random numbers differ between devices."""

    def noisy() -> dict[str, Any]:
        config = learning("MeanTeacher", ("Consistency", {}), trainer__max_epochs=5)
        config["data"]["init_args"]["augment"] = [{"class_path": f"{__name__}.SlowNoise", "init_args": {}}]
        return config

    through = run(noisy(), store, "through", on=2)

    monkeypatch.setenv(SLOW, "0.03")

    def kill(event: dict[str, Any]) -> None:
        if event.get("epoch") == 2:
            os.kill(forked.alive[0].pid, signal.SIGKILL)

    with pytest.raises(TlimbError, match="device 0 of 2: its process was ended by SIGKILL"):
        run(noisy(), store, "disturbed", on=2, emit=kill)
    assert not forked.alive
    assert (store / ".partial" / "disturbed" / "last.ckpt").exists()

    def stop(event: dict[str, Any]) -> None:
        if event.get("epoch") == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError) as stopped:
        run(noisy(), store, "disturbed", on=2, emit=stop)
    assert stopped.value.exit_status == 75
    assert not forked.alive
    monkeypatch.delenv(SLOW)
    disturbed = run(noisy(), store, "disturbed", on=2)
    assert finals(disturbed) == finals(through)
    assert (disturbed / "log.txt").read_text().count("going on after epoch") == 2


def test_an_error_of_the_devices_is_said_once(store: Path, forked: type[Forked]) -> None:
    config = learning("Supervised", unlabelled=False, architecture=PLAIN)
    config["split"]["source"]["val"] = 0.02
    with pytest.raises(InputError, match="1 images cannot be shared by 2 devices"):
        run(config, store, "few", on=2)
    assert not forked.alive


ENDS = {
    "killed": ("os.kill(os.getpid(), 9)", "device 1 of 2: its process was ended by SIGKILL"),
    "without a word": ("sys.exit(3)", "device 1 of 2: its process ended without a word"),
    "an error": (
        "print(json.dumps({'event': 'failed', 'known': False, 'message': 'ValueError: odd', 'hint': '', 'status': 1})); sys.exit(1)",
        "device 1 of 2: ValueError: odd",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_waits_for_one_that_has_ended_is_ended_too(end: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how, message = ENDS[end]
    script = "import json, os, sys, time; request = json.loads(sys.stdin.readline()); "
    script += f"open(sys.argv[1] + str(os.getpid()), 'w').close(); time.sleep(60) if request['rank'] == 0 else None; {how}"
    monkeypatch.setattr(devices, "COMMAND", (sys.executable, "-c", script, str(store / "process-")))
    monkeypatch.setattr(devices, "GRACE_S", 0.3)
    with pytest.raises(TlimbError, match=message):
        run(learning("Supervised", unlabelled=False), store, "out", on=2)
    for file in store.glob("process-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.name.removeprefix("process-")), 0)


def test_a_recipe_on_two_devices(tmp_path: Path) -> None:
    (tmp_path / "two.tlr").write_text(
        "data axial_slice(size=24x24)\n"
        "pretrain resnet10 on demo.age with epochs=1, batch=4, devices=2, strategy=ddp, trainer.accelerator=cpu\n"
    )
    (tmp_path / "datasets.yaml").write_text("demo: {format: demo, participants: 24}\n")
    graph = open_recipe(str(tmp_path / "two.tlr")).graph()
    store = Store(tmp_path / "runs")
    outcome = run_local(graph, store, datasets=tmp_path / "datasets.yaml", threads=2)
    assert (len(outcome.done), dict(outcome.failed)) == (2, {})
    people = [row["participant_id"] for row in rows_of(store.folder(graph.stages[-1].digest), "predictions.csv")]
    assert people
    assert len(set(people)) == len(people)
