"""One recipe being edited: its text, what it means, and where its data sets and results lie. Headless.

Notes on the seam: `store` is None where it cannot be used, and `store_error` says why; `broken` holds the numbers of statements whose
node is an earlier one, kept while the line is being typed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tlimb.catalogue.datasets import Datasets, find_datasets
from tlimb.catalogue.registry import Catalogue, load_catalogue
from tlimb.errors import Diagnostic, InputError, RecipeError
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse
from tlimb.recipe.tree import ParsedRecipe, Recipe
from tlimb.run.opening import Opened, Source
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that was made beside the user interface, and the revision of the text it belongs to."""

    revision: int
    plan: StageGraph | None
    diagnostics: tuple[Diagnostic, ...]


class Workspace:
    """A recipe being edited."""

    def __init__(self, path: Path | None = None, text: str = "", *, datasets: Path | None = None, store: Path | None = None) -> None:
        """Take a text; `open` reads a file.

        Args:
            path: Where it is saved; None for one that is not saved yet.
            text: The recipe.
            datasets: The datasets.yaml to use instead of the ones beside and above the recipe.
            store: Where results lie, instead of ``runs`` beside the recipe.
        """
        self.path = path
        self.saved = text
        self.folder = path.resolve().parent if path is not None else Path.cwd()
        self.datasets_error: InputError | None = None
        self.store_error: InputError | None = None
        self.catalogue: Catalogue = load_catalogue(self.folder)
        try:
            self.datasets = find_datasets(self.folder, datasets)
        except InputError as error:
            self.datasets, self.datasets_error = Datasets({}), error
        self.store: Store | None = None
        try:
            self.store = Store(store if store is not None else self.folder / "runs")
        except InputError as error:
            self.store_error = error
        self.plan: StageGraph | None = None
        self.plan_error: tuple[Diagnostic, ...] = ()
        self.revision = 0
        self.broken: frozenset[int] = frozenset()
        self.parsed: ParsedRecipe
        self.recipe: Recipe
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self.text = ""
        self.set_text(text)

    @classmethod
    def open(cls, path: Path, *, datasets: Path | None = None, store: Path | None = None) -> "Workspace":
        """Read a recipe file.

        Raises:
            InputError: it cannot be read.
        """
        from tlimb.run.opening import read

        return cls(path, read(str(path)).text, datasets=datasets, store=store)

    @property
    def name(self) -> str:
        """What the recipe is called."""
        return self.path.name if self.path is not None else "untitled"

    @property
    def dirty(self) -> bool:
        """Whether the text differs from the file's."""
        return self.text != self.saved

    def set_text(self, text: str) -> None:
        """Take a new text; what it means follows."""
        self.text = text
        self.revision += 1
        self.parsed = parse(text)
        self.recipe = self.parsed.recipe
        found = [*self.parsed.diagnostics, *check(self.recipe, self.catalogue, self.datasets)]
        self.diagnostics = tuple(sorted(found, key=lambda diagnostic: diagnostic.span))

    def save(self, path: Path | None = None) -> None:
        """Write the file."""
        from tlimb.files import write_text

        self.path = path or self.path
        assert self.path is not None
        write_text(self.path, self.text)
        self.saved = self.text

    def planning(self) -> Callable[[], Planned]:
        """The work of planning the present text, to be called in a thread."""
        text, revision = self.text, self.revision
        source = Source(text, self.name, self.path.stem if self.path else "recipe", self.folder, len(text))
        opened = Opened(source, self.datasets, self.parsed.recipe, list(self.diagnostics))

        def work() -> Planned:
            try:
                return Planned(revision, opened.graph(), ())
            except RecipeError as error:
                return Planned(revision, None, tuple(error.diagnostics))

        return work

    def planned(self, result: Planned) -> bool:
        """Take a plan; False if the text has changed since."""
        if result.revision != self.revision:
            return False
        self.plan_error = result.diagnostics
        if result.plan is not None:
            self.plan = result.plan
        return True
