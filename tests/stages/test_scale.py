"""Shortcuts for many variants: what they share is made once, and comes out as if each were alone."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tlimb.run.opening import open_recipe
from tlimb.stages.digest import IDENTITY, WITHOUT_EFFECT, Digests, digest

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.tlr"))
CHAIN = "pretrain resnet10 on demo.age\nfinetune{} on demo.sex\n"
ALONE = "train resnet10 on demo.age{}\n"
SWEPT = {
    "both stages": CHAIN.format("") + "sweep lr in [1e-4, 1e-3, 1e-2]\n",
    "one stage": CHAIN.format(" elastic 0.1") + "sweep finetune.lr in [1e-4, 1]\nsweep elastic in [none, 1]\n",
    "weight decay": ALONE.format("") + "sweep weight_decay in [0, 0.0, 1e-2]\nsweep optimizer in [adamw, sgd(momentum=0.9)]\nrepeat 2\n",
    "more": ALONE.format(" with schedule=cosine") + "sweep lr in [1e-4, 1e-3]\nsweep epochs in [2, 4]\nsweep batch in [4, 8]\n",
    "test": CHAIN.format("") + "evaluate on demo.sex\nsweep lr in [1e-4, 1e-3]\n",
}


def written_out(config: Mapping[str, Any]) -> str:
    """The address as docs/formats.md gives it, in one piece."""
    identity: dict[str, Any] = {key: config[key] for key in IDENTITY if key in config}
    for section, ignored in WITHOUT_EFFECT.items():
        if section in identity:
            kept = {key: value for key, value in identity[section]["init_args"].items() if key not in ignored}
            identity[section] = {**identity[section], "init_args": kept}
    identity["parents"] = [[parent["role"], parent["digest"], *parent.get("heads", ())] for parent in config["parents"]]
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_addresses_are_those_of_whole_configs(recipe: Path) -> None:
    together = Digests()
    for stage in open_recipe(str(recipe)).graph().stages:
        assert stage.digest == written_out(stage.config) == digest(stage.config) == together(stage.config)


def test_numbers_that_compare_equal_have_addresses_of_their_own() -> None:
    together = Digests()
    found = [together({"kind": "fit", "seed": value, "parents": []}) for value in (1, 1.0, True)]
    assert found == [written_out({"kind": "fit", "seed": value, "parents": []}) for value in (1, 1.0, True)]
    assert len(set(found)) == 3


@pytest.mark.parametrize("text", SWEPT.values(), ids=list(SWEPT))
def test_stages_that_differ_in_rates_are_those_made_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "s.tlr").write_text(text)
    same_without_shortcut(tmp_path / "s.tlr", monkeypatch)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_so_are_those_of_any_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Path) -> None:
    text = recipe.read_text()
    if "search" not in text and " lr in " not in text:
        text += "\nsweep lr in [1e-4, 1e-3]\n"
    (tmp_path / "s.tlr").write_text(text)
    same_without_shortcut(tmp_path / "s.tlr", monkeypatch)


def same_without_shortcut(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = open_recipe(str(recipe)).graph()
    monkeypatch.setattr("tlimb.configs.build._is_rate", lambda path: False)
    assert fast.document() == open_recipe(str(recipe)).graph().document()
