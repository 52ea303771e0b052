"""Values that have to be looked up before one can choose: targets with their numbers of subjects, layers with their parameters."""

from collections.abc import Iterator, Mapping
from typing import Any

from tlimb.catalogue.keys import full_path
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.splits import Split as SplitRule
from tlimb.catalogue.splits import assign
from tlimb.catalogue.tables import Label
from tlimb.errors import InputError
from tlimb.recipe.form.field import Choice
from tlimb.recipe.tree import Number, Recipe, Set, Split


def target_choices(recipe: Recipe, datasets: Mapping[str, Dataset], *, labels: bool) -> tuple[Choice, ...]:
    """Every label of every data set and of its parts, or the data sets alone; lists the images, which can take a while."""
    found: list[Choice] = []
    for name in datasets:
        try:
            found += _of_dataset(recipe, datasets[name], labels)
        except InputError as error:
            found.append(Choice(name, error.message))
    return tuple(found)


def _of_dataset(recipe: Recipe, dataset: Dataset, labels: bool) -> Iterator[Choice]:
    for part in (None, *(name for name, _ in _parts(recipe, dataset.name))):
        use = f"{dataset.name}[{part}]" if part else dataset.name
        if not labels:
            yield Choice(use, f"{subjects(recipe, dataset, part)} subjects with images")
            continue
        for label in dataset.labels.values():
            yield Choice(f"{use}.{label.name}", f"{kind_of(label)} · {subjects(recipe, dataset, part, label.name)} subjects")


def subjects(recipe: Recipe, dataset: Dataset, part: str | None, label: str | None = None) -> int:
    """How many subjects of a data set, or of one of its parts, have an image and, where one is given, a value of a label.

    Raises:
        InputError: the data set cannot be listed, or cannot be split so.
    """
    listing = dataset.listing()
    have = {scan.participant_id for scan in listing.scans if label is None or scan.labels[label] is not None}
    if part is None:
        return len(have)
    seed = next((node.value for node in recipe.statements if isinstance(node, Set) and full_path(node.path) == "split.seed"), None)
    rule = SplitRule(_parts(recipe, dataset.name), seed=int(seed.value) if isinstance(seed, Number) else 0)
    roles = assign(listing.groups, rule)
    return sum(role.part == part and participant in have for participant, role in roles.items())


def _parts(recipe: Recipe, dataset: str) -> tuple[tuple[str, int | float], ...]:
    split = next((node for node in recipe.statements if isinstance(node, Split) and node.dataset == dataset), None)
    return tuple((part.name, part.amount) for part in split.parts) if split is not None else ()


def kind_of(label: Label, *, short: bool = False) -> str:
    """What a label is, in words."""
    if label.kind == "number":
        return f"number, in {label.unit}" if label.unit and not short else label.unit or "number"
    classes = label.classes or ()
    if short:
        return f"{len(classes)} classes"
    shown = ", ".join(classes[:4]) + (", …" if len(classes) > 4 else "")
    return f"{len(classes)} classes: {shown}"


def layer_choices(anatomy: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Where an encoder can be frozen, with what that freezes; `anatomy` is one of `tlimb.run.anatomy.anatomies`."""
    whole = anatomy["encoder_parameters"]
    found = [Choice("none", f"nothing frozen: {millions(whole)} parameters train")]
    frozen = 0
    for point, count in anatomy["layers"]:
        found.append(Choice(point, frozen_words(frozen, whole)))
        frozen += count
    return (*found, Choice("all", f"{frozen_words(whole, whole)}: only the heads train"))


def frozen_words(frozen: int, whole: int) -> str:
    """``2.8 M of 11.2 M frozen``."""
    return f"{millions(frozen)} of {millions(whole)} frozen"


def millions(count: int) -> str:
    """A number of parameters as people say it."""
    if count >= 1e6:
        return f"{count / 1e6:.1f} M"
    return f"{count / 1e3:.0f} k" if count >= 1e3 else str(count)
