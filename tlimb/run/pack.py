"""Several stages in one task of a cluster: one warm process computes them, and each becomes a result folder of its own."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tlimb.errors import InputError
from tlimb.files import writing
from tlimb.plainyaml import FastLoader
from tlimb.run.local import SAVED, run_local
from tlimb.run.progress import Progress
from tlimb.run.store import Store
from tlimb.run.worker import COMMAND
from tlimb.stages.graph import Rank, Stage, StageGraph

FINISHED = ".finished"
"""In the folder of unfinished work: stages of a pack that are done, until all of it is."""

STORE = ".store"
"""In the same folder: where finished stages are published. A task takes from there what it would compute again."""


def run_pack(
    configs: Sequence[Path],
    into: Path,
    *,
    parents: Sequence[Path] = (),
    datasets: Path | None = None,
    threads: int | None = None,
    state: Path | None = None,
    jobs: int = 1,
    worker_command: Sequence[str] = COMMAND,
) -> int:
    """Compute stages one after another, or `jobs` at a time; the exit status is 0 if all are done, 1 if some failed, 75 if it was stopped.

    What was finished before an interruption, or is published already, is not computed again.

    Args:
        configs: A `stage.yaml` each.
        into: Gets a result folder for each stage that was computed, with the name of its config.
        parents: Result folders of stages that they need and that are none of them.
        datasets: The `datasets.yaml`.
        threads: CPU threads of a stage.
        state: Where unfinished work is kept, a folder for each stage by its digest.
        jobs: Stages at a time.
        worker_command: The worker process, for tests.

    Raises:
        InputError: a config or a parent cannot be read, or a folder cannot be written.
    """
    stages = {str(config["digest"]): (file.stem, config) for file, config in ((file, _config(file)) for file in configs)}
    if len(stages) < len(configs) or len({name for name, _ in stages.values()}) < len(configs):
        raise InputError("a stage stands twice among those to run", "name each stage.yaml once")
    given = {_digest(folder): folder.resolve() for folder in parents}
    store = _Store(state or into / ".partial", given)
    with writing(into):
        into.mkdir(parents=True, exist_ok=True)
        for digest, (name, _) in stages.items():
            if (into / name).is_dir() or _take(store.published, digest, into / name):
                given[digest] = (into / name).resolve()
    graph = _graph(stages, given)
    with Progress(graph, sys.stderr) as observer:
        outcome = run_local(graph, store, datasets=datasets, jobs=jobs, threads=threads, observer=observer, worker_command=worker_command)
    if outcome.interrupted:
        return SAVED
    with writing(into):
        for digest in {*outcome.done, *outcome.cached}.difference(given):
            _move(store.folder(digest), into / stages[digest][0])
    for digest, message in outcome.failed.items():
        print(f"failed: {stages[digest][0]}\n{message}", file=sys.stderr)
    return 1 if outcome.failed or outcome.skipped else 0


def taken(config: Path, out: Path, state: Path | None) -> bool:
    """Whether a stage need not be computed: the folder of its state lies beside word of where it is published, and its result is there."""
    published = _published(state.parent) if state else None
    return published is not None and not out.exists() and _take(published, str(_config(config)["digest"]), out)


def _published(state: Path) -> Store | None:
    """The store that is named in a folder of unfinished work."""
    try:
        named = Path((state / STORE).read_text(encoding="utf-8").strip())
    except OSError:
        return None
    return Store(named) if named.is_dir() else None


def _take(published: Store | None, digest: str, out: Path) -> bool:
    """Make the result folder of a stage from the one in a store; False if none is there, or it is damaged."""
    if published is None or not published.is_done(digest, contents=True):
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.copytree(published.folder(digest), temporary, copy_function=_link)
    temporary.replace(out)
    return True


class _Store(Store):
    """The stages of a task: unfinished ones where their state is kept, finished ones beside, parents where they are given."""

    __slots__ = ("_given", "_state", "published")

    def __init__(self, state: Path, given: Mapping[str, Path]) -> None:
        super().__init__(state / FINISHED)
        self._state = self.root.parent
        self._given = given
        self.published = _published(self._state)

    def folder(self, digest: str) -> Path:
        return self._given.get(digest) or super().folder(digest)

    def partial(self, digest: str) -> Path:
        return self._state / digest

    def is_done(self, digest: str, *, contents: bool = False) -> bool:
        """What is given counts as it is: it is another task's, and the stage that reads it says what is wrong with it."""
        return digest in self._given or super().is_done(digest, contents=contents)


def _graph(stages: Mapping[str, tuple[str, Mapping[str, Any]]], given: Mapping[str, Path]) -> StageGraph:
    """The stages with those that they need, as far as these are given; data that are not prepared, a stage prepares itself."""
    found = {digest: Stage(digest, folder.name, "prepare", (), {"name": folder.name}) for digest, folder in given.items()}
    left = {digest: config for digest, (_, config) in stages.items() if digest not in given}
    while left:
        ready = [digest for digest, config in left.items() if not any(parent["digest"] in left for parent in config["parents"])]
        if not ready:
            raise InputError("the stages to run need each other", "compile or desugar the recipe again")
        for digest in ready:
            config = left.pop(digest)
            known = tuple(parent["digest"] for parent in config["parents"] if parent["digest"] in found)
            found[digest] = Stage(digest, config["name"], config["kind"], known, config)
    return StageGraph("", "", {}, Rank("", "min"), (), tuple(found.values()))


def _config(file: Path) -> dict[str, Any]:
    try:
        config = yaml.load(file.read_bytes(), Loader=FastLoader)
        return {
            **config,
            "digest": str(config["digest"]),
            "name": str(config["name"]),
            "kind": config["kind"],
            "parents": config["parents"],
        }
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{file}: no stage.yaml: {error}", "write it with: tlimb desugar RECIPE -o DIR") from None


def _digest(folder: Path) -> str:
    """Of a finished stage."""
    try:
        return str(json.loads((folder / "results.json").read_bytes())["digest"])
    except (OSError, KeyError, TypeError, ValueError):
        raise InputError(f"--parent {folder}: no finished stage", "give the result folder of a stage") from None


def _link(source: str, target: str) -> None:
    """The same file once more where the file system can, else a copy of it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _move(folder: Path, place: Path) -> None:
    """Move a folder, which appears whole also on another disk."""
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.move(folder, temporary)
    temporary.replace(place)
