"""How many parameters a stage trains: asked once of a child process that loads torch, and kept by architecture."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from tlimb.errors import InputError, TlimbError
from tlimb.run.store import write_json
from tlimb.stages.graph import Stage, StageGraph

FORMAT = 1
COMMAND = (sys.executable, "-m", "tlimb.train", "anatomy")


def cache() -> Path:
    """Where what can be made again is kept: the folder that TLIMB_CACHE names, or the user's cache folder."""
    return Path(os.environ.get("TLIMB_CACHE") or user_cache_dir("tlimb"))


def anatomies(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Layers and parameters of architectures, as tlimb/train/anatomy.py describes them.

    Raises:
        InputError: an architecture does not exist or does not take its arguments.
        TlimbError: the child process failed.
    """
    folder = cache() / "anatomy"
    software = _software()
    paths = [folder / f"{_digest(config, software)}.json" for config in configs]
    missing = {path: config for path, config in zip(paths, configs, strict=True) if not path.exists()}
    if missing:
        answers = _ask(list(missing.values()))
        folder.mkdir(parents=True, exist_ok=True)
        for path, answer in zip(missing, answers, strict=True):
            write_json(path, answer)
    known = {path: json.loads(path.read_bytes()) for path in dict.fromkeys(paths)}
    return [known[path] for path in paths]


def parameters(graph: StageGraph) -> dict[str, dict[str, int]]:
    """Trainable and frozen parameters of the stages that train, by digest.

    Raises:
        InputError: a layer to freeze does not exist; lists those that do, in order.
    """
    stages = [stage for stage in graph.stages if stage.kind == "fit"]
    found = anatomies([stage.config["architecture"] for stage in stages])
    return {stage.digest: _count(stage, anatomy) for stage, anatomy in zip(stages, found, strict=True)}


def _count(stage: Stage, anatomy: Mapping[str, Any]) -> dict[str, int]:
    outputs = sum(1 if target["kind"] == "number" else len(target["classes"]) for target in stage.config["targets"])
    heads = outputs * (anatomy["feature_dim"] + 1)
    encoder = anatomy["encoder_parameters"]
    arguments = stage.config["scenario"]["init_args"]
    points = [point for point, _ in anatomy["layers"]]
    freeze, only = arguments.get("freeze"), arguments.get("freeze_only")
    for name in (freeze, only):
        if name not in (None, "none", "all", *points):
            raise InputError(f"stage {stage.name}: no layer '{name}' to freeze", f"layers in order: none, {', '.join(points)}, all")
    if only not in (None, "none"):
        trained = 0 if only == "all" else encoder - anatomy["own"][only]
    elif freeze in (None, "none"):
        trained = encoder
    else:
        trained = 0 if freeze == "all" else sum(count for _, count in anatomy["layers"][points.index(freeze) :])
    return {"trainable": trained + heads, "frozen": encoder - trained}


def _ask(configs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(COMMAND, input=json.dumps(configs), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers
    words = done.stderr.strip().splitlines()
    if done.returncode == InputError.exit_status:
        raise InputError("\n".join(words).removeprefix("error: "))
    raise TlimbError("the architectures could not be built:\n" + "\n".join(words[-8:]), f"the command is: {' '.join(COMMAND)}")


def _digest(config: Mapping[str, Any], software: Mapping[str, str]) -> str:
    text = json.dumps({"format": FORMAT, "architecture": config, **software}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _software() -> dict[str, str]:
    """What a count depends on besides the config. The source too, since a checkout changes without its version."""
    found = {}
    for package in ("tlimb", "monai"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    source = hashlib.sha256()
    for file in sorted(Path(str(files("tlimb"))).glob("components/architectures/*.py")):
        source.update(file.read_bytes())
    return {**found, "source": source.hexdigest()}
