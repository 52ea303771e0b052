"""A part of a stage graph."""

import pytest
from emit.small_graphs import sweep

from tlimb.errors import InputError
from tlimb.stages.graph import StageGraph
from tlimb.stages.part import part


def named(graph: StageGraph, digests: frozenset[str]) -> list[str]:
    return sorted(stage.name for stage in graph.stages if stage.digest in digests)


def test_a_step_means_all_its_stages_and_what_they_need() -> None:
    whole = sweep(2)
    assert named(whole, part(whole, ["pretrain"])) == ["pretrain", "pretrain", "ukb"]
    assert part(whole, ["evaluate"]) == {stage.digest for stage in whole.stages}


def test_digits_mean_one_stage() -> None:
    whole = sweep(2)
    finetune = next(stage.digest for stage in whole.stages if stage.name == "finetune")
    assert named(whole, part(whole, [finetune[:8]])) == ["finetune", "pretrain", "ukb"]
    assert named(whole, part(whole, [finetune, "hcp"])) == ["finetune", "hcp", "pretrain", "ukb"]


@pytest.mark.parametrize("word", ["fintune", ""])
def test_a_word_that_means_nothing_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="no stage") as refused:
        part(sweep(1), [word])
    assert "finetune" in refused.value.hint
