"""The data tab: what data sets hold, who is in them, scans, checks and new folders; also on real folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from textual.widgets import Input, Label, Static, TextArea

from tlimb.cli import main
from tlimb_tui.screens.addfolder import AddFolder
from tlimb_tui.screens.data import DataView, Known
from tlimb_tui.widgets.slices import Slices, arrange

from .conftest import CARD, Started, screen, until


async def shown(pilot: object, name: str) -> DataView:
    """The view with a data set chosen and read."""
    await pilot.press("4")  # type: ignore[attr-defined]
    view = pilot.app.query_one(DataView)  # type: ignore[attr-defined]
    await until(pilot, lambda: view.sets.row_count)  # type: ignore[arg-type]
    names = list(view.tlimb.workspace.datasets)
    view.sets.move_cursor(row=names.index(name))
    await until(pilot, lambda: view.current == name and isinstance(view.known.get(name), Known))  # type: ignore[arg-type]
    return view


def overview(view: DataView) -> str:
    """What is said of the data set."""
    return str(view.query_one("#data-overview Static", Static).content)


async def test_labels_roles_and_participants_are_shown(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        await until(pilot, lambda: pilot.app.workspace.plan)
        view = await shown(pilot, "tiny")
        await until(pilot, lambda: "in this recipe" in overview(view))
        text = overview(view)
        assert "40 participants, 40 with images" in text
        assert "in this recipe: 30 train, 6 val, 4 test" in text
        assert "number, 40 present" in text
        assert "█" in text
        header = [str(column.label) for column in view.people.ordered_columns]
        assert header == ["participant", "role", "age", "sex", "image"]
        assert view.people.row_count == 40


async def test_the_scan_of_a_participant_is_drawn_and_moved_in(untrained: Path, opened: Started) -> None:
    async with opened(untrained) as pilot:
        view = await shown(pilot, "tiny")
        slices = view.query_one(Slices)
        await until(pilot, lambda: slices.said.get("kind") == "volume")
        assert slices.said["at"] == [20, 24, 20]
        await until(pilot, lambda: "sagittal S" in screen(pilot))
        assert "▀" in screen(pilot)
        view.people.focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: slices.scan and slices.scan.participant_id.endswith("2") and slices.said.get("kind"))
        assert slices.has_focus
        await pilot.press("right", "up", "pageup", "pageup")
        await until(pilot, lambda: slices.said["at"] == [21, 25, 22])
        assert "at 21, 25, 22" in screen(pilot)
        await pilot.press("home")
        await until(pilot, lambda: slices.said["at"] == [20, 24, 20])
        left, top, plane = slices._places[0]
        await pilot.click(Slices, offset=(left, top + 1))
        await until(pilot, lambda: slices.said["at"][1] == 0)
        assert plane.name == "sagittal"


async def test_narrow_screens_show_one_page_at_a_time(untrained: Path, opened: Started) -> None:
    async with opened(untrained, (80, 24)) as pilot:
        view = await shown(pilot, "tiny")
        await until(pilot, lambda: "40 participants" in screen(pilot))
        await pilot.press("v")
        await until(pilot, lambda: "_T1w.nii.gz" in screen(pilot))
        await pilot.press("v")
        await until(pilot, lambda: "sagittal" in screen(pilot))
        await pilot.press("v")
        await until(pilot, lambda: "c opens every image" in screen(pilot))
        assert view.page == "findings"


async def test_a_check_finds_what_is_wrong_and_can_be_stopped(untrained: Path, opened: Started) -> None:
    images = untrained / "images"
    images.mkdir()
    from PIL import Image

    for number in range(3):
        Image.fromarray(np.full((8, 8), 7 if number else 0, np.uint8) + np.eye(8, dtype=np.uint8)).save(images / f"p{number}.png")
    (images / "bad.png").write_text("no picture")
    (images / "labels.csv").write_text("subject,file,age\np0,p0.png,20\np1,p1.png,30\np2,p2.png,40\nbad,bad.png,50\n")
    rest = "table: labels.csv, path: file, participant: subject, labels: {age: {column: age}}"
    table = f"lab: {{format: table, root: {json.dumps(str(images))}, {rest}}}\n"
    (untrained / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n" + table)
    async with opened(untrained) as pilot:
        view = await shown(pilot, "lab")
        await pilot.press("c")
        await until(pilot, lambda: "opening every image" in screen(pilot))
        await until(pilot, lambda: view._checks.get("lab"))
        await pilot.press("c")
        await until(pilot, lambda: "was stopped" in screen(pilot))
        await pilot.press("c")
        await until(pilot, lambda: "bad image: 1" in screen(pilot), 120)
        assert "duplicate: 1" in screen(pilot)
        assert "p2.png holds the same values as p1.png" in str(view.query_one("#data-findings Static", Static).content)


async def test_a_folder_is_added_with_an_entry_that_was_read(untrained: Path, opened: Started, tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    from PIL import Image

    for number in range(2):
        Image.fromarray(np.eye(8, dtype=np.uint8) * (50 + number)).save(folder / f"p{number}.png")
    (folder / "labels.csv").write_text("subject,file,age\np0,p0.png,20\np1,p1.png,30\n")
    async with opened(untrained) as pilot:
        await pilot.press("4", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, AddFolder))
        form = pilot.app.screen
        form.query_one(Input).value = str(tmp_path / "nowhere")
        form.query_one(Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: "no such folder" in str(form.query_one("#add-said", Label).content))
        form.query_one(Input).value = str(folder)
        form._look()
        await until(pilot, lambda: form.has_class("-suggested"))
        entry = form.query_one(TextArea)
        assert "format: table" in entry.text
        entry.text = entry.text.replace("my_images:", "mine:")
        form.query_one("#look").press()
        view = pilot.app.query_one(DataView)
        await until(pilot, lambda: isinstance(view.known.get("mine"), Known))
        assert "mine:" in (untrained / "datasets.yaml").read_text()
        assert view.current == "mine"


async def test_a_broken_entry_says_what_is_wrong(untrained: Path, opened: Started) -> None:
    (untrained / "datasets.yaml").write_text(
        "tiny: {format: demo, participants: 40}\nlost: {format: bids, root: /nowhere}\nodd: {format: what}\n"
    )
    async with opened(untrained) as pilot:
        await pilot.press("4")
        view = pilot.app.query_one(DataView)
        await until(pilot, lambda: view.sets.row_count == 4)
        for name, words in (("lost", "/nowhere"), ("odd", "unknown format 'what'")):
            view.sets.move_cursor(row=list(view.tlimb.workspace.datasets).index(name))
            await until(pilot, lambda words=words: words in overview(view))


def test_the_arrangement_of_slices_uses_the_room_there_is() -> None:
    assert arrange(120, 20).across == 3
    assert arrange(40, 60).across in (1, 2)
    for width, height in ((20, 60), (44, 32), (78, 12), (200, 50)):
        found = arrange(width, height)
        assert found.across * (found.width + 3) <= width + 3
        assert -(-3 // found.across) * (found.height + 2) <= height + 2


@pytest.mark.real_data
async def test_real_folders(real_data: Path, untrained: Path, opened: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    monkeypatch.chdir(untrained)
    for name, place in (("ixi", "ixi_4mm_bids"), ("png", "ixi_axial_png"), ("fmri", "nitime_fmri"), ("empty", "bids_skeletons/ds000030")):
        assert CliRunner().invoke(main, ["data", "add", str(real_data / place), "--name", name]).exit_code == 0
    (untrained / "card.tlr").write_text(CARD.replace("tiny", "ixi"))
    async with opened(untrained) as pilot:
        await until(pilot, lambda: pilot.app.workspace.plan)
        view = await shown(pilot, "ixi")
        slices = view.query_one(Slices)
        await until(pilot, lambda: slices.said.get("shape") == [40, 48, 40])
        await until(pilot, lambda: "132 train, 26 val, 27 test" in overview(view))
        await shown(pilot, "png")
        await until(pilot, lambda: slices.said.get("kind") == "picture")
        await shown(pilot, "fmri")
        await until(pilot, lambda: slices.said.get("frames") == 40)
        slices.focus()
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: slices.said.get("frame") == 1)
        await shown(pilot, "empty")
        await until(pilot, lambda: "0 bytes" in slices.said.get("error", ""))
        assert "zero byte: 265" in overview(view)
