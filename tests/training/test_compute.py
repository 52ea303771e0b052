"""Layout in memory and compilation change how a stage computes, not what: bit for bit, or to rounding, by backend."""

import copy
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import AGE, SEX, stage
from lightning.pytorch.plugins import MixedPrecision
from made_domains import learning, run_and_die
from test_ddp import Forked, forked
from test_ddp import run as run_on_devices
from test_resume import finals, in_child
from test_scenarios import NOISE, PLAIN, SGD, VIT, child_of, store, weights

from tlimb.components.contracts import Network
from tlimb.errors import InputError
from tlimb.train import compute, training
from tlimb.train.compute import compile_encoders, lay_out
from tlimb.train.network import build_network
from tlimb.train.stage import run_stage
from tlimb.train.training import make_trainer

__all__ = ["forked", "store"]
Write = Callable[..., Path]
LAST = {"channels_last": True}


def computing(config: dict[str, Any], **compute: Any) -> dict[str, Any]:
    return {**copy.deepcopy(config), "compute": compute}


def run(config: dict[str, Any], write: Write, folder: Path, name: str) -> Path:
    run_stage(write(config, f"{name}.yaml"), folder / name, parents=[path.parent for path in folder.glob("*/model.safetensors")])
    return folder / name


def close(one: Path, two: Path) -> None:
    """Equal to rounding: weights, and metrics of every epoch."""
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.is_contiguous()
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda told, name=name: f"{name}: {told}")
    values = [
        [float(cell or "nan") for cell in (folder / "history.csv").read_text().split("\n", 1)[1].replace("\n", ",")[:-1].split(",")]
        for folder in (one, two)
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-3, abs=1e-4, nan_ok=True)


def small(dims: int, depth: int = 10) -> Network:
    config = {
        "class_path": "tlimb.components.architectures.ResNet",
        "init_args": {"depth": depth, "widen_factor": 0.125, "spatial_dims": dims, "in_channels": 2},
    }
    return build_network(config, [{"name": "age", "kind": "number"}], {}, 0)


# ---------------------------------------------------------------------- layout
@pytest.mark.parametrize(("dims", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_weights_and_images_have_their_channels_last(dims: int, layout: torch.memory_format) -> None:
    network = small(dims)
    lay_out(network, LAST, dims)
    kernels = [parameter for parameter in network.encoder.parameters() if parameter.ndim == dims + 2]
    assert len(kernels) > 8
    assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)
    seen: list[torch.Tensor] = []
    for net in (network, copy.deepcopy(network)):  # a teacher is a copy
        net.encoder.conv1.register_forward_pre_hook(lambda _, images: seen.append(images[0]))
        net(torch.randn(2, 2, *[32] * dims))
    assert all(image.is_contiguous(memory_format=layout) for image in seen)
    assert len(seen) == 2


@pytest.mark.parametrize("dims", [2, 3])
def test_the_layout_changes_nothing_but_rounding(dims: int, write: Write, tmp_path: Path) -> None:
    # In double precision, since training makes much of little: BatchNorm over the few voxels of the last layers, steps of Adam.
    config = stage(AGE, SEX, data__dims=dims, trainer__max_epochs=2, trainer__precision="64-true")
    close(run(config, write, tmp_path, "usual"), run(computing(config, **LAST), write, tmp_path, "last"))


def test_time_series_have_no_such_layout(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images of 1 axes have no such layout") as error:
        run(computing(stage(AGE, data__dims=1), **LAST), write, tmp_path, "out")
    assert "time series" in error.value.hint


# ---------------------------------------------------------------------- compilation
UNFREEZING = {"freeze": "second", "unfreeze": {"layer": "first", "epoch": 2, "lr": 1e-3}}
COMPILED = {
    "elastic, unfreezing": learning("Supervised", ("ElasticPenalty", {}), unlabelled=False, architecture=PLAIN, arguments=UNFREEZING),
    "gradual": learning("Supervised", unlabelled=False, architecture=PLAIN, arguments={"freeze": "all", "gradual": 1}),
    "mean teacher": learning("MeanTeacher", ("Consistency", {}), architecture=PLAIN, arguments={"decay": 0.9}),
    "adabn": learning("AdaptiveBatchNorm"),
    "simclr": learning("SelfSupervised", ("Contrastive", {"projection": 8}), targets=(), architecture=PLAIN),
    "simmim": learning("SelfSupervised", ("MaskedImageModelling", {}), targets=(), architecture=VIT),
    "mae": learning(
        "SelfSupervised", ("MaskedAutoencoder", {"decoder_dim": 16, "decoder_layers": 1, "decoder_heads": 2}), targets=(), architecture=VIT
    ),
    "dropout": learning("Supervised", unlabelled=False, architecture={**VIT, "init_args": {**VIT["init_args"], "dropout": 0.3}}),
}
for _name, _config in COMPILED.items():
    _config["data"]["init_args"]["augment"] = NOISE
    _config["trainer"]["init_args"]["max_epochs"] = 3 if _name == "gradual" else 2


@pytest.mark.parametrize("case", COMPILED)
def test_what_is_compiled_is_the_same_network(case: str, write: Write, store: Path) -> None:
    """The backend eager runs the operations that were recorded, so that all bits are those of the network as it is written."""
    plain = run(COMPILED[case], write, store, "plain")
    compiled = run(computing(COMPILED[case], compile="eager"), write, store, "compiled")
    for name in ("model.safetensors", "predictions.csv", "history.csv"):
        assert (compiled / name).read_bytes() == (plain / name).read_bytes(), name
    assert json.loads((compiled / "environment.json").read_text())["compile_seconds"] > 0
    assert "compiling took" in (compiled / "log.txt").read_text()


def test_one_graph_serves_all_numbers_of_images() -> None:
    network, graphs = small(2), []

    def backend(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compile_encoders({"compile": backend}, network)
    network.eval()
    with torch.no_grad():
        for rows in (8, 3, 5, 8):
            network(torch.randn(rows, 2, 32, 32))
    assert len(graphs) == 1
    assert list(network.state_dict()) == list(small(2).state_dict())


def test_fine_tuned_and_evaluated_with_other_settings(write: Write, store: Path) -> None:
    """Weights know nothing of how they were computed."""
    first = run(
        computing(learning("Supervised", targets=(AGE,), unlabelled=False, architecture=PLAIN), compile="eager", **LAST),
        write,
        store,
        "first",
    )
    second = run(child_of(first, learning("Supervised", unlabelled=False, architecture=PLAIN)), write, store, "second")
    assert weights(second).keys() == {
        f"{part}.{kind}" for part in ("encoder.first", "encoder.second", "heads.sex.linear") for kind in ("weight", "bias")
    }
    tested = child_of(first, learning("Supervised", targets=(AGE,), unlabelled=False, architecture=PLAIN))
    del tested["scenario"], tested["objective"]
    tested |= {"kind": "evaluate", "compute": {"compile": "aot_eager", **LAST}}
    results = json.loads((run(tested, write, store, "tested") / "results.json").read_text())
    expected = json.loads((first / "results.json").read_text())["metrics"]["test.mae"]
    assert results["metrics"]["test.mae"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("case", ["elastic, unfreezing", "mean teacher"])
def test_killed_and_run_again_equals_uninterrupted(case: str, write: Write, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    path = write(computing(COMPILED[case], compile="aot_eager", **LAST))
    run_stage(path, store / "through")
    assert in_child(lambda: run_and_die(path, store / "killed", 1, 1)) == -signal.SIGKILL
    run_stage(path, store / "killed")
    assert finals(store / "killed") == finals(store / "through")
    assert "going on after epoch 1" in (store / "killed" / "log.txt").read_text()


def test_two_devices_compile_and_lay_out_as_one_does(store: Path, forked: type[Forked]) -> None:
    def config() -> dict[str, Any]:
        return learning("MeanTeacher", ("Consistency", {}), ("ElasticPenalty", {}), architecture=PLAIN, arguments={"optimizer": SGD})

    one = run_on_devices(config(), store, "one", on=2)
    two = run_on_devices(computing(config(), compile="aot_eager", **LAST), store, "two", on=2)
    close(one, two)
    assert (two / "log.txt").read_text().count("compiling took") == 2, "by the first device, and for the test"


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler")
def test_inductor_changes_nothing_but_rounding(write: Write, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = learning("Supervised", unlabelled=False, architecture=PLAIN, trainer__max_epochs=2, arguments={"optimizer": SGD})
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(store / "cache"))
    close(run(config, write, store, "plain"), run(computing(config, compile="inductor"), write, store, "compiled"))


def test_a_machine_that_cannot_compile_says_what_is_missing(write: Write, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(store / "cache"))
    with pytest.raises(InputError, match="inductor cannot compile this network here") as error:
        run(computing(learning("Supervised", unlabelled=False, architecture=PLAIN), compile="inductor"), write, store, "out")
    assert "C++ compiler" in error.value.hint


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        ({"channel_last": True}, "unknown key 'channel_last'"),
        ({"compile": "turbo"}, "compute.compile is 'turbo'"),
        ({"channels_last": 1}, "compute.channels_last is 1"),
        (["compile"], "compute: unknown key"),
    ],
)
def test_settings_are_checked_before_anything_is_computed(compute: Any, message: str, write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run({**stage(AGE), "compute": compute}, write, tmp_path, "out")


def test_a_field_is_set_for_one_stage(write: Write, tmp_path: Path) -> None:
    from tlimb.train.config import read_config

    path = write(stage(AGE))
    changed = read_config(path, ["compute.channels_last=true"])
    assert changed["compute"] == LAST
    assert changed["digest"] != read_config(path)["digest"]


# ---------------------------------------------------------------------- number formats
@pytest.mark.parametrize("precision", ["16-mixed", 16, "16-true", "transformer-engine"])
def test_half_precision_is_refused_on_a_cpu_and_not_replaced(precision: Any, write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"trainer.precision is {precision}: half precision is for GPUs") as error:
        run(stage(AGE, trainer__precision=precision), write, tmp_path, "out")
    assert "leave precision out" in error.value.hint


@pytest.mark.parametrize(("ratio", "told"), [(14.6, True), (0.5, False)])
def test_bf16_on_a_cpu_that_is_slow_at_it_warns_with_how_slow(
    ratio: float, told: bool, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(compute, "bf16_ratio", lambda: ratio)
    # oneDNN's bf16 gradient of a convolution over images of one voxel, which a ResNet makes of 16, reads memory that nobody has written.
    config = stage(AGE, architecture=PLAIN, trainer__precision="bf16-mixed", trainer__max_epochs=1)
    run_stage(write(config), tmp_path / "out", emit=events.append)
    warnings = [event["message"] for event in events if event["event"] == "warning"]
    assert len(warnings) == told
    assert not told or "14.6 times as long as in float32 on this CPU" in warnings[0]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["metrics"]["test.mae"] > 0


def test_how_slow_is_measured_and_draws_no_random_numbers() -> None:
    compute.bf16_ratio.cache_clear()
    before = torch.get_rng_state()
    assert 0.01 < compute.bf16_ratio() < 100
    assert torch.equal(torch.get_rng_state(), before)


def test_a_resumed_training_goes_on_with_the_scale_of_its_gradients(write: Write, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fp16 multiplies the loss by a factor that grows as training goes on; here on the CPU, whose numbers are the same."""
    scalers: list[Any] = []

    def with_scaler(job: Any, **owned: Any) -> Any:
        scalers.append(torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=5))
        return make_trainer(job, **owned, plugins=MixedPrecision("16-mixed", "cpu", scaler=scalers[-1]))

    monkeypatch.setattr(training, "make_trainer", with_scaler)
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    path = write(learning("Supervised", unlabelled=False, architecture=PLAIN))
    run_stage(path, store / "through")
    assert scalers[0].get_scale() > 4.0
    assert in_child(lambda: run_and_die(path, store / "killed", 1, 1)) == -signal.SIGKILL
    saved = torch.load(store / ".partial" / "killed" / "last.ckpt", weights_only=True)["precision"]
    assert saved["_growth_tracker"] + 5 * (saved["scale"] > 4) > 0
    run_stage(path, store / "killed")
    assert scalers[-1].state_dict() == scalers[0].state_dict()
    assert finals(store / "killed") == finals(store / "through")
