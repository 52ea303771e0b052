"""Data sets: the entries of `datasets.yaml`, who is in them, their labels and their problems. Reads no image."""

import hashlib
import json
import math
import os
import re
import statistics
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from platformdirs import user_config_path

from tlimb.catalogue.formats import Contents, Problem, bids, demo, table
from tlimb.catalogue.tables import Label, Record, define_label, did_you_mean
from tlimb.errors import InputError

__all__ = [
    "Dataset",
    "Datasets",
    "Label",
    "Listing",
    "Problem",
    "Scan",
    "add_entry",
    "describe",
    "dump_datasets",
    "find_datasets",
    "suggest_entry",
]

PREPARATION_VERSION = 1
"""Of `tlimb.components.data.preparation`: raised when the same image gives other numbers."""
FILE = "datasets.yaml"
FORMATS: Mapping[str, ModuleType] = {"bids": bids, "table": table, "demo": demo}
_COMMON = frozenset({"format", "root", "labels", "family", "site"})
_LABEL = frozenset({"column", "unit", "classes"})


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
        format: bids, table or demo.
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
        return {str(name): spec or {} for name, spec in (self.options.get("labels") or {}).items()}

    @cached_property
    def _contents(self) -> Contents:
        contents: Contents = FORMATS[self.format].read(self.place, self.root, self.options)
        return contents

    @cached_property
    def _listing(self) -> Listing:
        contents, labels = self._contents, self.labels
        family, site = self.options.get("family"), self.options.get("site")
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
            where = f"{record.file.name}:{record.line}"
            bad[where, label.name] = Problem("bad-label", participant, where, f"{where}: {participant}, {label.name}: {error}")
            return None

    def _require(self, column: str, place: str) -> None:
        if column not in self._contents.columns:
            raise InputError(f"{place}: {self._contents.table} has no column '{column}'", did_you_mean(column, self._contents.columns))

    def _fingerprint(self, contents: Contents) -> str:
        meaning = {key: value for key, value in self.options.items() if key != "root"}
        if self.format == "demo":
            libraries: tuple[str, ...] = ()
        else:
            libraries = (f"nibabel {version('nibabel')}", f"monai {version('monai')}", f"preparation {PREPARATION_VERSION}")
        text = "\n".join((json.dumps(meaning, sort_keys=True, default=str), *libraries, *contents.identity))
        return hashlib.sha256(text.encode()).hexdigest()


class Datasets(Mapping[str, Dataset]):
    """Data sets by name.

    A broken entry is among the names; asking for it raises the `InputError` that says what is wrong with it, so that it does not disturb the
    others. `sources` are the files read, nearest first.
    """

    def __init__(self, entries: Mapping[str, Dataset | InputError], sources: tuple[Path, ...] = ()) -> None:
        self._entries = dict(entries)
        self.sources = sources

    def __getitem__(self, name: str) -> Dataset:
        entry = self._entries[name]
        if isinstance(entry, InputError):
            raise InputError(entry.message, entry.hint)
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def broken(self) -> dict[str, InputError]:
        """The entries that cannot be used, and why."""
        return {name: entry for name, entry in self._entries.items() if isinstance(entry, InputError)}


def find_datasets(start: Path | None = None, explicit: Path | None = None) -> Datasets:
    """All data sets that a recipe in folder `start` can name.

    The nearest file wins for each name: `start`, the folders above it, then the user's config folder. With `explicit`, only that file.

    Raises:
        InputError: a file is not YAML or not a mapping, or `explicit` does not exist.
    """
    if explicit is not None:
        files = [Path(explicit)]
        if not files[0].is_file():
            raise InputError(f"{explicit}: no such file", "give --datasets the path of a datasets.yaml")
    else:
        here = Path(start).resolve() if start is not None else Path.cwd()
        files = [file for folder in (here, *here.parents, user_config_path("tlimb")) if (file := folder / FILE).is_file()]
    entries: dict[str, Dataset | InputError] = {}
    for file in files:
        for name, entry in _load(file).items():
            if name not in entries:
                entries[name] = _entry(name, entry, file.resolve())
    entries.setdefault("demo", _entry("demo", {"format": "demo"}, None))
    return Datasets(entries, tuple(files))


def dump_datasets(datasets: Mapping[str, Dataset], names: Collection[str]) -> str:
    """A `datasets.yaml` of these data sets that means the same from any folder and environment."""
    document = {}
    for name in names:
        dataset = datasets[name]
        document[name] = dict(dataset.options) if dataset.format == "demo" else {**dataset.options, "root": str(dataset.root)}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts for `tlimb data check`, JSON types only: participants, scans, each label's distribution over participants with an image, problems."""
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


class _Loader(yaml.SafeLoader):
    """YAML in which `no`, `off` and `yes` are text, as in a list of classes, and a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load(file: Path) -> dict[str, Any]:
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not valid YAML: {' '.join(str(error).split())}", "see docs/datasets.md for an example") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    if not isinstance(document or {}, dict):
        raise InputError(f"{file}: must map names to data sets, but is a {type(document).__name__}", "see docs/datasets.md for an example")
    return {str(name): entry for name, entry in (document or {}).items()}


def _entry(name: str, entry: Any, source: Path | None) -> Dataset | InputError:
    try:
        return _dataset(name, entry, source)
    except InputError as error:
        return error


def _dataset(name: str, entry: Any, source: Path | None) -> Dataset:
    place = f"{source or 'built in'}: {name}"
    if not isinstance(entry, Mapping):
        raise InputError(f"{place}: must be a mapping with format and root, but is {entry!r}", "see docs/datasets.md for an example")
    if "format" not in entry:
        raise InputError(f"{place}: key 'format' is absent", f"write format: one of {', '.join(FORMATS)}")
    kind = str(entry["format"])
    if kind not in FORMATS:
        raise InputError(f"{place}, format: unknown format '{kind}'", did_you_mean(kind, FORMATS))
    known = _COMMON | FORMATS[kind].KEYS
    for key in entry:
        if key not in known:
            raise InputError(f"{place}: unknown key '{key}'", did_you_mean(str(key), known))
    for label, spec in (_mapping(entry.get("labels"), f"{place}, labels")).items():
        for key in _mapping(spec, f"{place}, labels.{label}"):
            if key not in _LABEL:
                raise InputError(f"{place}, labels.{label}: unknown key '{key}'", did_you_mean(str(key), _LABEL))
        if not re.fullmatch(r"[^\W\d]\w*", str(label)):
            raise InputError(
                f"{place}, labels: '{label}' cannot be a name in a recipe",
                "a name has letters, digits and _, and starts with a letter; give the column by column:",
            )
    options = {key: _expanded(value, f"{place}, {key}") for key, value in entry.items()}
    if kind == "demo":
        options.setdefault("labels", {key: dict(value) for key, value in demo.LABELS.items()})
        demo.size(options)
        return Dataset(name, kind, demo.folder(options), options, source)
    if kind == "bids" and not entry.get("root"):
        raise InputError(f"{place}: key 'root' is absent", "write root: the top folder of the BIDS data set")
    if kind == "table" and not entry.get("table"):
        raise InputError(f"{place}: key 'table' is absent", "write table: the CSV or TSV file, relative to root")
    root = Path(str(options.get("root") or ".")).expanduser()
    base = source.parent if source else Path.cwd()
    return Dataset(name, kind, Path(os.path.normpath(base / root)), options, source)


def _mapping(value: Any, place: str) -> Mapping[Any, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise InputError(f"{place}: must be a mapping, but is {value!r}", "write labels: {age: {column: age, unit: years}}")
    return value or {}


def _expanded(value: Any, place: str) -> Any:
    """The value with each `${VARIABLE}` replaced from the environment."""
    if isinstance(value, Mapping):
        return {str(key): _expanded(item, place) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, place) for item in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise InputError(f"{place}: the environment variable {match[1]} is not set", f"export {match[1]}=…, or write the path itself")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", variable, value)


def suggest_entry(folder: Path) -> tuple[str, str]:
    """A first entry for a BIDS folder or a table: its name and its YAML text.

    Raises:
        InputError: `folder` is neither.
    """
    folder = Path(folder).expanduser().resolve()
    if folder.is_file():
        return _name(folder.stem), ""
    return _name(folder.name), ""


def _name(text: str) -> str:
    name = re.sub(r"\W+", "_", text).strip("_").lower() or "dataset"
    return name if not name[0].isdigit() else f"data_{name}"


def add_entry(file: Path, name: str, entry: str) -> None:
    """Insert."""
