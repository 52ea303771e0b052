"""Compiled projects on a Slurm of two emulated nodes: what the jobs ask for, and that no fault of the cluster costs a result."""

import getpass
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from emit.small_graphs import graph, stage

from run.test_nextflow_engine import ENGINES, NEW, files, needs_engine, status
from tlimb.run.nextflow import write_project
from tlimb.run.store import Store

EMULATOR = Path(__file__).parents[2] / ".ci" / "slurm"
NEXTFLOW = ENGINES / NEW / "nextflow"
SITE = """
executor {{ pollInterval = '500ms' ; queueStatInterval = '1 sec' ; exitReadTimeout = '3 sec' ; submitRateLimit = '50/1sec' }}
process.resourceLimits = [cpus: {cpus}, memory: 6.GB, time: 1000.h]
"""
TRAINING = "data axial_slice(size=32x32)\ntrain resnet10(widen_factor=0.25) on tiny.age with epochs=60, schedule=cosine\n"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Runs the emulator's commands on a cluster of our own: `slurm("fail", "n1")`; anything else is a command of Slurm."""
    if not all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("slurmctld", "slurmd", "munged", "sbatch")):
        pytest.skip("Slurm is not installed: as root, .ci/slurm install")
    folder = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def call(*words: str) -> str:
        emulated = words[0] in ("start", "stop", "fail", "boot")
        command = [str(EMULATOR), words[0], str(folder), *words[1:]] if emulated else list(words)
        # To a file: the daemons that `start` leaves behind would keep a pipe open.
        with (folder / "said.txt").open("w+") as said:
            subprocess.run(command, env=environment, stdout=said, stderr=subprocess.STDOUT, check=True)
            said.seek(0)
            return said.read()

    call("start")
    os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
    yield call
    del os.environ["SLURM_CONF"]
    call("stop")


def start(project: Path, folder: Path, *, tlimb: Path, profile: str = "slurm", cpus: int = 1, **extra: str) -> "subprocess.Popen[str]":
    """Start the engine in a folder; the file `site.config` there is what a site would write."""
    (folder / "site.config").write_text(SITE.format(cpus=cpus))
    command = [str(NEXTFLOW), "run", str(project), "-profile", profile, "-c", "site.config"]
    command += ["--outdir", "runs", "--state", str(folder / "runs" / ".partial")]
    environment = {**os.environ, "PATH": f"{tlimb}:{os.environ['PATH']}", "NXF_OPTS": "-Xmx512m", **extra}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def asked(folder: Path) -> dict[str, list[list[str]]]:
    """The options of all attempts of each job, in order, by the job's process."""
    scripts = sorted((folder / "work").glob("*/*/.command.run"), key=lambda file: file.stat().st_mtime)
    found: dict[str, list[list[str]]] = {}
    for script in scripts:
        options = [line[8:] for line in script.read_text().splitlines() if line.startswith("#SBATCH ")]
        found.setdefault(next(option for option in options if option.startswith("-J"))[6:].partition("_(")[0], []).append(options)
    return found


def wait(until: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 600
    while not until():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A folder with a `tlimb` that trains nothing and leaves word of the GPUs that it was given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = Path(__file__).with_name("fake_tlimb.py")
    gpus = f'echo "${{CUDA_VISIBLE_DEVICES:-none}}" >> {tmp_path}/gpus.txt'
    (folder / "tlimb").write_text(f'#!/bin/sh\n{gpus}\nexec {sys.executable} {program} "$@"\n')
    (folder / "tlimb").chmod(0o755)
    return folder


@needs_engine
def test_jobs_ask_for_what_their_labels_say_and_for_more_when_tried_again(slurm: Callable[..., str], tmp_path: Path, fake: Path) -> None:
    data = stage("prepare", "ukb")
    alone, wide = stage("fit", "alone", (data,)), stage("fit", "wide", (data,), devices=2)
    stages = graph(data, alone, wide)
    project = write_project(files(stages), tmp_path / "it's a project")
    refused, sbatch = tmp_path / "refused", shutil.which("sbatch")
    (fake / "sbatch").write_text(
        f'#!/bin/sh\n[ -e {refused} ] || {{ touch {refused}; echo Unable to contact slurm controller >&2; exit 1; }}\nexec {sbatch} "$@"\n'
    )
    (fake / "sbatch").chmod(0o755)
    finished(start(project, tmp_path, tlimb=fake, cpus=2, FAKE_TLIMB=json.dumps({"alone": "stop once"})))

    assert refused.exists(), "one submission failed and was repeated"
    assert set(Store(tmp_path / "runs").states(stages).values()) == {"done"}
    options = asked(tmp_path)
    assert "--gres=gpu:2" in options["WIDE"][0]
    assert not [option for option in options["PREPARE"][0] if "gres" in option]
    first, second = options["ALONE"]
    assert {"-t 24:00:00", "--mem 6144M", "-c 2", "--gres=gpu:1"} <= set(first)
    assert "-t 48:00:00" in second
    gpus = (tmp_path / "gpus.txt").read_text().splitlines()
    assert sorted(len(line.split(",")) for line in gpus if line != "none") == [1, 1, 2]
    assert gpus.count("none") == 2


@needs_engine
def test_the_run_itself_is_a_job_and_short_jobs_of_a_sweep_go_as_arrays(slurm: Callable[..., str], tmp_path: Path, fake: Path) -> None:
    data = stage("prepare", "ukb")
    stages = graph(data, *(stage("fit", "train", (data,), lr=number) for number in range(6)))
    project = write_project(files(stages), tmp_path / "project")
    (project / "site.config").write_text(SITE.format(cpus=1))
    (fake / "nextflow").symlink_to(NEXTFLOW)
    environment = {**os.environ, "PATH": f"{fake}:{os.environ['PATH']}", "NXF_OPTS": "-Xmx512m", "TLIMB_PROFILE": "slurm,slurm_array"}
    command = ["sbatch", "--wait", "head.sbatch", "-c", "site.config", "-w", "../work", "--outdir", "../runs"]
    subprocess.run(command, cwd=project, env=environment, capture_output=True, check=True)
    assert set(Store(tmp_path / "runs").states(stages).values()) == {"done"}
    assert [options for options in asked(tmp_path)["TRAIN"] if "--array 0-5" in options]


SLOW_TO_SAVE = """#!{python}
import fcntl, pathlib, signal, sys, time
state = pathlib.Path(sys.argv[sys.argv.index("--state") + 1])
state.mkdir(parents=True, exist_ok=True)
if (state / "saved").exists():
    pathlib.Path(sys.argv[sys.argv.index("--out") + 1]).mkdir()
    sys.exit()
lock = open(state / "lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
(state / "begun").touch()
while not asked:
    time.sleep(0.05)
time.sleep(2)
(state / "saved").touch()
sys.exit(75)
"""


@needs_engine
def test_a_cancelled_job_has_time_to_save(slurm: Callable[..., str], tmp_path: Path, fake: Path) -> None:
    data = stage("prepare", "ukb")
    (fake / "tlimb").write_text(SLOW_TO_SAVE.format(python=sys.executable))
    saved = tmp_path / "runs" / ".partial" / data.digest
    with start(write_project(files(graph(data)), tmp_path / "project"), tmp_path, tlimb=fake) as process:
        try:
            wait(lambda: (saved / "begun").exists(), process)
            slurm("scancel", "--user", getpass.getuser())
            wait(lambda: f"Process `PREPARE (ukb-{data.digest})` terminated" in (tmp_path / ".nextflow.log").read_text(), process)
            assert (saved / "saved").exists()
        finally:
            process.kill()


def metrics(store: Path) -> Mapping[str, Mapping[str, float]]:
    documents = [json.loads(file.read_text()) for file in store.glob("*/results.json")]
    return {document["digest"]: document.get("metrics", {}) for document in documents if "digest" in document}


@needs_engine
def test_a_training_that_is_cancelled_and_then_loses_its_node_ends_as_one_left_alone(slurm: Callable[..., str], tmp_path: Path) -> None:
    lab = tmp_path / "lab é"
    lab.mkdir()
    (lab / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n")
    (lab / "card.tlr").write_text(TRAINING)
    tlimb = Path(sys.executable).with_name("tlimb")
    for command in (["compile", "card.tlr", "-o", "project"], ["run", "card.tlr", "--store", "local", "--threads", "1"]):
        subprocess.run([tlimb, *command], cwd=lab, check=True, capture_output=True)

    def training() -> list[str]:
        """Job and node of the training."""
        jobs = slurm("squeue", "--noheader", "--states=RUNNING", "--format=%A %N %j").splitlines()
        return next(job.split()[:2] for job in jobs if "TRAIN" in job)

    def said(name: str) -> str:
        return "".join(file.read_text() for file in (lab / "runs" / ".partial").glob(f"*/{name}"))

    with start(lab / "project", lab, tlimb=tlimb.parent, TLIMB_CHECKPOINT_S="0") as process:
        try:
            wait(lambda: '"epoch": 3, "epochs": 60' in said("events.jsonl"), process)
            slurm("scancel", training()[0])
            wait(lambda: "going on after" in said("log.txt"), process)
            node = training()[1]
            slurm("fail", node)
            finished(process)
            slurm("boot", node)
        finally:
            process.kill()

    ends = [line.split("\t") for line in (lab / "runs/pipeline_info/trace.txt").read_text().splitlines()]
    attempts = [dict(zip(ends[0], row, strict=True)) for row in ends[1:] if row[3] == "TRAIN"]
    assert [attempt["status"] for attempt in attempts] == ["FAILED", "FAILED", "COMPLETED"]
    (trained,) = (file for file in (lab / "runs").glob("*/log.txt") if "going on after" in file.read_text())
    assert trained.read_text().count("going on after") == 2
    assert trained.with_name("events.jsonl").read_text().count('"epoch": 1,') == 1, "no attempt began anew"
    ours, theirs = metrics(lab / "local"), metrics(lab / "runs")
    assert ours.keys() == theirs.keys()
    for digest, expected in ours.items():
        assert theirs[digest] == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert (lab / "runs" / "card" / "report.html").exists()
    assert set(status(lab / "runs/pipeline_info/trace.txt").values()) == {"COMPLETED"}


MANY = """data axial_slice(size=24x24)
train resnet10(widen_factor=0.25) on tiny.age with epochs=20
sweep lr in [1e-4, 2e-4, 3e-4, 4e-4, 5e-4, 6e-4, 7e-4, 8e-4, 9e-4, 1e-3, 2e-3, 3e-3]
"""


@needs_engine
def test_trainings_that_share_tasks_lose_nothing_with_a_node(slurm: Callable[..., str], tmp_path: Path) -> None:
    """Tasks of six trainings each, sent as an array; the results are those of two workers on this machine."""
    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n")
    (tmp_path / "many.tlr").write_text(MANY)
    tlimb = Path(sys.executable).with_name("tlimb")
    compile_ = ["compile", "many.tlr", "-o", "project", "--pack", "6"]
    for command in (compile_, ["run", "many.tlr", "--store", "local", "--threads", "1", "--jobs", "2"]):
        subprocess.run([tlimb, *command], cwd=tmp_path, check=True, capture_output=True)

    def busy() -> list[str]:
        """The nodes that train."""
        jobs = slurm("squeue", "--noheader", "--states=RUNNING", "--format=%N %j").splitlines()
        return [job.split()[0] for job in jobs if "TRAIN" in job]

    kept = tmp_path / "runs" / ".partial" / ".finished"
    with start(tmp_path / "project", tmp_path, tlimb=tlimb.parent, profile="slurm,slurm_array") as process:
        try:
            wait(lambda: len(list(kept.glob("*/results.json"))) > 1 and busy(), process)
            before = [file.parent.name for file in kept.glob("*/results.json")]
            node = busy()[0]
            slurm("fail", node)
            finished(process)
            slurm("boot", node)
        finally:
            process.kill()

    trace = [line.split("\t") for line in (tmp_path / "runs/pipeline_info/trace.txt").read_text().splitlines()]
    attempts = [dict(zip(trace[0], row, strict=True)) for row in trace[1:] if row[3] == "TRAIN_PACK"]
    assert [attempt["status"] for attempt in attempts].count("COMPLETED") == 2
    assert "FAILED" in {attempt["status"] for attempt in attempts}
    assert len([options for options in asked(tmp_path)["TRAIN_PACK"] if "--array 0-1" in options]) >= 1
    local = metrics(tmp_path / "local")
    assert len(local) == 13
    for digest in local:
        for name in ("results.json", "model.safetensors", "predictions.csv"):
            ours, theirs = tmp_path / "local" / digest / name, tmp_path / "runs" / digest / name
            assert not ours.exists() or ours.read_bytes() == theirs.read_bytes()
    for digest in before:
        assert (tmp_path / "runs" / digest / "events.jsonl").read_text().count('"started"') == 1, "what was finished is not computed again"
