"""How long stages take, measured by a few steps of each distinct one in a child process, and kept by content."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tlimb.errors import TlimbError
from tlimb.run import machine
from tlimb.run.anatomy import cache
from tlimb.run.store import Store, write_json
from tlimb.stages.graph import Stage, StageGraph

FORMAT = 1
COMMAND = (sys.executable, "-m", "tlimb.train", "probe")

Timing = dict[str, Any]
"""What tlimb/train/probe.py says of a stage, with `start_s` and `start_cpu_s`, the cost of starting a process that runs stages."""

_RATED = ("objective", "auxiliaries", "scenario", "trainer")
_SECTIONS = ("targets", "unlabelled", "split", "data", "architecture", "code", *_RATED)
_IDLE = {"scenario": ("monitor", "patience", "give_up"), "trainer": ("max_epochs", "logger")}
"""Arguments that do not change what a step or an epoch costs."""


def known(graph: StageGraph, threads: int) -> dict[str, Timing]:
    """The timings of the stages whose like was measured on a machine like this one, by digest."""
    if not _folder().is_dir():
        return {}
    files = _files(graph, threads)
    read: dict[Path, Timing] = {}
    for path in dict.fromkeys(files.values()):
        try:
            read[path] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
    return {digest: read[path] for digest, path in files.items() if path in read}


def probe(
    graph: StageGraph, store: Store, datasets: str, threads: int, tell: Callable[[str], None], command: tuple[str, ...] = COMMAND
) -> None:
    """Measure a stage of each kind of which nothing is known.

    Args:
        graph: What is to be computed.
        store: Finished stages are used as they are.
        datasets: The text of a `datasets.yaml` with those that are used.
        threads: Of a stage.
        tell: Called with a line for each stage before it is measured.
        command: The child process, for tests.

    Raises:
        TlimbError: the child process ended early.
    """
    files, stages = _files(graph, threads), {stage.digest: stage for stage in graph.stages}
    missing = {path: digest for digest, path in reversed(files.items()) if not path.exists()}
    if not missing:
        return
    needed = _with_parents(stages, missing.values())
    asked = [stage for stage in graph.stages if stage.digest in needed]
    measured = {digest: path for path, digest in missing.items()}
    order = [stage.digest for stage in asked if stage.digest in measured]
    with tempfile.TemporaryDirectory(prefix="tlimb-") as folder:
        catalogue = Path(folder, "datasets.yaml")
        catalogue.write_text(datasets, encoding="utf-8")
        question = {
            "stages": [{key: value for key, value in stage.config.items() if key != "about"} for stage in asked],
            "measure": order,
            "store": str(store.root),
            "datasets": str(catalogue),
            "threads": threads,
        }
        start: Timing = {}
        tell(f"timing a few steps of {len(order)} kinds of stage")
        for number, answer in enumerate(_answers(question, threads, command)):
            event = answer.pop("event")
            if event == "ready":
                start = {"start_s": answer["start_s"], "start_cpu_s": answer["cpu_s"]}
                continue
            digest = answer.pop("digest")
            name = f"[{number}/{len(order)}] {stages[digest].name} {digest[:8]}"
            if event == "failed":
                tell(f"{name}  would fail: {answer['message']}")
                continue
            tell(f"{name}  {_spoken(stages[digest].kind, answer)}")
            measured[digest].parent.mkdir(parents=True, exist_ok=True)
            write_json(measured[digest], {**answer, **start})


def _spoken(kind: str, timing: Timing) -> str:
    if kind == "prepare":
        return f"{timing['scan_s'] * 1000:.0f} ms a scan"
    return f"{timing['step_s'] * 1000:.0f} ms a step" if kind == "fit" else f"{timing['validate_s'] * 1000:.0f} ms a batch"


def _answers(question: Mapping[str, Any], threads: int, command: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if devices := machine.gpus():
        environment["CUDA_VISIBLE_DEVICES"] = devices[0]
    began = time.monotonic()
    with (
        tempfile.TemporaryFile() as errors,
        # Ended with this process, however that happens.
        subprocess.Popen(
            [sys.executable, "-m", "tlimb.run.worker", str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(question).encode())
            process.stdin.close()
            for line in process.stdout:
                answer: dict[str, Any] = json.loads(line)
                yield answer | ({"start_s": time.monotonic() - began} if answer["event"] == "ready" else {})
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()
        if process.wait():
            errors.seek(0)
            words = "\n".join(errors.read().decode(errors="replace").strip().splitlines()[-8:])
            raise TlimbError(f"the probe ended with status {process.returncode}:\n{words}", f"the command is: {' '.join(command)}")


def _with_parents(stages: Mapping[str, Stage], digests: Any) -> set[str]:
    """The stages and all that they need."""
    found: set[str] = set()
    left = list(digests)
    while left:
        digest = left.pop()
        if digest not in found:
            found.add(digest)
            left += stages[digest].parents
    return found


def _folder() -> Path:
    return cache() / "probe"


def _files(graph: StageGraph, threads: int) -> dict[str, Path]:
    """Where the timing of each stage is kept: stages that cost the same have the same file."""
    folder = _folder()
    surroundings = json.dumps({"format": FORMAT, "threads": threads, "device": device(), **_software()}, sort_keys=True)
    shapes = _Shapes()
    found: dict[str, Path] = {}
    names: dict[str, Path] = {}
    for stage in graph.stages:
        shape = shapes.add(stage)
        if shape not in names:
            names[shape] = folder / f"{hashlib.sha256(f'{surroundings} {shape}'.encode()).hexdigest()}.json"
        found[stage.digest] = names[shape]
    return found


class _Shapes:
    """What decides how long a step, a batch or a scan takes, as text: a stage's config without seeds, names, rates and epochs."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._made: dict[int, str] = {}
        """By the identity of a part of a config, which many stages share."""

    def add(self, stage: Stage) -> str:
        """The shape of a stage; an evaluation costs what the stage whose weights it tests makes it cost."""
        config = stage.config
        if stage.kind in ("prepare", "weights"):
            text = f"{stage.kind} {stage.digest}"
        else:
            data = sorted(parent["digest"] for parent in config["parents"] if parent["role"] == "data")
            tested = [parent["digest"] for parent in config["parents"] if parent["role"] == "weights" and stage.kind == "evaluate"]
            sections = [f"{key}: {self._section(key, config[key])}" for key in _SECTIONS if key in config]
            text = "\n".join([stage.kind, *data, *sections, *(self._of.get(digest, "") for digest in tested)])
        self._of[stage.digest] = text
        return text

    def _section(self, key: str, value: Any) -> str:
        if id(value) not in self._made:
            shown = _without_rates(value, _IDLE.get(key, ())) if key in _RATED else value
            self._made[id(value)] = json.dumps(shown, sort_keys=True, default=str)
        return self._made[id(value)]


def _without_rates(value: Any, left_out: tuple[str, ...] = ()) -> Any:
    """Numbers that are no counts do not change what a step costs."""
    if isinstance(value, Mapping):
        return {key: _without_rates(item, left_out) for key, item in value.items() if key not in left_out}
    if isinstance(value, list | tuple):
        return [_without_rates(item) for item in value]
    return "a number" if isinstance(value, float) else value


def device() -> str:
    """What computes: the GPU's name, else the processor's."""
    return machine.gpu_name() or machine.processor()


def _software() -> dict[str, str]:
    found = {}
    for package in ("tlimb", "torch", "lightning", "monai"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return {**found, "python": platform.python_version()}
