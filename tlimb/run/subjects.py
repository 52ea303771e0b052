"""Who is in a data set: labels, files and what is wrong with them, the role that a recipe gives each, and how a scan looks."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.listing import Dataset, Scan
from tlimb.catalogue.spelling import did_you_mean
from tlimb.catalogue.splits import ROLES, Role, Split, assign
from tlimb.drawing.pixels import Pixels
from tlimb.errors import InputError
from tlimb.run.look import Looker
from tlimb.stages.graph import StageGraph

Echo = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A participant's session.

    Attributes:
        participant_id: Who.
        session: Which visit; empty where there is one only.
        labels: Values by label; None where one is missing.
        part: Of the split; None for none.
        role: train, val or test; empty where no recipe uses the data set.
        scan: None where there is no image.
        problems: What is wrong.
    """

    participant_id: str
    session: str
    labels: Mapping[str, float | str | None]
    part: str | None
    role: str
    scan: Scan | None
    problems: tuple[str, ...]

    @property
    def files(self) -> str:
        """Names of its images."""
        return ", ".join(file.name for file in self.scan.images) if self.scan else ""

    def value(self, label: str) -> str:
        """A label as text."""
        found = self.labels.get(label)
        return "-" if found is None else f"{found:g}" if isinstance(found, float | int) else str(found)


def subjects(dataset: Dataset, roles: Mapping[str, Role] | None = None) -> list[Subject]:
    """All participants with their sessions, those without an image behind.

    Raises:
        InputError: the data set cannot be listed.
    """
    listing = dataset.listing()
    roles = roles or {}
    wrong: dict[str, list[str]] = {}
    for problem in listing.problems:
        wrong.setdefault(problem.participant_id, []).append(problem.message)
    found = []
    for scan in listing.scans:
        role = roles.get(scan.participant_id)
        problems = tuple(wrong.get(scan.participant_id, ()))
        found.append(
            Subject(scan.participant_id, scan.session, scan.labels, role.part if role else None, role.role if role else "", scan, problems)
        )
    seen = {scan.participant_id for scan in listing.scans}
    absent = [name for name in listing.participants if name not in seen]
    return found + [Subject(name, "", {}, None, "", None, tuple(wrong.get(name, ("no image",)))) for name in absent]


def roles(graph: StageGraph, dataset: Dataset) -> dict[str, Role]:
    """The role of each participant in a recipe; empty where it does not use the data set."""
    rule = next((stage.config["split"][dataset.name] for stage in graph.stages if dataset.name in stage.config.get("split", ())), None)
    return assign(dataset.listing().groups, Split.read(rule)) if rule is not None else {}


def role_counts(found: Mapping[str, Role]) -> dict[str, dict[str, int]]:
    """How many participants have each role, by part; the part is empty for those of none."""
    counts = Counter((role.part or "", role.role) for role in found.values())
    parts = dict.fromkeys(part for part, _ in sorted(counts))
    return {part: {role: counts[part, role] for role in ROLES if counts[part, role]} for part in parts}


def roles_text(found: Mapping[str, Role]) -> str:
    """Roles in a line: ``25 train, 6 val, 5 test``, with the names of the parts where the data set is split."""
    said = []
    for part, counts in role_counts(found).items():
        text = ", ".join(f"{count} {role}" for role, count in counts.items())
        said.append(f"{part or 'rest'}: {text}" if any(role.part for role in found.values()) else text)
    return "; ".join(said)


def find(name: str, explicit: Path | None) -> Dataset:
    """A data set of the catalogue.

    Raises:
        InputError: there is none of that name, or its entry is wrong.
    """
    found = find_datasets(Path.cwd(), explicit)
    if name not in found:
        raise InputError(f"no data set '{name}'", did_you_mean(name, found))
    return found[name]


def show_subjects(dataset: Dataset, *, as_json: bool, echo: Echo) -> None:
    """The table of participants."""
    listed = subjects(dataset)
    if as_json:
        rows = [
            {
                "participant_id": subject.participant_id,
                "session": subject.session,
                "labels": dict(subject.labels),
                "images": [str(file) for file in subject.scan.images] if subject.scan else [],
                "problems": list(subject.problems),
            }
            for subject in listed
        ]
        echo(json.dumps({"format": 1, "name": dataset.name, "subjects": rows}, ensure_ascii=False, indent=1))
        return
    header, *lines = subject_table(dataset, listed)
    widths = [max(len(row[index]) for row in (header, *lines)) for index in range(len(header))]
    for row in (header, *lines):
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip())


def subject_table(dataset: Dataset, listed: Sequence[Subject]) -> list[list[str]]:
    """Header and a row of text for each; columns that say nothing are left out."""
    names = list(dataset.labels)
    header = ["participant", "session", "role", *names, "image", "problem"]
    rows = [
        [
            subject.participant_id,
            subject.session,
            f"{subject.part} {subject.role}" if subject.part and subject.part != subject.role else subject.role,
            *map(subject.value, names),
            subject.files,
            "; ".join(subject.problems),
        ]
        for subject in listed
    ]
    kept = [index for index, name in enumerate(header) if name not in ("session", "role", "problem") or any(row[index] for row in rows)]
    return [[row[index] for index in kept] for row in (header, *rows)]


def show_scan(
    dataset: Dataset, participant: str, session: str | None, *, at: Sequence[int] | None, frame: int, width: int, colour: bool, echo: Echo
) -> None:
    """Draw a scan into the terminal.

    Raises:
        InputError: there is no such scan, or it cannot be shown.
    """
    with_image = [subject for subject in subjects(dataset) if subject.scan]
    wanted = participant.removeprefix("sub-")
    found = [s for s in with_image if s.participant_id.removeprefix("sub-") == wanted and session in (None, s.session)]
    if not found or found[0].scan is None:
        raise InputError(
            f"{dataset.name} has no image of '{participant}'", did_you_mean(participant, {s.participant_id for s in with_image})
        )
    subject, scan = found[0], found[0].scan
    with Looker() as looker:
        for channel in range(len(scan.images)):
            said = looker.look(dataset, scan, size=(max(8, (width - 8) // 3), 48), channel=channel, frame=frame, at=at)
            if "error" in said:
                raise InputError(said["error"], f"tlimb data check {dataset.name} lists all that are wrong")
            echo(caption(said, scan.images[channel].name))
            echo("\n".join(_beside([Pixels.read(plane) for plane in said["planes"]], colour=colour)))
    echo(", ".join(f"{name} {subject.value(name)}" for name in dataset.labels))


def caption(said: Mapping[str, Any], file: str) -> str:
    """What a look at a scan says of it in a line."""
    size = " x ".join(map(str, said["shape"]))
    if said["kind"] == "series":
        parts = [f"{said['shape'][0]} regions, {said['shape'][1]} time points"]
    else:
        spacing = " x ".join(f"{side:g}" for side in said["spacing_mm"])
        parts = [f"{size} voxels of {spacing} mm" if said["orientation"] else size, said["orientation"], said["dtype"]]
        parts += [f"volume {said['frame'] + 1} of {said['frames']}"] if said["frames"] > 1 else []
        parts += [f"{said['channels']} channels"] if said["channels"] > 1 else []
        if said["at"] is not None:
            parts.append(f"at {', '.join(map(str, said['at']))}: {said['value']:.4g}")
    return f"{file}: " + "; ".join([", ".join(part for part in parts if part), *said["notes"]])


def _beside(planes: Sequence[Pixels], *, colour: bool) -> list[str]:
    """Images side by side, each under its name and between the letters of its borders."""
    blocks = []
    for plane in planes:
        left, right, upper, lower = tuple(plane.border or "    ")
        lines = [_ansi(row) for row in plane.half_blocks()] if colour else list(plane.letters())
        middle = len(lines) // 2
        body = [f"{left if number == middle else ' '}{line}{right if number == middle else ' '}" for number, line in enumerate(lines)]
        head = f"{plane.name} {upper}".strip().center(plane.width + 2)
        blocks.append(([head, *body, lower.center(plane.width + 2)], plane.width + 2))
    height = max((len(lines) for lines, _ in blocks), default=0)
    return [" ".join(lines[row] if row < len(lines) else " " * width for lines, width in blocks).rstrip() for row in range(height)]


def _ansi(row: Sequence[tuple[tuple[int, int, int], tuple[int, int, int] | None]]) -> str:
    cells = []
    for upper, lower in row:
        ground = f";48;2;{lower[0]};{lower[1]};{lower[2]}" if lower else ""
        cells.append(f"\x1b[38;2;{upper[0]};{upper[1]};{upper[2]}{ground}m▀\x1b[0m")
    return "".join(cells)


def colourful() -> bool:
    """Whether standard output is a terminal with colours."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
