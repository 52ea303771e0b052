"""What each line of a config comes from."""

from pathlib import Path

import pytest
import yaml

from tlimb.assets import asset
from tlimb.configs.origins import Origin, Origins, explained, lines, note
from tlimb.configs.places import places
from tlimb.configs.text import dump
from tlimb.run.opening import Opened, open_recipe

RECIPE = """\
about title="LONG # z", author="y"
data crop_center(size=24x24x24)
augment flip(axis=lr), noise
split demo into base 80, target 20, test 20
set optimizer = adam(amsgrad=true)
pretrain resnet10(widen_factor=0.25) via simclr(temperature=0.2) on demo[base] with epochs=2 as ssl
finetune freeze layer3 elastic 0.01 on demo[target].sex + 2*demo[target].age with epochs=3, patience=2 as ft
set ft.weight_decay = 0.5
evaluate on demo[test].sex
sweep ft.lr in [1e-3, 1e-4]
repeat 2
"""


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    file = tmp_path / "rich.tlr"
    file.write_text(RECIPE.replace("LONG", "as long as lines " * 20))
    return open_recipe(str(file))


def the(opened: Opened, name: str, number: int = 0) -> Origins:
    assert opened.recipe is not None
    found = [stage for stage in opened.graph().stages if stage.name == name]
    return Origins(opened.recipe, found[number])


def said(origins: Origins, path: str) -> str:
    return note(origins.of(path), origins.recipe.text)


@pytest.mark.parametrize(
    ("stage", "path", "words"),
    [
        ("ft", "scenario.optimizer.lr", "sweep 1e-3 (line 10)"),
        ("ft", "scenario.optimizer", "set optimizer = adam(amsgrad=true) (line 5)"),
        ("ft", "scenario.optimizer.amsgrad", "set amsgrad=true (line 5)"),
        ("ft", "scenario.optimizer.betas", "default"),
        ("ft", "scenario.optimizer.weight_decay", "set ft.weight_decay = 0.5 (line 8)"),
        ("ft", "scenario.freeze", "freeze layer3 (line 7)"),
        ("ft", "scenario.patience", "with patience=2 (line 7)"),
        ("ft", "scenario.monitor", "follows from demo[target].sex + 2*demo[target].age (line 7)"),
        ("ft", "auxiliaries.elastic.alpha", "elastic 0.01 (line 7)"),
        ("ft", "trainer.max_epochs", "with epochs=3 (line 7)"),
        ("ft", "trainer", "default"),
        ("ft", "targets.1.weight", "on 2*demo[target].age (line 7)"),
        ("ft", "architecture.widen_factor", "continues widen_factor=0.25 (line 6)"),
        ("ft", "architecture.depth", "continues resnet10 (line 6)"),
        ("ft", "parents.0.digest", "on demo (line 7)"),
        ("ft", "split.demo.parts", "split demo into base 80, target 20, test 20 (line 4)"),
        ("ft", "split.demo.val", "default"),
        ("ft", "data.size", "data size=24x24x24 (line 2)"),
        ("ft", "data.augment.0", "augment flip(axis=lr), noise (line 3)"),
        ("ft", "about.author", 'about author="y" (line 1)'),
        ("ft", "about.recipe", "name of the file"),
        ("ft", "name", "as ft (line 7)"),
        ("ft", "kind", "finetune (line 7)"),
        ("ssl", "architecture", "network resnet10(widen_factor=0.25) (line 6)"),
        ("ssl", "auxiliaries.simclr", "via simclr(temperature=0.2) (line 6)"),
        ("ssl", "unlabelled.0.part", "on demo[base] (line 6)"),
        ("demo", "data.size", "data size=24x24x24 (line 2)"),
        ("demo", "dataset.fingerprint", "tables and images of the data set"),
        ("evaluate", "targets.0.label", "on demo[test].sex (line 9)"),
        ("evaluate", "kind", "evaluate (line 9)"),
    ],
)
def test_a_field_comes_from(opened: Opened, stage: str, path: str, words: str) -> None:
    assert said(the(opened, stage), path) == words


def test_each_variant_names_its_own_value_and_each_seed_the_repetition(opened: Opened) -> None:
    found = {said(the(opened, "ft", number), "scenario.optimizer.lr") for number in range(4)}
    assert found == {"sweep 1e-3 (line 10)", "sweep 1e-4 (line 10)"}
    assert {said(the(opened, "ssl", number), "seed") for number in range(2)} == {"default", "repeat 2 (line 11)"}


def test_an_override_of_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "a.tlr").write_text("train resnet10 on demo.age with epochs=3\n")
    opened = open_recipe(str(tmp_path / "a.tlr"), overrides=["epochs=7"])
    assert opened.recipe is not None
    stage = opened.graph().stages[-1]
    found = Origins(opened.recipe, stage, opened.source.overrides_from)
    assert note(found.of("trainer.max_epochs"), opened.source.text) == "--set epochs = 7 (line 2)"


@pytest.mark.parametrize("name", sorted(file.stem for file in asset("recipes").glob("*.tlr")))
def test_every_line_of_the_shipped_recipes_is_explained_and_means_the_same(name: str) -> None:
    opened = open_recipe(str(asset("recipes", f"{name}.tlr")))
    if any(problem.severity == "error" for problem in opened.diagnostics):
        pytest.skip(f"{name} names data sets that are not here")
    assert opened.recipe is not None
    for stage in opened.graph().stages:
        origins, text = Origins(opened.recipe, stage), dump(dict(stage.config))
        assert yaml.safe_load(explained(text, origins)) == yaml.safe_load(text)
        found = [origin for told in lines(text, origins).values() for _, origin in told]
        assert stage.kind == "prepare" or any(origin.number == origins.number for origin in found)
        assert all(isinstance(origin, Origin) for origin in found)


def test_comments_do_not_fall_into_long_texts(opened: Opened) -> None:
    origins = the(opened, "ft")
    text = dump(dict(origins.stage.config))
    assert any(place.scalar and place.end_line > place.line for place in places(text))
    assert yaml.safe_load(explained(text, origins)) == yaml.safe_load(text)


def test_places_are_those_of_keys_and_values() -> None:
    text = "a:\n  class_path: x\n  init_args: {b: 1, c: [2, 3]}\nd:\n- {e: 4}\n- {e: 5}\n"
    found = {place.path: (place.line, place.column, place.end_line, place.end_column, place.whole) for place in places(text)}
    assert found["a.b"] == (2, 14, 2, 18, False)
    assert found["a.c"] == (2, 20, 2, 29, False)
    assert found["d.1.e"] == (5, 3, 5, 7, False)
    assert found["d"][:3] == (3, 0, 5)
    assert list(found) == ["a", "a.b", "a.c", "d", "d.0", "d.0.e", "d.1", "d.1.e"]
    assert places("") == ()
