"""The app under test: no animation, no blinking, and nothing of the user's is read or written."""

import os
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
