"""How wide a stage graph is."""

from collections import Counter

from tlimb.stages.graph import StageGraph


def width(graph: StageGraph) -> int:
    """How many stages can run at once: the most that are equally far from the start; at least 1.

    Of a search only the first round counts, so that the answer does not depend on how far it has come.
    """
    first = graph.variants[: graph.search.round] if graph.search else ()
    counted = {digest for variant in first for digest in variant.stages}
    depth: dict[str, int] = {}
    for stage in graph.stages:
        if first and stage.digest not in counted:
            continue
        depth[stage.digest] = 1 + max((depth[parent] for parent in stage.parents), default=0)
    return max(Counter(depth.values()).values(), default=1)
