"""The YAML tab: configs and Nextflow processes, linked with the statements that they come from."""

from pathlib import Path

import pytest
import yaml
from textual.widgets import Input

from tlimb.run.opening import open_recipe
from tlimb_tui.screens.ask import AskName
from tlimb_tui.screens.configs import ConfigsView
from tlimb_tui.widgets.code import words

from .conftest import CARD, Started, screen, until


async def shown(pilot: object) -> ConfigsView:
    """The view with a text."""
    await until(pilot, lambda: pilot.app.workspace.plan)  # type: ignore[arg-type, attr-defined]
    await pilot.press("5")  # type: ignore[attr-defined]
    view = pilot.app.query_one(ConfigsView)  # type: ignore[attr-defined]
    await until(pilot, lambda: view.code.text)  # type: ignore[arg-type]
    return view


def number(view: ConfigsView, verb: str) -> int:
    """The statement that begins with a word."""
    workspace = view.tlimb.workspace
    return next(n for n, s in enumerate(workspace.recipe.statements) if workspace.text[s.span.start :].startswith(verb))


def line(view: ConfigsView, words: str) -> int:
    """The first line with these words."""
    return next(n for n, text in enumerate(view.code.text.splitlines()) if words in text)


async def test_the_text_is_that_of_desugar(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        view = await shown(pilot)
        graph = open_recipe(str(untrained / "card.tlr")).graph()
        for stage in graph.stages:
            view._choose(stage.digest)
            await pilot.pause()
            assert yaml.safe_load(view.code.text) == stage.config
        assert "finetune ×2" in screen(pilot)
        assert "lr=0.0001" in screen(pilot)


async def test_the_selected_statement_marks_its_lines(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        view = await shown(pilot)
        pilot.app.tab = "edit"
        pilot.app.select(number(view, "finetune"))
        await pilot.press("5")
        await until(pilot, lambda: view.stage and view.stage.name == "finetune")
        assert {line(view, "freeze: layer3"), line(view, "max_epochs: 2")} <= view.code.marked
        assert line(view, "architectures.ResNet") not in view.code.marked, "the network is that of another statement"
        pilot.app.select(number(view, "sweep"))
        await pilot.pause()
        assert view.code.marked == {line(view, "lr:")}
        pilot.app.select(number(view, "data"))
        await pilot.pause()
        assert line(view, "size: [32, 32]") in view.code.marked


async def test_a_line_leads_to_the_words_that_it_comes_from(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        view = await shown(pilot)
        view._choose(next(stage.digest for stage in view._plan.stages if stage.name == "finetune"))
        view.code.focus()
        view.code.move_cursor((line(view, "lr:"), 0))
        await until(pilot, lambda: "scenario.optimizer.lr ← sweep 1e-3 (line 5)" in screen(pilot))
        view.code.move_cursor((line(view, "freeze: layer3"), 0))
        await until(pilot, lambda: "freeze layer3 (line 3)" in screen(pilot))
        await pilot.press("enter")
        assert pilot.app.tab == "edit"
        assert pilot.app.editor.selected_text == "freeze layer3"
        assert pilot.app.selected == number(view, "finetune")


async def test_a_default_says_that_it_is_one(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        view = await shown(pilot)
        view._choose(next(stage.digest for stage in view._plan.stages if stage.name == "scratch"))
        view.code.focus()
        view.code.move_cursor((line(view, "val: 0.15"), 0))
        await until(pilot, lambda: "split.tiny.val ← default" in screen(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "it is a default" in screen(pilot))
        assert pilot.app.tab == "configs"


async def test_the_nextflow_process_of_a_stage_is_shown_with_its_job(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        view = await shown(pilot)
        stage = next(stage for stage in view._plan.stages if stage.name == "finetune")
        view._choose(stage.digest)
        await pilot.press("v")
        await until(pilot, lambda: view.code.text.startswith("process FINETUNE {"))
        assert f"finetune-{stage.digest},finetune,configs/finetune-{stage.digest}.yaml," in view.code.text
        view.code.focus()
        await pilot.press("enter")
        assert (pilot.app.tab, pilot.app.selected) == ("edit", number(view, "finetune"))


async def test_texts_are_copied_and_written(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        view = await shown(pilot)
        await pilot.press("y")
        assert pilot.app.clipboard == view.code.text
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskName))
        target = untrained / "stage.yaml"
        pilot.app.screen.query_one(Input).value = str(target)
        pilot.app.screen.query_one(Input).focus()
        await pilot.press("enter")
        await until(pilot, target.exists)
        assert target.read_text() == view.code.text


async def test_a_change_of_the_recipe_changes_the_text(untrained: Path, opened: Started) -> None:
    async with opened(untrained, (80, 24)) as pilot:
        view = await shown(pilot)
        pilot.app.editor.take(CARD.replace("epochs=2 as scratch", "epochs=7 as scratch"))
        await until(
            pilot, lambda: any(stage.config.get("trainer", {}).get("init_args") == {"max_epochs": 7} for stage in view._plan.stages)
        )
        view._choose(next(stage.digest for stage in view._plan.stages if stage.name == "scratch"))
        await until(pilot, lambda: "max_epochs: 7" in view.code.text)


async def test_a_broken_recipe_says_so(untrained: Path, opened: Started) -> None:
    (untrained / "card.tlr").write_text("pretrain resnet99 on tiny.age\n")
    async with opened(untrained) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: "resnet99" in screen(pilot))


@pytest.mark.parametrize(
    ("language", "text", "kinds"),
    [
        ("yaml", "a.b: 1e-3  # it's 5", ["key", "number", "comment"]),
        ("yaml", "- {name: 'a: b', x: null, y: [1, word2]}", ["key", "string", "key", "constant", "key", "number"]),
        ("nextflow", "process X { // 'no'", ["verb", "comment"]),
        ("nextflow", "    script:", ["clause"]),
    ],
)
def test_words_have_colours(language: str, text: str, kinds: list[str]) -> None:
    assert [kind for _, _, kind in words(text, language)] == kinds  # type: ignore[arg-type]
