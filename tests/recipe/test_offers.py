"""What fits somewhere: every offer is right at once, and what is refused has a reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import load_catalogue
from tlimb.catalogue.verbs import VERBS
from tlimb.errors import Edit, InputError
from tlimb.recipe import bypass, edit
from tlimb.recipe.connections import origins, successors
from tlimb.recipe.form import form
from tlimb.recipe.offers import Offer, offers, spread
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply
from tlimb.recipe.tree import Recipe, Training, stage_parents
from tlimb.recipe.trial import changed_lines, mistakes

CATALOGUE = load_catalogue()


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Dataset]:
    """The built-in data set, one like it from another scanner, and one that cannot be read."""
    file = tmp_path_factory.mktemp("lab") / "datasets.yaml"
    file.write_text("broken: {format: table, root: nowhere, table: none.csv}\nother: {format: demo, shift: 1}\n")
    return find_datasets(explicit=file)


def read(text: str) -> Recipe:
    parsed = parse(text)
    assert not parsed.diagnostics, (text, parsed.diagnostics)
    return parsed.recipe


def offer(text: str, number: int | None, word: str, datasets: Mapping[str, Dataset], *, between: bool = False) -> Offer:
    found = offers(read(text), number, CATALOGUE, datasets, between=between)
    return next(one for one in found if one.word == word)


def test_every_statement_is_offered_or_refused_with_a_reason(datasets: Mapping[str, Dataset]) -> None:
    found = offers(read(""), None, CATALOGUE, datasets)
    assert {one.word for one in found} == set(VERBS)
    assert all(bool(one.reason) != (one.trial is not None) for one in found)
    refused = {one.word: one.reason for one in found if one.reason}
    assert refused == {
        "finetune": "'finetune' has no stage to continue",
        "evaluate": "'evaluate' has no stage to continue",
        "search": "there is nothing to search: no sweep says what may vary",
        "rank": "nothing is trained yet, so there is no metric",
    }


CHAIN = "pretrain resnet18(dropout=0.1) on demo.age\nfinetune on demo.sex; evaluate on demo.sex\nsweep lr in [1e-3]\n"


@pytest.mark.parametrize(
    ("number", "word", "between", "lines"),
    [
        (0, "finetune", False, ["+3 finetune on demo.sex from pretrain"]),
        (1, "finetune", False, ["+3 finetune on demo.age"]),
        (2, "finetune", False, ["+3 finetune on demo.age"]),
        (None, "finetune", False, ["+3 finetune on demo.age"]),
        (0, "evaluate", False, ["+2 evaluate on other.age"]),
        (1, "train", False, ["+3 train resnet18(dropout=0.1) on demo.sex"]),
        (1, "multitask", False, ["+3 multitask on demo.age + demo.sex"]),
        (1, "adapt", False, ["+3 adapt on demo.sex to other via dann"]),
        (1, "semisupervise", False, ["+3 semisupervise on demo.sex using other via meanteacher"]),
        (1, "sweep", False, ["+4 sweep finetune.lr in [1e-4, 1e-3, 1e-2]"]),
        (0, "sweep", False, ["+4 sweep epochs in [5, 10, 20]"]),
        (1, "rank", False, ["+4 rank by val.balanced_accuracy"]),
        (1, "data", False, ["+1 data axial_slice"]),
        (1, "split", False, ["+1 split demo into base 0.5, target 0.5"]),
        (
            2,
            "finetune",
            True,
            ["-2 finetune on demo.sex; evaluate on demo.sex", "+2 finetune on demo.sex; finetune on demo.sex; evaluate on demo.sex"],
        ),
        (1, "finetune", True, ["+2 finetune on demo.age"]),
    ],
)
def test_offers(number: int | None, word: str, between: bool, lines: list[str], datasets: Mapping[str, Dataset]) -> None:
    found = offer(CHAIN, number, word, datasets, between=between)
    assert not found.reason
    assert found.trial is not None
    assert [f"{line.sign}{line.number} {line.text}" for line in found.trial.lines] == lines
    verb = read(found.trial.text).statements[found.number]
    assert not isinstance(verb, Training) or verb.verb == word


@pytest.mark.parametrize(
    ("number", "word", "between", "reason"),
    [
        (0, "evaluate", True, "continues nothing"),
        (1, "train", True, "only what goes on training"),
        (1, "evaluate", True, "only what goes on training"),
    ],
)
def test_refusals(number: int | None, word: str, between: bool, reason: str, datasets: Mapping[str, Dataset]) -> None:
    assert reason in offer(CHAIN, number, word, datasets, between=between).reason


def test_what_stands_once_is_refused_with_its_line(datasets: Mapping[str, Dataset]) -> None:
    assert offer("\nrepeat 3\ntrain resnet10 on demo.age", 1, "repeat", datasets).reason == "line 2 says it already; change it there"


def test_parts_follow_one_another(datasets: Mapping[str, Dataset]) -> None:
    text = "split demo into base 0.5, target 0.5\npretrain resnet10 on demo[base].age"
    assert offer(text, 1, "finetune", datasets).statement == "finetune on demo[target].sex"
    assert offer(text, 1, "adapt", datasets).statement == "adapt on demo[base].age to demo[target] via dann"


def test_candidates_of_a_connection(datasets: Mapping[str, Dataset]) -> None:
    text = CHAIN + "train resnet10 on demo.age as scratch\nfinetune on demo.sex as last\n"
    assert origins(read(text), 1, CATALOGUE, datasets) == {
        0: "'finetune' continues 'pretrain' now",
        1: "a stage does not continue itself",
        2: "a circle: 'evaluate' continues 'finetune'",
        4: "",
        5: "",
    }
    assert origins(read(text), 2, CATALOGUE, datasets)[0] == "stage 'pretrain' has no head for 'sex'"
    assert origins(read(text), 2, CATALOGUE, datasets)[5] == ""
    assert successors(read(text), 0, CATALOGUE, datasets)[4] == "'train' starts from scratch"
    assert successors(read(text), 2, CATALOGUE, datasets)[5] == "'evaluate' trains nothing, so there are no weights to start from"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.001, "[1e-4, 1e-3, 1e-2]"), (0.5, "[0.05, 0.5, 5]"), (10, "[5, 10, 20]"), (0, None), (True, None), (None, None)],
)
def test_spread(value: object, expected: str | None) -> None:
    assert spread(value) == expected


def test_lines_that_change() -> None:
    found = changed_lines("a\r\nb\r\nc\r\n", "a\r\nx\r\ny\r\nc\r\n")
    assert [(line.sign, line.number, line.text) for line in found] == [("-", 2, "b"), ("+", 2, "x"), ("+", 3, "y")]


def _step(data: st.DataObject, text: str, datasets: Mapping[str, Any]) -> list[Edit]:
    """One random thing that a user could do in the graph or a form."""
    recipe = read(text)
    numbers = range(len(recipe.statements))
    number = data.draw(st.sampled_from(numbers)) if numbers else None
    kinds = ["add", "add", "add"] if number is None else ["add", "add", "between", "delete", "connect", "copy", "bypass", "back", "field"]
    kind = data.draw(st.sampled_from(kinds))
    if number is None or kind in ("add", "between"):
        between = kind == "between" and isinstance(recipe.statements[number or 0], Training)
        fitting = [one for one in offers(recipe, number, CATALOGUE, datasets, between=between) if not one.reason]
        if not fitting:
            return []
        chosen = data.draw(st.sampled_from(fitting))
        assert chosen.trial is not None
        assert {mistake.code for mistake in mistakes(chosen.trial.text, CATALOGUE, datasets)} <= {
            mistake.code for mistake in mistakes(text, CATALOGUE, datasets)
        }
        assert chosen.trial.text[: len(text)] != text or len(read(chosen.trial.text).statements) == len(numbers) + 1
        return list(chosen.trial.edits)
    if kind == "connect" and isinstance(recipe.statements[number], Training):
        fitting_ = [other for other, reason in origins(recipe, number, CATALOGUE, datasets).items() if not reason]
        if fitting_:
            source = data.draw(st.sampled_from(fitting_))
            edits = edit.connect(recipe, number, source)
            after = read(apply(text, edits)[0])
            parents = [parent for parent in stage_parents(after) if parent is not None]
            assert len(after.statements) == len(numbers)
            assert parents
            return edits
    if kind == "field":
        fields = [one for one in form(recipe, number, CATALOGUE, datasets) if one.choices]
        if fields:
            one = data.draw(st.sampled_from(fields))
            try:
                return one.write(data.draw(st.sampled_from([*(choice.word for choice in one.choices), ""])))
            except InputError:
                return []
    if kind == "copy":
        return edit.duplicate(recipe, number)
    if kind == "bypass":
        return edit.comment_out(recipe, number)
    if kind == "back" and (found := bypass.bypassed(recipe)):
        return bypass.uncomment(recipe, data.draw(st.sampled_from(found)))
    return edit.delete(recipe, number) if kind == "delete" else []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_walk_of_changes(data: st.DataObject, datasets: Mapping[str, Dataset]) -> None:
    """Whatever is done by keys alone gives a text that can be read, and can be taken back byte for byte."""
    text = data.draw(st.sampled_from(["", "# a recipe", "# a recipe\r\ndata axial_slice(size=48x56)\r\n"]))
    for _ in range(data.draw(st.integers(1, 8))):
        edits = _step(data, text, datasets)
        after, inverse = apply(text, edits)
        assert apply(after, inverse)[0] == text
        assert not parse(after).diagnostics, (text, after)
        assert "\r\n" not in text or all_crlf(after)
        text = after


def test_a_data_set_that_cannot_be_read_is_a_mistake_like_others(datasets: Mapping[str, Dataset]) -> None:
    text = "split broken into base 0.5\ntrain resnet10 on broken[base].age\n"
    assert [mistake.code for mistake in mistakes(text, CATALOGUE, datasets)] == ["bad-dataset", "bad-dataset"]


def all_crlf(text: str) -> bool:
    """Whether no line ends in LF alone."""
    return text.count("\n") == text.count("\r\n")


def test_shipped_recipes_have_fitting_offers(datasets: Mapping[str, Dataset]) -> None:
    for file in sorted((Path(__file__).parents[2] / "recipes").glob("*.tlr")):
        recipe = read(file.read_text(encoding="utf-8"))
        for number in range(len(recipe.statements)):
            words = {one.word for one in offers(recipe, number, CATALOGUE, datasets) if not one.reason}
            assert {"train", "finetune"} <= words
