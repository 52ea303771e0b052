"""Which stages a stage can be connected to, and why it cannot be to the others. `edit.connect` makes the connection."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Span
from tlimb.recipe.check import check_stage
from tlimb.recipe.edit import heirs
from tlimb.recipe.references import settings_of, sources
from tlimb.recipe.tree import Clause, Name, Recipe, Statement, Training, stage_names

_NOWHERE = Span(0, 0)


def origins(recipe: Recipe, number: int, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> dict[int, str]:
    """All stages, each with why a stage cannot continue it; empty where it can."""
    return {
        other: _refused(recipe, number, other, catalogue, datasets)
        for other, node in enumerate(recipe.statements)
        if isinstance(node, Training)
    }


def successors(recipe: Recipe, number: int, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> dict[int, str]:
    """All stages, each with why it cannot continue a stage; empty where it can."""
    return {
        other: _refused(recipe, other, number, catalogue, datasets)
        for other, node in enumerate(recipe.statements)
        if isinstance(node, Training)
    }


def consequences(recipe: Recipe, number: int) -> list[str]:
    """What else changes when a statement goes: which stages continue another one, and which settings go with it."""
    names, parents = stage_names(recipe), sources(recipe)
    above = parents.get(number)
    heir = f"'{names[above]}'" if isinstance(above, int) else above or "nothing"
    children = [f"'{names[child]}'" for child, source in parents.items() if source == number]
    found = [f"{' and '.join(children)} will continue {heir}"] if children else []
    settings = [recipe.statements[other] for other in settings_of(recipe, number)]
    gone = [recipe.text[node.span.start : node.span.end].split("\n")[0].strip() for node in settings]
    return [*found, *([f"{'; '.join(gone)} will go too"] if gone else [])]


def _refused(recipe: Recipe, child: int, source: int, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> str:
    """Why a stage cannot continue another one; empty where it can."""
    stage = recipe.statements[child]
    assert isinstance(stage, Training)
    names = stage_names(recipe)
    if child == source:
        return "a stage does not continue itself"
    if sources(recipe).get(child) == source:
        return f"'{names[child]}' continues '{names[source]}' now"
    if "from" not in VERBS[stage.verb].clauses:
        return f"'{stage.verb}' starts from scratch"
    if source in heirs(recipe, child):
        return f"a circle: '{names[source]}' continues '{names[child]}'"
    had = Counter(mistake.code for mistake in check_stage(recipe, child, catalogue, datasets))
    connected, place = _connected(recipe, child, source)
    for mistake in check_stage(connected, place, catalogue, datasets):
        if not had[mistake.code]:
            return mistake.message
        had[mistake.code] -= 1
    return ""


def _connected(recipe: Recipe, child: int, source: int) -> tuple[Recipe, int]:
    """The tree in which a stage continues another, and where it stands there."""
    stage = recipe.statements[child]
    assert isinstance(stage, Training)
    rest: list[Statement] = [*recipe.statements[:child], *recipe.statements[child + 1 :]]
    place = source if source > child else child
    name = stage_names(Recipe("", (*rest[:place], stage, *rest[place:]), recipe.newline))[source - (source > child)]
    origin = Clause("from", _NOWHERE, _NOWHERE, Name(str(name), _NOWHERE))
    node = replace(stage, clauses=(*(clause for clause in stage.clauses if clause.word != "from"), origin))
    return Recipe("", (*rest[:place], node, *rest[place:]), recipe.newline), place
