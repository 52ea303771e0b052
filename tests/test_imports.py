"""What a command loads: looked at in `sys.modules` of a fresh process."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "lightning", "torchmetrics", "monai", "nibabel", "textual", "optuna", "numpy", "rich", "jinja2")
PROBE = """
import sys
from tlimb.cli import main
try:
    main({arguments!r}, standalone_mode=False)
except SystemExit:
    pass
print("LOADED", sorted({heavy!r} & sys.modules.keys()))
"""


def loaded(*arguments: str, cwd: Path) -> set[str]:
    code = PROBE.format(arguments=list(arguments), heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return set(re.findall(r"'(\w+)'", done.stdout.rpartition("LOADED")[2]))


@pytest.fixture
def long_recipe(tmp_path: Path) -> Path:
    lines = ["pretrain resnet18 on demo.age"]
    lines += [
        f"finetune freeze layer{1 + n % 4} on demo.sex from pretrain with lr=1e-{1 + n % 5}, epochs={1 + n} as s{n}" for n in range(199)
    ]
    file = tmp_path / "long.tlr"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize("command", [["--help"], ["check"], ["fmt", "--check"], ["desugar"], ["graph"]])
def test_the_compile_side_loads_no_heavy_package(command: list[str], long_recipe: Path) -> None:
    arguments = command if command == ["--help"] else [*command, str(long_recipe)]
    assert loaded(*arguments, cwd=long_recipe.parent) == set()


def test_help_does_not_load_the_parser(tmp_path: Path) -> None:
    code = PROBE.format(arguments=["--help"], heavy={"lark", "yaml"})
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_plan_and_compile_load_no_training_library(long_recipe: Path) -> None:
    banned = {"torch", "lightning", "torchmetrics", "monai", "nibabel", "textual", "optuna"}
    assert not loaded("plan", str(long_recipe), "--json", cwd=long_recipe.parent) & banned
    assert not loaded("compile", str(long_recipe), "-o", "out", cwd=long_recipe.parent) & banned
