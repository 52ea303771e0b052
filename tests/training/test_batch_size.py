"""`batch=auto`: the largest batch that there is memory for is found, kept by all attempts, and told."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from conftest import AGE
from made_domains import Plain, discs, learning, prepare, run_and_die
from test_ddp import Forked, forked
from test_resume import finals, in_child
from test_scenarios import child_of
from torch import Tensor

from tlimb.errors import InputError, TlimbError
from tlimb.train import batch_size
from tlimb.train.stage import run_stage

__all__ = ["forked"]
Write = Callable[..., Path]


class Greedy(Plain):
    """Has memory for the gradients of `room` images."""

    room: ClassVar[int] = 0
    seen: ClassVar[list[int]] = []

    def forward(self, image: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self.seen.append(len(image))
            if len(image) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB")
        return super().forward(image)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """280 of 400 participants train."""
    prepare(tmp_path, "source", *discs(1, 400))
    prepare(tmp_path, "target", *discs(2, 40))
    return tmp_path


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A device, here the CPU, whose memory ends."""
    monkeypatch.setattr(batch_size, "on_cpu", lambda arguments: False)
    monkeypatch.setattr(batch_size, "used_share", lambda *_: 0.5)

    def with_room_for(images: int) -> None:
        monkeypatch.setattr(Greedy, "room", images)
        Greedy.seen.clear()

    return with_room_for


def auto(scenario: str = "Supervised", *terms: Any, **more: Any) -> dict[str, Any]:
    more = {"unlabelled": False, "trainer__max_epochs": 1, **more}
    config = learning(scenario, *terms, architecture={"class_path": f"{__name__}.Greedy", "init_args": {}}, **more)
    config["data"]["init_args"]["batch_size"] = "auto"
    config["split"]["source"] |= {"val": 0.15, "test": 0.15}
    return config


def with_batch(config: dict[str, Any], size: int) -> dict[str, Any]:
    return {**config, "data": {**config["data"], "init_args": {**config["data"]["init_args"], "batch_size": size}}}


def outcome(folder: Path) -> dict[str, Any]:
    return {name: value for name, value in json.loads((folder / "results.json").read_text()).items() if name not in ("digest", "batch")}


@pytest.mark.parametrize(
    ("room", "found", "tried"),
    [(1, 1, [16, 8, 4, 2, 1]), (5, 4, [16, 8, 4]), (16, 16, [16, 32]), (31, 16, [16, 32]), (32, 32, [16, 32]), (999, 32, [16, 32])],
    ids=["one image", "fewer", "as usual", "just too few", "just enough", "no more than an eighth of an epoch"],
)
def test_the_largest_power_of_two_that_fits(
    room: int, found: int, tried: list[int], write: Write, store: Path, gpu: Callable[[int], None]
) -> None:
    gpu(room)
    results = run_stage(write(auto()), store / "auto")
    assert results["batch"] == found
    log = (store / "auto" / "log.txt").read_text()
    assert [f"{size} images {'fit' if size <= room else 'are too many'}" in log for size in tried] == [True] * len(tried)
    assert log.count("images fit") + log.count("are too many") == len(tried)
    assert not (store / "auto" / "batch.json").exists(), "results.json says it"

    run_stage(write(with_batch(auto(), found), "told.yaml"), store / "told")
    assert outcome(store / "told") == outcome(store / "auto"), "the search has left no trace"
    assert (store / "told" / "model.safetensors").read_bytes() == (store / "auto" / "model.safetensors").read_bytes()
    assert "batch" not in json.loads((store / "told" / "results.json").read_text())


def test_what_leaves_too_little_memory_does_not_fit(
    write: Write, store: Path, gpu: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(999)
    monkeypatch.setattr(batch_size, "used_share", lambda *_: max(Greedy.seen) / 34)
    assert run_stage(write(auto()), store / "out")["batch"] == 16, "32 of 34 is above nine tenths"


def test_two_steps_are_tried_with_all_that_trains_in_the_end(write: Write, store: Path, gpu: Callable[[int], None]) -> None:
    gpu(20)
    unfreezing = {"freeze": "all", "unfreeze": {"layer": "first", "epoch": 2}, "schedule": PLATEAU}
    terms = (("Consistency", {}), ("ElasticPenalty", {}))
    config = auto("MeanTeacher", *terms, unlabelled=True, arguments={"monitor": "val.loss", **unfreezing}, trainer__max_epochs=2)
    results = run_stage(write(config), store / "out")
    # A step has the labelled images and two views of as many unlabelled ones.
    assert results["batch"] == 4
    assert Greedy.seen[: Greedy.seen.index(12) + 2] == [48, 24, 12, 12]


PLATEAU = {"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau", "init_args": {}}


def test_not_one_image(write: Write, store: Path, gpu: Callable[[int], None]) -> None:
    gpu(0)
    with pytest.raises(InputError, match="not even one image fits") as error:
        run_stage(write(auto()), store / "out")
    assert "data.size" in error.value.hint


def test_a_later_attempt_keeps_the_batch_whatever_it_finds(
    write: Write, store: Path, gpu: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    config = write(auto(trainer__max_epochs=2))
    gpu(5)
    run_stage(config, store / "through")
    assert in_child(lambda: run_and_die(config, store / "killed", 1, 1)) == -signal.SIGKILL
    gpu(999)  # another node
    run_stage(config, store / "killed")
    assert finals(store / "killed") == finals(store / "through")
    assert "4 images, as before" in (store / "killed" / "log.txt").read_text()
    assert "going on after epoch 1" in (store / "killed" / "log.txt").read_text()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"batch": "many"}', b"\xff"])
def test_a_damaged_note_is_made_anew(content: bytes, write: Write, store: Path, gpu: Callable[[int], None]) -> None:
    gpu(5)
    partial = store / ".partial" / "out"
    partial.mkdir(parents=True)
    (partial / "batch.json").write_bytes(content)
    assert run_stage(write(auto()), store / "out")["batch"] == 4


def test_a_cpu_has_the_usual_batch_and_so_has_an_evaluation(write: Write, store: Path) -> None:
    config = auto(targets=(AGE,))
    config["architecture"]["class_path"] = "made_domains.Plain"
    assert run_stage(write(config), store / "auto")["batch"] == 16
    run_stage(write(with_batch(config, 16), "told.yaml"), store / "told")
    assert outcome(store / "auto") == outcome(store / "told")
    tested = child_of(store / "auto", config)
    del tested["scenario"], tested["objective"]
    assert "batch" not in run_stage(write({**tested, "kind": "evaluate"}, "tested.yaml"), store / "tested", parents=[store / "auto"])


def test_each_of_two_devices_has_the_batch_that_was_found(write: Write, store: Path, forked: type[Forked]) -> None:
    def config() -> dict[str, Any]:
        made = auto()
        made["architecture"]["class_path"] = "made_domains.Plain"
        made["trainer"]["init_args"] |= {"devices": 2, "strategy": "ddp"}
        return made

    run_stage(write(config()), store / "auto")
    run_stage(write(with_batch(config(), 16), "told.yaml"), store / "told")
    assert outcome(store / "auto") == outcome(store / "told")
    assert (store / "told" / "model.safetensors").read_bytes() == (store / "auto" / "model.safetensors").read_bytes()


def test_a_batch_that_is_too_large_is_told_with_the_way_out(write: Write, store: Path, gpu: Callable[[int], None]) -> None:
    gpu(7)
    with pytest.raises(TlimbError, match="the memory of the GPU is full: CUDA out of memory") as error:
        run_stage(write(with_batch(auto(), 8)), store / "out")
    assert "batch=auto" in error.value.hint


def test_a_signal_ends_the_search(write: Write, store: Path, gpu: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(999)
    monkeypatch.setattr(Greedy, "forward", lambda self, image: (os.kill(os.getpid(), signal.SIGTERM), Plain.forward(self, image))[1])
    assert in_child(lambda: run_stage(write(auto()), store / "out")) == 75
