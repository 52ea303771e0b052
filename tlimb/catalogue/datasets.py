"""The catalogue of data sets: `datasets.yaml` found, read, checked, written and extended."""

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_config_path

from tlimb.catalogue.formats import Problem, demo
from tlimb.catalogue.formats.suggest import suggest
from tlimb.catalogue.listing import FORMATS, Dataset, Listing, Scan, describe
from tlimb.catalogue.tables import Label, did_you_mean
from tlimb.errors import InputError

__all__ = [
    "Dataset",
    "Datasets",
    "Label",
    "Listing",
    "Problem",
    "Scan",
    "add_entry",
    "built_in",
    "datasets_files",
    "describe",
    "dump_datasets",
    "find_datasets",
    "suggest_entry",
]

FILE = "datasets.yaml"
WEIGHTS = ".weights"
"""The key under which files of weights stand; no data set can have such a name."""
_COMMON = frozenset({"format", "root", "labels", "family", "site"})
_LABEL = frozenset({"column", "unit", "classes", "missing"})


class Datasets(Mapping[str, Dataset]):
    """Data sets by name.

    A broken entry is among the names; asking for it raises the `InputError` that says what is wrong with it, so that it does not disturb
    the others. `sources` are the files read, nearest first; `weights` says where files of weights lie, by the SHA-256 of their content.
    """

    def __init__(
        self, entries: Mapping[str, Dataset | InputError], sources: tuple[Path, ...] = (), weights: Mapping[str, Path] | None = None
    ) -> None:
        self._entries = dict(entries)
        self.sources = sources
        self.weights = dict(weights or {})

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
    files = [file for file in datasets_files(start, explicit) if file.is_file()]
    if explicit is not None and not files:
        raise InputError(f"{explicit}: no such file", "give --datasets the path of a datasets.yaml")
    entries: dict[str, Dataset | InputError] = {}
    weights: dict[str, Path] = {}
    for file in files:
        for name, entry in _load(file).items():
            if name == WEIGHTS:
                weights = {str(key): file.parent / str(path) for key, path in _mapping(entry, f"{file}: {WEIGHTS}").items()} | weights
            elif name not in entries:
                entries[name] = _entry(name, entry, file.resolve())
    entries.setdefault("demo", built_in()["demo"])
    return Datasets(entries, tuple(files), weights)


def datasets_files(start: Path | None = None, explicit: Path | None = None) -> list[Path]:
    """Where `find_datasets` looks, whether or not there is a file."""
    if explicit is not None:
        return [Path(explicit)]
    here = Path(start).resolve() if start is not None else Path.cwd()
    return [folder / FILE for folder in (here, *here.parents, user_config_path("tlimb"))]


def built_in() -> Datasets:
    """The data sets that no file needs to name."""
    return Datasets({"demo": _entry("demo", {"format": "demo"}, None)})


def dump_datasets(datasets: Mapping[str, Dataset], names: Collection[str], weights: Mapping[str, Path] | None = None) -> str:
    """A `datasets.yaml` of these data sets and files of weights that means the same from any folder and environment."""
    document: dict[str, Any] = {WEIGHTS: {key: str(path) for key, path in weights.items()}} if weights else {}
    for name in names:
        dataset = datasets[name]
        document[name] = dict(dataset.options) if dataset.format == "demo" else {**dataset.options, "root": str(dataset.root)}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes every list in full: anchors would puzzle a reader."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


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
        document = yaml.load(file.read_text(encoding="utf-8"), _Loader)
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
            if key not in (of_label := _LABEL | FORMATS[kind].LABEL_KEYS):
                raise InputError(f"{place}, labels.{label}: unknown key '{key}'", did_you_mean(str(key), of_label))
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
    for key, what in FORMATS[kind].REQUIRED.items():
        if not entry.get(key):
            raise InputError(f"{place}: key '{key}' is absent", f"write {key}: {what}")
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


def suggest_entry(folder: Path, name: str | None = None) -> tuple[str, str]:
    """A first entry for a folder of any known layout, or a table: its name, and its YAML text with the name on the first line.

    Raises:
        InputError: `folder` is neither.
    """
    folder = Path(folder).expanduser().resolve()
    lines = suggest(folder)
    if name is None:
        name = folder.stem if folder.is_file() else folder.name
        name = re.sub(r"\W+", "_", name).strip("_").lower() or "dataset"
        name = f"data_{name}" if name[0].isdigit() else name
    return name, f"{name}:\n" + "".join(f"  {line}\n" for line in lines)


def add_entry(file: Path, name: str, entry: str) -> None:
    """Put an entry at the end of a `datasets.yaml`, which is made if it does not exist; all other text stays as it is.

    Args:
        file: The file.
        name: The entry's name.
        entry: Its YAML text with the name on the first line, as from `suggest_entry`.

    Raises:
        InputError: the file has an entry of that name, is not YAML, or is not a mapping of indented lines.
    """
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    existing = _load(file) if file.exists() else {}
    if name in existing:
        raise InputError(f"{file}: there is an entry '{name}' already", "give another name, or edit the file")
    text = f"{before.rstrip()}\n\n{entry.rstrip()}\n".lstrip("\n")
    try:
        after = yaml.load(text, _Loader)
    except yaml.YAMLError:
        after = None
    if not isinstance(after, dict) or after.keys() != existing.keys() | {name}:
        raise InputError(f"{file}: cannot be extended", f"add this to it by hand:\n{entry}")
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(temporary, file.stat().st_mode if file.exists() else 0o644)
    os.replace(temporary, file)
