"""A part of a stage graph: the stages that are named, and all that they need."""

from collections.abc import Iterable

from tlimb.catalogue.spelling import did_you_mean
from tlimb.errors import InputError
from tlimb.stages.graph import StageGraph

SHORTEST = 4
"""Digits of a digest that name a stage."""


def part(graph: StageGraph, words: Iterable[str]) -> frozenset[str]:
    """Digests of the stages named, with every stage upstream of them.

    Args:
        graph: The whole.
        words: Each the name of a step (all its stages, of every variant and seed) or the first digits of a digest.

    Raises:
        InputError: no stage is meant by a word.
    """
    parents = {stage.digest: stage.parents for stage in graph.stages}
    needed: set[str] = set()
    for word in words:
        waiting = [
            stage.digest for stage in graph.stages if stage.name == word or (len(word) >= SHORTEST and stage.digest.startswith(word))
        ]
        if not waiting:
            raise InputError(
                f"the recipe has no stage '{word}'", did_you_mean(word, {stage.name for stage in graph.stages}) + "; or a digest"
            )
        while waiting:
            digest = waiting.pop()
            if digest not in needed:
                needed.add(digest)
                waiting += parents[digest]
    return frozenset(needed)
