"""The package of docs/own-components.md: extracted from the page and used by its recipe."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from test_run import run

from tlimb.catalogue.own import CODE
from tlimb.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "own-components.md"
LONGEST = 40


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page."""
    monkeypatch.delenv(CODE, raising=False)
    for text in re.findall(r"```(?:python)?\n(# [\w/-]+\.(?:py|tlr)\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        file = tmp_path / text.splitlines()[0].removeprefix("# ")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        assert len(text.splitlines()) < LONGEST
    return tmp_path


def test_the_package_of_the_page_runs_as_it_says(project: Path) -> None:
    refused = run("data", "import", "mylab.data.Blobs", "--name", "blobs", cwd=project, status=2)
    assert "--trust" in refused.stderr
    run("data", "import", "mylab.data.Blobs", "count=80", "--name", "blobs", "--trust", cwd=project)
    assert "--trust" in run("check", "own.tlr", cwd=project, status=2).stderr
    run("run", "own.tlr", "--trust", "--jobs", "1", cwd=project)
    configs = {config["name"]: config for file in project.glob("runs/*/stage.yaml") for config in [yaml.safe_load(file.read_text())]}
    assert configs["train"]["scenario"]["class_path"] == "mylab.scenarios.NoisyInputs"
    assert configs["train"]["objective"]["class_path"] == "mylab.losses.LogCosh"
    assert configs["train"]["auxiliaries"]["small"]["class_path"] == "mylab.terms.SmallFeatures"
    assert list(configs["blobs"]["code"]) == ["mylab"]
    assert configs["finetune"]["scenario"]["class_path"].endswith("Supervised")


def test_a_change_of_the_code_is_another_stage_and_a_project_takes_it_along(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv(CODE, "")  # what --trust sets here must not outlive the test
    (project / "a.tlr").write_text("data axial_slice(size=32x32)\ntrain mylab.nets.WideNet on demo.age\n")

    def planned() -> list[str]:
        done = CliRunner().invoke(main, ["desugar", "a.tlr", "--trust"])
        assert done.exit_code == 0, done.output
        return [document["digest"] for document in yaml.safe_load_all(done.stdout) if "digest" in document]

    before = planned()
    assert planned() == before
    nets = project / "mylab" / "nets.py"
    nets.write_text(nets.read_text().replace("relu", "tanh"))
    after = planned()
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert CliRunner().invoke(main, ["compile", "a.tlr", "-o", "nf", "--trust"]).exit_code == 0
    assert (project / "nf" / "code" / "mylab" / "nets.py").read_text() == nets.read_text()
    assert "TLIMB_CODE" in (project / "nf" / "nextflow.config").read_text()
    assert str(project) not in json.dumps([file.read_text() for file in (project / "nf" / "configs").iterdir()])
