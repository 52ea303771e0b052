"""Statements as forms: what a field shows, and what is written where it changes."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.registry import load_catalogue
from tlimb.errors import InputError
from tlimb.recipe.form import Field, form, layer_choices, subjects, target_choices
from tlimb.recipe.format import meaning
from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply
from tlimb.recipe.tree import Recipe
from tlimb.recipe.trial import mistakes

CATALOGUE = load_catalogue()
RECIPE = """\
about title="Age", author="Lab"
data axial_slice(size=48x56)
augment affine, flip(axis=lr)
split demo into base 0.5, target 0.5
set batch = 8
set finetune.precision = "16-mixed"
pretrain vit(patch_size=16) on demo[base].age
    with epochs=3, optimizer=sgd(momentum=0.9)
finetune freeze layer2 on demo[target].sex with patience=3
evaluate on demo[target].sex as tested
semisupervise on demo[base].sex using demo[target] via meanteacher(weight=2) from finetune as semi
sweep lr in [1e-4, 1e-3]
search tpe(round=5) 12 by val.auroc
repeat 3
rank by val.auroc
"""
STARTS = {line.split()[0]: number for number, line in enumerate(line for line in RECIPE.splitlines() if line[0] != " ")}


@pytest.fixture(scope="module")
def datasets() -> Mapping[str, Dataset]:
    return find_datasets()


def read(text: str) -> Recipe:
    parsed = parse(text)
    assert not parsed.diagnostics, (text, parsed.diagnostics)
    return parsed.recipe


def fields(text: str, number: int, datasets: Mapping[str, Dataset]) -> dict[str, Field]:
    found = {f"{field.group}/{field.name}": field for field in form(read(text), number, CATALOGUE, datasets)}
    assert len(found) == len(form(read(text), number, CATALOGUE, datasets)), "two fields have the same name"
    return found


def test_the_recipe_of_these_tests_is_right(datasets: Mapping[str, Dataset]) -> None:
    assert not mistakes(RECIPE, CATALOGUE, datasets)


@pytest.mark.parametrize(
    ("verb", "name", "value", "default", "origin"),
    [
        ("pretrain", "stage/architecture", "vit(patch_size=16)", "", "here"),
        ("pretrain", "settings/lr", "[1e-4, 1e-3]", "0.001", "sweep"),
        ("pretrain", "settings/batch", "8", "16", "set"),
        ("pretrain", "settings/epochs", "3", "10", "here"),
        ("pretrain", "settings/weight_decay", "", "0.01", "default"),
        ("pretrain", "architecture vit/patch_size", "16", "8", "here"),
        ("pretrain", "architecture vit/num_layers", "", "6", "default"),
        ("pretrain", "architecture vit/in_channels", "", "follows from the data", "default"),
        ("pretrain", "optimizer sgd/momentum", "0.9", "0", "here"),
        ("pretrain", "data axial_slice/size", "48x56", "none", "data"),
        ("pretrain", "data axial_slice/plane", "", "axial", "default"),
        ("finetune", "stage/from", "", "pretrain (above)", "default"),
        ("finetune", "stage/freeze", "layer2", "none", "here"),
        ("finetune", "stage/name", "", "finetune", "default"),
        ("finetune", "settings/precision", '"16-mixed"', "none", "set"),
        ("evaluate", "stage/name", "tested", "evaluate", "here"),
        ("semisupervise", "stage/from", "finetune", "what stands above", "here"),
        ("semisupervise", "method meanteacher/weight", "2", "1", "here"),
        ("semisupervise", "stage/using", "demo[target]", "", "here"),
        ("about", "statement/author", "Lab", "", "here"),
        ("augment", "in order/2", "flip(axis=lr)", "", "here"),
        ("augment", "augmentation flip/axis", "lr", "lr", "here"),
        ("split", "parts/base", "base 0.5", "", "here"),
        ("search", "statement/trials", "12", "", "here"),
        ("repeat", "statement/seeds", "3", "", "here"),
    ],
)
def test_what_a_field_shows(verb: str, name: str, value: str, default: str, origin: str, datasets: Mapping[str, Dataset]) -> None:
    field = fields(RECIPE, STARTS[verb], datasets)[name]
    assert (field.value, field.default, field.origin) == (value, default, origin)


@pytest.mark.parametrize(
    ("verb", "name", "text", "old", "new"),
    [
        ("pretrain", "stage/architecture", "resnet18", "vit(patch_size=16)", "resnet18"),
        ("pretrain", "settings/epochs", "5", "epochs=3", "epochs=5"),
        ("pretrain", "settings/epochs", "", "epochs=3, ", ""),
        ("pretrain", "settings/batch", "4", "momentum=0.9)", "momentum=0.9), batch=4"),
        ("pretrain", "settings/precision", "bf16-mixed", "momentum=0.9)", 'momentum=0.9), precision="bf16-mixed"'),
        ("pretrain", "settings/lr", "[1e-5, 1e-3]", "[1e-4, 1e-3]", "[1e-5, 1e-3]"),
        ("pretrain", "settings/lr", "", "sweep lr in [1e-4, 1e-3]\n", ""),
        ("pretrain", "architecture vit/num_layers", "3", "patch_size=16", "patch_size=16, num_layers=3"),
        ("pretrain", "architecture vit/patch_size", "", "vit(patch_size=16)", "vit"),
        ("pretrain", "optimizer sgd/nesterov", "true", "momentum=0.9", "momentum=0.9, nesterov=true"),
        ("pretrain", "settings/schedule", "cosine", "momentum=0.9)", "momentum=0.9), schedule=cosine"),
        ("pretrain", "trainer/gradient_clip_val", "1", "momentum=0.9)", "momentum=0.9), trainer.gradient_clip_val=1"),
        ("pretrain", "data axial_slice/count", "3", "momentum=0.9)", "momentum=0.9), data.count=3"),
        ("pretrain", "stage/name", "base", "demo[base].age", "demo[base].age"),
        ("finetune", "stage/freeze", "only layer3", "freeze layer2", "freeze only layer3"),
        ("finetune", "stage/freeze", "", " freeze layer2", ""),
        ("finetune", "stage/unfreeze", "layer3 at 2 lr 1e-4", "freeze layer2", "freeze layer2 unfreeze layer3 at 2 lr 1e-4"),
        ("finetune", "stage/elastic", "0.01", "freeze layer2", "freeze layer2 elastic 0.01"),
        ("finetune", "stage/from", '"net.pth"', "demo[target].sex with", 'demo[target].sex from "net.pth" with'),
        ("finetune", "optimizer adamw/eps", "1e-6", "patience=3", "patience=3, optimizer.eps=1e-6"),
        ("finetune", "settings/patience", "", " with patience=3", ""),
        (
            "finetune",
            "settings/epochs",
            "[1, 2]",
            "sweep lr in [1e-4, 1e-3]\n",
            "sweep lr in [1e-4, 1e-3]\nsweep finetune.epochs in [1, 2]\n",
        ),
        ("finetune", "settings/patience", "[3, 6]", " with patience=3", ""),
        ("finetune", "stage/allow overlap", 'same "scanner"', "patience=3", 'patience=3 allow overlap "same \\"scanner\\""'),
        ("evaluate", "stage/name", "", " as tested", ""),
        ("semisupervise", "method meanteacher/decay", "0.9", "weight=2", "weight=2, decay=0.9"),
        ("about", "statement/author", "", ', author="Lab"', ""),
        ("about", "statement/doi", "10.1/x", 'author="Lab"', 'author="Lab", doi="10.1/x"'),
        ("data", "data axial_slice/size", "64x64", "48x56", "64x64"),
        ("data", "statement/for", "demo", "48x56)", "48x56) for demo"),
        ("augment", "in order/one more", "noise", "axis=lr)", "axis=lr), noise"),
        ("augment", "in order/1", "", "affine, ", ""),
        ("split", "parts/one more", "rest 10", "target 0.5", "target 0.5, rest 10"),
        ("set", "statement/value", "4", "batch = 8", "batch = 4"),
        ("sweep", "statement/values", "1e-4..1e-2 log", "[1e-4, 1e-3]", "1e-4..1e-2 log"),
        ("search", "statement/method", "random", "tpe(round=5)", "random"),
        ("search", "search tpe/asha", "3", "round=5", "round=5, asha=3"),
        ("search", "statement/trials", "20", "12", "20"),
        ("search", "statement/by", "", " by val.auroc\nrepeat", "\nrepeat"),
        ("repeat", "statement/seeds", "5", "repeat 3", "repeat 5"),
        ("rank", "statement/by", "val.f1", "rank by val.auroc", "rank by val.f1"),
    ],
)
def test_what_is_written(verb: str, name: str, text: str, old: str, new: str, datasets: Mapping[str, Dataset]) -> None:
    number = 4 if verb == "set" else STARTS[verb]
    edits = fields(RECIPE, number, datasets)[name].write(text)
    after, inverse = apply(RECIPE, edits)
    assert apply(after, inverse)[0] == RECIPE
    assert old in RECIPE
    if (verb, name) == ("finetune", "settings/patience") and text:
        assert after == RECIPE.replace(old, new).replace("1e-3]\n", "1e-3]\nsweep finetune.patience in [3, 6]\n")
    elif name == "stage/name" and text:
        assert after == RECIPE.replace("momentum=0.9)", "momentum=0.9) as base")
    else:
        assert after == RECIPE.replace(old, new, 1)


def test_a_range_brings_the_search_it_needs(datasets: Mapping[str, Dataset]) -> None:
    text = "pretrain resnet10 on demo.age\nfinetune on demo.sex\n"
    edits = fields(text, 1, datasets)["settings/lr"].write("1e-5..1e-1 log")
    assert apply(text, edits)[0] == text + "sweep finetune.lr in 1e-5..1e-1 log\nsearch random 12\n"


def test_a_part_keeps_its_uses(datasets: Mapping[str, Dataset]) -> None:
    edits = fields(RECIPE, STARTS["split"], datasets)["parts/base"].write("first 0.4")
    assert apply(RECIPE, edits)[0] == RECIPE.replace("base 0.5", "first 0.4").replace("demo[base]", "demo[first]")


@pytest.mark.parametrize(
    ("verb", "name", "text"),
    [
        ("pretrain", "stage/architecture", ""),
        ("pretrain", "stage/on", ""),
        ("pretrain", "settings/lr", "1e-3"),
        ("pretrain", "settings/batch", ""),
        ("pretrain", "settings/epochs", "1; repeat 2"),
        ("finetune", "stage/from", "pretrian"),
        ("finetune", "stage/name", "two words"),
        ("finetune", "stage/name", "tested"),
        ("rank", "statement/by", ""),
        ("augment", "in order/1", "affine, noise"),
    ],
)
def test_what_cannot_be_written_says_why(verb: str, name: str, text: str, datasets: Mapping[str, Dataset]) -> None:
    with pytest.raises(InputError):
        fields(RECIPE, STARTS[verb], datasets)[name].write(text)


def test_a_setting_that_the_stage_does_not_have_can_go(datasets: Mapping[str, Dataset]) -> None:
    text = "pretrain resnet10 on demo.age\nfinetune on demo.sex with dropout=0.1, epohcs=3\n"
    found = fields(text, 1, datasets)
    assert apply(text, found["not known here/epohcs"].write(""))[0] == text.replace(", epohcs=3", "")
    assert apply(text, found["not known here/dropout"].write(""))[0] == text.replace("dropout=0.1, ", "")


def test_writing_what_is_there_changes_nothing_and_what_is_taken_away_is_gone(datasets: Mapping[str, Dataset]) -> None:
    texts = [RECIPE, *(file.read_text(encoding="utf-8") for file in sorted((Path(__file__).parents[2] / "recipes").glob("*.tlr")))]
    for text in texts:
        for number in range(len(read(text).statements)):
            for name, field in fields(text, number, datasets).items():
                if field.origin != "here":
                    continue
                assert meaning(apply(text, field.write(field.value))[0]) == meaning(text), (text, name)
                try:
                    after = apply(text, field.write(""))[0]
                except InputError:
                    assert field.required or field.name in ("1", "base", "title"), (text, name)
                    continue
                left = fields(after, number, datasets).get(name)
                assert left is None or left.origin != "here" or name.startswith("in order"), (text, name, after)


def test_choices_of_targets(datasets: Mapping[str, Dataset]) -> None:
    found = {choice.word: choice.help for choice in target_choices(read(RECIPE), datasets, labels=True)}
    assert found["demo.age"] == "number, in years · 120 subjects"
    counts = [int(found[f"demo[{part}].sex"].removeprefix("2 classes: F, M · ").removesuffix(" subjects")) for part in ("base", "target")]
    assert sum(counts) == 120
    assert all(40 < count < 80 for count in counts), "half of the subjects each, as their hashes fall"
    assert subjects(read(RECIPE + "set split.seed = 2\n"), datasets["demo"], "base", "sex") != counts[0]
    assert [choice.word for choice in target_choices(read(RECIPE), datasets, labels=False)] == ["demo", "demo[base]", "demo[target]"]


def test_choices_of_layers() -> None:
    anatomy = {"layers": [["stem", 500], ["layer1", 1_500_000]], "encoder_parameters": 1_500_500}
    assert [(choice.word, choice.help) for choice in layer_choices(anatomy)] == [
        ("none", "nothing frozen: 1.5 M parameters train"),
        ("stem", "0 of 1.5 M frozen"),
        ("layer1", "500 of 1.5 M frozen"),
        ("all", "1.5 M of 1.5 M frozen: only the heads train"),
    ]
