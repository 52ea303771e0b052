"""Statements as forms: what the inspector shows and changes."""

from collections.abc import Mapping

from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import Catalogue
from tlimb.recipe.form.field import Choice, Field, Origin
from tlimb.recipe.form.picks import frozen_words, kind_of, layer_choices, subjects, target_choices
from tlimb.recipe.form.stage import stage_form
from tlimb.recipe.form.whole import whole_form
from tlimb.recipe.tree import Recipe, Training

__all__ = ["Choice", "Field", "Origin", "form", "frozen_words", "kind_of", "layer_choices", "subjects", "target_choices"]


def form(recipe: Recipe, number: int, catalogue: Catalogue, datasets: Mapping[str, Dataset]) -> tuple[Field, ...]:
    """The fields of a statement, the most important first."""
    if isinstance(recipe.statements[number], Training):
        return stage_form(recipe, number, catalogue, datasets)
    return whole_form(recipe, number, catalogue, datasets)
