"""`tlimb graph`: the picture of a recipe, with the states of its store, in the form that is asked for."""

import os
import shutil
from pathlib import Path
from typing import Literal, TextIO

from tlimb.drawing import boxes, rails
from tlimb.drawing.layout import lay_out
from tlimb.drawing.marks import Mark, with_rank
from tlimb.drawing.picture import Picture, picture, stages_picture
from tlimb.drawing.segments import Look, ansi, plain_text
from tlimb.recipe.parse import parse
from tlimb.recipe.tree import Recipe
from tlimb.run.monitor import Monitor, detail, fold
from tlimb.run.store import Store
from tlimb.stages.graph import StageGraph

Format = Literal["boxes", "rails", "mermaid", "dot", "svg"]
FORMATS: tuple[Format, ...] = ("boxes", "rails", "mermaid", "dot", "svg")
BY_SUFFIX: dict[str, Format] = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot"}
BOXES_FROM = 100
"""Columns from which boxes are drawn where nothing else is asked for."""


def drawn(
    recipe: Recipe | None,
    graph: StageGraph,
    store: Store,
    *,
    form: Format | None = None,
    stages: bool = False,
    data: bool = False,
    width: int | None = None,
    ascii_only: bool = False,
    colours: bool = False,
) -> tuple[str, str]:
    """The picture of a recipe as text, and what is to be said about it.

    Args:
        recipe: None: the one that the graph was made from.
        form: None: boxes where they have room, else rails.
        stages: draw every stage of the plan in place of the steps of the recipe.
        data: draw the data sets too.
        width: how many columns there are; None: as many as it takes.
    """
    shown = stages_picture(graph) if stages else picture(recipe or parse(graph.text).recipe, plan=graph, data=data)
    marks = _marks(shown, graph, store)
    look = Look(marks, ascii_only=ascii_only)
    if form == "mermaid":
        from tlimb.drawing.mermaid import mermaid

        return mermaid(shown, marks), ""
    if form == "dot":
        from tlimb.drawing.dot import dot

        return dot(shown, marks), ""
    if form == "svg":
        from tlimb.drawing.svg import svg

        return svg(lay_out(shown), look, f"The graph of {graph.recipe}"), ""
    said = ""
    as_text = ansi if colours else plain_text
    if form == "boxes" or (form is None and not stages and (width is None or width >= BOXES_FROM)):
        layout = lay_out(shown, width)
        if width is None or layout.width <= width:
            return as_text(boxes.render(layout, look)), ""
        said = f"as boxes it takes {layout.width} columns, and there are {width}: drawn as rails" if form == "boxes" else ""
    return as_text(rails.render(rails.lay_out(shown), look, width)), said


def _marks(shown: Picture, graph: StageGraph, store: Store) -> dict[str, Mark]:
    seen = Monitor(store, graph).poll()
    known = {digest: Mark(stage.state, detail(stage, seen.metric)) for digest, stage in seen.stages.items()} | fold(graph, seen)
    return with_rank(shown, {node.id: known[node.id] for node in shown.nodes if node.id in known})


def columns(stream: TextIO) -> int | None:
    """The columns that the stream has; None where it is no terminal and nobody says."""
    if stream.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return None


def form_of(file: Path | None) -> Format | None:
    """The form that a file's name asks for."""
    return BY_SUFFIX.get(file.suffix.lower()) if file else None
