"""The shell of the app: keys, panes, problems, undo, files, and that nothing is a dead end."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input

from tests.recipe.strategies import recipes
from tests.tui.conftest import RECIPE, Started
from tlimb.errors import InputError
from tlimb.recipe import edit
from tlimb.recipe.patch import apply
from tlimb.recipe.tree import Recipe
from tlimb_tui import recovery
from tlimb_tui.actions import ACTIONS, Action
from tlimb_tui.app import TlimbApp
from tlimb_tui.keymap import Keymap, load_keymap
from tlimb_tui.screens.ask import Ask, AskName
from tlimb_tui.screens.browser import Browser
from tlimb_tui.screens.help import Help
from tlimb_tui.widgets.completion import CompletionList
from tlimb_tui.widgets.problems import ProblemList
from tlimb_tui.workspace import Workspace


def app_of(pilot: Pilot[int]) -> TlimbApp:
    return cast(TlimbApp, pilot.app)


async def until(pilot: Pilot[int], condition: object) -> None:
    """Wait until something that a thread does is done."""
    for _ in range(200):
        if condition():  # type: ignore[operator]
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen")


async def write(pilot: Pilot[int], text: str) -> None:
    names = {" ": "space", ".": "full_stop", "=": "equals_sign", "\n": "enter", "-": "minus", "/": "slash"}
    await pilot.press(*(names.get(character, character) for character in text))


def screen_text(app: TlimbApp) -> str:
    """What is on the screen, without styles."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


def said(app: TlimbApp) -> str:
    """What the app has said in passing."""
    return " ".join(notification.message for notification in app._notifications)


# ---------------------------------------------------------------------- the text
async def test_typing_is_seen_in_graph_and_problems(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: app.workspace.plan is not None)
        await pilot.press("t", "end")
        await write(pilot, " with epochs=2x")
        assert [problem.code for problem in app.workspace.problems] == ["bad-number"]
        assert "line 2" in screen_text(app)
        assert "bad-number" not in screen_text(app)
        await pilot.press("backspace")
        await pilot.pause()
        assert not app.workspace.problems
        assert "epochs=2" in screen_text(app)
        assert app.workspace.dirty


@pytest.mark.parametrize(
    "text", [RECIPE, RECIPE.replace("\n", "\r\n"), RECIPE.replace("\n", "\r\n", 2), "", "\ufefftrain resnet18 on demo.age"]
)
async def test_typing_and_undoing_leaves_every_byte(started: Started, text: str, tmp_path: Path) -> None:
    async with started(text) as pilot:
        app = app_of(pilot)
        app.edit_view.show_pane("editor")
        await pilot.press("ctrl+end", "enter", "s", "enter", "up", "end", "backspace", "x", "home", "delete", "ctrl+k")
        await pilot.pause()
        assert app.editor.text == app.workspace.text != text.removeprefix("\ufeff")
        assert "\n" not in app.workspace.text.replace("\r\n", "") or "\r\n" not in text or text.count("\r\n") < 3
        for _ in range(20):
            await pilot.press("ctrl+z")
        await pilot.pause()
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert (tmp_path / "lab" / "sex.tlr").read_bytes() == text.encode()


async def test_keys_of_the_text_stay_keys_of_the_text(started: Started) -> None:
    """What deletes a statement in the graph deletes a character here."""
    async with started() as pilot:
        app = app_of(pilot)
        await pilot.press("t", "delete", "d", "u", "right", "backspace")
        await pilot.pause()
        assert app.workspace.text == RECIPE.replace("pretrain", "duetrain", 1)


def operations(recipe: Recipe, number: int, draw: st.DataObject) -> list[object]:
    return [
        lambda: edit.delete(recipe, number),
        lambda: edit.comment_out(recipe, number),
        lambda: edit.duplicate(recipe, number),
        lambda: edit.move(recipe, number, draw.draw(st.integers(0, len(recipe.statements) - 1))),
        lambda: edit.rename_stage(recipe, number, draw.draw(st.sampled_from(["other", "zwölf"]))),
        lambda: edit.insert_after(recipe, number, "repeat 3"),
    ]


async def test_one_undo_takes_back_one_action_byte_for_byte(started: Started) -> None:
    """Over random recipes with comments, odd spacing and CRLF."""
    async with started() as pilot:
        app = app_of(pilot)

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
        @given(recipes(), st.data())
        def check(drawn: tuple[str, object], data: st.DataObject) -> None:
            text, _ = drawn
            app.open(Workspace(None, text, lazy=True))
            seen = [text]
            for _ in range(data.draw(st.integers(1, 3))):
                recipe = app.workspace.recipe
                if not recipe.statements or app.workspace.broken:
                    break
                number = data.draw(st.integers(0, len(recipe.statements) - 1))
                try:
                    edits = data.draw(st.sampled_from(operations(recipe, number, data)))()  # type: ignore[operator]
                except InputError:
                    continue
                if app.change(edits, "try"):
                    expected, _ = apply(seen[-1], edits)
                    assert app.editor.text == app.workspace.text == expected
                    seen.append(expected) if expected != seen[-1] else None
            for before in reversed(seen[:-1]):
                app.editor.undo()
                assert app.editor.text == before
            for after in seen[1:]:
                app.editor.redo()
                assert app.editor.text == after

        check()
        await pilot.pause()


async def test_an_action_does_not_touch_a_line_that_cannot_be_read(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        app.editor.take(RECIPE.replace("layer2 on demo.sex", "layer2 on demo."))
        await pilot.pause()
        (number,) = app.workspace.broken
        before = app.workspace.text
        assert not app.change(edit.rename_stage(app.workspace.recipe, number, "x"), "rename")
        assert app.workspace.text == before
        await pilot.pause()
        assert "mend it first" in said(app)


# ---------------------------------------------------------------------- text and graph are one
async def test_selecting_goes_both_ways(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        assert app.selected == 0
        assert app.edit_view.graph.has_focus
        await pilot.press("right")
        assert app.selected == 1
        assert app.editor.cursor_location[0] == 2
        await pilot.press("t", "down")
        await pilot.pause()
        assert app.selected == 2
        selected = app.edit_view.graph.selected
        assert selected is not None
        assert selected.id == "evaluate"
        await pilot.press("escape")
        assert app.edit_view.graph.has_focus
        app.select(3)
        await pilot.press("enter")
        await pilot.pause()
        assert app.edit_view.pane == "inspector"
        assert "inspector · sweep" in screen_text(app)


async def test_clicks_select_and_tabs_change(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        await pilot.click("#graph", offset=(45, 3))
        assert app.selected == 1
        bar = screen_text(app).splitlines()[0]
        await pilot.click("#bar", offset=(bar.index("2 Run") + 1, 0))
        assert app.tab == "run"
        await pilot.press("1")
        assert app.tab == "edit"


# ---------------------------------------------------------------------- problems
async def test_problems_are_gone_through_and_fixed(started: Started) -> None:
    text = RECIPE.replace("demo.sex  #", "demo.sx  #").replace("finetune.lr", "finetune.lrr")
    async with started(text) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: len(app.workspace.problems) >= 2)
        await pilot.press("full_stop")
        assert app.editor.selected_text == "sx"
        assert "3:32" in screen_text(app)
        await pilot.press("comma")
        await pilot.pause()
        assert "demo.sex  #" in app.workspace.text
        await pilot.press("full_stop")
        assert "lrr" in app.editor.selected_text
        await pilot.press("p")
        problems = app.edit_view.query_one(ProblemList)
        assert problems.has_focus
        assert problems.option_count == len(app.workspace.problems)
        await pilot.press("enter")
        assert app.editor.has_focus
        await pilot.press("escape", "u")
        await pilot.pause()
        assert app.workspace.text == text


async def test_the_mouse_shows_a_problem_and_goes_there(started: Started) -> None:
    async with started(RECIPE.replace("demo.sex  #", "demo.sx  #")) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: app.workspace.problems)
        await pilot.click("#status")
        assert app.editor.selected_text == "sx"
        row, column = app.editor.selection.end
        await pilot.hover("#editor", offset=(column + app.editor.gutter_width + 1, row + 1))
        assert "did you mean 'sex'" in str(app.editor.tooltip)
        await pilot.hover("#editor", offset=(5, 1))
        assert app.editor.tooltip is None


# ---------------------------------------------------------------------- completion
async def test_words_are_completed(started: Started) -> None:
    async with started("") as pilot:
        app = app_of(pilot)
        completions = app.screen.query_one(CompletionList)
        await pilot.press("t")
        await write(pilot, "pre")
        await until(pilot, lambda: completions.display and completions.chosen == "pretrain")
        await pilot.press("tab")
        await write(pilot, " ")
        await until(pilot, lambda: completions.display and completions.chosen != "pretrain")
        await pilot.press("down", "down", "enter")
        await write(pilot, " on demo.")
        await until(pilot, lambda: completions.display and "age" in str(completions.chosen))
        await pilot.press("tab")
        await until(pilot, lambda: re.fullmatch(r"pretrain resnet\d+ on demo.age", app.workspace.text))
        await pilot.press("space", "ctrl+@")
        await until(pilot, lambda: completions.display)
        await pilot.press("escape")
        await until(pilot, lambda: not completions.display)
        assert app.editor.has_focus
        await pilot.press("enter")
        assert app.workspace.text.endswith("\n")


# ---------------------------------------------------------------------- find
async def test_finding_goes_from_place_to_place(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        await pilot.press("slash")
        await write(pilot, "SEX")
        assert "3 found" in screen_text(app)
        first = app.editor.selection
        await pilot.press("enter")
        assert app.editor.selection != first
        await pilot.press("escape")
        assert app.edit_view.graph.has_focus


# ---------------------------------------------------------------------- help, keys
def handler(app: TlimbApp, action: Action) -> object:
    nodes = [app, *app.screen_stack[0].query("*")]
    return next((node for node in nodes if any(binding.id == action.name for _, binding in node._bindings)), None)


async def test_every_action_is_bound_and_handled(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        for action in ACTIONS:
            node = handler(app, action)
            if action.keys:
                assert node is not None, action
            place = node or (app if action.scope == "app" else app.query_one(f"#{action.scope}"))
            assert hasattr(place, f"action_{action.id}"), action


def test_no_two_actions_share_a_key_where_both_are_bound() -> None:
    """A pane may have keys of its tab for itself, but nothing those of the app."""
    for action in ACTIONS:
        for other in ACTIONS:
            if other is not action and other.scope in (action.scope, "app"):
                shared = {*action.keys.split(",")} & {*other.keys.split(",")} - {""}
                assert not shared, (action.name, other.name, shared)


async def test_help_lists_every_action_and_runs_what_is_chosen(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        rows = [row for row in app.screen._rows if row.value is not None]
        assert len(rows) == len(ACTIONS)
        await write(pilot, "data sets of the cat")
        await pilot.press("enter")
        await until(pilot, lambda: app.tab == "data")
        await pilot.press("f1")
        await write(pilot, "boxes/rails")
        before = app.edit_view.graph.shown_as
        await pilot.press("enter")
        await until(pilot, lambda: app.tab == "edit" and app.edit_view.graph.shown_as != before)


async def test_the_palette_runs_actions(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        await pilot.press("ctrl+p")
        await write(pilot, "light/dark")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "tlimb-light")
    async with started() as pilot:
        assert app_of(pilot).theme == "tlimb-light"


async def test_keys_can_be_changed(started: Started, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('[edit]\nundo = "f4"\nund = "x"\n')
    keymap = load_keymap(file)
    assert keymap.keys == {"edit.undo": "f4"}
    assert "did you mean 'edit.undo'" in keymap.problems[0]
    async with started(keymap=keymap) as pilot:
        app = app_of(pilot)
        assert "no action 'edit.und'" in said(app)
        app.change(edit.delete(app.workspace.recipe, 2), "delete")
        await pilot.press("u")
        assert app.workspace.text != RECIPE
        await pilot.press("f4")
        await pilot.pause()
        assert app.workspace.text == RECIPE
        await pilot.press("question_mark")
        await write(pilot, "whoever")
        assert "f4" in screen_text(app)


def test_a_broken_keymap_is_told(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("undo = ")
    assert load_keymap(file).keys == {}
    assert "cannot be read" in load_keymap(file).problems[0]
    assert load_keymap(tmp_path / "absent") == Keymap({})


# ---------------------------------------------------------------------- panes and sizes
@pytest.mark.parametrize("size", [(40, 10), (80, 24), (100, 30), (200, 60)])
async def test_every_size_shows_each_pane(started: Started, size: tuple[int, int]) -> None:
    async with started(size=size) as pilot:
        app = app_of(pilot)
        assert "pretrain" in screen_text(app) or "first" in screen_text(app)
        seen = set()
        for _ in range(3):
            seen.add(app.edit_view.pane)
            pane = app.edit_view.query_one(f"#{app.edit_view.pane}")
            assert pane.region.height >= 3
            assert pane.region.width >= 20
            await pilot.press("f6")
            await pilot.pause()
        assert seen == {"graph", "editor", "inspector"}
        for tab in "2345":
            await pilot.press(f"alt+{tab}")
            await pilot.pause()
        await pilot.press("f1")
        assert isinstance(app.screen, Help)


async def test_a_terminal_that_is_resized_keeps_pane_and_text(started: Started) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        await pilot.press("t")
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        assert app.editor.region.height >= 5
        assert not app.edit_view.graph.display or app.edit_view.graph.region.height == 0
        await pilot.resize_terminal(120, 36)
        await pilot.pause()
        assert app.edit_view.graph.region.height >= 3
        assert app.editor.has_focus


async def test_ascii_and_no_colour(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with started(RECIPE.replace("sex", "sx"), ascii_only=True) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: app.workspace.problems)
        await pilot.press("p")
        await pilot.pause()
        assert "x 3:" in screen_text(app) or "x 4:" in screen_text(app)
        for keys in (["f1"], ["escape", "t", "end", "space"], *([f"alt+{tab}"] for tab in "2345")):
            await pilot.press(*keys)
            await pilot.pause()
            assert screen_text(app).isascii()


# ---------------------------------------------------------------------- files
async def test_unsaved_changes_are_asked_about(started: Started, tmp_path: Path) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        app.change(edit.delete(app.workspace.recipe, 2), "delete")
        await pilot.press("ctrl+q")
        assert isinstance(app.screen, Ask)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, Ask)
        await pilot.press("ctrl+q")
        await pilot.press("s")
        await pilot.pause()
    assert "evaluate" not in (tmp_path / "lab" / "sex.tlr").read_text()
    assert app.return_code == 0


async def test_a_new_recipe_asks_for_its_name(started: Started, tmp_path: Path) -> None:
    async with started(None) as pilot:
        app = app_of(pilot)
        app.editor.take("train resnet18 on demo.age\n")
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, AskName)
        field = app.screen.query_one(Input)
        field.value = str(tmp_path / "absent" / "x")
        await pilot.press("enter")
        assert "no folder" in screen_text(app)
        field.value = "mine"
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace.plan is not None)
        assert (tmp_path / "lab" / "mine.tlr").read_text() == "train resnet18 on demo.age\n"
        assert app.workspace.name == "mine.tlr"
        assert not app.workspace.dirty


async def test_a_change_on_disk_is_taken_or_merged(started: Started, tmp_path: Path) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        file = tmp_path / "lab" / "sex.tlr"
        file.write_text(RECIPE + "repeat 2\n")
        app._look_at_file()
        await pilot.pause()
        assert app.workspace.text == RECIPE + "repeat 2\n"
        assert not app.workspace.dirty
        app.editor.take(app.workspace.text.replace("resnet18", "resnet34"))
        file.write_text(RECIPE + "repeat 3\n")
        os.utime(file, ns=(5, 5))
        app._look_at_file()
        await pilot.pause()
        assert app.workspace.text == RECIPE.replace("resnet18", "resnet34") + "repeat 3\n"
        assert app.workspace.dirty
        assert "both changes" in said(app)
        await pilot.press("u", "u", "u")
        await pilot.pause()
        assert app.workspace.text == RECIPE


async def test_data_sets_that_another_program_writes_are_read(started: Started, tmp_path: Path) -> None:
    async with started(RECIPE.replace("demo.age", "mine.age")) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: any(problem.code == "unknown-dataset" for problem in app.workspace.problems))
        (tmp_path / "lab" / "datasets.yaml").write_text("mine: {format: demo}\n")
        app._look_at_file()
        await until(pilot, lambda: app.workspace.plan is not None)
        assert not app.workspace.problems


async def test_the_browser_opens_begins_and_remembers(started: Started, tmp_path: Path) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        (tmp_path / "lab" / "other.tlr").write_text("# the other one\ntrain resnet18 on demo.sex\n")
        await pilot.press("ctrl+o")
        assert isinstance(app.screen, Browser)
        await write(pilot, "other")
        assert "the other one" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace.name == "other.tlr")
        await pilot.press("ctrl+o")
        assert str(tmp_path / "lab" / "sex.tlr") in screen_text(app) or "sex.tlr" in screen_text(app)
        await write(pilot, "from multi")
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace.name == "untitled")
        assert "multitask" in app.workspace.text
        await pilot.press("ctrl+o", "backspace")
        assert "lab/" in screen_text(app)


async def test_what_was_not_saved_is_offered_again(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        app.editor.take(RECIPE + "repeat 3\n")
        await pilot.pause()
    monkeypatch.setattr(recovery, "_alive", lambda _pid: False)
    async with started() as pilot:
        app = app_of(pilot)
        assert isinstance(app.screen, Ask)
        await pilot.press("t")
        await pilot.pause()
        assert app.workspace.text == RECIPE + "repeat 3\n"
        await pilot.press("u")
        await pilot.pause()
        assert app.workspace.text == RECIPE
        await pilot.press("ctrl+s")
        app.editor.take(RECIPE + "repeat 4\n")
        await pilot.press("ctrl+q", "d")
    async with started() as pilot:
        assert not isinstance(app_of(pilot).screen, Ask)


def test_what_another_app_is_at_is_not_offered(tmp_path: Path) -> None:
    workspace = Workspace(None, RECIPE, folder=tmp_path)
    recovery.keep(workspace)
    other = Workspace(None, "", folder=tmp_path)
    kept = recovery.kept(other)
    assert kept is not None
    assert kept.text == RECIPE
    file = recovery._file(other)
    file.write_text(file.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {os.getppid()}'))
    assert recovery.kept(other) is None
    recovery.drop(other)
    assert file.exists()


# ---------------------------------------------------------------------- no dead end
async def test_an_empty_folder_offers_a_beginning(started: Started, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with started(None, browse=tmp_path / "empty") as pilot:
        app = app_of(pilot)
        await pilot.pause()
        assert isinstance(app.screen, Browser)
        assert "no recipe in this folder yet" in screen_text(app)
        await write(pilot, "from demo")
        await pilot.press("enter")
        await until(pilot, lambda: "pretrain" in app.workspace.text)


async def test_a_broken_recipe_can_be_opened_and_mended(started: Started) -> None:
    async with started('finetune on = "x\nsweep lr in [\n???\ntrain resnet18 on demo.age\n') as pilot:
        app = app_of(pilot)
        assert len(app.workspace.problems) >= 2
        assert "train" in screen_text(app)
        for _ in range(6):
            await pilot.press("full_stop", "comma")
            await pilot.pause()


async def test_what_is_wrong_around_a_recipe_is_told(started: Started, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    (lab / "runs").mkdir(parents=True)
    (lab / "runs" / "store.json").write_text('{"format": 99}')
    (lab / "datasets.yaml").write_text("]")
    async with started() as pilot:
        app = app_of(pilot)
        await pilot.pause()
        assert "not valid YAML" in said(app)
        assert "update TLIMB" in said(app)
        for tab in "2345":
            await pilot.press(f"alt+{tab}")
            await pilot.pause()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_folder_is_told(started: Started, tmp_path: Path) -> None:
    async with started() as pilot:
        (tmp_path / "lab").chmod(0o500)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "save it under another name" in said(app_of(pilot))
        (tmp_path / "lab").chmod(0o700)


async def test_a_folder_that_is_gone_is_told(started: Started, tmp_path: Path) -> None:
    async with started() as pilot:
        app = app_of(pilot)
        (tmp_path / "lab" / "sex.tlr").unlink()
        (tmp_path / "lab").rmdir()
        app.editor.take(RECIPE + "repeat 3\n")
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "save it under another name" in said(app)
        assert app.workspace.dirty


def test_what_cannot_be_read_is_told_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.tlr").write_bytes(b"\xff\xfe")
    (tmp_path / "b.tlr").write_text(RECIPE)
    (tmp_path / "c.yaml").write_text("tlimb: 1\n")
    told = {"c.yaml": "holds configs", "a.tlr": "not UTF-8", "b/c.tlr": "no folder", "b.tlr": "needs a terminal"}
    for path, words in ((tmp_path / name, words) for name, words in told.items()):
        done = subprocess.run([sys.executable, "-m", "tlimb", "tui", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert words in done.stderr


# ---------------------------------------------------------------------- what is loaded
PROBE = """
import asyncio, sys
from pathlib import Path
from tlimb_tui.app import TlimbApp
from tlimb_tui.workspace import Workspace

async def main():
    app = TlimbApp(Workspace.open(Path(sys.argv[1]), lazy=True))
    async with app.run_test(size=(120, 36)) as pilot:
        for tab in "123451":
            await pilot.press(f"alt+{tab}")
            await pilot.pause(0.1)
        while app.workspace.plan is None:
            await pilot.pause(0.1)

asyncio.run(main())
print(sorted({"torch", "lightning", "torchmetrics", "monai", "nibabel", "optuna"} & sys.modules.keys()))
"""


def test_the_app_loads_no_training_library(tmp_path: Path) -> None:
    (tmp_path / "a.tlr").write_text(RECIPE)
    done = subprocess.run([sys.executable, "-c", PROBE, str(tmp_path / "a.tlr")], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", [".", "/", "~nobody-of-that-name/x", 300 * "a", "/tmp/[/b]/x"])
async def test_what_names_no_file_is_told(name: str, started: Started) -> None:
    async with started(RECIPE) as pilot:
        app = app_of(pilot)
        app.push_screen(AskName("Save the recipe as", name))
        await pilot.pause()
        app.screen.query_one(Input).value = name
        await pilot.press("enter")
        assert isinstance(app.screen, AskName)
        assert app.screen.query(".problem")


@pytest.mark.parametrize("name", ["~nobody-of-that-name/", "/" + 300 * "a", "/nowhere/x"])
def test_what_names_no_place_is_told_by_the_browser(name: str, tmp_path: Path) -> None:
    told = [row.text.plain for row in Browser(tmp_path).rows(name)]
    assert any("names no place" in text or "cannot be read" in text for text in told)
