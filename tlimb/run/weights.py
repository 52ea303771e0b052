"""`tlimb weights`: what a file of weights holds. It is opened in a child process that loads torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tlimb.errors import InputError, TlimbError

COMMAND = (sys.executable, "-m", "tlimb.train", "weights")
SHOWN = 40
"""Modules that are listed before the rest is only counted."""
Echo = Callable[[str], Any]


def inspect(file: Path, passport: Path | None, *, as_json: bool, echo: Echo) -> None:
    """Container, layout, modules, architectures that fit, passport.

    Raises:
        InputError: the file cannot be read without running what is in it, or holds no tensors.
    """
    answer = _ask("inspect", str(file), *(("--passport", str(passport)) if passport else ()))
    if as_json:
        echo(answer.rstrip())
    else:
        echo("\n".join(_lines(file.name, json.loads(answer))))


def convert(file: Path, out: Path, *, trust: bool) -> None:
    """Make a safetensors file of a pickle, once.

    Raises:
        InputError: it is not trusted, or cannot be opened.
    """
    if not trust:
        raise InputError(
            f"opening {file.name} may run code that its author put there",
            f"if you trust the author: tlimb weights convert {file} --trust -o {out}",
        )
    _ask("convert", str(file), "--out", str(out))


def _ask(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    words = done.stderr.strip()
    if done.returncode == InputError.exit_status:
        message, _, hint = words.rpartition("error: ")[2].partition("\n")
        raise InputError(message, hint.strip())
    raise TlimbError(f"the weights could not be read:\n{words[-2000:]}", f"the command is: {' '.join(COMMAND)}")


def _lines(name: str, found: dict[str, Any]) -> list[str]:
    layout = f", named like {found['layout']}" if found["layout"] else ""
    lines = [f"{name}: {found['container']}{layout}; {found['parameters']:,} numbers"]
    lines += [f"prefix {prefix} of {count} tensors" for prefix, count in found["prefixes"].items()]
    lines += ["", f"{'module':40} {'tensors':>7} {'numbers':>12}  first shape"]
    modules = found["modules"]
    lines += [
        f"{row['module']:40} {row['tensors']:7} {row['parameters']:12,}  {'x'.join(map(str, row['shape']))} {row['dtype']}"
        for row in modules[:SHOWN]
    ]
    if len(modules) > SHOWN:
        lines.append(f"… and {len(modules) - SHOWN} more (all with --json)")
    lines.append("")
    lines += [f"{fit['share']:6.1%} of {fit['architecture']} is in it, {fit['used']:.1%} of it is used" for fit in found["fits"]] or [
        "it fits no architecture known here"
    ]
    if found["note"]:
        lines.append(f"note: {found['note']}")
    if found["fits"]:
        lines.append(f'in a recipe: finetune on DATASET.LABEL from "{name}" with architecture={found["fits"][0]["architecture"]}')
    passport = [f"  {key}: {value}" for key, value in found["passport"].items()]
    return [*lines, "", *(["passport:", *passport] if passport else ["no passport: training cohort, licence and input are unknown"])]
