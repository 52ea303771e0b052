"""A keystroke in the app: what the recipe's own work takes (text, tree, check, graph, panes), and what painting takes.

    python benchmarks/bench_editor.py [--lines 200] [--keys 40]

Prints medians and maxima of CPU time in milliseconds, with the letter typed in a statement in the middle of the recipe, which cannot be
read at every other key.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["TEXTUAL_ANIMATIONS"] = "none"

from tlimb.catalogue.verbs import FORMS
from tlimb.drawing.picture import picture
from tlimb.recipe.check import check
from tlimb.recipe.parse import read
from tlimb.recipe.split import split
from tlimb_tui.app import TlimbApp
from tlimb_tui.views import View
from tlimb_tui.workspace import Workspace

Times = dict[str, list[float]]


def recipe(lines: int) -> str:
    """A pre-training and what follows from it."""
    tuned = (
        f"finetune freeze layer{1 + n % 4} on demo.sex from pretrain with lr=1e-{1 + n % 5}, epochs={1 + n} as s{n}"
        for n in range(1, lines)
    )
    return "\n".join(("pretrain resnet18 on demo.age", *tuned)) + "\n"


def timed(times: Times, name: str, work: Callable[[], Any]) -> Any:
    """Do work and write down how long it took."""
    start = time.process_time()
    done = work()
    times.setdefault(name, []).append((time.process_time() - start) * 1000)
    return done


def parts(lines: int, keys: int) -> Times:
    """The steps one by one, without an app."""
    times: Times = {}
    text = recipe(lines)
    workspace = Workspace(text=text)
    place = text.index("\n", len(text) // 2)
    for number in range(keys):
        text = text[:place] + "x=1"[number % 3] + text[place:]
        place += 1
        timed(times, "split", lambda text=text: split(text, FORMS))
        timed(times, "read (with split)", lambda text=text: read(text))
        timed(times, "check", lambda: check(workspace.recipe, workspace.catalogue, workspace.datasets))
        timed(times, "workspace (all of these)", lambda text=text: workspace.set_text(text))
        timed(times, "picture", lambda: picture(workspace.recipe, data=True))
    return times


async def whole(lines: int, keys: int) -> Times:
    """The app: own work is what `text_changed` does, the rest of a key is Textual's."""
    times: Times = {}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "long.tlr"
        file.write_text(recipe(lines))
        app = TlimbApp(Workspace.open(file, lazy=True))
        async with app.run_test(size=(120, 36)) as pilot:
            while app.workspace.plan is None:
                await pilot.pause(0.1)
            app.edit_view.show_pane("editor")
            app.editor.move_cursor((lines // 2, 1000))
            await pilot.pause(0.5)
            for view in app.screen.walk_children(View):
                _watch(view, times)
            inner = app.text_changed
            app.text_changed = lambda text: timed(times, "own work of a key", lambda: inner(text))  # type: ignore[method-assign]
            for number in range(keys):
                start = time.process_time()
                await pilot.press("x1y"[number % 3])
                times.setdefault("whole key, painted", []).append((time.process_time() - start) * 1000)
    times["own work of a key"] = [value for value in times["own work of a key"] if value > 1]
    return times


def _watch(view: View, times: Times) -> None:
    inner = view.recipe_changed
    name = f"  pane {type(view).__name__}"
    view.recipe_changed = lambda: timed(times, name, inner)  # type: ignore[method-assign]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--keys", type=int, default=40)
    given = parser.parse_args()
    for times in (parts(given.lines, given.keys), asyncio.run(whole(given.lines, given.keys))):
        for name, values in times.items():
            print(f"{name:28} median {statistics.median(values):7.2f}  most {max(values):7.2f}")
        print()


if __name__ == "__main__":
    main()
