"""The inspector: a form whose fields are checked while they are written, one step for undo each."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from tests.tui.test_editing import CHAIN, app_of, go, press, status, text_of
from tlimb.recipe.form import Choice, Field
from tlimb.run import anatomy
from tlimb_tui.widgets.form import FieldEditor
from tlimb_tui.widgets.inspector import FieldList, Inspector

Started = Callable[..., AbstractAsyncContextManager[Pilot[int]]]


def inspector(pilot: Pilot[int]) -> Inspector:
    return app_of(pilot).query_one(Inspector)


def rows(pilot: Pilot[int]) -> list[str]:
    """The rows of the form as they are read."""
    fields = app_of(pilot).query_one(FieldList)
    return [" ".join(str(fields.get_option_at_index(place).prompt).split()) for place in range(fields.option_count)]


def message(pilot: Pilot[int]) -> str:
    return str(app_of(pilot).query_one("#wrong", Static).content)


def choices(pilot: Pilot[int]) -> list[str]:
    options = app_of(pilot).query_one(FieldEditor).query_one(OptionList)
    return [str(options.get_option_at_index(place).prompt).split()[0] for place in range(options.option_count)]


async def open_field(pilot: Pilot[int], node: str, name: str) -> None:
    await go(pilot, node)
    await press(pilot, "enter")
    assert inspector(pilot).edit_field(name)
    await press(pilot, "shift")


async def test_fields_show_their_value_or_default_and_what_gives_it(started: Started) -> None:
    async with started("set batch = 8\n" + CHAIN) as pilot:
        await go(pilot, "finetune")
        for _ in range(100):
            if "on demo.sex 2 classes · 120 subjects" in rows(pilot):
                break
            await pilot.pause(0.05)
        found = rows(pilot)
        assert "on demo.sex 2 classes · 120 subjects" in found, "once the data set is read"
        assert "from base (above)" in found
        assert "lr [1e-4, 1e-3] swept in line 7" in found
        assert "batch 8 set in line 1" in found
        assert "epochs 10" in found
        assert any(row.startswith("▸ trainer (") for row in found)
        assert not any(row.startswith("gradient_clip_val") for row in found)
        fields = app_of(pilot).query_one(FieldList)
        fields.focus()
        fields.highlighted = next(place for place, row in enumerate(found) if row.startswith("▸ trainer"))
        await press(pilot, "enter")
        assert any(row.startswith("gradient_clip_val") for row in rows(pilot))


async def test_a_field_is_checked_while_it_is_written_and_is_one_step(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await open_field(pilot, "finetune", "epochs")
        await press(pilot, ":many")
        assert "'epochs' takes a whole number or none" in message(pilot)
        assert "with epochs=many" in status(pilot), "the status line shows the text that it would be"
        assert text_of(pilot) == CHAIN
        await press(pilot, "enter")
        assert text_of(pilot) == CHAIN, "what is wrong is not written"
        await press(pilot, "home", "shift+end", ":4")
        assert message(pilot) == ""
        await press(pilot, "enter")
        assert text_of(pilot) == CHAIN.replace("finetune on demo.sex\n", "finetune on demo.sex with epochs=4\n")
        assert app_of(pilot).query_one(FieldList).has_focus
        await press(pilot, "u")
        assert text_of(pilot) == CHAIN


async def test_escape_takes_back_and_empty_unsets(started: Started) -> None:
    text = CHAIN.replace("finetune on demo.sex\n", "finetune on demo.sex with epochs=4  # few\n")
    async with started(text) as pilot:
        await open_field(pilot, "finetune", "epochs")
        await press(pilot, ":9", "escape")
        assert text_of(pilot) == text
        await press(pilot, "enter", "backspace", "enter")
        assert text_of(pilot) == CHAIN.replace("finetune on demo.sex\n", "finetune on demo.sex  # few\n")
        assert inspector(pilot).edit_field("elastic")
        await press(pilot, "shift", "escape", "delete")
        assert text_of(pilot) == CHAIN.replace("finetune on demo.sex\n", "finetune on demo.sex  # few\n"), "there is nothing to take away"


async def test_a_required_field_stays(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await open_field(pilot, "base", "architecture")
        await press(pilot, "backspace")
        assert "needs an architecture" in message(pilot)
        await press(pilot, "enter")
        assert text_of(pilot) == CHAIN


async def test_targets_are_picked_with_their_kind_and_number_of_subjects(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await open_field(pilot, "base", "on")
        editor = app_of(pilot).query_one(FieldEditor)
        options = editor.query_one(OptionList)
        assert "2 classes: F, M · 120 subjects" in str(options.get_option_at_index(1).prompt)
        await press(pilot, "end", ": + de", "down", "tab")
        assert editor.query_one(Input).value == "demo.age + demo.age"
        await press(pilot, *["backspace"] * 3, ":s", "down", "enter")
        assert text_of(pilot) == CHAIN.replace("demo.age", "demo.age + demo.sex")


async def test_what_breaks_elsewhere_is_told_but_can_be_done(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await open_field(pilot, "finetune", "on")
        await press(pilot, ":demo.age")
        assert message(pilot).startswith("then: stage 'finetune' has no head for 'sex'")
        await press(pilot, "enter")
        assert "finetune on demo.age\n" in text_of(pilot)


async def test_components_and_their_arguments(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await open_field(pilot, "base", "architecture")
        assert choices(pilot)[0] == "resnet10"
        await press(pilot, ":vit_t", "down", "enter")
        assert text_of(pilot).startswith("pretrain vit_tiny on demo.age as base # c\n")
        await press(pilot, "shift")
        assert inspector(pilot).edit_field("mlp_dim", group="architecture vit_tiny")
        await press(pilot, ":64", "enter")
        assert text_of(pilot).startswith("pretrain vit_tiny(mlp_dim=64) on demo.age as base # c\n")


async def test_a_field_is_swept(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await open_field(pilot, "pulled", "lr")
        await press(pilot, "escape", "s")
        assert app_of(pilot).query_one(FieldEditor).text == "[1e-4, 1e-3, 1e-2]"
        await press(pilot, "enter")
        assert text_of(pilot) == CHAIN.replace("rank", "sweep pulled.lr in [1e-4, 1e-3, 1e-2]\nrank")


async def test_layers_are_listed_by_a_process_of_its_own_only_when_asked_for(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    found = {"layers": [["stem", 100], ["layer1", 900]], "own": {}, "feature_dim": 4, "encoder_parameters": 1000, "number_outputs": 1}

    def anatomies(configs: object, *, ask: bool = True) -> list[object]:
        asked.append(ask)
        return [found if any(asked) else None]

    monkeypatch.setattr(anatomy, "anatomies", anatomies)
    async with started(CHAIN) as pilot:
        app = app_of(pilot)
        for _ in range(100):
            if app.workspace.plan is not None:
                break
            await pilot.pause(0.05)
        assert app.workspace.plan is not None
        await open_field(pilot, "finetune", "freeze")
        assert choices(pilot) == ["none", "all", "…"]
        assert not any(asked)
        await press(pilot, "up", "enter")
        assert any(asked)
        assert choices(pilot) == ["none", "stem", "layer1", "all"]
        await press(pilot, ":la", "down", "enter")
        assert "finetune freeze layer1 on demo.sex\n" in text_of(pilot)
        for _ in range(100):
            if any(row == "freeze layer1 100 of 1 k frozen" for row in rows(pilot)):
                break
            await pilot.pause(0.05)
        else:
            raise AssertionError(rows(pilot))


async def test_statements_that_are_no_stages_have_forms_too(started: Started) -> None:
    async with started(CHAIN) as pilot:
        await go(pilot, "rank:")
        await press(pilot, "enter", "enter", ":val.f", "down", "enter")
        assert text_of(pilot).endswith("rank by val.f1\n")


async def test_the_form_follows_the_text(started: Started) -> None:
    async with started("") as pilot:
        assert "The recipe is empty: press a to add to it." in rows(pilot)
        await press(pilot, "a", ":pre", "enter", "t", "end", ": with batch=2")
        await pilot.pause(0.1)
        assert "batch 2" in rows(pilot)
        assert isinstance(inspector(pilot)._fields[0], Field)
        assert inspector(pilot)._fields[0].choices[0] == Choice("resnet10", "ResNet-10 (He et al. 2016) in 1, 2 or 3 dimensions")
