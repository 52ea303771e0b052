"""The stage graph as YAML: a header document and one document a stage, and back."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from tlimb.errors import InputError
from tlimb.plainyaml import Dumper, FastLoader
from tlimb.stages.graph import FORMAT, Rank, Run, Stage, StageGraph, Variant


def dump(document: Mapping[str, Any]) -> str:
    """One YAML document, keys in the order given, text as it is."""
    return str(yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=150, default_flow_style=None))


def header(graph: StageGraph) -> dict[str, Any]:
    """What the stages' own documents do not say: recipe, ranking and variants."""
    document = graph.document()
    kept = {key: document[key] for key in ("recipe", "text", "about", "rank", "variants", "warnings")}
    return {"tlimb": FORMAT, "kind": "recipe", **kept, **({"search": document["search"]} if graph.search else {})}


def dump_graph(graph: StageGraph) -> str:
    """All documents of a graph in one text: the header, then the stages, parents before children."""
    return "---\n".join(dump(document) for document in (header(graph), *(dict(stage.config) for stage in graph.stages)))


def load_graph(text: str, where: str) -> StageGraph:
    """The inverse of `dump_graph`.

    Raises:
        InputError: not YAML, not of this format, without its header, or with a search that is not over.
    """
    try:
        documents = [document for document in yaml.load_all(text, Loader=FastLoader) if document is not None]
    except yaml.YAMLError as error:
        raise InputError(f"{where}: {error}", "it is read as desugared YAML; a recipe's name ends in .tlr") from error
    return graph_of(documents, where)


def graph_of(documents: Iterable[Any], where: str) -> StageGraph:
    """The graph of a header document and its stages, in any order."""
    known = [document for document in documents if isinstance(document, dict) and "tlimb" in document]
    heads = [document for document in known if document.get("kind") == "recipe"]
    if any(document["tlimb"] != FORMAT for document in known):
        raise InputError(f"{where}: written by a newer TLIMB (format {known[0]['tlimb']})", "update TLIMB")
    if len(heads) != 1:
        raise InputError(
            f"{where}: no document of kind recipe", "write it with: tlimb desugar recipe.tlr; run one stage with: tlimb stage run"
        )
    head = heads[0]
    search = head.get("search")
    if search and len(search["points"]) < search["trials"]:
        raise InputError(f"{where}: later rounds of a search cannot be asked for without its recipe", "run the .tlr file")
    stages = tuple(
        Stage(d["digest"], d["name"], d["kind"], tuple(parent["digest"] for parent in d["parents"]), d)
        for d in known
        if d.get("kind") != "recipe"
    )
    variants = tuple(
        Variant(
            v["id"],
            v["settings"],
            tuple(Run(run["seed"], run["stages"], tuple(run["leaves"])) for run in v["runs"]),
            tuple(v["stages"]),
        )
        for v in head["variants"]
    )
    rank = Rank(head["rank"]["metric"], head["rank"]["direction"])
    return StageGraph(head["recipe"], head["text"], head["about"], rank, variants, stages, tuple(head["warnings"]))
