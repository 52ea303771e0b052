"""The run tab: states as they change, curves and logs, runs that outlive the app."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run.test_nextflow_engine import NEW, engine, needs_engine
from textual.widgets import Log

from tlimb.run import background
from tlimb.run.nextflow import compile_project, find_nextflow
from tlimb.run.opening import open_recipe
from tlimb.run.runs import runs
from tlimb.run.store import Store
from tlimb_tui.screens.options import RunOptions
from tlimb_tui.screens.run import RunView
from tlimb_tui.stages import RUN
from tlimb_tui.widgets.curves import Curve, Curves, Plot, choices, chosen

from .conftest import CARD, Started, screen, until

FAKE_RUN = (sys.executable, str(Path(__file__).parents[1] / "run" / "fake_run.py"))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are started train nothing."""
    monkeypatch.setattr(background, "COMMAND", FAKE_RUN)
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))


def rows(view: RunView) -> dict[str, list[str]]:
    """The cells of the table by the words of the stage."""
    table = view.table
    found = {}
    for row in range(table.row_count):
        cells = [str(cell) for cell in table.get_row_at(row)]
        found[cells[1].strip()] = cells
    return found


async def test_what_is_finished_is_shown_with_its_curves(trained: Path, opened: Started) -> None:
    async with opened(trained) as pilot:
        await pilot.press("2")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: "▸ finetune ×2" in rows(view))
        shown = rows(view)
        assert list(shown) == ["the run itself", "prepare tiny", "pretrain", "▸ finetune ×2", "scratch"] or list(shown) == [
            "prepare tiny",
            "pretrain",
            "▸ finetune ×2",
            "scratch",
        ]
        assert shown["pretrain"][0] == "✔ done"
        assert any(cell.startswith("val.mae ") for cell in shown["pretrain"])
        assert "5 of 5 stages finished" in screen(pilot)

        view._choose("pretrain")
        curves = view.query_one(Curves)
        await until(pilot, lambda: curves.curves)
        assert (curves.title.partition(" ")[0], len(curves.curves[0].values)) == ("val.mae", 2)
        assert view.query_one(Plot).display
        await pilot.press("m")
        await until(pilot, lambda: curves.title.startswith("loss"))
        assert [curve.label for curve in curves.curves] == ["train.loss", "val.loss"]
        await pilot.press("t")
        assert not view.query_one(Plot).display
        assert "train.loss" in screen(pilot)


async def test_a_step_opens_into_its_stages(trained: Path, opened: Started) -> None:
    async with opened(trained) as pilot:
        await pilot.press("2")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: "▸ finetune ×2" in rows(view))
        view._choose("finetune")
        await pilot.press("enter")
        await until(pilot, lambda: {"lr=0.001", "lr=0.0001"} <= rows(view).keys())
        await pilot.press("down")
        assert view.stage is not None
        assert view.stage.apart == "lr=0.001"
        assert pilot.app.selected == pilot.app.workspace.recipe.statements.index(
            next(s for s in pilot.app.workspace.recipe.statements if getattr(s, "verb", "") == "finetune")
        ), "the statement of the stage is selected everywhere"
        await pilot.press("enter")
        await until(pilot, lambda: "▸ finetune ×2" in rows(view))
        assert view.current == "finetune"


async def test_before_anything_has_run_it_says_what_to_do(untrained: Path, opened: Started) -> None:
    async with opened(untrained, (80, 24)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "R runs the recipe" in screen(pilot))
        assert "idle" in screen(pilot)
        assert not (untrained / "runs").exists()


async def test_a_broken_recipe_is_not_run(untrained: Path, opened: Started) -> None:
    (untrained / "card.tlr").write_text(CARD.replace("layer3", "layer3 on"))
    async with opened(untrained) as pilot:
        await until(pilot, lambda: pilot.app.workspace.problems)
        await pilot.press("2", "R")
        await until(pilot, lambda: "mend them first" in screen(pilot))
        assert not (untrained / "runs").exists()


async def test_a_run_survives_the_app_and_is_found_again(
    untrained: Path, opened: Started, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_WORKER", json.dumps({"pretrain": "half"}))
    store = Store(untrained / "runs")
    async with opened(untrained) as pilot:
        await pilot.press("2", "R")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: "◐ running" in rows(view).get("pretrain", [""])[0])
        assert any("1/2" in cell for cell in rows(view)["pretrain"])
        await until(pilot, lambda: rows(view)["scratch"][0].endswith("done"))
        assert rows(view)["▸ finetune ×2"][0] == "◌ queued"
        await pilot.press("R")
        await until(pilot, lambda: "s in the Run tab stops it" in screen(pilot))
    (run,) = runs(store)
    assert run.state == "running", "closing the app has not stopped it"

    async with opened(untrained) as pilot:
        await pilot.press("2")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: view.live)
        assert view.live[0].pid == run.pid
        assert f"process {run.pid}" in screen(pilot)
        view._choose("pretrain")
        await until(pilot, lambda: "training pretrain" in "".join(map(str, pilot.app.query_one(Log).lines)))
        view._choose(RUN)
        await until(pilot, lambda: any("pretrain" in line for line in pilot.app.query_one(Log).lines))
        await pilot.press("s")
        await until(pilot, lambda: not view.live)
        await until(pilot, lambda: "was stopped; the same command goes on" in screen(pilot))
        assert rows(view)["pretrain"][0] == "○ idle"
    assert runs(store)[0].status == 130


async def test_one_stage_is_run_with_what_it_needs(untrained: Path, opened: Started, fake: None) -> None:
    async with opened(untrained) as pilot:
        await until(pilot, lambda: pilot.app.workspace.plan)
        number = next(n for n, s in enumerate(pilot.app.workspace.recipe.statements) if getattr(s, "verb", "") == "pretrain")
        pilot.app.select(number)
        await pilot.press("f5")
        assert pilot.app.tab == "run"
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: rows(view).get("pretrain", [""])[0] == "✔ done" and not view.live)
        assert rows(view)["scratch"][0] == "○ idle"


async def test_a_failed_stage_shows_why_and_its_log(untrained: Path, opened: Started, fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_WORKER", json.dumps({"pretrain": "fail"}))
    async with opened(untrained, (80, 24)) as pilot:
        await pilot.press("2", "R")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: rows(view).get("pretrain", [""])[0] == "✖ failed")
        view._choose("pretrain")
        await until(pilot, lambda: "no participant has a label" in screen(pilot))
        await until(pilot, lambda: "needs pretrain, which failed" in " ".join(rows(view)["scratch"]) or not view.live)
        await until(pilot, lambda: any("training pretrain" in line for line in pilot.app.query_one(Log).lines))


async def test_unsaved_text_is_saved_before_it_runs(untrained: Path, opened: Started, fake: None) -> None:
    async with opened(untrained) as pilot:
        await until(pilot, lambda: pilot.app.workspace.plan)
        pilot.app.editor.take(CARD + "# a word\n")
        await until(pilot, lambda: pilot.app.workspace.dirty)
        await pilot.press("2", "R")
        await until(pilot, lambda: "It is saved before it runs" in screen(pilot))
        await pilot.press("escape")
        assert not (untrained / "runs").exists()
        await pilot.press("R")
        await until(pilot, lambda: "It is saved before it runs" in screen(pilot))
        await pilot.press("s")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: view.snapshot and view.snapshot.done == 5)
        assert (untrained / "card.tlr").read_text().endswith("# a word\n")


async def test_how_to_run_is_asked_in_a_form(untrained: Path, opened: Started) -> None:
    async with opened(untrained, (80, 24)) as pilot:
        await pilot.press("2", "o")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunOptions))
        form = pilot.app.screen
        form.query_one("#jobs").value = "many"
        form.query_one("#jobs").focus()
        await pilot.press("enter")
        assert "not a whole number" in screen(pilot)
        form.query_one("#jobs").value = "3"
        await pilot.press("enter")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: view.options.jobs == 3)
        assert "3 jobs" in screen(pilot)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunOptions))
        pilot.app.screen.query_one("RadioSet").focus()
        await pilot.press("down", "enter")
        assert pilot.app.screen.query_one("#jobs").disabled
        pilot.app.screen.query_one("#profile").value = "slurm"
        pilot.app.screen.query_one("#profile").focus()
        await pilot.press("enter")
        await until(pilot, lambda: view.options.engine == "nextflow")
        assert (view.options.profile, view.options.jobs) == ("slurm", None)


@needs_engine
async def test_a_run_that_nextflow_was_started_for_elsewhere_is_shown(
    untrained: Path, opened: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "tlimb").write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE_RUN[1].replace("fake_run", "fake_tlimb")} "$@"\n')
    (tools / "tlimb").chmod(0o755)
    engine(monkeypatch, NEW)
    monkeypatch.setenv("NXF_OPTS", "-Xmx512m")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_TLIMB", json.dumps({"pretrain": "slow", "scratch": "fail"}))
    recipe = open_recipe(str(untrained / "card.tlr"))
    project = compile_project(recipe.graph(), recipe.datasets, tmp_path / "project")
    launch = tmp_path / "launch"
    launch.mkdir()
    process = subprocess.Popen([find_nextflow(), "run", project], cwd=launch, stdout=subprocess.DEVNULL)
    try:
        async with opened(untrained, store=launch / "results") as pilot:
            await pilot.press("2")
            view = pilot.app.query_one(RunView)
            await until(pilot, lambda: rows(view).get("pretrain", [""])[0] == "◐ running", 90)
            await until(pilot, lambda: rows(view)["scratch"][0] == "✖ failed", 90)
            assert "nextflow run of card at work" in screen(pilot)
            assert rows(view)["▸ finetune ×2"][0] == "◌ queued"
            await pilot.press("s")
            await until(pilot, lambda: not view.live, 60)
        assert process.wait(timeout=60) != 0
    finally:
        process.kill()
        process.wait()


async def test_without_nextflow_it_says_how_to_get_it(untrained: Path, opened: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_NEXTFLOW", "/nowhere/nextflow")
    async with opened(untrained) as pilot:
        pilot.app.query_one(RunView).options = background.Options(engine="nextflow")
        await until(pilot, lambda: pilot.app.workspace.plan)
        await pilot.press("2", "R")
        await until(pilot, lambda: "is no executable" in screen(pilot))


async def test_with_ascii_only_all_of_it_is_ascii(trained: Path, opened: Started) -> None:
    async with opened(trained, ascii_only=True) as pilot:
        await pilot.press("2")
        view = pilot.app.query_one(RunView)
        await until(pilot, lambda: "+ finetune x2" in rows(view))
        view._choose("pretrain")
        await until(pilot, lambda: view.query_one(Curves).curves)
        table = " ".join(cell for row in rows(view).values() for cell in row)
        assert table.isascii()
        assert not view.query_one(Plot).display, "curves are a table"


async def test_a_store_of_a_newer_version_is_named(trained: Path, opened: Started) -> None:
    from tlimb_tui.app import TlimbApp
    from tlimb_tui.workspace import Workspace

    (trained / "runs" / "store.json").write_text('{"format": 9}')
    app = TlimbApp(Workspace.open(trained / "card.tlr", lazy=True))
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "update TLIMB" in screen(pilot))
        await pilot.press("3")
        await until(pilot, lambda: "has format 9" in screen(pilot))


def test_curves_are_offered_in_the_order_of_what_they_tell() -> None:
    history = {"epoch": [1.0], "lr": [0.1], "train.loss": [1.0], "val.loss": [2.0], "val.mae": [3.0], "val.r2": [0.5]}
    assert choices(history, "val.r2") == ["val.r2", "loss", "val.mae", "lr"]
    assert choices(history, "") == ["loss", "val.mae", "val.r2", "lr"]
    assert choices({}, "val.r2") == []
    assert [curve.label for curve in chosen(history, "loss")] == ["train.loss", "val.loss"]
    assert Curve("x", [1.0, float("nan"), 3.0]).points == ([1.0, 3.0], [1.0, 3.0])
