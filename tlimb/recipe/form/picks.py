"""Values that have to be looked up before one can choose: targets with their numbers of subjects, layers with their parameters."""

from collections.abc import Iterator, Mapping
from typing import Any

from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.tables import Label
from tlimb.errors import InputError
from tlimb.recipe.form.field import Choice
from tlimb.recipe.tree import Recipe, Split


def target_choices(recipe: Recipe, datasets: Mapping[str, Dataset], *, labels: bool) -> tuple[Choice, ...]:
    """Every label of every data set and of its parts, or the data sets alone; lists the images, which can take a while."""
    parts = {s.dataset: [part.name for part in s.parts] for s in recipe.statements if isinstance(s, Split)}
    found: list[Choice] = []
    for name in datasets:
        try:
            dataset = datasets[name]
            found += _of_dataset(dataset, parts.get(name, []), labels)
        except InputError as error:
            found.append(Choice(name, error.message))
    return tuple(found)


def _of_dataset(dataset: Dataset, parts: list[str], labels: bool) -> Iterator[Choice]:
    listing = dataset.listing()
    subjects = len({scan.participant_id for scan in listing.scans})
    for use in (dataset.name, *(f"{dataset.name}[{part}]" for part in parts)):
        inside = f"in part {use.partition('[')[2][:-1]} of " if "[" in use else ""
        if not labels:
            yield Choice(use, f"{inside}{subjects} subjects with images")
            continue
        for label in dataset.labels.values():
            yield Choice(f"{use}.{label.name}", f"{kind_of(label)} · {inside}{listing.label_counts[label.name]} subjects")


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
