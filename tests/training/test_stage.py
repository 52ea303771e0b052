"""`run_stage`: what it writes, what it refuses, what it finds by itself."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import AGE, SEX, stage
from safetensors import safe_open
from safetensors.torch import load_file

from tlimb.errors import InputError, TlimbError
from tlimb.train.config import read_config
from tlimb.train.stage import run_stage

Write = Callable[..., Path]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> str:
    return str(yaml.safe_load((folder / "stage.yaml").read_text())["digest"])


def child_of(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The config with the stage in the folder as its start weights."""
    return {**config, "parents": [{"role": "weights", "name": "first", "digest": digest(folder)}]}


def test_a_fit_writes_all_that_was_promised(write: Write, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    config = write(stage(AGE, SEX, data__missing=4))
    results = run_stage(config, tmp_path / "out", emit=events.append)
    out = tmp_path / "out"
    assert {file.name for file in out.iterdir()} == {
        *("stage.yaml", "results.json", "environment.json", "log.txt", "events.jsonl", "files.json"),
        *("predictions.csv", "model.safetensors", "history.csv"),
    }
    assert results["monitor"] == "val.age.mae"
    assert {"val.age.mae", "test.age.r2", "val.sex.auroc", "test.sex.balanced_accuracy"} <= results["metrics"].keys()
    assert results["epochs"] == 3
    assert set(results["baselines"]) == {"test.age.mae", "test.sex.balanced_accuracy"}

    history = rows(out / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2", "3"]
    assert list(history[0])[:4] == ["epoch", "lr", "train.loss", "val.loss"]
    best = min(history, key=lambda row: float(row["val.age.mae"]))
    assert int(best["epoch"]) == results["best_epoch"]
    assert results["metrics"]["val.age.mae"] == pytest.approx(float(best["val.age.mae"]), rel=1e-5), "tested with the best weights"

    predictions = rows(out / "predictions.csv")
    assert list(predictions[0]) == [
        *("participant_id", "session", "part"),
        "age",
        "age_pred",
        *("sex", "sex_pred", "sex_prob_F", "sex_prob_M"),
    ]
    assert [row["part"] for row in predictions] == ["val"] * 16 + ["test"] * 16
    test = [row for row in predictions if row["part"] == "test" and row["age"]]
    assert len(test) == 12
    errors = [abs(float(row["age"]) - float(row["age_pred"])) for row in test]
    assert results["metrics"]["test.age.mae"] == pytest.approx(sum(errors) / len(errors), rel=1e-5)

    with safe_open(out / "model.safetensors", framework="pt") as file:
        description = json.loads(file.metadata()["tlimb"])
        names = set(file.keys())
    assert description["architecture"]["init_args"] == {
        "depth": 10,
        "widen_factor": 0.125,
        "dropout": 0.2,
        "in_channels": 1,
        "spatial_dims": 2,
    }
    assert description["input_shape"] == [1, 16, 16]
    assert [target["name"] for target in description["targets"]] == ["age", "sex"]
    assert {name.split(".")[0] for name in names} == {"encoder", "heads"}

    text = (out / "environment.json").read_text()
    assert str(tmp_path) not in text
    environment = json.loads(text)
    assert environment["device"] == "cpu"
    assert 0 < environment["steps_seconds"] < environment["seconds"]
    assert [event["event"] for event in events] == ["started", "epoch", "epoch", "epoch", "finished"]
    assert events[2]["epoch"] == 2
    assert events[2]["epochs"] == 3
    assert "val.age.mae" in events[2]["metrics"]
    assert [json.loads(line)["event"] for line in (out / "events.jsonl").read_text().splitlines()] == [event["event"] for event in events]


def test_a_finished_stage_is_left_alone_and_another_one_is_not_overwritten(write: Write, tmp_path: Path) -> None:
    config = write(stage(AGE, trainer__max_epochs=1))
    run_stage(config, tmp_path / "out")
    before = (tmp_path / "out" / "results.json").stat().st_mtime_ns
    run_stage(config, tmp_path / "out")
    assert (tmp_path / "out" / "results.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="is that of the stage"):
        run_stage(config, tmp_path / "out", overrides=["seed=9"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is no finished stage"):
        run_stage(config, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    run_stage(config, tmp_path / "empty", state=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_equal_stages_give_equal_bytes_and_seeds_differ(write: Write, tmp_path: Path) -> None:
    config = write(stage(AGE, trainer__max_epochs=2))
    one, two, other = (run_stage(config, tmp_path / name, overrides=[f"seed={seed}"]) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert one == two
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert one["metrics"] != other["metrics"]


def test_another_head_does_not_change_where_the_encoder_starts(write: Write, tmp_path: Path) -> None:
    weights = []
    for name, targets in (("one", (AGE,)), ("two", (AGE, SEX))):
        config = stage(*targets, trainer__max_epochs=1, scenario__optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-30}})
        run_stage(write(config), tmp_path / name)
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    shared = [name for name in weights[0] if name.endswith("weight")]
    assert len(shared) > 10
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in shared)


def test_learning_beats_the_baselines(write: Write, tmp_path: Path) -> None:
    config = stage(AGE, trainer__max_epochs=8, architecture__dropout=0.0, scenario__optimizer__lr=0.01)
    results = run_stage(write(config), tmp_path / "out")
    assert results["metrics"]["test.mae"] < results["baselines"]["test.mae"]["constant"] / 2


def test_finetuning_starts_from_the_parents_encoder_and_keeps_what_is_frozen(write: Write, tmp_path: Path) -> None:
    run_stage(write(stage(AGE, trainer__max_epochs=1)), tmp_path / "first")
    config = child_of(tmp_path / "first", stage(SEX, scenario__freeze="layer4", trainer__max_epochs=1))
    with pytest.raises(InputError, match=r"weights of stage 'first'(.|\n)*--parent"):
        run_stage(write(config), tmp_path / "second")
    results = run_stage(write(config), tmp_path / "second", parents=[tmp_path / "first"])
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    for name, tensor in first.items():
        if name.startswith("encoder."):
            assert torch.equal(tensor, second[name]) == (not name.startswith("encoder.layer4")), name
    assert "heads.sex.linear.weight" in second
    assert "heads.age.linear.weight" not in second
    frozen = sum(
        tensor.numel() for name, tensor in first.items() if name.startswith("encoder.") and "layer4" not in name and "running" not in name
    )
    norms = sum("num_batches" in name for name in first if "layer4" not in name)
    assert results["parameters"]["frozen"] == frozen - norms


def test_weights_that_do_not_fit_are_refused(write: Write, tmp_path: Path) -> None:
    run_stage(write(stage(AGE, trainer__max_epochs=1)), tmp_path / "first")
    config = child_of(tmp_path / "first", stage(SEX, architecture__depth=18))
    with pytest.raises(InputError, match=r"weights of first do not fit(.|\n)*missing: layer1.1"):
        run_stage(write(config), tmp_path / "second", parents=[tmp_path / "first"])


def test_an_evaluation_repeats_the_test_of_the_fit(write: Write, tmp_path: Path) -> None:
    fitted = run_stage(write(stage(AGE, SEX, trainer__max_epochs=1)), tmp_path / "first")
    swapped = {**SEX, "classes": ["M", "F"]}
    config = child_of(tmp_path / "first", {**stage(AGE, swapped), "kind": "evaluate", "trainer": stage(AGE)["trainer"]})
    del config["objective"], config["scenario"]
    results = run_stage(write(config), tmp_path / "second", parents=[tmp_path / "first"])
    assert results["metrics"] == {name: value for name, value in fitted["metrics"].items() if name.startswith("test.")}
    tested = [row for row in rows(tmp_path / "first" / "predictions.csv") if row["part"] == "test"]
    assert rows(tmp_path / "second" / "predictions.csv") == tested
    config["targets"] = [{**SEX, "classes": ["F", "M", "X"]}]
    with pytest.raises(InputError, match="'sex' is one of F, M, X here, but one of F, M in stage 'first'"):
        run_stage(write(config), tmp_path / "third", parents=[tmp_path / "first"])
    config["targets"] = [{**AGE, "name": "iq"}]
    with pytest.raises(InputError, match=r"not trained on 'iq'(.|\n)*age, sex"):
        run_stage(write(config), tmp_path / "third", parents=[tmp_path / "first"])


def test_patience_ends_training(write: Write, tmp_path: Path) -> None:
    config = stage(
        AGE, scenario__patience=1, trainer__max_epochs=20, scenario__optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}}
    )
    results = run_stage(write(config), tmp_path / "out")
    history = rows(tmp_path / "out" / "history.csv")
    assert results["epochs"] == len(history) < 20


def test_a_loss_that_is_no_number_says_what_to_do(write: Write, tmp_path: Path) -> None:
    config = stage(AGE, scenario__optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 1e30}})
    with pytest.raises(TlimbError, match=r"training loss became (nan|inf) in epoch(.|\n)*smaller scenario.optimizer.lr"):
        run_stage(write(config), tmp_path / "out")
    assert "training loss became" in (tmp_path / ".partial" / "out" / "log.txt").read_text()
    assert json.loads((tmp_path / ".partial" / "out" / "events.jsonl").read_text().splitlines()[-1])["event"] == "failed"


@pytest.mark.parametrize("logger", ["lightning.pytorch.loggers.CSVLogger", "lightning.pytorch.loggers.TensorBoardLogger"])
def test_further_loggers_write_inside_the_stage(logger: str, write: Write, tmp_path: Path) -> None:
    config = stage(AGE, trainer__max_epochs=1, trainer__logger={"class_path": logger, "init_args": {}})
    run_stage(write(config), tmp_path / "out")
    files = [file for file in (tmp_path / "out" / "logs").rglob("*") if file.is_file()]
    assert any("metrics" in file.name or "tfevents" in file.name for file in files)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario__optimiser": {}}, r"scenario.optimiser: Supervised has no such argument\n  did you mean 'optimizer'"),
        ({"scenario__optimizer__lrr": 1}, r"scenario.optimizer.lrr: AdamW has no such argument\n  did you mean 'lr'"),
        ({"scenario__optimizer__class_path": "torch.optim.Adan"}, r"scenario.optimizer: the module torch.optim has no class 'Adan'"),
        ({"architecture__class_path": "nowhere.Net"}, r"architecture: nowhere.Net cannot be imported"),
        ({"architecture__spatial_dims": 3}, r"architecture.spatial_dims is 3, but the data have 2"),
        ({"architecture__depth": 19}, r"no ResNet of depth 19"),
        ({"scenario__monitor": "val.auroc"}, r"scenario.monitor: this stage has no 'val.auroc'"),
        ({"scenario__monitor": "test.mae"}, r"scenario.monitor: this stage has no 'test.mae'"),
        ({"scenario__freeze": "layer9"}, r"freeze: the encoder has no freeze point 'layer9'"),
        ({"scenario__optimizer__lr": -1}, r"scenario.optimizer: Invalid learning rate"),
        ({"scenario__schedule": {"class_path": "torch.optim.lr_scheduler.StepLR"}}, r"scenario.schedule.step_size is absent"),
        ({"trainer__max_epochs": None}, r"trainer.max_epochs is absent"),
        ({"trainer__enable_checkpointing": True}, r"trainer.enable_checkpointing cannot be set"),
        ({"trainer__devices": -1}, r"trainer.devices is -1: it is a number of devices"),
        ({"trainer__num_nodes": 2}, r"trainer.num_nodes is 2: a stage trains on one machine"),
        ({"trainer__devices": 2, "trainer__strategy": "fsdp"}, r"trainer.strategy is 'fsdp': several devices train by ddp"),
        ({"trainer__precision": "17"}, r"trainer: .*17"),
        ({"tlimb": 2}, r"format 2; this TLIMB reads up to format 1"),
        ({"kind": "train"}, r"kind is 'train'"),
        ({"scenari": {}}, r"unknown key 'scenari'"),
        ({"split": None}, r"needs split"),
        ({"targets": []}, r"targets is a list"),
        ({"targets": [{**SEX, "classes": ["F"]}]}, r"at least two classes"),
        ({"targets": [AGE, AGE]}, r"the same name"),
    ],
)
def test_mistakes_name_the_place_and_the_way_out(changes: dict[str, Any], message: str, write: Write, tmp_path: Path) -> None:
    config = stage(AGE)
    for path, value in changes.items():
        place: Any = config
        *above, name = path.split("__")
        for piece in above:
            place = place[piece] if piece in place else place["init_args"][piece]
        if "class_path" in place and name != "class_path":
            place = place["init_args"]
        place[name] = value
    with pytest.raises(InputError, match=message):
        run_stage(write(config), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_overrides_reach_every_level(write: Write) -> None:
    path = write(stage(AGE))
    overrides = ["trainer.max_epochs=5", "scenario.optimizer.lr=1e-4", "scenario.init_args.optimizer.init_args.weight_decay=0", "seed=4"]
    config = read_config(path, [*overrides, "targets.0.unit=months", "scenario.freeze=none", "split.made.val=0.5"])
    assert config["trainer"]["init_args"]["max_epochs"] == 5
    assert config["scenario"]["init_args"]["optimizer"]["init_args"] == {"lr": 1e-4, "weight_decay": 0}
    assert config["scenario"]["init_args"]["freeze"] == "none"
    assert config["seed"] == 4
    assert config["targets"][0]["unit"] == "months"
    assert config["split"]["made"]["val"] == 0.5
    assert config["digest"] != read_config(path)["digest"]
    for wrong in (
        "trainer.max_epoch=5",
        "trainr.max_epochs=5",
        "scenario.optimzer.lr=1",
        "trainer.max_epochs",
        "seed=[1",
        "targets.7.unit=a",
    ):
        with pytest.raises(InputError):
            read_config(path, [wrong])


def test_two_processes_do_not_run_the_same_stage_at_once(write: Write, tmp_path: Path) -> None:
    config = write(stage(AGE, trainer__max_epochs=2))
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                run_stage(config, tmp_path / "out")
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    started = [line for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines() if '"started"' in line]
    assert len(started) == 1


def test_worker_and_its_protocol(write: Write, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    worker = subprocess.Popen(
        [sys.executable, "-m", "tlimb.train", "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert worker.stdin is not None
    assert worker.stdout is not None

    def ask(job: str, config: Path, **more: Any) -> None:
        request = {
            "job": job,
            "config": str(config),
            "out": str(tmp_path / job),
            "parents": [],
            "datasets": None,
            "state": None,
            "threads": 1,
        }
        print(json.dumps({**request, "set": [], **more}), file=worker.stdin, flush=True)

    def replies() -> list[dict[str, Any]]:
        found = []
        while not found or found[-1]["event"] not in ("finished", "failed"):
            found.append(json.loads(worker.stdout.readline()))
        return found

    assert json.loads(worker.stdout.readline()) == {"event": "ready"}
    config = write(stage(AGE, trainer__max_epochs=2))
    ask("wrong", config, set=["architecture.depth=11"])
    (started, failed) = replies()
    assert started == {"job": "wrong", "event": "started"}
    assert failed["status"] == 2
    assert "no ResNet of depth 11" in failed["message"]
    ask("right", config)
    events = replies()
    assert [(reply["job"], reply["event"]) for reply in events] == [("right", event) for event in ("started", "epoch", "epoch", "finished")]
    assert events[-1]["metrics"] == json.loads((tmp_path / "right" / "results.json").read_text())["metrics"]
    ask("long", config, set=["trainer.max_epochs=100000"])
    while json.loads(worker.stdout.readline())["event"] != "epoch":
        pass
    asked = time.monotonic()
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0
    worker.stdout.close()
    assert time.monotonic() - asked < 60, "nobody reads the result any more"
    assert not (tmp_path / "long").exists()


def test_the_command_line_says_what_is_wrong_without_a_traceback(write: Write, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tlimb.train", "stage", str(write(stage(AGE))), "--out", str(tmp_path / "out"), "--set", "kind=fitt"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: stage.yaml: kind is 'fitt'\n  kinds: prepare, weights, fit, evaluate\n"


def test_the_committed_signatures_are_up_to_date() -> None:
    """In a process of its own: how a union of types is written depends on what was imported before."""
    command = [sys.executable, "-m", "tlimb.components.signatures", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
