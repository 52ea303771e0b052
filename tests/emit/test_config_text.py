"""Configs of many stages are written as each of them alone would be."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tlimb.configs.components import copied
from tlimb.configs.text import dump
from tlimb.emit.nextflow import ConfigText
from tlimb.plainyaml import Loader
from tlimb.run.opening import open_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.tlr"))
STRANGE: dict[str, Any] = {
    "tlimb": 1,
    "name": "null",
    "on": {"yes": "no", "n": 1e-05, "text": "two\nlines", "list": [1, 2.0, None], "empty": {}, "colon: x": "#"},
    "flow": {"a": "1e3", "b": "{", "c": ", ", "d": True, "e": "", "f": "ä" * 20},
    "wide": {f"key{number}": "a word and another" for number in range(12)},
    "deep": [{"class_path": "x.Y", "init_args": {"z": [1, [2]]}}],
    "k" * 130: {"a": 1},
}


def alone(config: dict[str, Any]) -> str:
    """As written without sharing, and without the anchors of values that stand twice."""
    return dump(copied({key: value for key, value in config.items() if key not in ("about", "digest")}))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes(recipe: Path) -> None:
    text = ConfigText()
    for stage in open_recipe(str(recipe)).graph().stages:
        written = text(stage.config)
        assert yaml.safe_load(written) == {key: value for key, value in stage.config.items() if key != "about"}
        assert "".join(line for line in written.splitlines(keepends=True) if not line.startswith("digest: ")) == alone(dict(stage.config))


def test_what_needs_quotes_or_several_lines() -> None:
    text = ConfigText()
    assert text(STRANGE) == text(STRANGE) == alone(STRANGE)
    assert yaml.safe_load(text(STRANGE)) == STRANGE


def test_numbers_that_compare_equal_are_not_mistaken() -> None:
    text = ConfigText()
    written = [text({"section": {"a": value, "b": {"c": value}}}) for value in (1, 1.0, True)]
    assert [yaml.safe_load(item)["section"]["b"]["c"] for item in written] == [1, 1.0, True]
    assert len(set(written)) == 3


@pytest.mark.parametrize("digest", ["9857094678e16901", "1234567890123456", "0123456701234567", "1e23456789012345", "ab12345678901234"])
def test_digests_that_look_like_numbers_stay_text(digest: str) -> None:
    """The training side reads 1e-4 as a number, as people write it."""
    config = {"digest": digest, "parents": [{"role": "data", "name": "x", "digest": digest}], "lr": 1e-05, "about": {"title": "1e5"}}
    for text in (dump(config), ConfigText()(config)):
        read = yaml.load(text, Loader=Loader)
        assert (read["digest"], read["parents"], read["lr"]) == (digest, config["parents"], 1e-05)
    assert yaml.load(dump(config), Loader=Loader)["about"] == {"title": "1e5"}
