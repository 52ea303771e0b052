"""What stages were expected to take, and what they took."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlimb.files import read_json


@dataclass(frozen=True, slots=True)
class StepTime:
    """The finished stages of a step for which both are known; seconds."""

    step: str
    stages: int
    expected_s: float
    actual_s: float


def times(plan: Mapping[str, Any], store: Path | str) -> list[StepTime]:
    """Expected and actual seconds by step, in the order of the plan."""
    found: dict[str, list[tuple[float, float]]] = {}
    for stage in plan["stages"]:
        expected = (stage.get("expected") or {}).get("seconds")
        actual = read_json(Path(store) / stage["digest"] / "environment.json").get("seconds") if expected is not None else None
        if expected is not None and actual is not None:
            found.setdefault(stage["name"], []).append((float(expected), float(actual)))
    return [StepTime(step, len(pairs), sum(e for e, _ in pairs), sum(a for _, a in pairs)) for step, pairs in found.items()]


def times_text(plan: Mapping[str, Any], store: Path | str) -> str:
    """One line, or nothing where nothing was expected."""
    found = times(plan, store)
    if not found:
        return ""
    stages = sum(step.stages for step in found)
    actual, expected = sum(step.actual_s for step in found), sum(step.expected_s for step in found)
    return f"{stages} stages took {duration(actual)} together; {duration(expected)} were expected"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes:02} min" if hours < 48 else f"{hours / 24:.1f} days"
