"""Every mistake of meaning has its code, its exact span and a way out."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import load_catalogue
from tlimb.errors import Diagnostic
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply

RIGHT = "pretrain resnet18 on demo.age\nfinetune freeze layer4 on demo.sex\n"


@pytest.fixture(scope="module")
def datasets() -> Mapping[str, Dataset]:
    return find_datasets()


def found(text: str, datasets: Mapping[str, Dataset]) -> list[Diagnostic]:
    parsed = parse(text)
    assert not parsed.diagnostics
    return check(parsed.recipe, load_catalogue(), datasets)


@pytest.mark.parametrize(
    ("text", "code", "marked", "told"),
    [
        ("train resnet19 on demo.age", "unknown-architecture", "resnet19", "did you mean 'resnet18'"),
        ("train resnet18 on dmeo.age", "unknown-dataset", "dmeo", "did you mean 'demo'"),
        ("train resnet18 on demo.agee", "unknown-target", "agee", "did you mean 'age'? demo offers: age, sex"),
        ("train resnet18 on demo", "missing-label", "demo", "demo offers: age, sex"),
        ("train resnet18 on demo[base].age", "unknown-part", "base", "split demo into base"),
        ("split demo into base 0.5, rest 0.5; train resnet18 on demo[bsae].age", "unknown-part", "bsae", "'base'"),
        ("split demo into base 100000; train resnet18 on demo[base].age", "bad-split", None, "ask for fewer"),
        ("train resnet18 on demo.age with epohcs=3", "unknown-key", "epohcs", "did you mean 'epochs'"),
        ("train resnet18 on demo.age with trainer.max_epohs=3", "unknown-key", "trainer.max_epohs", "max_epochs"),
        ("train resnet18 on demo.age with freeze=layer4", "unknown-key", "freeze", "explain freeze"),
        ("train resnet18 on demo.age with epochs=3, epochs=4", "duplicate-key", "epochs", "keep one"),
        ('train resnet18 on demo.age with lr="high"', "bad-value", '"high"', ""),
        ("train resnet18(dropot=0.1) on demo.age", "unknown-argument", "dropot", "did you mean 'dropout'"),
        ("train resnet18 on demo.age with optimizer=adamm", "unknown-optimizer", "adamm", "adam"),
        ("data axial_slise(size=64x64); train resnet18 on demo.age", "unknown-data", "axial_slise", "axial_slice"),
        ("augment wobble; train resnet18 on demo.age", "unknown-augmentation", "wobble", "available"),
        ("train on demo.age", "missing-architecture", "train", "resnet18"),
        ("finetune resnet18 on demo.age", "unexpected-architecture", "resnet18", "usage"),
        ("finetune on demo.age", "no-parent", "finetune", "pretrain"),
        ("pretrain resnet18", "missing-clause", "pretrain", "on TARGETS"),
        ("train resnet18 on demo.age using demo", "unexpected-clause", "using", "usage"),
        (RIGHT + "finetune on demo.sex from pretrian", "unknown-stage", "pretrian", "did you mean 'pretrain'"),
        ("train resnet18 on demo.age as a\ntrain resnet18 on demo.sex as a", "duplicate-name", "a", "name of its own"),
        ("train resnet18 on demo.age as lr", "reserved-name", "lr", "another name"),
        (RIGHT + "evaluate on demo.age", "no-head", "age", "available: sex"),
        (RIGHT + "rank by test.auroc", "test-selection", "test.auroc", "val.auroc"),
        (RIGHT + "rank by val.acuracy", "unknown-metric", "val.acuracy", ""),
        ("train resnet18 on demo.age\nrank by val.auroc", "unknown-metric", "val.auroc", "val.mae"),
        (RIGHT + "sweep lr in 1e-5..1e-1 log", "range-without-search", "1e-5..1e-1 log", "search"),
        (RIGHT + "sweep finetune.lrr in [1]", "unknown-key", "finetune.lrr", "lr"),
        (RIGHT + "sweep lr in [1e-3]\nsweep lr in [1e-4]", "duplicate-statement", "sweep lr in [1e-4]", "merge"),
        (RIGHT + "repeat 0", "bad-value", "repeat 0", "repeat 3"),
        (RIGHT + "sweep lr in [1e-3]\nsearch tppe 12", "unknown-search", "tppe", "did you mean 'tpe'? available: random, tpe, gp"),
        (RIGHT + "sweep lr in [1e-3]\nsearch tpe", "bad-value", "search tpe", "write search tpe 12"),
        (RIGHT + "sweep lr in [1e-3]\nsearch random 0", "bad-value", "search random 0", "write search random 12"),
        (RIGHT + "sweep lr in [1e-3]\nsearch tpe(round=0) 4", "bad-value", "0", ""),
        (RIGHT + "sweep lr in [1e-3]\nsearch random(rounds=2) 4", "unknown-argument", "rounds", "round"),
        (RIGHT + "sweep lr in [1e-3]\nsearch tpe(asha=1) 4", "bad-value", "1", ""),
        (RIGHT + "sweep lr in [1e-3]\nsearch random(asha=2.5) 4", "bad-value", "2.5", ""),
        (RIGHT + "sweep lr in [1e-3]\nsearch tpe 4 by test.auroc", "test-selection", "test.auroc", "write by val.auroc"),
        (RIGHT + "sweep lr in [1e-3]\nsearch tpe 4 by val.mse", "unknown-metric", "val.mse", ""),
        (RIGHT + "search tpe 12", "search-without-sweep", "search tpe 12", "sweep lr in 1e-5..1e-1 log"),
        (RIGHT + "sweep lr in 1..2\nsearch tpe 12", "bad-value", "1..2", "write 1.0..2.0"),
        (RIGHT + "sweep epochs in 1.5..9\nsearch tpe 12", "bad-value", "1.5..9", "e.g. 2..10"),
        (RIGHT + "sweep epochs in 0..9\nsearch tpe 12", "bad-value", "0..9", ""),
        (RIGHT + "sweep lr in 0.1..0.01\nsearch tpe 12", "bad-value", "0.1..0.01", "LOW below HIGH"),
        (RIGHT + "sweep lr in 0.1..0.10001\nsearch tpe 12", "bad-value", "0.1..0.10001", "widen it"),
        (RIGHT + "sweep freeze in 1..3\nsearch tpe 12", "bad-value", "1..3", "list the values"),
        (RIGHT + "sweep architecture in 1..3\nsearch tpe 12", "bad-value", "1..3", "available"),
        ("semisupervise resnet18 on demo.sex using demo via meanteahcer", "unknown-method", "meanteahcer", "did you mean 'meanteacher'?"),
        ("semisupervise resnet18 on demo.sex using demo via mmd", "wrong-method", "mmd", "methods of semisupervise: meanteacher, fixmatch"),
        ("pretrain resnet18 on demo via mae", "wrong-method", "mae", "for any architecture: simclr, simmim"),
        ("pretrain resnet18 on demo via coral", "wrong-method", "coral", "simclr, mae, simmim"),
        ("semisupervise resnet18 on demo.age using demo via fixmatch", "wrong-method", "fixmatch", "for any target: meanteacher"),
        ("adapt resnet18 on demo.age to demo.sex via mmd", "unused-label", "sex", "write demo"),
        ("pretrain resnet18 on demo.age via simclr", "unused-label", "age", "write demo"),
        ("adapt resnet18 on demo to demo via mmd", "missing-label", "demo", "demo offers"),
        ("adapt resnet18 on demo.age to demo via mmd(wieght=2)", "unknown-argument", "wieght", "did you mean 'weight'?"),
        (RIGHT + "sweep auxiliaries.mmd.weight in [1]", "unknown-key", "auxiliaries.mmd.weight", "elastic"),
        ("train resnet18 on demo.age with method=simclr", "unknown-key", "method", "explain"),
        ("train resnet18 on demo.age\nsweep elastic in [0.1]", "unknown-key", "elastic", "explain"),
        ("train resnet18 on demo.age\nfinetune elastic -1 on demo.sex", "bad-value", "-1", ""),
        ("tlr 2\n" + RIGHT, "unknown-version", "tlr 2", "update"),
        ('about titel="x"\n' + RIGHT, "unknown-key", "titel", "title"),
        ("set finetune.trainer.max_epoch = 3\n" + RIGHT, "unknown-key", "finetune.trainer.max_epoch", "max_epochs"),
        ("train resnet18 on demo.age + demo.age", "duplicate-target", "demo.age", "head"),
        ("split demo into a 0.5, b 0.5\ntrain resnet18 on demo[a].age + 2*demo[b].age", "duplicate-target", None, "head"),
        ('evaluate on demo.age allow overlap " "\ntrain resnet18 on demo.age', "bad-value", '" "', "why"),
    ],
)
def test_a_mistake(text: str, code: str, marked: str | None, told: str, datasets: Mapping[str, Dataset]) -> None:
    mistakes = [mistake for mistake in found(text, datasets) if mistake.code == code]
    assert mistakes, found(text, datasets)
    mistake = mistakes[0]
    if marked is not None:
        assert text[mistake.span.start : mistake.span.end] == marked
    assert told in mistake.hint


@pytest.mark.parametrize(
    "text",
    [
        RIGHT,
        RIGHT + "sweep lr in [1e-4,1e-3,1e-2]\nrepeat 3\nrank by val.auroc",
        RIGHT + "sweep freeze in [none, layer3.1.conv1, all]",
        "data axial_slice(size=40x48, position=0.4)\ntrain resnet18(dropout=0.1) on demo.age with schedule=cosine, patience=3",
        "multitask resnet18 on 2*demo.age + demo.sex\nrank by val.age.mae",
        "split demo into base 60, target 20, test 20\npretrain resnet10 on demo[base].age\nfinetune on demo[target].sex with n=10",
        RIGHT + "evaluate on demo",
        "pretrain resnet18 on demo via simclr(temperature=0.2)\nfinetune elastic 0.01 on demo.sex\nsweep elastic in [0, 0.1, none]",
        "pretrain vit on demo via mae\nfinetune on demo.sex",
        "pretrain resnet18 on demo via simmim\nfinetune on demo.sex with auxiliaries.elastic.alpha=0.1",
        "split demo into a 0.5, b 0.5\nsemisupervise resnet10 on demo[a].sex using demo[b] via fixmatch(threshold=0.9)",
        "split demo into a 0.5, b 0.5\nadapt resnet10 on demo[a].age to demo[b] via mmd(weight=2)",
        "split demo into a 0.5, b 0.5\ntrain resnet10 on demo[a].age\nadapt on demo[a].age to demo[b] via adabn",
        "split demo into a 0.5, b 0.5\nadapt resnet10 on demo[a].age to demo[b] via mmd\nsweep auxiliaries.mmd.weight in [0.1, 1]",
        "split demo into a 0.5, b 0.5\nadapt resnet10 on demo[a].age to demo[b] via mmd\nsweep method in [mmd, coral(weight=2)]",
        "multitask resnet18 on demo.age + demo.sex with objective=uncertainty",
        "split demo into a 0.5, b 0.5\ntrain resnet18 on demo[a].age + demo[b].age\nrank by val.mae",
        "set split.test = 0.3\n" + RIGHT,
        'set finetune.trainer.precision = "bf16-mixed"\n' + RIGHT,
    ],
)
def test_a_right_recipe_has_no_mistakes(text: str, datasets: Mapping[str, Dataset]) -> None:
    assert found(text, datasets) == []


def test_eight_mistakes_in_one_recipe_are_eight_messages(datasets: Mapping[str, Dataset]) -> None:
    text = (
        "data axial_slise(size=64x64)\npretrain resnet19 on demo.agee\nfinetune freeze layer4 on dmeo.sex with epohcs=3\n"
        "sweep lrr in [1]\nrank by test.mae\nrepeat 0\n"
    )
    mistakes = found(text, datasets)
    assert [(m.code, text[m.span.start : m.span.end]) for m in mistakes] == [
        ("unknown-data", "axial_slise"),
        ("unknown-architecture", "resnet19"),
        ("unknown-target", "agee"),
        ("unknown-dataset", "dmeo"),
        ("unknown-key", "epohcs"),
        ("unknown-key", "lrr"),
        ("test-selection", "test.mae"),
        ("bad-value", "repeat 0"),
    ]


def test_fixes_mend_what_they_name(datasets: Mapping[str, Dataset]) -> None:
    text = "train resnet19 on dmeo.age with epohcs=3\nrank by test.mae\n"
    while mistakes := found(text, datasets):
        text, _ = apply(text, list(next(mistake.fix for mistake in mistakes if mistake.fix)))
    assert text.splitlines()[0].endswith("on demo.age with epochs=3")


def test_a_broken_entry_is_reported_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("gone:\n  format: bids\n  root: nowhere\n  image: T1w\n  labels: {age: {column: age}}\n")
    mistakes = found("train resnet18 on gone.age", find_datasets(tmp_path))
    assert [mistake.code for mistake in mistakes] == ["bad-dataset"]
    assert "nowhere" in mistakes[0].message
