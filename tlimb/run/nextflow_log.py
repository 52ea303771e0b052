"""What Nextflow writes of a run while it works: its log, and its trace in the store."""

import csv
import os
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from tlimb.run.runs import Run
from tlimb.run.store import Store
from tlimb.run.tail import Tail, last_lines

TRACE = Path("pipeline_info", "trace.txt")
LOG = ".nextflow.log"
HOME = "nextflow-run"
"""Where the engine works, in the recipe's folder of a store, if `tlimb run` has started it."""

STILL_S = 600.0
"""After so many seconds without a line, a run on another machine counts as lost."""

Status: TypeAlias = Literal["submitted", "retried", "completed", "cached", "failed"]

_SUBMITTED = re.compile(r"(?:Submitted|Re-?submitted) process > \S+ \(\S*-(\w+)\)")
_CACHED = re.compile(r"Cached process > \S+ \(\S*-(\w+)\)")
_COMPLETED = re.compile(
    r"Task completed > TaskHandler\[.*?name: \S+ \(\S*-(\w+)\); .*?exit: (-?\d+); .*?workDir: ([^\]]*?)(?: started: .*)?\]"
)
_RETRIED = re.compile(r"Process `\S+ \(\S*-(\w+)\)` .*Execution is retried")
_PROCESS = re.compile(r"^  Process: (\d+)@(\S+)")
_CONFIG = re.compile(r"Found config base: (.*)/nextflow\.config$")
_TRACE = re.compile(r"trace file: (.*)$")
_STAMP = re.compile(r"^([A-Z][a-z]{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})")
_GOODBYE = re.compile(r"Execution complete -- Goodbye|Session aborted")


@dataclass(slots=True)
class Task:
    """The last attempt at a stage."""

    status: Status
    exit: str = ""
    work: Path | None = None

    @property
    def log(self) -> Path | None:
        """What it printed."""
        return self.work / ".command.log" if self.work else None

    def why(self) -> str:
        """Exit status, last words and log of a failed task."""
        words = "\n".join(last_lines(self.log, 8)).strip() if self.log else ""
        return f"exit status {self.exit or '?'}" + (f":\n{words}" if words else "") + (f"\nlog: {self.log}" if self.log else "")


@dataclass(slots=True)
class _Log:
    """A log, as far as it was read."""

    tail: Tail
    tasks: dict[str, Task] = field(default_factory=dict)
    pid: int = 0
    host: str = ""
    started: float = 0.0
    trace: str = ""
    project: Path | None = None
    over: bool = False

    @property
    def folder(self) -> Path:
        """Where the engine was started."""
        return self.tail.path.parent

    def read(self) -> None:
        for line in self.tail.news():
            if " $> nextflow run" in line or " - $> " in line:
                self.tasks.clear()
                self.pid, self.host, self.trace, self.project, self.over = 0, "", "", None, False
                self.started = _moment(line)
            elif found := _COMPLETED.search(line):
                failed = found[2] != "0"
                self.tasks[found[1]] = Task("failed" if failed else "completed", found[2], Path(found[3].strip()))
            elif found := _SUBMITTED.search(line):
                self.tasks[found[1]] = Task("submitted")
            elif found := _CACHED.search(line):
                self.tasks[found[1]] = Task("cached")
            elif found := _RETRIED.search(line):
                self.tasks[found[1]] = Task("retried")
            elif found := _PROCESS.match(line):
                self.pid, self.host = int(found[1]), found[2]
            elif found := _CONFIG.search(line):
                self.project = Path(found[1])
            elif found := _TRACE.search(line):
                self.trace = found[1].strip()
            elif _GOODBYE.search(line):
                self.over = True

    def alive(self) -> bool:
        """Whether the engine is at work."""
        if self.over or not self.pid:
            return False
        if not _same_host(self.host):
            try:
                return datetime.now().timestamp() - self.tail.path.stat().st_mtime < STILL_S
            except OSError:
                return False
        return _is_nextflow(self.pid)


class NextflowLog:
    """What the engine tells of a store, read as it grows, whoever has started it and wherever it was started."""

    def __init__(self, store: Store) -> None:
        self.tasks: dict[str, Task] = {}
        self.run: Run | None = None
        self.state: Path | None = None
        """Where unfinished stages lie, if not in the store."""
        self._store = store
        self._trace = Tail(store.root / TRACE)
        self._header: list[str] = []
        self._traced: dict[str, Task] = {}
        self._launched: Path | None = None
        self._logs: dict[Path, _Log] = {}
        self._jobs: tuple[Path, frozenset[str]] | None = None

    def look(self, recipes: Iterable[str]) -> None:
        """Read on.

        Args:
            recipes: Names of folders in the store that are no stages.
        """
        self._read_trace()
        log = self._log(recipes)
        self.run = None
        self.tasks = {**self._traced, **(log.tasks if log else {})}
        if log is None:
            return
        own = log.folder.is_relative_to(self._store.root)  # then the run that has started it is known
        if not own:
            self.state = log.folder / "state"
            stages = self._planned(log) | log.tasks.keys()
            state: Literal["running", "ended"] = "running" if log.alive() else "ended"
            self.run = Run("nextflow", _recipe(log), "nextflow", log.pid, _node(log.host), log.started, frozenset(stages), state)

    def _read_trace(self) -> None:
        for row in self._rows():
            stage = row.get("tag", "").rpartition("-")[2]
            status = _STATUS.get(row.get("status", ""))
            if status and stage:
                work = Path(row["workdir"]) if row.get("workdir") else None
                self._traced[stage] = Task(status, row.get("exit", ""), work)
                if work:
                    self._launched = work

    def _rows(self) -> Iterator[dict[str, str]]:
        for cells in csv.reader(self._trace.news(), delimiter="\t", quoting=csv.QUOTE_NONE):
            if cells[:1] == ["task_id"]:
                self._header = cells
                self._traced.clear()
            else:
                yield dict(zip(self._header, cells, strict=False))

    def _log(self, recipes: Iterable[str]) -> _Log | None:
        """The newest log of a run that writes into this store."""
        root = self._store.root
        places = [root.parent, *(root / name / HOME for name in recipes)]
        if self._launched is not None:
            places += list(self._launched.parents)[1:4]
        wanted = os.path.normpath(root / TRACE)
        found = []
        for place in dict.fromkeys(places):
            path = place / LOG
            if path not in self._logs:
                if not path.exists():
                    continue
                self._logs[path] = _Log(Tail(path))
            log = self._logs[path]
            log.read()
            if log.trace and os.path.normpath(log.trace) == wanted:
                found.append(log)
        return max(found, key=lambda log: log.started, default=None)

    def _planned(self, log: _Log) -> frozenset[str]:
        """The jobs of the compiled project."""
        if log.project is None:
            return frozenset()
        if self._jobs is None or self._jobs[0] != log.project:
            try:
                with (log.project / "jobs.csv").open(encoding="utf-8", newline="") as file:
                    jobs = frozenset(row["id"].rpartition("-")[2] for row in csv.DictReader(file))
            except (OSError, KeyError):
                jobs = frozenset()
            self._jobs = log.project, jobs
        return self._jobs[1]


_STATUS: dict[str, Status] = {"COMPLETED": "completed", "CACHED": "cached", "FAILED": "failed", "ABORTED": "failed"}


def _recipe(log: _Log) -> str:
    """What the project calls itself: the name in its manifest."""
    try:
        text = (log.project / "nextflow.config").read_text(encoding="utf-8") if log.project else ""
    except OSError:
        return ""
    found = re.search(r"^\s*name\s*=\s*'((?:\\.|[^'\\])*)'", text, re.MULTILINE)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""


def _moment(line: str) -> float:
    """When a line was written: the engine leaves the year out."""
    found = _STAMP.match(line)
    now = datetime.now()
    if not found:
        return now.timestamp()
    month = _MONTHS.index(found[1]) + 1 if found[1] in _MONTHS else now.month
    day, hour, minute, second = map(int, found.groups()[1:])
    when = datetime(now.year, month, day, hour, minute, second)
    return (when if when.timestamp() <= now.timestamp() + 86400 else when.replace(year=now.year - 1)).timestamp()


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _same_host(host: str) -> bool:
    return host.partition(".")[0] == platform.node().partition(".")[0]


def _node(host: str) -> str:
    return platform.node() if _same_host(host) else host


def _is_nextflow(pid: int) -> bool:
    """Whether a process of this machine is there and, where one can tell, is the engine."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        return b"nextflow" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
