"""What the files of one stage say: of a finished one its results, of an unfinished one its events, read as they grow."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tlimb.errors import InputError
from tlimb.files import read_json
from tlimb.plainyaml import FastLoader
from tlimb.run.store import Store
from tlimb.run.tail import Tail


@dataclass(frozen=True, slots=True)
class Finished:
    """What the files of a finished stage say."""

    name: str
    kind: str
    at: float
    epochs: int
    metrics: Mapping[str, float | None]
    monitor: str
    seconds: float | None
    stopped_early: int | None


def read_finished(store: Store, digest: str) -> Finished | None:
    """The finished stage; None where it is not there or is damaged."""
    if not store.is_done(digest):
        return None
    folder = store.folder(digest)
    try:
        document = store.results(digest)
        at = (folder / "results.json").stat().st_mtime
    except (InputError, OSError):
        return None
    return Finished(
        name=str(document.get("name", "")),
        kind=str(document.get("kind", "")),
        at=at,
        epochs=int(document.get("epochs") or 0),
        metrics=document.get("metrics") or {},
        monitor=str(document.get("monitor") or ""),
        seconds=_number(read_json(folder / "environment.json").get("seconds")),
        stopped_early=document.get("stopped_early"),
    )


class Work:
    """An unfinished stage: what its events say."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.name = self.kind = self.monitor = ""
        self.epoch = self.epochs = 0
        self.metrics: Mapping[str, float | None] = {}
        self.began = 0.0
        self.last = 0.0
        self.first = 0
        self.event = ""
        self.message = ""
        self.failed_at = -math.inf
        self._tail = Tail(folder / "events.jsonl") if folder else None
        self._mark: tuple[int, dict[str, Any]] = (0, {})

    def look(self) -> None:
        """Read on."""
        assert self._tail is not None
        assert self.folder is not None
        for line in self._tail.news():
            try:
                event = json.loads(line)
                self._take(event)
            except (ValueError, TypeError, AttributeError):
                continue
        if not self.name:
            self._introduce(self.folder / "stage.yaml")
        self._read_mark(self.folder / "failed.json")

    def _take(self, event: Mapping[str, Any]) -> None:
        self.event = str(event.get("event", ""))
        at = float(event.get("time") or time.time())
        if self.event == "started":
            self.began = self.last = at
            self.first = -1
        elif self.event == "epoch":
            self.began = self.began or at
            epoch = int(event["epoch"])
            if self.first < 0:
                # Of an interrupted stage that goes on, the epochs before were not this attempt's.
                self.first = epoch - 1 if epoch <= self.epoch + 1 else self.epoch
            self.epoch, self.epochs, self.metrics, self.last = epoch, int(event["epochs"]), event.get("metrics") or {}, at
        elif self.event == "failed":
            self.last = self.failed_at = at
            self.message = str(event.get("message") or "it failed without a message")

    def _introduce(self, config: Path) -> None:
        try:
            document = yaml.load(config.read_bytes(), FastLoader)
            self.name, self.kind, self.monitor = str(document["name"]), str(document["kind"]), monitored(document)
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            return

    def _read_mark(self, file: Path) -> None:
        """What the engine left word of: `failed.json`."""
        try:
            stamp = file.stat().st_mtime_ns
        except OSError:
            self._mark = (0, {})
            return
        if stamp != self._mark[0]:
            self._mark = stamp, read_json(file)

    @property
    def at_work(self) -> bool:
        """Whether its last word was not its end."""
        return self.event in ("started", "epoch")

    @property
    def took(self) -> float | None:
        """Seconds of the last attempt, if it has ended."""
        return self.last - self.began if self.began else None

    def elapsed(self, now: float) -> float | None:
        """Seconds of the present attempt."""
        return max(0.0, now - self.began) if self.began else None

    def remaining(self, now: float) -> float | None:
        """Seconds it will go on for, if the next epochs take as long as those before."""
        made = self.epoch - max(0, self.first)
        if made <= 0 or not self.epochs or self.last <= self.began:
            return None
        return max(0.0, (self.last - self.began) / made * (self.epochs - self.epoch) - (now - self.last))

    def failure(self) -> tuple[float, str]:
        """When it failed, and why; empty if it did not."""
        stamp, document = self._mark
        if document.get("message"):
            return stamp / 1e9, str(document["message"])
        return (self.failed_at, self.message) if self.event == "failed" else (0.0, "")


NO_WORK = Work(None)


def monitored(config: Mapping[str, Any]) -> str:
    """The metric by which a stage chooses its best epoch; empty where it has none."""
    return str(((config.get("scenario") or {}).get("init_args") or {}).get("monitor") or "")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
