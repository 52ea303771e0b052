"""The text of compiled projects."""

import csv
import io
import json

import pytest
import yaml

from emit.small_graphs import graph, stage, sweep
from tlimb.assets import asset
from tlimb.configs.text import dump
from tlimb.emit.nextflow import TEMPLATES, Options, emit, process_text, processes
from tlimb.emit.width import width
from tlimb.stages.graph import StageGraph
from tlimb.stages.part import part


@pytest.fixture(scope="module")
def templates() -> dict[str, str]:
    return {name: asset("nf_templates", *name.split("/")).read_text(encoding="utf-8") for name in TEMPLATES}


def compiled(stages: StageGraph, templates: dict[str, str], options: Options | None = None) -> dict[str, str]:
    return emit(stages, datasets_yaml="ukb: {format: demo}\n", templates=templates, options=options)


def jobs(files: dict[str, str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files["jobs.csv"])))


def test_a_project_has_a_line_and_a_config_per_stage(templates: dict[str, str]) -> None:
    whole = sweep(3)
    files = compiled(whole, templates)
    rows = jobs(files)
    assert set(files) >= {"main.nf", "nextflow.config", "plan.json", "datasets.yaml", "recipe.tlr", "README.md"}
    by_digest = {stage.digest: stage for stage in whole.stages}
    assert sorted(by_digest) == sorted(row["id"].rpartition("-")[2] for row in rows)
    for row in rows:
        made = by_digest[row["id"].rpartition("-")[2]]
        assert [need.rpartition("-")[2] for need in row["needs"].split()] == list(made.parents)
        config = yaml.safe_load(files[row["config"]])
        assert config == {key: value for key, value in made.config.items() if key != "about"}
    assert json.loads(files["plan.json"]) == json.loads(json.dumps(whole.document()))


def test_configs_are_the_text_of_desugar_without_titles(templates: dict[str, str]) -> None:
    whole = sweep(1)
    files = compiled(whole, templates)
    by_digest = {stage.digest: stage for stage in whole.stages}
    for row in jobs(files):
        made = by_digest[row["id"].rpartition("-")[2]]
        text = dump({key: value for key, value in made.config.items() if key != "about"})
        assert files[row["config"]].replace(f"'{made.digest}'", made.digest, 1) == text.replace(f"'{made.digest}'", made.digest, 1)


def test_the_program_does_not_grow_with_the_variants(templates: dict[str, str]) -> None:
    small, large = compiled(sweep(1), templates), compiled(sweep(50), templates)
    assert small["main.nf"] == large["main.nf"]
    assert small["main.nf"].count("\nprocess ") == 5


def test_a_stage_has_a_process_whose_text_is_found(templates: dict[str, str]) -> None:
    whole = sweep(2)
    main = compiled(whole, templates)["main.nf"]
    names = processes(whole)
    assert {stage.name: names[stage.digest] for stage in whole.stages} == {
        "ukb": "PREPARE",
        "hcp": "PREPARE",
        "pretrain": "PRETRAIN",
        "finetune": "FINETUNE",
        "evaluate": "EVALUATE",
    }
    text = process_text(main, "FINETUNE")
    assert text.startswith("process FINETUNE {\n")
    assert text.endswith('    stub:\n    """\n    mkdir ${id}\n    """\n}\n')
    assert text.count("process ") == 1


def test_a_part_is_the_same_program_with_fewer_jobs(templates: dict[str, str]) -> None:
    whole = sweep(2)
    files = compiled(whole, templates)
    chosen = part(whole, ["pretrain"])
    some = emit(whole, datasets_yaml="ukb: {format: demo}\n", templates=templates, only=chosen)
    assert {name for name in files if some[name] != files[name]} == {"jobs.csv"}
    assert {row["id"].rpartition("-")[2] for row in jobs(some)} == chosen


def test_titles_change_neither_jobs_nor_configs(templates: dict[str, str]) -> None:
    one, other = compiled(sweep(2, title="a"), templates), compiled(sweep(2, title="A much longer title"), templates)
    same = [name for name in one if name.startswith("configs/")] + ["jobs.csv", "main.nf", "nextflow.config"]
    assert {name for name in same if one[name] != other[name]} == {"nextflow.config"}


def test_ids_and_processes_are_safe_and_unique_whatever_the_names(templates: dict[str, str]) -> None:
    data = stage("prepare", "my data")
    names = ["größe", "grosse", "GROSSE", "脳", "2nd", "rank", "prepare", "a.b-c d"]
    stages = [stage("fit", name, (data,), lr=number) for number, name in enumerate(names)]
    files = compiled(graph(data, *stages), templates)
    rows = jobs(files)
    assert all(row["id"].isascii() and not set(row["id"]) & set(" '\"$\\/") and row["id"].count("-") == 1 for row in rows)
    steps = [row["step"] for row in rows]
    assert len(set(steps)) == len(steps)
    assert steps[0] == "prepare"
    for step in steps:
        assert f"process {step.upper()} {{" in files["main.nf"]
        assert step.upper()[0].isalpha()
    assert files["main.nf"].count("process RANK {") == 1


def test_steps_stand_after_those_they_use(templates: dict[str, str]) -> None:
    data = stage("prepare", "ukb")
    late = stage("fit", "late", (data,), lr=2)
    early = stage("fit", "early", (data,), lr=1)
    below = stage("fit", "late", (data, early), lr=3)
    program = compiled(graph(data, late, early, below), templates)["main.nf"]
    assert "LATE(ready(jobs, 'late', PREPARE.out.mix(EARLY.out)))" in program
    assert program.index("EARLY(ready") < program.index("LATE(ready")


def test_text_of_the_user_cannot_leave_its_place(templates: dict[str, str]) -> None:
    odd = graph(stage("prepare", "ukb"), recipe="it's\nprocess EVIL {}\\", about={"title": "${1/0}'\n}"})
    files = compiled(odd, templates, Options(gpus=0, container="my 'image'"))
    assert not [line for line in files["main.nf"].splitlines() if line.startswith("process EVIL")]
    assert "description     = '${1/0}\\' }'" in files["nextflow.config"]
    assert "container    = 'my \\'image\\''" in files["nextflow.config"]


def test_jobs_on_several_devices_ask_for_as_many_gpus(templates: dict[str, str]) -> None:
    data = stage("prepare", "ukb")
    pretrain = stage("fit", "pretrain", (data,), devices=2)
    config = emit(graph(data, pretrain, stage("fit", "finetune", (data, pretrain))), datasets_yaml="", templates=templates)[
        "nextflow.config"
    ]
    settings = config.partition("withName: PRETRAIN {")[2].partition("\n    }")[0].split("//")[0].strip()
    assert settings == "accelerator = { params.gpus ? [request: 2 * params.gpus, type: params.gpu_type] : null }"
    assert "withName: FINETUNE" not in config


def test_the_longest_way_to_the_end_stands_first(templates: dict[str, str]) -> None:
    data = stage("prepare", "ukb")
    trained = [stage("fit", "train", (data,), lr=number) for number in range(3)]
    lengths = {made.digest: float(seconds) for made, seconds in zip(trained, (20, 300, 100), strict=True)}
    rows = jobs(compiled(graph(data, *trained), templates, Options(lengths=lengths)))
    assert [lengths.get(row["id"].rpartition("-")[2]) for row in rows] == [None, 300, 100, 20]


def test_the_width_is_what_can_run_at_once() -> None:
    assert width(sweep(3)) == 3
    assert width(sweep(1)) == 2
    assert width(graph(stage("prepare", "ukb"))) == 1
