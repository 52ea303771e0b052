"""How wide a stage graph is."""

from collections import Counter

from tlimb.stages.graph import StageGraph


def width(graph: StageGraph) -> int:
    """How many stages can run at once: the most that are equally far from the start; at least 1."""
    depth: dict[str, int] = {}
    for stage in graph.stages:
        depth[stage.digest] = 1 + max((depth[parent] for parent in stage.parents), default=0)
    return max(Counter(depth.values()).values(), default=1)
