"""The recipe language: from text to tree and back, by spans."""

from tlimb.recipe.parse import parse
from tlimb.recipe.render import position, render

__all__ = ["parse", "position", "render"]
