"""The app under test: no animation, no blinking, and nothing of the user's is read or written."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

os.environ["TEXTUAL_ANIMATIONS"] = "none"  # read when textual is imported

RECIPE = """# brain age helps sex
pretrain resnet18 on demo.age as first
finetune freeze layer2 on demo.sex  # new head
evaluate on demo.sex
sweep finetune.lr in [1e-4, 1e-3]
"""


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.delenv("NO_COLOR", raising=False)


Started = Callable[..., AbstractAsyncContextManager[Pilot[int]]]


@pytest.fixture
def started(tmp_path: Path) -> Started:
    """Start the app on a recipe in a folder of its own; the app is ``pilot.app``."""
    from tlimb_tui.app import TlimbApp
    from tlimb_tui.workspace import Workspace

    @asynccontextmanager
    async def start(text: str | None = RECIPE, size: tuple[int, int] = (120, 36), **options: object) -> AsyncIterator[Pilot[int]]:
        folder = tmp_path / "lab"
        folder.mkdir(exist_ok=True)
        workspace = Workspace(None, folder=folder, lazy=True)
        if text is not None:
            (folder / "sex.tlr").write_bytes(text.encode())
            workspace = workspace.another(folder / "sex.tlr")
        app = TlimbApp(workspace, **options)  # type: ignore[arg-type]
        async with app.run_test(size=size, notifications=True) as pilot:
            app.editor.cursor_blink = False
            await pilot.pause()
            yield pilot

    return start


CARD = """data axial_slice(size=32x32)
pretrain resnet10(widen_factor=0.25) on tiny.age with epochs=2
finetune freeze layer3 on tiny.sex with epochs=2
train resnet10(widen_factor=0.25) on tiny.sex with epochs=2 as scratch
sweep finetune.lr in [1e-3, 1e-4]
"""


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that was run for real, once for all tests."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n")
    (folder / "card.tlr").write_text(CARD)
    command = [sys.executable, "-m", "tlimb", "run", "card.tlr", "--threads", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """A copy of it: card.tlr, datasets.yaml and the store."""
    return Path(shutil.copytree(_trained, tmp_path / "trained é"))


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """The same recipe before it has run."""
    folder = tmp_path / "untrained é"
    folder.mkdir()
    (folder / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\n")
    (folder / "card.tlr").write_text(CARD)
    return folder


@pytest.fixture
def opened() -> Started:
    """Open the recipe of a folder, planned and looked at."""
    from tlimb_tui.app import TlimbApp
    from tlimb_tui.workspace import Workspace

    @asynccontextmanager
    async def start(
        folder: Path, size: tuple[int, int] = (120, 36), store: Path | None = None, **options: object
    ) -> AsyncIterator[Pilot[int]]:
        app = TlimbApp(Workspace.open(folder / "card.tlr", store=store, lazy=True), **options)  # type: ignore[arg-type]
        async with app.run_test(size=size, notifications=True) as pilot:
            app.editor.cursor_blink = False
            await until(pilot, lambda: app.states is not None)
            yield pilot

    return start


async def until(pilot: Pilot[int], wanted: Callable[[], object], seconds: float = 30.0) -> None:
    """Let the app work until something holds."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, "it never came to that"
        await pilot.pause(0.02)


def screen(pilot: Pilot[int]) -> str:
    """What the screen shows, as lines of text."""
    width = pilot.app.size.width
    return "\n".join(line.text[:width].rstrip() for line in pilot.app.screen._compositor.render_strips())
