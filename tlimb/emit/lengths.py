"""How long the way from a stage to the end of its graph is, by which engines start the longest first."""

from collections.abc import Mapping, Sequence

from tlimb.stages.graph import StageGraph


def ways(graph: StageGraph, lengths: Mapping[str, float]) -> dict[str, float]:
    """For each stage the length of the longest way from its start to an end of the graph, and a trifle for each stage that waits for it.

    Args:
        graph: What is to be computed.
        lengths: Of each stage, in any unit; those that are not there count their epochs.
    """
    children: dict[str, list[str]] = {stage.digest: [] for stage in graph.stages}
    for stage in graph.stages:
        for parent in dict.fromkeys(stage.parents):
            children[parent].append(stage.digest)
    found: dict[str, float] = {}
    for stage in reversed(graph.stages):
        below: Sequence[str] = children[stage.digest]
        length = lengths.get(stage.digest)
        epochs = stage.config.get("trainer", {}).get("init_args", {}).get("max_epochs", 1) if stage.kind == "fit" else 1
        length = float(epochs or 1) if length is None else length
        found[stage.digest] = length + max((found[child] for child in below), default=0.0) + length * len(below) / 1e4
    return found
