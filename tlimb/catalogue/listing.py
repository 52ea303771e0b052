"""One data set: who is in it, their images, labels and problems. Reads tables and folders, no image."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from tlimb.catalogue.formats import Contents, Problem, bids, demo, hcp, images, table, ukbiobank
from tlimb.catalogue.histogram import histogram
from tlimb.catalogue.tables import Label, Record, define_label, did_you_mean
from tlimb.errors import InputError

PREPARATION_VERSION = 1
"""Of `tlimb.components.data.preparation`: raised when the same image gives other numbers."""
FORMATS: Mapping[str, ModuleType] = {
    "bids": bids,
    "table": table,
    "images": images,
    "hcp": hcp,
    "ukbiobank": ukbiobank,
    "demo": demo,
}


@dataclass(frozen=True, slots=True)
class Scan:
    """One participant's session that has its image(s): a file per channel, labels (None = missing), and whom it must share a role with."""

    participant_id: str
    session: str
    images: tuple[Path, ...]
    labels: Mapping[str, float | str | None]
    group: str
    site: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything a data set holds.

    Attributes:
        scans: In order of participant; several of one participant are sessions or runs.
        problems: What is wrong with it.
        fingerprint: SHA-256; changes when entry, table, images or the libraries that read them change.
        participants: Ids in the table or with an image.
        label_counts: Participants with an image and a value, by label.
    """

    scans: tuple[Scan, ...]
    problems: tuple[Problem, ...]
    fingerprint: str
    participants: tuple[str, ...]
    label_counts: Mapping[str, int]

    @property
    def groups(self) -> dict[str, str]:
        """Group by participant with an image: what `splits.assign` takes."""
        return {scan.participant_id: scan.group for scan in self.scans}


@dataclass(frozen=True)
class Dataset:
    """An entry of `datasets.yaml`; tables and folders are read when first asked for.

    Attributes:
        name: Its name in recipes.
        format: A key of `FORMATS`.
        root: Its folder, absolute.
        options: The entry, checked, with variables expanded.
        source: The file it stands in; None for the built-in `demo`.
    """

    name: str
    format: str
    root: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None

    @property
    def place(self) -> str:
        """For messages: file and entry."""
        return f"{self.source or 'built in'}: {self.name}"

    @property
    def channels(self) -> int:
        """Images per scan."""
        return int(FORMATS[self.format].channels(self.options))

    @cached_property
    def labels(self) -> Mapping[str, Label]:
        """Labels by name.

        Raises:
            InputError: the table cannot be read or has no such column.
        """
        contents = self._contents
        labels = {}
        for name, spec in self._label_specs.items():
            place = f"{self.place}, labels.{name}"
            label = define_label(name, spec, contents.records, place)
            self._require(label.column, place)
            labels[name] = label
        return labels

    def listing(self) -> Listing:
        """Scans, problems and fingerprint; the same object at each call.

        Raises:
            InputError: nothing can be listed; says why.
        """
        return self._listing

    @property
    def _label_specs(self) -> Mapping[str, Mapping[str, Any]]:
        found = self._contents.labels
        return {str(name): spec or {} for name, spec in ((self.options.get("labels") or {}) if found is None else found).items()}

    @cached_property
    def _contents(self) -> Contents:
        contents: Contents = FORMATS[self.format].read(self.place, self.root, self.options)
        return contents

    @cached_property
    def _listing(self) -> Listing:
        contents, labels = self._contents, self.labels
        family, site = self.options.get("family", contents.family), self.options.get("site")
        for key, column in (("family", family), ("site", site)):
            if column is not None:
                self._require(str(column), f"{self.place}, {key}")
        bad: dict[tuple[str, str], Problem] = {}
        scans = []
        for found in contents.found:
            values = {label.name: self._value(label, found.participant_id, found.record, bad) for label in labels.values()}
            relatives = found.record.get(str(family)) if family and found.record else ""
            where = found.record.get(str(site)) if site and found.record else ""
            scans.append(
                Scan(
                    found.participant_id,
                    found.session,
                    found.images,
                    values,
                    f"family {relatives}" if relatives else found.participant_id,
                    where or None,
                )
            )
        counts = {name: len({scan.participant_id for scan in scans if scan.labels[name] is not None}) for name in labels}
        return Listing(tuple(scans), (*contents.problems, *bad.values()), self._fingerprint(contents), contents.participants, counts)

    def _value(self, label: Label, participant: str, record: Record | None, bad: dict[tuple[str, str], Problem]) -> float | str | None:
        if record is None:
            return None
        try:
            return label.read(record)
        except ValueError as error:
            where = record.where(label.column)
            bad[where, label.name] = Problem("bad-label", participant, where, f"{where}: {participant}, {label.name}: {error}")
            return None

    def _require(self, column: str, place: str) -> None:
        if column not in self._contents.columns:
            raise InputError(f"{place}: {self._contents.table} has no column '{column}'", did_you_mean(column, self._contents.columns))

    def _fingerprint(self, contents: Contents) -> str:
        meaning = {key: value for key, value in self.options.items() if key != "root"}
        libraries = () if self.format == "demo" else (f"nibabel {version('nibabel')}", f"monai {version('monai')}")
        code = f"preparation {PREPARATION_VERSION}"
        text = "\n".join((json.dumps(meaning, sort_keys=True, default=str), code, *libraries, *contents.identity))
        return hashlib.sha256(text.encode()).hexdigest()


def describe(dataset: Dataset) -> dict[str, Any]:
    """What `tlimb data check` shows, JSON types only: counts, each label's distribution over participants with an image, problems."""
    listing = dataset.listing()
    first = {scan.participant_id: scan for scan in reversed(listing.scans)}
    labels: dict[str, Any] = {}
    for name, label in dataset.labels.items():
        values = [scan.labels[name] for scan in first.values() if scan.labels[name] is not None]
        entry: dict[str, Any] = {
            "kind": label.kind,
            "column": label.column,
            "unit": label.unit,
            "n": len(values),
            "missing": len(first) - len(values),
        }
        if label.kind == "number" and values:
            numbers = [float(value) for value in values if value is not None]
            entry |= {
                "mean": statistics.fmean(numbers),
                "sd": statistics.stdev(numbers) if len(numbers) > 1 else 0.0,
                "min": min(numbers),
                "max": max(numbers),
                "histogram": dict(zip(("edges", "counts"), histogram(numbers), strict=True)),
            }
        if label.kind == "category":
            counts = Counter(values)
            entry["classes"] = {name: counts[name] for name in label.classes or ()}
        labels[name] = entry
    return {
        "name": dataset.name,
        "format": dataset.format,
        "root": str(dataset.root),
        "source": str(dataset.source) if dataset.source else None,
        "channels": dataset.channels,
        "participants": len(listing.participants),
        "with_image": len(first),
        "scans": len(listing.scans),
        "groups": len(set(listing.groups.values())),
        "sites": dict(sorted(Counter(scan.site for scan in first.values() if scan.site).items())),
        "labels": labels,
        "problems": [
            {"kind": item.kind, "participant_id": item.participant_id, "file": item.file, "message": item.message}
            for item in listing.problems
        ],
        "fingerprint": listing.fingerprint,
    }
