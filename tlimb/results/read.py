"""Read what finished stages left in the store (docs/formats.md); nothing here computes."""

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlimb.errors import InputError
from tlimb.files import read_json

FORMAT = 1
_DIGEST = re.compile(r"(?:.+-)?([0-9a-f]{8,64})")
_PATH = re.compile(
    r"""(?P<url>\b(?:https?|doi):\S+)"""
    r"""|(?P<quote>["'`])(?P<quoted>(?:~|/|file://|[A-Za-z]:[\\/])[^"'`\n]*[\\/][^"'`\n]*)(?P=quote)"""
    r"""|(?<![\w.])(?P<bare>(?:~|/|file://|[A-Za-z]:[\\/])[^\s"'`<>|,;()\[\]]*[\\/][^\s"'`<>|,;()\[\]]*)"""
)
_PARTICIPANT = re.compile(r"\bsub-[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class StageResult:
    """The `results.json` of one finished stage, and the folder that it lies in."""

    folder: Path
    digest: str
    name: str
    kind: str
    metrics: Mapping[str, float]
    monitor: str | None
    best_epoch: int | None
    epochs: int | None
    stopped_early: int | None
    subjects: Mapping[str, Any]
    parameters: Mapping[str, int]
    baselines: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Results:
    """The finished stages of a store by digest; `reasons` says of the others why they are not there."""

    finished: Mapping[str, StageResult]
    reasons: Mapping[str, str]


def read_results(store: Path | str, digests: Sequence[str]) -> Results:
    """Read the results of the stages named, from folders called ``<digest>`` or ``<anything>-<digest>``.

    Raises:
        InputError: The store is a file, or a newer TLIMB wrote a result.
    """
    root = Path(store)
    if root.exists() and not root.is_dir():
        raise InputError(f"the store {root} is not a folder", "name another folder with --store")
    folders = _folders(root)
    finished: dict[str, StageResult] = {}
    reasons: dict[str, str] = {}
    for digest in dict.fromkeys(digests):
        folder = folders.get(digest)
        document = read_json(folder / "results.json") if folder else {}
        if folder and document.get("digest", digest) == digest and isinstance(document.get("metrics", {}), dict) and document:
            finished[digest] = _stage_result(folder, digest, document)
        else:
            reasons[digest] = _reason(root, digest, broken=folder is not None)
    return Results(finished, reasons)


def read_predictions(folder: Path) -> list[dict[str, str]]:
    """Rows of `predictions.csv` as text by column; empty if the stage has none."""
    return _read_csv(folder / "predictions.csv")


def read_history(folder: Path) -> dict[str, list[float]]:
    """Columns of `history.csv` (a value per epoch, NaN where a cell is empty); empty if the stage trained nothing."""
    rows = _read_csv(folder / "history.csv")
    return {column: [_number(row.get(column)) for row in rows] for column in (rows[0] if rows else ())}


def scrub(text: str) -> str:
    """Take out of a text what a shared document must not hold: folders (the file's name stays) and BIDS participant labels."""
    return _PARTICIPANT.sub("sub-…", _PATH.sub(_file_name, text))


def weights_parent(stage: Mapping[str, Any]) -> str | None:
    """Digest of the stage that supplies the weights of this stage of a plan; None if it starts from scratch or from a file."""
    parents = (stage.get("config") or {}).get("parents") or ()
    return next((str(parent["digest"]) for parent in parents if parent.get("role") == "weights"), None)


def targets_of(stage: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The targets of a stage of a plan, in order; one for each head, which may learn the same label of several data sets."""
    heads: dict[str, Mapping[str, Any]] = {}
    for target in (stage.get("config") or {}).get("targets") or ():
        heads.setdefault(str(target["name"]), target)
    return tuple(heads.values())


def _file_name(match: re.Match[str]) -> str:
    if match["url"]:
        return match.group()
    name = "…/" + re.split(r"[\\/]", match["quoted"] or match["bare"])[-1]
    return f"{match['quote']}{name}{match['quote']}" if match["quote"] else name


def _folders(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        return {}
    found: dict[str, Path] = {}
    for folder in sorted(root.iterdir()):
        match = _DIGEST.fullmatch(folder.name)
        if match and folder.is_dir() and (folder.name == match[1] or match[1] not in found):
            found[match[1]] = folder
    return found


def _stage_result(folder: Path, digest: str, document: Mapping[str, Any]) -> StageResult:
    version = document.get("format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        raise InputError(f"the results of stage {digest} have format {version}; this TLIMB reads up to format {FORMAT}", "update TLIMB")
    metrics = {str(name): number for name, value in document.get("metrics", {}).items() if math.isfinite(number := _number(value))}
    return StageResult(
        folder=folder,
        digest=digest,
        name=str(document.get("name", "")),
        kind=str(document.get("kind", "fit")),
        metrics=metrics,
        monitor=document.get("monitor"),
        best_epoch=document.get("best_epoch"),
        epochs=document.get("epochs"),
        stopped_early=document.get("stopped_early"),
        subjects=document.get("subjects") or {},
        parameters=document.get("parameters") or {},
        baselines=document.get("baselines") or {},
    )


def _reason(root: Path, digest: str, *, broken: bool) -> str:
    """Why a stage has no results; empty if it was not tried yet."""
    partial = root / ".partial" / digest
    if message := read_json(partial / "failed.json").get("message"):
        return str(message)
    if broken:
        return "its results.json is missing or broken"
    try:
        lines = (partial / "events.jsonl").read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return ""
    if last.get("event") == "failed":
        return str(last.get("message") or "failed, without saying why; see its log.txt")
    return "not finished: running or interrupted"


def _read_csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
