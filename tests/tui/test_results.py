"""The results tab: the ranking as the command line has it, curves of marked rows, the report."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tlimb.cli import main
from tlimb.run.opening import open_recipe
from tlimb.run.whole import plan_document
from tlimb_tui.ranking import ranked, ranking_work
from tlimb_tui.screens.results import ChooseMetric, ResultsView
from tlimb_tui.widgets.curves import Curves, Plot

from .conftest import Started, screen, until


async def shown(pilot: object) -> ResultsView:
    """The view with its ranking."""
    await pilot.press("3")  # type: ignore[attr-defined]
    view = pilot.app.query_one(ResultsView)  # type: ignore[attr-defined]
    await until(pilot, lambda: view.found is not None)  # type: ignore[arg-type]
    return view


async def test_the_ranking_is_that_of_the_command_line(trained: Path, opened: Started) -> None:
    async with opened(trained) as pilot:
        view = await shown(pilot)
        cells = [[str(cell) for cell in view.table.get_row_at(row)] for row in range(view.table.row_count)]
        said = CliRunner().invoke(main, ["results", str(trained / "card.tlr")]).output
        for row in cells:
            assert all(cell in said for cell in row[1:]), row
        assert len(cells) == 3
        for sentence in view.found.sentences:
            assert sentence in said
        assert view.found.sentences[0][:40] in screen(pilot)
        assert "higher is better" in screen(pilot)


async def test_marked_rows_are_drawn_over_each_other(trained: Path, opened: Started) -> None:
    async with opened(trained) as pilot:
        view = await shown(pilot)
        curves = view.query_one(Curves)
        assert len(curves.curves) == 3
        await pilot.press("space")
        assert len(curves.curves) == 2
        await pilot.press("down", "space", "down", "space")
        assert not curves.curves
        await until(pilot, lambda: "space marks a row" in screen(pilot))
        await pilot.press("space", "m")
        assert [curve.label.rpartition(" ")[2] for curve in curves.curves] == ["train.loss", "val.loss"]
        await pilot.press("t")
        await pilot.pause()
        assert not view.query_one(Plot).display


async def test_another_metric_orders_the_rows(trained: Path, opened: Started) -> None:
    async with opened(trained) as pilot:
        view = await shown(pilot)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseMetric))
        assert all(name.startswith("val.") for name in pilot.app.screen.metrics)
        await pilot.press(*"auroc", "enter")
        await until(pilot, lambda: view.found and view.found.ranking.by == "val.auroc")
        assert "ranked by val.auroc" in screen(pilot)


async def test_the_row_is_told_in_detail(trained: Path, opened: Started) -> None:
    async with opened(trained, (80, 24)) as pilot:
        view = await shown(pilot)
        lines = view.found.lines(view.row)
        assert any(line.startswith("trains ") for line in lines)
        assert any("constant" in line and line.startswith("test.balanced_accuracy") for line in lines), "baselines stand beside the metric"
        assert any(line.startswith("done ") for line in lines), "the stages of the variant"
        assert "trains" not in screen(pilot)
        await pilot.press("d")
        await until(pilot, lambda: "trains" in screen(pilot))


async def test_the_report_is_written_and_opened(trained: Path, opened: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    report = trained / "runs" / "card" / "report.html"
    report.unlink()
    async with opened(trained) as pilot:
        await shown(pilot)
        asked: list[str] = []
        monkeypatch.setattr(pilot.app, "open_url", asked.append)
        await pilot.press("O")
        await until(pilot, lambda: "w writes one" in screen(pilot))
        await pilot.press("w")
        await until(pilot, report.exists)
        await pilot.press("O")
        assert asked == [report.as_uri()]


async def test_an_empty_store_says_what_to_do(untrained: Path, opened: Started) -> None:
    async with opened(untrained, (80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "R runs the recipe" in screen(pilot))
        await pilot.press("space", "m", "b", "w")
        await until(pilot, lambda: "nothing to report yet" in screen(pilot))


async def test_a_result_that_comes_later_is_ranked_by_itself(trained: Path, opened: Started) -> None:
    away = {folder.name: folder for folder in (trained / "runs").iterdir() if (folder / "history.csv").exists()}
    kept = trained / "kept"
    kept.mkdir()
    for folder in away.values():
        shutil.move(folder, kept / folder.name)
    async with opened(trained) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "nothing has run yet" in screen(pilot))
        for name, folder in away.items():
            shutil.move(kept / name, folder)
        view = pilot.app.query_one(ResultsView)
        await until(pilot, lambda: view.found and all(row.seeds for row in view.found.ranking.rows))


async def test_a_broken_recipe_is_named(trained: Path, opened: Started) -> None:
    (trained / "card.tlr").write_text("pretrain resnet99 on tiny.age\n")
    async with opened(trained) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "resnet99" in screen(pilot))


def test_the_trials_of_a_search_are_asked_of_a_child_process(trained: Path) -> None:
    text = "pretrain resnet10(widen_factor=0.25) on tiny.age with epochs=2\nsweep lr in 1e-4..1e-2 log\nsearch random(round=2) 4\n"
    (trained / "search.tlr").write_text(text)
    opened = open_recipe(str(trained / "search.tlr"))
    from tlimb.run.store import Store

    work = ranking_work(opened.graph(), Store(trained / "runs"), None, text=text, folder=trained, datasets=None)
    found = work()
    assert len(found.ranking.rows) == 2
    assert "2 of its 4 trials" in " ".join(found.ranking.notes)


def test_a_ranking_names_what_rows_can_be_ranked_by(trained: Path) -> None:
    document = plan_document(open_recipe(str(trained / "card.tlr")).graph(), trained / "runs")
    found = ranked(document, trained / "runs", "val.auroc")
    assert found.metrics[0] == "val.balanced_accuracy"
    assert "val.auroc" in found.metrics
    assert len(found.histories(found.ranking.rows[0])) == 1
