"""What the keys of the graph change: every action is told before it is made, touches only what it must, and is one step for undo."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from tlimb.catalogue.registry import load_catalogue
from tlimb.errors import InputError
from tlimb.recipe import edit
from tlimb.recipe.connections import consequences, origins
from tlimb.recipe.form import form
from tlimb.recipe.offers import offers
from tlimb.recipe.tree import Training, stage_names
from tlimb_tui.app import TlimbApp
from tlimb_tui.widgets.connect import Confirm, Connect
from tlimb_tui.widgets.form import FieldEditor
from tlimb_tui.widgets.graph import GraphView
from tlimb_tui.widgets.inspector import FieldList, Inspector
from tlimb_tui.widgets.palette import AddPalette
from tlimb_tui.widgets.statusline import StatusLine
from tlimb_tui.workspace import Workspace

Started = Callable[..., AbstractAsyncContextManager[Pilot[int]]]
CHAIN = """\
pretrain resnet10 on demo.age as base # c
finetune on demo.sex
evaluate on demo.sex

finetune elastic 0.01 on demo.sex from base as pulled ; evaluate on demo.sex as tested
sweep finetune.lr in [1e-4, 1e-3]
rank by val.auroc
"""
NAMES = {" ": "space", ".": "full_stop", ",": "comma", "[": "left_square_bracket", "]": "right_square_bracket", "=": "equals_sign"}
NAMES |= {"-": "minus", "(": "left_parenthesis", ")": "right_parenthesis", '"': "quotation_mark", "+": "plus"}


def app_of(pilot: Pilot[int]) -> TlimbApp:
    assert isinstance(pilot.app, TlimbApp)
    return pilot.app


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys, a text after ``:`` letter by letter, and wait until all is done."""
    for key in keys:
        await pilot.press(*([NAMES.get(letter, letter) for letter in key[1:]] if key.startswith(":") else [key]))
        await pilot.pause()
        await pilot.app.workers.wait_for_complete(
            [worker for worker in pilot.app.workers if worker.group in ("editing", "choices", "default")]
        )
        await pilot.pause()


def text_of(pilot: Pilot[int]) -> str:
    return app_of(pilot).workspace.text


def status(pilot: Pilot[int]) -> str:
    return str(app_of(pilot).screen_stack[0].query_one(StatusLine).render())


def selected(pilot: Pilot[int]) -> str | None:
    app = app_of(pilot)
    return None if app.selected is None else stage_names(app.workspace.recipe)[app.selected] or "statement"


async def go(pilot: Pilot[int], name: str) -> None:
    """Select a node of the graph."""
    graph = app_of(pilot).query_one(GraphView)
    graph.focus()
    graph.select(name)
    await pilot.pause()


async def test_a_recipe_is_built_from_nothing_by_keys_alone(started: Started) -> None:
    async with started("") as pilot:
        await press(pilot, "a", ":pre", "enter")
        assert text_of(pilot) == "pretrain resnet10 on demo.age\n"
        await press(pilot, "a", ":fine", "enter")
        assert selected(pilot) == "finetune"
        await press(pilot, "enter", "down", "down", "enter", ":layer2", "enter", "escape")
        assert text_of(pilot).splitlines()[1] == "finetune freeze layer2 on demo.sex"
        await press(pilot, "a", ":eval", "enter")
        assert selected(pilot) == "evaluate"
        await press(pilot, "a", ":sweep", "enter", "a", ":rank", "enter")
        assert text_of(pilot) == (
            "pretrain resnet10 on demo.age\n"
            "finetune freeze layer2 on demo.sex\n"
            "evaluate on demo.sex\n"
            "sweep finetune.lr in [1e-4, 1e-3, 1e-2]\n"
            "rank by val.balanced_accuracy\n"
        )
        assert not app_of(pilot).workspace.problems
        for _ in range(6):
            await press(pilot, "u")
        assert text_of(pilot) == ""


async def test_the_palette_shows_what_it_will_write_and_refuses_what_does_not_fit(started: Started) -> None:
    async with started("") as pilot:
        await press(pilot, "a")
        palette = app_of(pilot).screen
        assert isinstance(palette, AddPalette)
        assert "train resnet10 on demo.age" in status(pilot)
        await press(pilot, ":rank", "enter")
        assert app_of(pilot).screen is palette, "nothing is trained, so the ranking does not fit"
        assert palette.highlighted is not None
        assert "no metric" in palette.highlighted.reason
        await press(pilot, "escape")
        assert text_of(pilot) == ""
        assert "train resnet10" not in status(pilot).partition(":")[0]


async def test_insert_on_a_link(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await go(pilot, "evaluate")
        await press(pilot, "i")
        palette = app_of(pilot).screen
        assert isinstance(palette, AddPalette)
        assert palette.offers is not None
        assert "train" in [offer.word for offer in palette.offers if offer.reason]
        await press(pilot, "enter")
        assert text_of(pilot) == CHAIN.replace("finetune on demo.sex\nevaluate", "finetune on demo.sex\nfinetune on demo.sex\nevaluate")
        assert selected(pilot) == "finetune2"
        await go(pilot, "base")
        await press(pilot, "i")
        assert not isinstance(app_of(pilot).screen, AddPalette), "nothing leads into a stage from scratch"


async def test_connect_by_letter_and_in_both_directions(started: Started) -> None:
    async with started(CHAIN) as pilot:
        app = app_of(pilot)
        await go(pilot, "tested")
        await press(pilot, "c")
        graph = app.query_one(GraphView)
        assert graph.letters["finetune"] == ("a", None)
        assert graph.letters["base"] == ("", "stage 'base' has no head for 'sex'")
        assert graph.letters["evaluate"][1] == "'evaluate' trains nothing, so there are no weights to start from"
        await press(pilot, "right")
        assert "from finetune" in status(pilot)
        assert text_of(pilot) == CHAIN, "nothing is written before it is chosen"
        await press(pilot, "a")
        assert text_of(pilot) == CHAIN.replace("evaluate on demo.sex as", "evaluate on demo.sex from finetune as")
        assert graph.letters == {}
        assert graph.has_focus
        await press(pilot, "u")
        await go(pilot, "finetune")
        await press(pilot, "c", "tab")
        strip = app.query_one(Connect)
        assert strip.outward
        assert [candidate.name for candidate in strip.fitting] == ["pulled", "tested"]
        await press(pilot, "escape")
        assert not app.query(Connect)
        assert text_of(pilot) == CHAIN


async def test_delete_says_what_follows_and_one_undo_takes_it_back(started: Started) -> None:
    async with started(CHAIN.replace("\n", "\r\n")) as pilot:
        app = app_of(pilot)
        await go(pilot, "finetune")
        await press(pilot, "d")
        told = "\n".join(app.query_one(Confirm).told)
        assert "'evaluate' will continue 'base'" in told
        assert "sweep finetune.lr in [1e-4, 1e-3] will go too" in told
        assert "no head for 'sex'" in told
        assert "finetune on demo.sex" in status(pilot)
        assert text_of(pilot) == CHAIN.replace("\n", "\r\n")
        await press(pilot, "escape")
        assert not app.query(Confirm)
        await press(pilot, "d", "d")
        expected = CHAIN.replace("finetune on demo.sex\n", "").replace("sweep finetune.lr in [1e-4, 1e-3]\n", "")
        assert text_of(pilot) == expected.replace("\n", "\r\n")
        assert not app.query(Confirm)
        await press(pilot, "u")
        assert text_of(pilot) == CHAIN.replace("\n", "\r\n")


async def test_bypass_and_back(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await go(pilot, "pulled")
        await press(pilot, "b", "b")
        assert "# finetune elastic 0.01 on demo.sex from base as pulled\n" in text_of(pilot)
        assert "evaluate on demo.sex from base as tested" in text_of(pilot)
        await press(pilot, "B")
        assert selected(pilot) == "pulled"
        assert "\nfinetune elastic 0.01" in text_of(pilot)


async def test_rename_everywhere_duplicate_and_move(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await go(pilot, "base")
        await press(pilot, "r", ":root", "enter")
        assert text_of(pilot) == CHAIN.replace("as base", "as root").replace("from base", "from root")
        await press(pilot, "u", "escape")
        await go(pilot, "finetune")
        await press(pilot, "ctrl+d")
        assert text_of(pilot).splitlines()[1:4] == [
            "finetune on demo.sex",
            "finetune on demo.sex from base",
            "evaluate on demo.sex from finetune",
        ]
        await press(pilot, "u")
        assert text_of(pilot) == CHAIN
        await go(pilot, "rank:")
        await press(pilot, "K")
        assert text_of(pilot).splitlines()[-2:] == ["rank by val.auroc", "sweep finetune.lr in [1e-4, 1e-3]"]
        await press(pilot, "J")
        assert text_of(pilot) == CHAIN


async def test_statements_for_the_whole_recipe_are_reached_by_keys(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await go(pilot, "base")
        await press(pilot, "o")
        assert app_of(pilot).query_one(FieldList).highlighted == 0
        await press(pilot, "end", "up", "enter")
        assert selected(pilot) == "statement"
        await press(pilot, "down", "enter", "home", "shift+end", ":[1e-5, 1e-4]", "enter")
        assert text_of(pilot) == CHAIN.replace("[1e-4, 1e-3]", "[1e-5, 1e-4]")


async def test_quick_fingers_write_into_what_they_see(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await go(pilot, "base")
        await pilot.pause(0.1)
        await pilot.press("right", "enter", "enter")
        assert app_of(pilot).query_one(FieldEditor).field is not None
        assert app_of(pilot).query_one(FieldEditor).field.name == "from", "the first field of what is selected now"


async def test_where_nothing_can_be_done_that_is_said(started: Started) -> None:
    async with started("") as pilot:
        for key in ("i", "c", "d", "r", "b", "B", "ctrl+d", "K"):
            await press(pilot, key)
        assert text_of(pilot) == ""
        assert len(app_of(pilot)._notifications) >= 1
    async with started("train resnet10 on demo.age\ntrain resnet10 onn demo.sex\n") as pilot:
        app_of(pilot).select(0)
        await press(pilot, "a", ":eval", "enter")
        assert text_of(pilot).splitlines()[1] == "evaluate on demo.age", "a broken line elsewhere does not hinder"


@pytest.mark.parametrize("broken", [1, 2, 5])
def test_a_line_that_is_being_typed_breaks_nothing(broken: int, tmp_path: Path) -> None:
    """Its last node is kept, with spans that fit its text only by chance: what is asked of it may be refused, no more."""
    lines = CHAIN.splitlines(keepends=True)
    workspace = Workspace(None, CHAIN, folder=tmp_path)
    for cut in range(0, len(lines[broken - 1]), 5):
        for torn in (lines[broken - 1][:cut] + "\n", lines[broken - 1][:cut] + "(" + lines[broken - 1][cut:]):
            workspace.set_text("".join([*lines[: broken - 1], torn, *lines[broken:]]))
            recipe = workspace.recipe
            for number, node in enumerate(recipe.statements):
                for make in (edit.delete, edit.comment_out, edit.duplicate, partial(edit.move, behind=None)):
                    with suppress(InputError):
                        make(recipe, number)  # type: ignore[operator]
                offers(recipe, number, workspace.catalogue, workspace.datasets)
                consequences(recipe, number)
                if isinstance(node, Training):
                    origins(recipe, number, workspace.catalogue, workspace.datasets)
                if number not in workspace.broken:
                    for field in form(recipe, number, workspace.catalogue, workspace.datasets):
                        with suppress(InputError):
                            field.write(field.value)


async def test_lists_can_be_clicked(started: Started) -> None:
    async with started("") as pilot:
        await press(pilot, "a")
        await pilot.click(OptionList, offset=(3, 1))
        await pilot.pause()
        assert text_of(pilot) == "pretrain resnet10 on demo.age\n"


async def test_the_inspector_and_its_editor_are_there(started: Started) -> None:
    async with started(CHAIN) as pilot:
        app = app_of(pilot)
        assert app.query_one(Inspector).border_title == "inspector · pretrain base"
        assert not app.query_one(FieldEditor).display
        assert load_catalogue().words("architecture")[0] == "resnet10", "these tests count on the first word"


async def test_a_question_does_not_outlive_the_text_that_it_asks_about(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await go(pilot, "base")
        await press(pilot, "ctrl+d", "d")
        assert app_of(pilot).query(Confirm)
        await press(pilot, "u")
        assert text_of(pilot) == CHAIN
        assert not app_of(pilot).query(Confirm)


async def test_the_palette_writes_nothing_into_a_text_that_has_changed_since(started: Started) -> None:
    async with started(CHAIN) as pilot:
        app = app_of(pilot)
        await go(pilot, "base")
        await press(pilot, "a")
        assert isinstance(app.screen, AddPalette)
        changed = "# another program's line\n" + CHAIN
        app.editor.take(changed)
        app.text_changed(changed)
        await press(pilot, "enter")
        assert text_of(pilot) == changed
