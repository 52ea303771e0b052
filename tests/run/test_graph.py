"""`tlimb graph`: which picture, in which form, with which states."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from emit.small_graphs import sweep

from tlimb.cli import main
from tlimb.run import graph as picturing
from tlimb.run.store import Store

DIGEST = re.compile(r"\b[0-9a-f]{8}\b")
ROOT = Path(__file__).parents[2]
RECIPE = "pretrain resnet18 on demo.age as brainage\nfinetune on demo.sex\nsweep finetune.lr in [1e-4, 1e-3]\n"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("COLUMNS", raising=False)
    file = tmp_path / "a.tlr"
    file.write_text(RECIPE)
    return file


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["graph", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_steps_as_boxes_where_nobody_says_how_wide(recipe: Path) -> None:
    status, drawn, said = run(str(recipe))
    assert (status, said) == (0, "")
    assert [word for word in drawn.splitlines()[0].split() if word[0] not in "─╮"] == [
        *("╭─○", "brainage"),
        *("╭─○", "finetune", "×2"),
        *("╭─○", "rank"),
    ]


def test_rails_below_100_columns_and_where_boxes_have_no_room(recipe: Path) -> None:
    assert run(str(recipe), "--width", "99")[1].splitlines()[0].startswith("○  brainage")
    status, drawn, said = run(str(recipe), "--width", "30", "--format", "boxes")
    assert status == 0
    assert drawn.startswith("○  brainage")
    assert max(map(len, drawn.splitlines())) <= 30
    assert "30: drawn as rails" in said
    assert run(str(recipe), "--width", "60", "--format", "boxes")[1].startswith("╭")


def test_stages_and_data(recipe: Path) -> None:
    assert len(run(str(recipe), "--stages")[1].splitlines()) == 1 + 1 + 2
    assert "demo" not in [line.split()[1] for line in run(str(recipe), "--width", "90")[1].splitlines()]
    assert run(str(recipe), "--width", "90", "--data")[1].splitlines()[0].split()[:2] == ["○", "demo"]


def test_ascii(recipe: Path) -> None:
    for form in ("boxes", "rails"):
        assert run(str(recipe), "--ascii", "--data", "--format", form)[1].isascii()


@pytest.mark.parametrize(("name", "start"), [("a.mmd", "flowchart LR"), ("a.dot", "digraph"), ("a.txt", "╭─○")])
def test_a_file_is_written_in_the_form_of_its_name(recipe: Path, name: str, start: str) -> None:
    out = recipe.parent / name
    assert run(str(recipe), "-o", str(out))[2] == f"wrote {out}\n"
    assert out.read_text().startswith(start)


def test_svg(recipe: Path) -> None:
    out = recipe.parent / "a.svg"
    run(str(recipe), "-o", str(out))
    assert ElementTree.parse(out).getroot().tag.endswith("svg")


def test_a_recipe_with_mistakes_is_not_drawn(recipe: Path) -> None:
    recipe.write_text("pretrain resnet18 on demo.agee\n")
    status, drawn, said = run(str(recipe))
    assert (status, drawn) == (2, "")
    assert "did you mean 'age'" in said


def test_states_come_from_the_store(tmp_path: Path) -> None:
    plan, store = sweep(2), Store(tmp_path)
    for stage in plan.stages[:3]:
        store.folder(stage.digest).mkdir()
        known = {"format": 1, "digest": stage.digest, "name": stage.name, "kind": stage.kind, "metrics": {"val.auroc": 0.8125}}
        (store.folder(stage.digest) / "results.json").write_text(json.dumps(known))
    rows = picturing.drawn(None, plan, store, form="rails", stages=True)[0].splitlines()
    assert [next(c for c in row if c in "○✔") for row in rows] == ["✔"] * 3 + ["○"] * 5
    assert "auroc 0.812" in rows[2]


@pytest.mark.parametrize("block", re.findall(r"```\n\$ tlimb graph (.*?)\n(.*?)```", (ROOT / "docs/graph.md").read_text(), re.DOTALL))
def test_the_drawings_of_the_documents_are_what_is_drawn(block: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, shown = block
    recipe, *options = arguments.split()
    monkeypatch.setenv("NO_COLOR", "1")
    drawn = run(str(ROOT / recipe), "--store", str(tmp_path), *options)[1]
    assert DIGEST.sub("", drawn) == DIGEST.sub("", shown)
