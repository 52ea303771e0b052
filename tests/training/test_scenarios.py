"""Every scenario through the real stage runner: killed and run again equals uninterrupted, and what must not change does not."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import AGE, SEX
from made_domains import discs, learning, prepare, run_and_die
from safetensors.torch import load_file
from test_resume import finals, in_child
from torch.nn import functional as F

from tlimb.errors import InputError
from tlimb.train.stage import run_stage

Write = Callable[..., Path]
NOISE = [{"class_path": "made_domains.Noise", "init_args": {}}]
PLAIN = {"class_path": "made_domains.Plain", "init_args": {}}
VIT = {
    "class_path": "tlimb.components.architectures.ViT",
    "init_args": {"patch_size": 4, "hidden_size": 24, "num_layers": 2, "num_heads": 2},
}
SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """With the data sets `source` and, seen by another scanner, `target`."""
    prepare(tmp_path, "source", *discs(1, 48))
    prepare(tmp_path, "target", *discs(2, 44, gain=0.6, bias=0.5))
    return tmp_path


def weights(folder: Path, part: str = "") -> dict[str, torch.Tensor]:
    return {name: value for name, value in load_file(folder / "model.safetensors").items() if name.startswith(part)}


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def child_of(parent: Path, config: dict[str, Any], *heads: str) -> dict[str, Any]:
    digest = json.loads((parent / "results.json").read_text())["digest"]
    return {**config, "parents": [*config["parents"], {"role": "weights", "name": "first", "digest": digest, "heads": list(heads)}]}


def run(config: dict[str, Any], write: Write, store: Path, name: str) -> Path:
    """The finished folder, which stands beside the prepared data."""
    run_stage(write(config, f"{name}.yaml"), store / name, parents=[path.parent for path in store.glob("*/model.safetensors")])
    return store / name


RESUMED = {
    "supervised, elastic, unfreezing": learning(
        "Supervised",
        ("ElasticPenalty", {}),
        unlabelled=False,
        arguments={"freeze": "layer4", "unfreeze": {"layer": "layer3", "epoch": 2, "lr": 1e-3}},
    ),
    "several targets, uncertainty": learning(
        "Joint",
        ("Coral", {}),
        targets=(AGE, SEX),
        objective={"class_path": "tlimb.components.objectives.UncertaintyObjective", "init_args": {"weights": {"age": 1.0, "sex": 1.0}}},
    ),
    "dann": learning("Joint", ("DomainAdversarial", {"hidden": 16}), data__augment=NOISE),
    "fixmatch": learning("Joint", ("PseudoLabels", {"threshold": 0.5})),
    "mean teacher": learning("MeanTeacher", ("Consistency", {"ramp": 0.5}), arguments={"decay": 0.9}),
    "mean teacher, accumulated gradients": learning(
        "MeanTeacher", ("Consistency", {}), targets=(AGE,), arguments={"decay": 0.9}, trainer__accumulate_grad_batches=2
    ),
    "simclr": learning("SelfSupervised", ("Contrastive", {"projection": 8}), targets=()),
    "simmim": learning("SelfSupervised", ("MaskedImageModelling", {}), targets=()),
    "mae": learning(
        "SelfSupervised",
        ("MaskedAutoencoder", {"decoder_dim": 16, "decoder_layers": 1, "decoder_heads": 2}),
        targets=(),
        architecture=VIT,
    ),
    "adabn": learning("AdaptiveBatchNorm"),
}
for _name, _config in RESUMED.items():
    _config["trainer"]["init_args"]["max_epochs"] = 2
    if _name not in ("adabn", "supervised, elastic, unfreezing"):
        _config["data"]["init_args"]["augment"] = NOISE


@pytest.mark.parametrize("case", RESUMED)
def test_killed_and_run_again_equals_uninterrupted(case: str, write: Write, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(RESUMED[case])
    monkeypatch.setenv("TLIMB_CHECKPOINT_S", "0")
    run_stage(config, store / "through")
    assert in_child(lambda: run_and_die(config, store / "killed", 1, 1)) == -signal.SIGKILL
    run_stage(config, store / "killed")
    assert finals(store / "killed") == finals(store / "through")
    assert "going on after epoch 1" in (store / "killed" / "log.txt").read_text()


ADAPTATION = {
    "dann": ("Joint", ("DomainAdversarial", {"hidden": 16})),
    "coral": ("Joint", ("Coral", {})),
    "mmd": ("Joint", ("Mmd", {})),
    "adabn": ("AdaptiveBatchNorm",),
    "meanteacher": ("MeanTeacher", ("Consistency", {})),
}


@pytest.mark.parametrize("method", ADAPTATION)
def test_labels_of_the_target_change_nothing(method: str, write: Write, tmp_path: Path) -> None:
    images, labels = discs(2, 44, gain=0.6, bias=0.5)
    order = np.random.default_rng(0).permutation(len(images))
    told = {
        "true": labels,
        "permuted": {name: [values[place] for place in order] for name, values in labels.items()},
        "absent": {},
    }
    results = {}
    for name, given in told.items():
        store = tmp_path / name
        prepare(store, "source", *discs(1, 48))
        prepare(store, "target", images, given)
        results[name] = finals(run(learning(*ADAPTATION[method], trainer__max_epochs=1), write, store, "out"))
    for name in told:
        assert results[name] == results["true"], name
    # The images do count.
    store = tmp_path / "other"
    prepare(store, "source", *discs(1, 48))
    prepare(store, "target", images[order] * 0.5, labels)
    other = finals(run(learning(*ADAPTATION[method], trainer__max_epochs=1), write, store, "out"))
    assert other["model.safetensors"] != results["true"]["model.safetensors"]


def test_an_elastic_penalty_of_zero_is_plain_finetuning(write: Write, store: Path) -> None:
    first = run(learning("Supervised", targets=(AGE,), unlabelled=False, trainer__max_epochs=1), write, store, "first")
    plain = run(child_of(first, learning("Supervised", unlabelled=False)), write, store, "plain")
    none = child_of(first, learning("Supervised", ("ElasticPenalty", {"alpha": 0.0, "beta": 0.0}), unlabelled=False))
    elastic = run(none, write, store, "elastic")
    for file in ("model.safetensors", "predictions.csv", "history.csv"):
        assert (plain / file).read_bytes() == (elastic / file).read_bytes()


def test_a_strong_elastic_penalty_keeps_the_encoder(write: Write, store: Path) -> None:
    first = run(learning("Supervised", targets=(AGE,), unlabelled=False, trainer__max_epochs=1), write, store, "first")
    moves = {}
    for alpha in (0.0, 1e6):
        term = ("ElasticPenalty", {"alpha": alpha, "beta": 0.0, "which": "all"})
        slow = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-6}}
        config = learning(
            "Supervised", term, unlabelled=False, arguments={"monitor": "val.loss", "optimizer": slow}, architecture__dropout=0.0
        )
        config["data"]["init_args"]["batch_size"] = 2
        folder = run(child_of(first, config), write, store, f"alpha{alpha}")
        before, after = weights(first, "encoder"), weights(folder, "encoder")
        trained = [name for name in before if before[name].is_floating_point() and "running" not in name]
        moves[alpha] = torch.sqrt(torch.stack([(after[name] - before[name]).double().square().sum() for name in trained]).sum())
    assert moves[1e6] < 0.2 * moves[0.0]


@pytest.mark.parametrize("method", ["dann", "mmd", "meanteacher"])
def test_a_frozen_encoder_stays_bit_for_bit(method: str, write: Write, store: Path) -> None:
    first = run(learning("Supervised", targets=(AGE,), unlabelled=False, trainer__max_epochs=1), write, store, "first")
    config = learning(*ADAPTATION[method], arguments={"freeze": "all"}, trainer__max_epochs=2)
    out = run(child_of(first, config), write, store, "out")
    assert equal(weights(out, "encoder"), weights(first, "encoder")), "parameters and running statistics"


def test_terms_of_no_weight_train_the_same_network(write: Write, store: Path) -> None:
    found = []
    for name in ("DomainAdversarial", "Coral", "Mmd"):
        folder = run(learning("Joint", (name, {"weight": 0.0}), trainer__max_epochs=2), write, store, name)
        found.append(weights(folder))
    assert equal(found[0], found[1])
    assert equal(found[1], found[2])


@pytest.mark.parametrize("term", [("PseudoLabels", {"threshold": 1.01}), ("DomainAdversarial", {"weight": 0.0, "hidden": 8})])
def test_without_batchnorm_unlabelled_images_alone_change_nothing(term: Any, write: Write, store: Path) -> None:
    changes = {"architecture": PLAIN, "arguments": {"optimizer": SGD, "monitor": "val.loss"}, "trainer__max_epochs": 2}
    alone = run(learning("Supervised", unlabelled=False, **changes), write, store, "alone")
    beside = run(learning("Joint", term, **changes), write, store, "beside")
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(beside)[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_teacher_without_memory_is_the_student_and_one_that_never_forgets_its_start(decay: float, write: Write, store: Path) -> None:
    term = ("Consistency", {"weight": 0.0})
    changes = {"trainer__max_epochs": 1, "architecture": PLAIN}
    teacher = run(learning("MeanTeacher", term, arguments={"decay": decay}, **changes), write, store, "teacher")
    student = run(learning("Joint", term, **changes), write, store, "student")
    start = run(learning("Joint", term, **changes, arguments={"optimizer": {**SGD, "init_args": {"lr": 0.0}}}), write, store, "start")
    assert equal(weights(teacher), weights(student if decay == 0 else start))
    assert not equal(weights(student), weights(start))


def test_adaptive_batchnorm_changes_statistics_only(write: Write, store: Path) -> None:
    source = run(learning("Supervised", unlabelled=False, trainer__max_epochs=2), write, store, "source")
    adapted = run(learning("AdaptiveBatchNorm", trainer__max_epochs=2), write, store, "adapted")
    before, after = weights(source), weights(adapted)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.rsplit(".", 1)[-1] in ("running_mean", "running_var", "num_batches_tracked")}
    assert (source / "history.csv").read_bytes() == (adapted / "history.csv").read_bytes()


def test_the_statistics_of_the_target_without_training(write: Write, store: Path) -> None:
    """A trained stage goes on with its heads and no epoch: its statistics become the target's."""
    source = run(learning("Supervised", unlabelled=False, trainer__max_epochs=2), write, store, "source")
    config = learning("AdaptiveBatchNorm", trainer__max_epochs=0)
    adapted = run(child_of(source, config, "sex"), write, store, "adapted")
    before, after = weights(source), weights(adapted)
    parameters = [name for name in before if not name.rsplit(".", 1)[-1].startswith(("running", "num_batches"))]
    assert all(torch.equal(before[name], after[name]) for name in parameters)
    results = json.loads((adapted / "results.json").read_text())
    assert (results["epochs"], results["best_epoch"]) == (0, 0)
    assert {"val.cross_entropy", "test.balanced_accuracy"} <= results["metrics"].keys()
    # Of the first layer by hand: the mean over all training images of the target, weighted by the sizes of the batches.
    images = np.load(store / "data-target" / "images.npy")
    subjects = json.loads((adapted / "results.json").read_text())["subjects"]
    rows = trained_rows(store)
    assert len(rows) == subjects["unlabelled"]
    means, variances, sizes = [], [], []
    for start in range(0, len(rows), 8):
        output = F.conv2d(torch.from_numpy(images[rows[start : start + 8]]), before["encoder.conv1.weight"], stride=2, padding=3).double()
        if len(output) > 1:
            means.append(output.mean(dim=(0, 2, 3)))
            variances.append(output.var(dim=(0, 2, 3), unbiased=True))
            sizes.append(len(output))
    share = torch.tensor(sizes, dtype=torch.float64)[:, None] / sum(sizes)
    torch.testing.assert_close(after["encoder.bn1.running_mean"].double(), (share * torch.stack(means)).sum(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after["encoder.bn1.running_var"].double(), (share * torch.stack(variances)).sum(0), rtol=1e-4, atol=1e-5)


def trained_rows(store: Path) -> list[int]:
    """The rows of `target` that train, as the data module finds them."""
    from tlimb.components.data import SliceDataModule

    module = SliceDataModule(batch_size=8)
    config = learning("AdaptiveBatchNorm")
    folders = {name: store / f"data-{name}" for name in ("source", "target")}
    module.connect(config["targets"], config["split"], folders, 0, config["unlabelled"])
    first = len(np.load(folders["source"] / "images.npy"))
    return [int(row) - first for row in module.unlabelled_rows]


def test_a_network_without_batchnorm_has_no_statistics_to_adapt(write: Write, store: Path) -> None:
    with pytest.raises(InputError, match="no BatchNorm layers"):
        run(learning("AdaptiveBatchNorm", architecture=PLAIN, trainer__max_epochs=1), write, store, "out")
