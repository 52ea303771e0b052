"""The documents say what the program does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.registry import load_catalogue
from tlimb.errors import CODES
from tlimb.recipe.check import check
from tlimb.recipe.format import format_recipe
from tlimb.recipe.parse import parse

ROOT = Path(__file__).parent.parent


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs/generate.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_code_in_use_is_listed_and_every_listed_code_is_in_use() -> None:
    sources = [*(ROOT / "tlimb/recipe").glob("*.py"), ROOT / "tlimb/configs/build.py", ROOT / "tlimb/run/opening.py"]
    sources.append(ROOT / "tui/tlimb_tui/lines.py")
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    by_kind = {
        "unknown-architecture",
        "unknown-augmentation",
        "unknown-data",
        "unknown-logger",
        "unknown-optimizer",
        "unknown-schedule",
        "unknown-search",
    }
    assert {code for code in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', text) if code not in CODES} == set()
    assert {code for code in CODES if f'"{code}"' not in text} == by_kind


@pytest.mark.parametrize("file", sorted((ROOT / "recipes").glob("*.tlr")), ids=lambda file: file.stem)
def test_a_shipped_recipe_is_right_and_formatted(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    parsed = parse(text)
    assert not parsed.diagnostics
    assert check(parsed.recipe, load_catalogue(), find_datasets()) == []
    assert format_recipe(text) == text


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} -> {target}"
