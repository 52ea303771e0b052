"""`tlimb status`: what the stages of a store are doing, read from its files."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tlimb.errors import InputError
from tlimb.run.store import Store

GLYPHS = {"new": "○ idle", "running": "◐ running", "done": "✔ done", "failed": "✖ failed"}


def show(root: Path, *, watch: bool, as_json: bool, echo: Callable[[str], Any]) -> None:
    """Print the states; with `watch` again twice a second whenever they change, until interrupted."""
    if not root.is_dir():
        raise InputError(f"no store at {root}", "name one with --store; `tlimb run` makes it beside the recipe")
    store, before = Store(root), ""
    while True:
        rows = _rows(store)
        text = json.dumps({"format": 1, "stages": rows}, indent=1) if as_json else _text(rows)
        if text != before:
            echo(text)
            before = text
        if not watch:
            return
        time.sleep(0.5)


def _rows(store: Store) -> list[dict[str, Any]]:
    rows = []
    folders = [f for f in store.root.iterdir() if store.is_done(f.name)]
    partial = store.root / ".partial"
    folders += [f for f in partial.iterdir() if f.is_dir() and not f.name.startswith(".")] if partial.is_dir() else []
    for folder in sorted(folders, key=lambda f: f.stat().st_mtime):
        event = _last_event(folder / "events.jsonl")
        row = {"digest": folder.name, "state": store.state(folder.name), "name": event.get("name", "")}
        row |= {key: event[key] for key in ("epoch", "epochs", "metrics") if key in event}
        if row["state"] == "done":
            document = store.results(folder.name)
            row |= {"name": document.get("name", ""), "metrics": document.get("metrics", {})}
            row |= {key: document[key] for key in ("stopped_early",) if key in document}
        rows.append(row)
    return rows


def _last_event(file: Path) -> dict[str, Any]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):  # the last line may be half written
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        return event if isinstance(event, dict) else {}
    return {}


def _text(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        epoch = f"epoch {row['epoch']}/{row['epochs']}" if row["state"] == "running" and "epoch" in row else ""
        epoch = f"stopped at {row['stopped_early']}" if "stopped_early" in row else epoch
        metric = next((f"{name} {value:.4g}" for name, value in (row.get("metrics") or {}).items() if value is not None), "")
        lines.append(f"{GLYPHS[row['state']]:10} {row['digest'][:8]}  {row['name']:16} {epoch:12} {metric}".rstrip())
    return "\n".join(lines) or "nothing has run in this store"
