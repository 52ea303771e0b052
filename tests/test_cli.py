"""The command line as a user meets it: output, exit status, no traceback. Each test is a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def tlimb(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tlimb", *arguments]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, env=environment, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_check_says_where_what_and_how(tmp_path: Path) -> None:
    (tmp_path / "a.tlr").write_text("pretrain resnet18 on demo.agee\n")
    done = tlimb("check", "a.tlr", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error[unknown-target]: demo has no label 'agee'\n"
        "  --> a.tlr:1:27\n"
        "1 | pretrain resnet18 on demo.agee\n"
        "  |                           ^^^^ did you mean 'age'? demo offers: age, sex\n"
    )


def test_check_as_json_is_one_document(tmp_path: Path) -> None:
    done = tlimb("check", "-", "--json", cwd=tmp_path, stdin="train resnet19 on demo.age\n")
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert [(d["code"], d["line"], d["column"], d["fix"][0]["new"]) for d in document["diagnostics"]] == [
        ("unknown-architecture", 1, 7, "resnet18")
    ]


def test_a_right_recipe_passes(tmp_path: Path) -> None:
    done = tlimb("check", "-", cwd=tmp_path, stdin="train resnet18 on demo.age\n")
    assert (done.returncode, done.stdout) == (0, "<stdin>: no mistakes\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "nowhere.tlr"], "no such file"),
        (["check", "."], "is a folder"),
        (["explain", "freze"], "did you mean 'freeze'"),
        (["data", "check", "dmeo"], "did you mean 'demo'"),
        (["new", "x", "--from", "nothing"], "available: "),
        (["plan", "-", "--set", "lr"], "not of the form PATH=VALUE"),
        (["status", "--store", "nowhere"], "no store"),
        (["check", "-", "--datasets", "gone.yaml"], "gone.yaml"),
    ],
)
def test_wrong_input_is_a_message_and_status_2(arguments: list[str], told: str, tmp_path: Path) -> None:
    done = tlimb(*arguments, cwd=tmp_path, stdin="train resnet18 on demo.age\n")
    assert done.returncode == 2
    assert told in done.stderr


def test_text_that_is_not_utf8_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.tlr").write_bytes(b"train resnet18 on demo.age # \xff\n")
    done = tlimb("check", "a.tlr", cwd=tmp_path)
    assert done.returncode == 2
    assert "UTF-8" in done.stderr


def test_fmt_formats_checks_and_refuses(tmp_path: Path) -> None:
    file = tmp_path / "a.tlr"
    file.write_text("train   resnet18 on demo.age   with lr = 1e-3\n")
    assert tlimb("fmt", "a.tlr", "--check", cwd=tmp_path).returncode == 1
    assert "+train resnet18 on demo.age with lr=1e-3" in tlimb("fmt", "a.tlr", "--diff", cwd=tmp_path).stdout
    assert tlimb("fmt", "a.tlr", cwd=tmp_path).returncode == 0
    assert file.read_text() == "train resnet18 on demo.age with lr=1e-3\n"
    file.write_text("train resnet18 onn demo.age\n")
    assert tlimb("fmt", "a.tlr", cwd=tmp_path).returncode == 2
    assert file.read_text() == "train resnet18 onn demo.age\n"


def test_desugared_yaml_is_accepted_as_a_recipe(tmp_path: Path) -> None:
    recipe = "pretrain resnet18 on demo.age; finetune freeze layer4 on demo.sex; sweep lr in [1e-4, 1e-3]\n"
    (tmp_path / "a.tlr").write_text(recipe)
    yaml = tlimb("desugar", "a.tlr", cwd=tmp_path).stdout
    (tmp_path / "b.yaml").write_text(yaml)
    assert (
        tlimb("graph", "a.tlr", "--format", "dot", cwd=tmp_path).stdout == tlimb("graph", "b.yaml", "--format", "dot", cwd=tmp_path).stdout
    )
    assert tlimb("check", "b.yaml", cwd=tmp_path).returncode == 0


def test_set_on_the_command_line_is_checked_like_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.tlr").write_text("train resnet18 on demo.age")
    assert "max_epochs: 2" in tlimb("desugar", "a.tlr", "--set", "epochs=2", cwd=tmp_path).stdout
    (tmp_path / "b.tlr").write_text("train resnet18 on demo.age with epochs=5\nsweep lr in [1e-3]\n")
    assert "max_epochs: 2" in tlimb("desugar", "b.tlr", "--set", "epochs=2", cwd=tmp_path).stdout
    swept = tlimb("desugar", "b.tlr", "--set", "lr=1", cwd=tmp_path)
    assert swept.returncode == 2
    assert "sweeps lr" in swept.stderr
    done = tlimb("desugar", "a.tlr", "--set", "epohcs=2", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'epochs'" in done.stderr


def test_every_command_has_help_with_an_example(tmp_path: Path) -> None:
    from tlimb.cli import data, main, stage

    for prefix, group in (([], main), (["stage"], stage), (["data"], data)):
        for name, command in group.commands.items():
            if not command.hidden and not hasattr(command, "commands"):
                assert "Example:" in tlimb(*prefix, name, "--help", cwd=tmp_path).stdout


def test_new_writes_a_recipe_that_is_right_and_never_overwrites(tmp_path: Path) -> None:
    assert tlimb("new", "mine", cwd=tmp_path).returncode == 0
    assert tlimb("check", "mine.tlr", cwd=tmp_path).returncode == 0
    assert tlimb("new", "mine", cwd=tmp_path).returncode == 2


def test_data_add_makes_an_entry_that_recipes_can_use(tmp_path: Path) -> None:
    image = tmp_path / "lab/sub-01/anat/sub-01_T1w.nii.gz"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"")
    (tmp_path / "lab/participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t33\tF\nsub-02\tn/a\tM\n")
    assert tlimb("data", "add", "lab", cwd=tmp_path).returncode == 0
    assert "lab" in tlimb("data", "list", cwd=tmp_path).stdout
    done = tlimb("data", "check", "lab", "--quick", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert {problem["kind"] for problem in json.loads(done.stdout)["problems"]} >= {"zero-byte", "participant-without-image"}
    assert tlimb("data", "add", "lab", "--name", "other", cwd=tmp_path).returncode == 0
    assert "other" in tlimb("data", "list", cwd=tmp_path).stdout
