"""The Nextflow engine: write a compiled project, find the engine, run the project and follow it."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tlimb.assets import asset
from tlimb.catalogue.datasets import Datasets, dump_datasets
from tlimb.catalogue.registry import load_catalogue
from tlimb.emit.nextflow import TEMPLATES, Options, emit
from tlimb.emit.packs import StepKey, packs
from tlimb.errors import InputError, TlimbError
from tlimb.files import write_text
from tlimb.run.anatomy import cache
from tlimb.run.interrupts import Interrupts
from tlimb.run.pack import FINISHED
from tlimb.run.progress import Event, Observer, Outcome, silent
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

MARK = "Compiled by TLIMB"
POLL_S = 0.3
INSTALL = (
    "install Java 17 or newer and Nextflow 24.10 or newer (curl -s https://get.nextflow.io | bash), put it on the PATH "
    "or name it in the environment variable TLIMB_NEXTFLOW; --engine local needs neither"
)


def compile_project(
    graph: StageGraph, datasets: Datasets, folder: Path, options: Options | None = None, only: Collection[str] | None = None
) -> Path:
    """Write the graph as a Nextflow project.

    Args:
        graph: The whole.
        datasets: Where the images are.
        folder: Of the project.
        options: Its defaults.
        only: Digests of the stages that become jobs, with all that they need; default: all.

    Raises:
        InputError: the folder holds something else, or cannot be written; or a part of a search is asked for.
    """
    if only is not None and graph.search:
        raise InputError("a part of a search cannot be run by Nextflow, which asks for its rounds itself", "use --engine local for it")
    try:
        return write_project(project_files(graph, datasets, options, only), folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}", "choose another folder with -o") from error


def project_files(
    graph: StageGraph, datasets: Datasets, options: Options | None = None, only: Collection[str] | None = None
) -> dict[str, str]:
    """The texts of the project by relative path."""
    templates = {name: asset("nf_templates", *name.split("/")).read_text(encoding="utf-8") for name in TEMPLATES}
    data = needed(graph, datasets)
    return emit(graph, datasets_yaml=data, templates=templates, options=options, code=_own_code(graph), only=only)


def _own_code(graph: StageGraph) -> dict[str, str]:
    """The sources of the user's own components, as their stages were planned with."""
    own = load_catalogue().own
    used = dict.fromkeys(name for stage in graph.stages for name in stage.config.get("code", ()))
    return {path: file.read_text(encoding="utf-8") for name in used for path, file in own.files(name).items()}


def needed(graph: StageGraph, datasets: Datasets) -> str:
    """The `datasets.yaml` of a graph: where the data sets and the files of weights lie that its stages read."""
    used = dict.fromkeys(parent["name"] for stage in graph.stages for parent in stage.config["parents"] if parent["role"] == "data")
    files = {stage.config["weights"]["fingerprint"] for stage in graph.stages if stage.kind == "weights"}
    return dump_datasets(datasets, list(used), {key: path for key, path in datasets.weights.items() if key in files})


def write_project(files: Mapping[str, str], folder: Path) -> Path:
    """Write a project's files; the folder is new, empty, or a project that was compiled before.

    A new folder appears by one rename. In an old one every file is replaced by a rename, files that would not change are not touched,
    configs that are no longer used go, and everything else (results, work, caches) stays.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file", "choose another folder with -o")
    if not folder.exists() or not any(folder.iterdir()):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, text in files.items():  # nobody sees the folder before it is whole
                path = os.path.join(fresh, name)
                try:
                    _put(path, text)
                except FileNotFoundError:
                    os.makedirs(os.path.dirname(path))
                    _put(path, text)
            fresh.chmod(0o777 & ~_umask())
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return folder
    if MARK not in _text(folder / "main.nf")[:200]:
        raise InputError(f"{folder} is not empty and is no compiled project", "choose another folder with -o")
    _write({name: text for name, text in files.items() if _text(folder / name) != text}, folder)
    for config in (folder / "configs").glob("*.yaml"):
        if f"configs/{config.name}" not in files:
            config.unlink()
    return folder


def find_nextflow() -> Path:
    """The engine: TLIMB_NEXTFLOW, or `nextflow` on the PATH.

    Raises:
        InputError: there is none; says how to get it.
    """
    named = os.environ.get("TLIMB_NEXTFLOW")
    found = shutil.which(named or "nextflow")
    if found:
        return Path(os.path.abspath(found))
    raise InputError(f"TLIMB_NEXTFLOW={named} is no executable" if named else "Nextflow is not installed here", INSTALL)


def tools() -> Path:
    """The folder of the `tlimb` command that belongs to this process; tasks must call that one."""
    return Path(sys.executable).parent


def run_nextflow(
    project: Path,
    graph: StageGraph,
    store: Store,
    *,
    profile: str = "standard",
    pack: Mapping[StepKey, int] | None = None,
    observer: Observer = silent,
    more: Callable[[], StageGraph | None] = lambda: None,
    only: Collection[str] | None = None,
) -> Outcome:
    """Run a compiled project into a store, resuming what an earlier run has finished; Ctrl-C is passed on.

    The engine works in a folder beside the project; unfinished stages lie in the store, as with the local engine.

    Args:
        project: As compiled.
        graph: What is known to be computed.
        store: Where finished stages are and go.
        profile: Of the project.
        pack: With how many stages in a task it was compiled, by step.
        observer: Called with every event.
        more: Called again and again: the graph with the trials that the run has asked for meanwhile, or None for no news.
        only: Digests of the stages that the project lists as jobs; default: all.

    Raises:
        InputError: there is no Nextflow, or the store cannot be written.
        TlimbError: the engine failed as a whole; the message holds its last words.
    """
    store.create()
    project = Path(os.path.abspath(project))
    if only is not None:
        graph = replace(graph, stages=tuple(stage for stage in graph.stages if stage.digest in only))
    cached = tuple(stage.digest for stage in graph.stages if store.is_done(stage.digest))
    if len(cached) == len(graph.stages) and (graph.search is None or graph.search.complete):
        return _told(Outcome(cached=cached), len(graph.stages), observer)
    for digest in {stage.digest for stage in graph.stages}.difference(cached):
        if trouble := store.set_aside(digest):  # what is there would not be published over
            observer(Event("retried", digest=digest, message=trouble))
    engine = find_nextflow()
    if "$" in str(project) or (graph.search and quote(str(project)) != str(project)):
        # The scripts that Nextflow puts around a task expand this character in the paths of the project and of the task; and the strict
        # parser of 25.04 includes no file (round.nf) from a path that a URI would escape.
        plain = cache() / "nextflow" / hashlib.sha256(str(project).encode()).hexdigest()[:16] / "project"
        project = Path(shutil.copytree(project, plain, dirs_exist_ok=True))
    home = project.with_name(f"{project.name}-run")
    home.mkdir(parents=True, exist_ok=True)
    trace = store.root / "pipeline_info" / "trace.txt"
    trace.unlink(missing_ok=True)
    command = [str(engine), "run", str(project), "-resume", "-ansi-log", "false", "-profile", profile]
    command += ["--outdir", str(store.root), "--state", str(store.root / ".partial"), "-with-trace", str(trace)]
    environment = {**os.environ, "NXF_ANSI_LOG": "false", "PATH": os.pathsep.join((str(tools()), os.environ["PATH"]))}

    follower = _Follower(graph, store, pack=pack or {}, trace=trace, console=home / "console.txt", observer=observer, more=more)
    observer(Event("begin", total=len(graph.stages)))
    with follower.console.open("wb") as console:
        # A session of its own, ended with this process: Ctrl-C must reach it once, and the tasks through it.
        process = subprocess.Popen(
            [sys.executable, "-m", "tlimb.run.worker", str(os.getpid()), *command],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    interrupts = Interrupts(lambda: _signal(process, signal.SIGINT if interrupts.count == 1 else signal.SIGKILL))
    try:
        with interrupts:
            while process.poll() is None:
                follower.look()
                time.sleep(POLL_S)
    finally:
        if process.poll() is None:
            _signal(process, signal.SIGKILL)
            process.wait()
    follower.look()
    outcome = follower.outcome(interrupted=interrupts.count > 0)
    if (unasked := follower.unasked()) and not outcome.interrupted:
        raise TlimbError(f"a further round of the search could not be asked for: {unasked}", "the same command tries again")
    if process.returncode and not outcome.failed and not outcome.interrupted and not all(map(store.is_done, follower.names)):
        words = "\n".join(_text(follower.console).splitlines()[-20:]).strip()
        raise TlimbError(f"nextflow ended with status {process.returncode}:\n{words}", f"its log: {home / '.nextflow.log'}")
    observer(Event("end", outcome=outcome))
    return outcome


class _Follower:
    """What is known of a run from the engine's console, its trace and the events that stages write."""

    def __init__(
        self,
        graph: StageGraph,
        store: Store,
        *,
        pack: Mapping[StepKey, int],
        trace: Path,
        console: Path,
        observer: Observer,
        more: Callable[[], StageGraph | None],
    ) -> None:
        self.more, self.sizes = more, pack
        self.store, self.trace, self.console, self.observer = store, trace, console, observer
        self.names: dict[str, str] = {}
        self.rows: dict[str, dict[str, str]] = {}
        """By the end of the task's tag: the digest of its stage, or the name of its pack."""
        self.offsets: dict[Path, int] = {}
        self.running: set[str] = set()
        self.told: set[str] = set()
        self._know(graph)

    def look(self) -> None:
        """Tell the observer what has happened since the last look."""
        if grown := self.more():
            self._grow(grown)
        for digest in sorted(self.running):
            for line in self._news(self._events(digest)):
                self._event(digest, line)
            if digest in self.packs and (results := _results(self.store.partial(FINISHED) / digest)):
                self._finished(digest, results)
        for line in self._news(self.console):  # before the trace, so that what was tried again is told before its end
            if found := re.search(r"(Submitted|Re-?submitted) process > [\w:]+ \(\S*-(\w+)\)", line):
                self._submitted(found[2], again=found[1] != "Submitted")
        for line in self._news(self.trace):
            row = dict(zip(self._header(), next(csv.reader([line], delimiter="\t", quoting=csv.QUOTE_NONE)), strict=False))
            tag = row.get("tag", "").rpartition("-")[2]
            self.rows[tag] = row
            if row["status"] in ("COMPLETED", "CACHED"):
                self._ended(tag)

    def outcome(self, *, interrupted: bool) -> Outcome:
        """What became of every stage, once the engine has ended."""
        done, cached = [], []
        failed: dict[str, str] = {}
        skipped: dict[str, str] = {}
        for stage in self.graph.stages:
            row = self._row(stage.digest)
            status = row.get("status")
            lost = [skipped.get(parent, parent) for parent in stage.parents if parent in failed or parent in skipped]
            if status == "CACHED":
                cached.append(stage.digest)
            elif status == "COMPLETED":
                done.append(stage.digest)
            elif status == "FAILED" and not interrupted and not lost:
                failed[stage.digest] = self._why(row)
                self.store.mark_failed(stage.digest, failed[stage.digest])
                self.observer(Event("failed", digest=stage.digest, message=failed[stage.digest]))
            elif lost:
                skipped[stage.digest] = lost[0]
                self.observer(Event("skipped", digest=stage.digest, message=lost[0]))
        return Outcome(done=tuple(done), cached=tuple(cached), failed=failed, skipped=skipped, interrupted=interrupted)

    def unasked(self) -> str:
        """Why a round of a search could not be asked for; empty if all could."""
        return next((self._why(row) for tag, row in self.rows.items() if tag.startswith("round ") and row["status"] == "FAILED"), "")

    def _know(self, graph: StageGraph) -> None:
        self.graph = graph
        self.names |= {stage.digest: stage.name for stage in graph.stages}
        self.packs = {digest: name.rpartition("-")[2] for digest, name in packs(graph, self.sizes).items()}
        self.members: dict[str, list[str]] = {}
        for digest, name in self.packs.items():
            self.members.setdefault(name, []).append(digest)

    def _grow(self, graph: StageGraph) -> None:
        """A search has asked for further trials; their tasks may have been seen already."""
        new = tuple(stage for stage in graph.stages if stage.digest not in self.names)
        self._know(graph)
        self.observer(Event("asked", stages=new, total=len(self.names)))
        for tag in dict.fromkeys(self.packs.get(stage.digest, stage.digest) for stage in new):
            if self.rows.get(tag, {}).get("status") in ("COMPLETED", "CACHED"):
                self._ended(tag)

    def _row(self, digest: str) -> Mapping[str, str]:
        """The task that a stage was computed in, or failed in; a member that its pack has left over has had another one, or none."""
        row = self.rows.get(digest) or self.rows.get(self.packs.get(digest, ""), {})
        if row.get("status") in ("COMPLETED", "CACHED") and digest not in self.rows and not self._output(row, digest):
            return {}
        return row

    def _output(self, row: Mapping[str, str], digest: str) -> Mapping[str, Any]:
        """The results of a stage in the task of its pack; empty if it was left over."""
        return next(map(_results, Path(row["workdir"], "done").glob(f"*-{digest}")), {})

    def _submitted(self, tag: str, *, again: bool) -> None:
        for digest in self.members.get(tag, [tag] if tag in self.names else []):
            self.running.add(digest)
            events = self._events(digest)
            self.offsets.setdefault(events, events.stat().st_size if events.exists() else 0)
            if again and digest not in self.told and (digest not in self.packs or events.exists()):
                self.observer(Event("retried", digest=digest, message="its task was lost or stopped"))
            elif digest not in self.packs:
                self.observer(Event("started", digest=digest))

    def _ended(self, tag: str) -> None:
        """A task has ended well: that of a stage, or that of a pack."""
        for digest in self.members.get(tag, ()):
            if results := self._output(self.rows[tag], digest):
                self._finished(digest, results)
        if tag in self.names:
            self._finished(tag, self._published(tag))

    def _finished(self, digest: str, results: Mapping[str, Any]) -> None:
        self.running.discard(digest)
        if digest not in self.told:
            self.told.add(digest)
            self.observer(Event("finished", digest=digest, metrics=results.get("metrics", {})))

    def _event(self, digest: str, line: str) -> None:
        with suppress(ValueError):
            event = json.loads(line)
            if event["event"] == "epoch":
                metrics = event.get("metrics") or {}
                self.observer(Event("epoch", digest=digest, epoch=event["epoch"], epochs=event["epochs"], metrics=metrics))
            elif event["event"] == "started" and digest in self.packs:
                self.observer(Event("started", digest=digest))
            elif event["event"] == "warning":
                self.observer(Event("warning", digest=digest, message=event["message"]))

    def _events(self, digest: str) -> Path:
        return self.store.partial(digest) / "events.jsonl"

    def _header(self) -> list[str]:
        with self.trace.open(encoding="utf-8") as file:
            return file.readline().rstrip("\n").split("\t")

    def _published(self, digest: str) -> Mapping[str, Any]:
        with suppress(InputError):
            return self.store.results(digest)
        return {}

    def _news(self, path: Path) -> list[str]:
        """The whole lines that a file has gained."""
        try:
            with path.open("rb") as file:
                file.seek(self.offsets.get(path, 0))
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self.offsets[path] = self.offsets.get(path, 0) + len(whole)
        return whole.decode(errors="replace").splitlines()

    def _why(self, row: Mapping[str, str]) -> str:
        """Exit status, last words and log of a task."""
        log = Path(row.get("workdir", ""), ".command.log")
        words = "\n".join(_text(log).strip().splitlines()[-8:])
        return f"exit status {row.get('exit', '?')}" + (f":\n{words}" if words else "") + f"\nlog: {log}"


def _results(folder: Path) -> Mapping[str, Any]:
    """The `results.json` of a folder; empty where there is none."""
    with suppress(OSError, ValueError):
        return dict(json.loads((folder / "results.json").read_bytes()))
    return {}


def _told(outcome: Outcome, total: int, observer: Observer) -> Outcome:
    observer(Event("begin", total=total, cached=len(outcome.cached)))
    observer(Event("end", outcome=outcome))
    return outcome


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Signal the engine; when it must end at once, what it has started too."""
    with suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def _write(files: Mapping[str, str], folder: Path) -> None:
    """Write files, those that others point to first."""
    made: set[Path] = set()
    for name in sorted(files, key=lambda name: ("/" not in name, name == "main.nf", name)):
        path = folder / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        write_text(path, files[name])


def _put(path: str, text: str) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(text.encode())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
