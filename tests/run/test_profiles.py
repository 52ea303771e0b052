"""The profiles of a compiled project: what Nextflow makes of them, and containers that see the folders they need."""

import os
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from emit.small_graphs import sweep

from run.test_nextflow_engine import ENGINES, NEW, files, needs_engine
from tlimb.run.nextflow import write_project

ROOT = Path(__file__).parents[2]
NEXTFLOW = str(ENGINES / NEW / "nextflow")
EXPECTED = {
    "local": ["executor = 'local'", "gpus = 0"],
    "slurm,slurm_array": ["executor = 'slurm'", "gpu_options = '--gres=gpu:%d'", "queueSize = 200", "maxAttempts:10", "array = 50"],
    "k8s": ["executor = 'k8s'", "storageClaimName = 'tlimb'", "/dev/shm"],
    "awsbatch": ["executor = 'awsbatch'", "maxSpotAttempts = 0"],
    "googlebatch": ["executor = 'google-batch'", "spot = true"],
    "slurm,apptainer": ["executor = 'slurm'", "apptainer {", "autoMounts = true", "--bind"],
    "local,docker": ["executor = 'local'", "docker {", "--ipc=host"],
    "test": ["cpus:2"],
}
RUNTIME = """#!/bin/bash
# Stands for docker and apptainer: writes down what it was asked for and runs the task here.
if [ "$1" = pull ]; then touch "${@: -2:1}"; exit; fi
case $1 in run | exec) ;; *) exit ;; esac
{ printf '%q ' "$@"; echo; } >> SAID
while [[ $1 != ghcr.io/* && $1 != *.img ]]; do shift; done
shift
exec "$@"
"""


@needs_engine
@pytest.mark.parametrize("profile", EXPECTED)
def test_the_engine_reads_every_profile(tmp_path: Path, profile: str) -> None:
    project = write_project(files(sweep(1)), tmp_path / "project")
    done = subprocess.run(
        [NEXTFLOW, "config", str(project), "-profile", profile], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in EXPECTED[profile]:
        assert words in done.stdout
    assert "withLabel:process_gpu" in done.stdout, "a profile must not drop what the labels ask for"


@needs_engine
@pytest.mark.parametrize(("runtime", "gpu", "mount"), [("docker", "--gpus all", "-v"), ("apptainer", "--nv", "--bind")])
def test_containers_see_the_project_the_state_and_the_images(tmp_path: Path, runtime: str, gpu: str, mount: str) -> None:
    tools, home, state = tmp_path / "bin", tmp_path / "home é", tmp_path / "elsewhere" / "state"
    said = tmp_path / "said.txt"
    for folder in (tools, home):
        folder.mkdir()
    (tools / runtime).write_text(RUNTIME.replace("SAID", str(said)))
    (tools / runtime).chmod(0o755)
    project = write_project(files(sweep(1)), tmp_path / "project")
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "NXF_OPTS": "-Xmx512m"}
    command = [NEXTFLOW, "run", str(project), "-stub", "-profile", f"local,{runtime}"]
    command += ["--state", str(state), "--mounts", "/data/ukb,/data/h cp", "--gpus", "1"]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert state.is_dir()
    calls = said.read_text().splitlines()
    assert len(calls) == 6
    for call in calls:
        words = shlex.split(call)
        mounted = {folder.partition(":")[0] for word, folder in pairwise(words) if word in ("-v", mount)}
        assert mounted >= {str(project), str(state), "/data/ukb", "/data/h cp"}
    assert sum(gpu in " ".join(shlex.split(call)) for call in calls) == 3, "training and evaluation"


def test_the_images_are_made_of_files_that_are_there() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    given = re.findall(r"^    (\S+) /opt/tlimb/(\S+)$", (ROOT / "tlimb.def").read_text(), re.MULTILINE)
    docker, apptainer = {name for line in copied for name in line.split()}, {name for name, _ in given}
    assert docker == apptainer >= {"requirements.lock", "tlimb", "nf_templates"}
    assert all((ROOT / name).exists() for name in docker)
    assert all(name == place for name, place in given)
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == docker
