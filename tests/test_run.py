"""Whole recipes for real: trained, killed, resumed, ranked, reported; locally and by the real Nextflow engine."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TINY = "data axial_slice(size=32x32)\npretrain resnet10(widen_factor=0.25) on tiny.age with epochs=3\n"
CARD = TINY + "finetune freeze layer3 on tiny.sex with epochs=2\nsweep finetune.lr in [1e-3, 1e-4]\n"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with a small built-in data set; its name has what paths of users have."""
    folder = tmp_path / "lab é 'x'"
    folder.mkdir()
    (folder / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n")
    (folder / "card.tlr").write_text(CARD)
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tlimb", *arguments]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", **extra}


def run(*arguments: str, cwd: Path, status: int = 0, **extra: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, env=environment(**extra), check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def results(store: Path) -> dict[str, str]:
    """The bytes of results.json of every finished stage, by digest."""
    return {file.parent.name: file.read_text() for file in store.glob("*/results.json") if "digest" in json.loads(file.read_text())}


def test_a_recipe_becomes_a_ranked_result_and_the_second_run_trains_nothing(lab: Path) -> None:
    first = run("run", "card.tlr", cwd=lab)
    home = lab / "runs" / "card"
    assert str(home / "report.html") in first.stdout
    rows = list(csv.DictReader((home / "results.csv").read_text().splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2"]
    stages = results(lab / "runs")
    assert len(stages) == 4
    stamps = {file: file.stat().st_mtime_ns for file in (lab / "runs").glob("*/model.safetensors")}
    second = run("run", "card.tlr", cwd=lab)
    assert "4" in second.stderr
    assert {file: file.stat().st_mtime_ns for file in (lab / "runs").glob("*/model.safetensors")} == stamps
    document = json.loads(run("results", "card.tlr", "--json", cwd=lab).stdout)
    assert document["by"] == "val.balanced_accuracy"
    values = [row["metrics"]["val.balanced_accuracy"]["mean"] for row in document["rows"]]
    assert values == sorted(values, reverse=True)
    plan = json.loads(run("plan", "card.tlr", "--json", cwd=lab).stdout)
    assert {stage["state"] for stage in plan["stages"]} == {"done"}
    states = json.loads(run("status", "--store", "runs", "--json", cwd=lab).stdout)
    assert {stage["digest"]: stage["state"] for stage in states["stages"]} == dict.fromkeys(stages, "cached"), "the second run found them"


def test_killed_in_mid_epoch_and_run_again_equals_uninterrupted(lab: Path) -> None:
    (lab / "long.tlr").write_text(
        TINY.replace("epochs=3", "epochs=6, schedule=cosine") + "finetune freeze layer3 on tiny.sex with epochs=3, patience=3\n"
    )
    run("run", "long.tlr", "--store", "whole", cwd=lab)
    process = subprocess.Popen(
        command("run", "long.tlr", "--store", "killed"),
        cwd=lab,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(TLIMB_CHECKPOINT_S="0"),
    )
    deadline = time.monotonic() + 120
    while not list((lab / "killed").glob(".partial/*/last.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(results(lab / "killed")) < len(results(lab / "whole"))
    run("run", "long.tlr", "--store", "killed", cwd=lab)
    assert results(lab / "killed") == results(lab / "whole")
    for digest in results(lab / "whole"):
        whole, killed = (lab / store / digest / "model.safetensors" for store in ("whole", "killed"))
        assert not whole.exists() or whole.read_bytes() == killed.read_bytes()


def test_the_desugared_stage_runs_by_itself_with_overrides(lab: Path) -> None:
    run("desugar", "card.tlr", "-o", "configs", cwd=lab)
    (pretrain,) = (lab / "configs").glob("pretrain-*.yaml")
    run("stage", "run", str(pretrain), "--out", "out/pretrain", "--datasets", "datasets.yaml", "--set", "trainer.max_epochs=1", cwd=lab)
    document = json.loads((lab / "out/pretrain/results.json").read_text())
    assert document["epochs"] == 1
    assert document["metrics"]["val.mae"] > 0


def test_a_corrupt_image_stops_with_its_name_or_is_skipped_with_a_count(lab: Path) -> None:
    import shutil

    from tlimb.catalogue.datasets import find_datasets
    from tlimb.components.data import demo

    tiny = find_datasets(lab)["tiny"]
    demo.generate(tiny.root, tiny.options)
    shutil.copytree(tiny.root, lab / "bids")
    images = sorted((lab / "bids").rglob("*.nii.gz"))
    images[3].write_bytes(images[3].read_bytes()[:2000])
    entry = "bids:\n  format: bids\n  root: bids\n  image: T1w\n  labels: {age: {column: age, unit: years}}\n"
    (lab / "datasets.yaml").write_text(entry)
    (lab / "bad.tlr").write_text("data axial_slice(size=32x32)\ntrain resnet10(widen_factor=0.25) on bids.age with epochs=1\n")
    failed = run("run", "bad.tlr", cwd=lab, status=1)
    assert images[3].name in failed.stdout + failed.stderr
    text = (lab / "bad.tlr").read_text().replace("size=32x32", "size=32x32, on_bad=skip")
    (lab / "skip.tlr").write_text(text)
    run("run", "skip.tlr", cwd=lab)
    fits = [json.loads(text) for text in results(lab / "runs").values()]
    assert [fit["subjects"]["bad"] for fit in fits if fit["kind"] == "fit"] == [1]


@pytest.mark.nextflow
def test_nextflow_gives_the_metrics_of_the_local_engine(lab: Path) -> None:
    nextflow = ROOT / ".venv/nextflow/25.04.4/nextflow"
    if not nextflow.exists():
        pytest.skip("the Nextflow engine is not installed; make nextflow gets it")
    extra = {
        "TLIMB_NEXTFLOW": str(nextflow),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    run("run", "card.tlr", "--store", "local", "--threads", "1", cwd=lab, **extra)
    run("run", "card.tlr", "--store", "nf", "--engine", "nextflow", "--profile", "test", cwd=lab, **extra)
    local, other = results(lab / "local"), results(lab / "nf")
    assert local.keys() == other.keys()
    for digest, text in local.items():
        ours, theirs = json.loads(text).get("metrics", {}), json.loads(other[digest]).get("metrics", {})
        assert ours == pytest.approx(theirs, abs=1e-6, nan_ok=True)


@pytest.mark.real_data
def test_the_card_runs_on_real_brains(lab: Path, real_data: Path) -> None:
    (lab / "datasets.yaml").write_text(
        f"ukb:\n  format: bids\n  root: {real_data / 'ixi_4mm_bids'}\n  image: T1w\n"
        "  labels: {age: {column: age, unit: years}, sex: {column: sex, classes: [F, M]}}\n"
    )
    card = "pretrain resnet18 on ukb.age; finetune freeze layer4 on ukb.sex; sweep lr in [1e-4,1e-3,1e-2]\n"
    (lab / "ukb.tlr").write_text(card)
    assert run("check", "ukb.tlr", cwd=lab).stdout == "ukb.tlr: no mistakes\n"
    plan = json.loads(run("plan", "ukb.tlr", "--json", cwd=lab).stdout)
    assert len(plan["variants"]) == 3
    assert [stage["kind"] for stage in plan["stages"]].count("fit") == 6
    (lab / "one.tlr").write_text(card.replace("sweep lr", "sweep finetune.lr"))
    plan = json.loads(run("plan", "one.tlr", "--json", cwd=lab).stdout)
    assert [stage["kind"] for stage in plan["stages"]].count("fit") == 4
    (lab / "slices.tlr").write_text("data axial_slice(size=40x48)\n" + card)
    done = run("run", "slices.tlr", "--set", "epochs=1", cwd=lab)
    assert "report" in done.stdout
    assert len(results(lab / "runs")) == 7
    fit = next(json.loads(t) for t in results(lab / "runs").values() if json.loads(t)["kind"] == "fit")
    assert sum(fit["subjects"][role] for role in ("train", "val", "test")) == 181


def test_table_4_of_the_paper(lab: Path) -> None:
    (lab / "t4.tlr").write_text(
        "data axial_slice(size=32x32)\npretrain resnet18 on tiny.age\nfinetune on tiny.age\n"
        "sweep freeze in [none, layer3.1.conv1, layer4.0.conv1, layer4.1.conv1]\n"
    )
    plan = json.loads(run("plan", "t4.tlr", "--json", cwd=lab).stdout)
    counts = [stage["parameters"]["trainable"] for stage in plan["stages"] if stage["name"] == "finetune"]
    assert counts == [11_170_753, 9_574_913, 8_394_241, 4_721_153]
    (lab / "t4s.tlr").write_text((lab / "t4.tlr").read_text().replace("finetune on tiny.age", "finetune on tiny.sex"))
    plan = json.loads(run("plan", "t4s.tlr", "--json", cwd=lab).stdout)
    counts = [stage["parameters"]["trainable"] for stage in plan["stages"] if stage["name"] == "finetune"]
    assert counts == [n + 513 for n in (11_170_753, 9_574_913, 8_394_241, 4_721_153)]
