"""`tlimb data`: what the data sets hold. Images are opened in a child process, so this side stays torch-free."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tlimb.catalogue.datasets import Datasets, add_entry, describe, dump_datasets, find_datasets
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.own import Own, trust, trusted_folders
from tlimb.catalogue.registry import nearest
from tlimb.drawing.bars import spark
from tlimb.errors import InputError, TlimbError

Echo = Callable[[str], Any]
SHOWN = 10
"""Problems of one kind that are listed before the rest is only counted."""


def list_datasets(explicit: Path | None, *, as_json: bool, echo: Echo) -> None:
    """Every data set of the catalogue with its labels; broken entries with their reason."""
    found = find_datasets(Path.cwd(), explicit)
    broken = found.broken
    if as_json:
        rows = [
            {"name": name, "error": broken[name].message}
            if name in broken
            else {"name": name, "format": found[name].format, **_labels(found[name])}
            for name in found
        ]
        echo(
            json.dumps({"format": 1, "sources": [str(source) for source in found.sources], "datasets": rows}, ensure_ascii=False, indent=1)
        )
        return
    for name in found:
        if name in broken:
            echo(f"{name:16} ✖ {broken[name].message}")
            continue
        echo(f"{name:16} {found[name].format:9} {summary(found[name])}")
    if not found.sources:
        echo("\nNo datasets.yaml here or above. Add a folder of yours with: tlimb data add FOLDER")


def check_dataset(name: str, explicit: Path | None, *, images: bool, as_json: bool, echo: Echo) -> int:
    """Counts, labels, files and images of a data set; returns the number of problems."""
    found = find_datasets(Path.cwd(), explicit)
    if name not in found:
        near = nearest(name, found)
        raise InputError(f"no data set '{name}'", (f"did you mean '{near}'? " if near else "") + f"available: {', '.join(found)}")
    described = describe(found[name])
    inspected = inspect(found, name) if images else None
    if as_json:
        echo(
            json.dumps({"format": 1, **described, **({"images": inspected} if inspected is not None else {})}, ensure_ascii=False, indent=1)
        )
    else:
        _print(described, inspected, echo)
    bad_images = [finding for finding in inspected or [] if finding["kind"] not in ("images", "constant-regions")]
    return len(described["problems"]) + len(bad_images)


def import_class(class_path: str, arguments: Sequence[str], name: str, folder: Path, datasets: Path, *, trusted: bool) -> None:
    """Write a data set that is a class of the user's down as images and a table, and add it to a `datasets.yaml`.

    Args:
        class_path: Of the class, see tlimb/train/collect.py.
        arguments: ``KEY=VALUE``, values in YAML.
        name: What recipes call it.
        folder: Where to write.
        datasets: The `datasets.yaml` to add it to.
        trusted: Whether modules in the present folder may be run.

    Raises:
        InputError: the class is not there, is not trusted, or does not give images with labels.
    """
    given = {}
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign:
            raise InputError(f"{argument}: not of the form KEY=VALUE", "e.g. count=12")
        given[key] = yaml.safe_load(value)
    if trusted:
        trust(Path.cwd())
    if refusal := Own(Path.cwd(), trusted_folders()).refusal(class_path):
        raise refusal
    command = [sys.executable, "-m", "tlimb.train.collect", class_path, str(folder), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == InputError.exit_status:
        message, _, hint = done.stderr.strip().rpartition("error: ")[2].partition("\n")
        raise InputError(message, hint.strip())
    if done.returncode:
        raise TlimbError(f"{class_path} failed:\n{done.stderr.strip()[-2000:]}", "the lines above are its own")
    add_entry(datasets, name, yaml.safe_dump({name: json.loads(done.stdout)}, sort_keys=False, allow_unicode=True))


def summary(dataset: Dataset) -> str:
    """Who is in a data set and what is known of them, in a line."""
    try:
        listing = dataset.listing()
        labels = ", ".join(dataset.labels) or "no labels"
    except InputError as error:
        return f"✖ {error.message}"
    people = len({scan.participant_id for scan in listing.scans})
    problems = f"; {len(listing.problems)} problem{'s' * (len(listing.problems) != 1)}" if listing.problems else ""
    return f"{people} participant{'s' * (people != 1)}, {labels}{problems}"


def _labels(dataset: Dataset) -> dict[str, Any]:
    return {"labels": {name: label.kind for name, label in dataset.labels.items()}}


def inspect(datasets: Datasets, name: str, began: Callable[["subprocess.Popen[str]"], Any] = lambda process: None) -> list[dict[str, Any]]:
    """Image-level findings, from a child process that may load the imaging libraries.

    Args:
        datasets: The catalogue.
        name: Of the data set.
        began: Called with the process, which one may end.

    Raises:
        TlimbError: the process ended early.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "datasets.yaml"
        file.write_text(dump_datasets(datasets, [name]), encoding="utf-8")
        command = [sys.executable, "-m", "tlimb.components.data.inspect", str(file), name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        began(process)
        output, errors = process.communicate()
    if process.returncode < 0:
        raise TlimbError(f"the check of {name} was stopped")
    if process.returncode:
        raise TlimbError(f"the images of {name} could not be inspected", errors.strip().rpartition("\n")[2])
    found = json.loads(output)
    assert isinstance(found, list)
    return found


def _print(described: dict[str, Any], inspected: list[dict[str, Any]] | None, echo: Echo) -> None:
    counts = f"{described['participants']} participants, {described['with_image']} with images, {described['scans']} scans"
    echo(f"{described['name']} ({described['format']}): {counts}")
    for name, label in described["labels"].items():
        echo(f"  {name:14} {label_line(label)}")
        if bars := label.get("histogram"):
            echo(f"  {'':14} {bars['edges'][0]:g} {spark(bars['counts'])} {bars['edges'][-1]:g}")
    for line in look_lines(inspected or []):
        echo(f"  {line}")
    kinds = findings(described, inspected)
    for kind, lines in kinds.items():
        echo(f"\n! {kind.replace('-', ' ')}: {len(lines)}")
        for line in lines[:SHOWN]:
            echo(f"    {line}")
        if len(lines) > SHOWN:
            echo(f"    … and {len(lines) - SHOWN} more (all with --json)")
    if not kinds:
        echo("no problems")


def findings(described: Mapping[str, Any], inspected: Sequence[Mapping[str, Any]] | None) -> dict[str, list[str]]:
    """What is wrong with a data set, in sentences by kind: in its tables and names, and in its images if they were looked into."""
    kinds: dict[str, list[str]] = {}
    for problem in described["problems"]:
        who = f"{problem['participant_id']}: " if problem["participant_id"] else ""
        kinds.setdefault(problem["kind"], []).append(who + problem["message"])
    for finding in inspected or ():
        if finding["kind"] != "images":
            kinds.setdefault(finding["kind"], []).append(finding["message"])
    return kinds


def look_lines(inspected: Sequence[Mapping[str, Any]]) -> list[str]:
    """How images look, e.g. ``24 images 40x48x40 voxels of 4x4x4 mm, RAS, uint8``; tables of as many regions in one line."""
    lines = []
    tables: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for look in (finding for finding in inspected if finding["kind"] == "images"):
        if look["what"].startswith("tables"):
            tables.setdefault((look["what"], look["shape"][0]), []).append((look["shape"][1], look["count"]))
            continue
        shape, spacing = ("x".join(f"{side:g}" for side in look[key]) for key in ("shape", "spacing_mm"))
        size = f"{shape} voxels of {spacing} mm" if look["orientation"] else shape
        lines.append(", ".join(part for part in (f"{look['count']} {look['what']} {size}", look["orientation"], look["dtype"]) if part))
    for (what, regions), lengths in tables.items():
        shortest, longest = min(lengths)[0], max(lengths)[0]
        times = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
        unit = f"of {regions} regions and {times} time points" if what == "tables" else f"{regions} x {times}"
        lines.append(f"{sum(count for _, count in lengths)} {what} {unit}")
    return lines


def label_line(label: Mapping[str, Any]) -> str:
    """A label in a line: its kind, how many have it, and how it is distributed."""
    head = f"{label['kind']}, {label['n']} present, {label['missing']} missing"
    if label["kind"] == "number" and label["n"]:
        unit = f" {label['unit']}" if label.get("unit") else ""
        return f"{head}; mean {label['mean']:.1f}, sd {label['sd']:.1f}, {label['min']:g} to {label['max']:g}{unit}"
    return f"{head}; " + ", ".join(f"{name} {count}" for name, count in label.get("classes", {}).items())
