"""What the app looks like. After a change that is meant: pytest tests/tui/test_snapshots.py --snapshot-update, and look at the pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.tui.conftest import RECIPE
from tlimb_tui.app import TlimbApp
from tlimb_tui.screens import help
from tlimb_tui.workspace import Workspace

Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _in_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose name is not seen, nothing known of networks, and cursors that do not blink."""
    for field in (Input, TextArea):
        monkeypatch.setattr(vars(field)["cursor_blink"], "_default", False)
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path / "lab")
    monkeypatch.setattr(help, "keymap_file", lambda: Path("keys.toml"))


def made(text: str = RECIPE, **options: bool) -> TlimbApp:
    Path("sex.tlr").write_text(text)
    return TlimbApp(Workspace.open(Path("sex.tlr"), lazy=True), **options)  # type: ignore[arg-type]


def ready(*keys: str) -> Callable[[Pilot[int]], object]:
    """Wait until what threads do is done, then press keys."""

    async def before(pilot: Pilot[int]) -> None:
        app = cast(TlimbApp, pilot.app)
        for _ in range(200):
            if not app.workspace.reading and (app.workspace.plan is not None or app.workspace.problems) and app.states is not None:
                break
            await pilot.pause(0.02)
        await pilot.press(*keys)
        shown = ""
        for _ in range(50):  # until nothing changes any more
            await pilot.pause(0.4)
            before, shown = shown, app.export_screenshot(title="")
            if shown == before:
                break

    return before


def test_edit(snap_compare: Compare) -> None:
    assert snap_compare(made(), terminal_size=(120, 36), run_before=ready("right"))


def test_problems_on_a_narrow_terminal_in_the_light(snap_compare: Compare) -> None:
    app = made(RECIPE.replace("demo.sex  #", "demo.sx  #").replace("finetune.lr in", "finetune.lr on"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=ready("f9", "p"))


def test_completion(snap_compare: Compare) -> None:
    typed = ["t", "end", "enter", *"finetune", "space", *"on", "space", *"demo", "full_stop"]
    assert snap_compare(made(), terminal_size=(120, 36), run_before=ready(*typed))


def test_help(snap_compare: Compare) -> None:
    assert snap_compare(made(), terminal_size=(80, 24), run_before=ready("question_mark", *"stage"))


def test_ascii_on_a_tiny_terminal(snap_compare: Compare) -> None:
    assert snap_compare(made(ascii_only=True), terminal_size=(40, 10), run_before=ready())
