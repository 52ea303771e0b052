"""From a path on the command line to a stage graph: reading, parsing, checking and planning a recipe or its desugared YAML."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tlimb.catalogue.datasets import Datasets, find_datasets
from tlimb.catalogue.keys import full_path
from tlimb.catalogue.own import trust
from tlimb.catalogue.registry import load_catalogue
from tlimb.errors import Diagnostic, InputError, RecipeError, Span
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse
from tlimb.recipe.tree import Argument, Freeze, Items, Recipe, Set, Sweep, Training, Value, file_source, plain
from tlimb.run.anatomy import UnknownLayerError, parameters
from tlimb.stages.graph import StageGraph
from tlimb.stages.search import Limits
from tlimb.stages.sweep import Point


@dataclass(frozen=True, slots=True)
class Source:
    """A recipe's text, what to call it and the folder its data sets and results are looked up from.

    From the offset `overrides_from` on, the text is what `--set` on the command line added.
    """

    text: str
    label: str
    name: str
    folder: Path
    overrides_from: int
    yaml: bool = False


@dataclass(slots=True)
class Opened:
    """A checked recipe. `datasets` is None for desugared YAML until it is asked for."""

    source: Source
    datasets: Datasets
    recipe: Recipe | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def graph(self, trials: Sequence[Point] = (), limits: Sequence[Limits] = ()) -> StageGraph:
        """The stage graph.

        Args:
            trials: Of a search, the points that have been asked for; those of its first round are known without.
            limits: Of a search that stops trials early, the limits of each round so far.

        Raises:
            InputError: the desugared YAML has a search whose rounds are yet to be asked for.
            RecipeError: the recipe has errors, or the data cannot give what it asks for.
        """
        if self.recipe is None:
            from tlimb.configs.text import load_graph

            return load_graph(self.source.text, self.source.label)
        if any(diagnostic.severity == "error" for diagnostic in self.diagnostics):
            raise RecipeError(self.diagnostics)
        from tlimb.configs.build import build

        catalogue = load_catalogue(self.source.folder)
        for statement in self.recipe.statements:
            if isinstance(statement, Training) and (written := file_source(statement)):
                file = catalogue.weights(written.value)
                self.datasets.weights[file.fingerprint] = file.path
        return build(self.recipe, self.source.name, catalogue, self.datasets, self.source.overrides_from, trials, limits)


def read(path: str, overrides: Sequence[str] = ()) -> Source:
    """The text of a recipe file, or of standard input for ``-``; each override is appended as a `set` statement."""
    if path == "-":
        text, label, name, folder = sys.stdin.read(), "<stdin>", "recipe", Path.cwd()
    else:
        file = Path(path)
        text, label, name, folder = _text(file), path, file.stem, file.resolve().parent
    is_yaml = Path(label).suffix in (".yaml", ".yml", ".json") or text.startswith("tlimb:")
    if overrides and is_yaml:
        raise InputError("--set needs a .tlr recipe", "change the YAML itself, or run one stage with: tlimb stage run STAGE.yaml --set …")
    overrides_from = len(text)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip() or not value.strip() or "\n" in override:
            raise InputError(f"--set {override}: not of the form PATH=VALUE", "for example --set epochs=2 or --set finetune.lr=1e-4")
        text = f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}set {key.strip()} = {value.strip()}\n"
    return Source(text, label, name, folder, overrides_from, is_yaml)


def open_recipe(path: str, datasets: Path | None = None, overrides: Sequence[str] = (), *, trusted: bool = False) -> Opened:
    """Read, parse and check; mistakes are in `diagnostics`. Where the recipe's folder is trusted, its modules may be run from now on."""
    source = read(path, overrides)
    if trusted:
        trust(source.folder)
    found = find_datasets(source.folder, datasets)
    if source.yaml:
        return Opened(source, found)
    parsed = parse(source.text)
    swept = {full_path(statement.path): statement.path for statement in parsed.recipe.statements if isinstance(statement, Sweep)}
    for override in overrides:
        if written := swept.get(full_path(override.partition("=")[0].strip())):
            raise InputError(f"--set {override}: the recipe sweeps {written}", "change the values of the sweep instead")
    diagnostics = sorted([*parsed.diagnostics, *check(parsed.recipe, load_catalogue(source.folder), found)], key=lambda d: d.span)
    if parsed.diagnostics:  # what could not be read is missing from the tree, which is no second mistake
        diagnostics = [d for d in diagnostics if d.code not in ("no-stage", "no-parent", "unknown-stage")]
    return Opened(source, found, parsed.recipe, diagnostics)


def layer_mistakes(opened: Opened, graph: StageGraph) -> list[Diagnostic]:
    """A layer to freeze that the network does not have, where its layers are known from an earlier plan; check starts no torch."""
    try:
        parameters(graph, ask=False)
    except UnknownLayerError as error:
        span = next((value.span for value in _freezes(opened.recipe) if plain(value) == error.layer), Span(0, 1))
        return [Diagnostic("unknown-layer", span, error.message, error.hint)]
    return []


def _freezes(recipe: Recipe | None) -> Iterator[Value]:
    """Every value that a recipe gives to `freeze`."""
    for statement in recipe.statements if recipe else ():
        match statement:
            case Sweep(path=path, values=Items(values=values)) if path.endswith("freeze"):
                yield from values
            case Set(path=path, value=value) if path.endswith("freeze"):
                yield value
            case Training(clauses=clauses):
                for clause in clauses:
                    if isinstance(clause.payload, Freeze):
                        yield clause.payload.layer
                    elif clause.word == "with" and isinstance(clause.payload, tuple):
                        yield from (a.value for a in clause.payload if isinstance(a, Argument) and a.key.endswith("freeze"))


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = sorted(p.name for p in file.parent.glob("*.tlr")) if file.parent.is_dir() else []
        there = f"recipes in this folder: {', '.join(near)}" if near else "list the shipped recipes with: tlimb recipes"
        raise InputError(f"{file}: no such file", there) from None
    except IsADirectoryError:
        raise InputError(f"{file}: is a folder, not a recipe", "name a .tlr file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
