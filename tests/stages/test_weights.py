"""`from "FILE"` on the compile side: what a file and its passport say, and what becomes part of a stage's identity."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import write_bids

from tlimb.catalogue.datasets import dump_datasets, find_datasets
from tlimb.catalogue.registry import load_catalogue
from tlimb.catalogue.weights import find_weights
from tlimb.configs.build import build
from tlimb.errors import Diagnostic, InputError, RecipeError
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse
from tlimb.stages.graph import StageGraph

ARCHITECTURE = {"class_path": "tlimb.components.architectures.ResNet", "init_args": {"depth": 10, "spatial_dims": 3, "in_channels": 2}}


def write_safetensors(path: Path, names: list[str], content: bytes = b"\0\0\0\0", **description: Any) -> None:
    """A safetensors file by the letter of its format: length, JSON header, bytes."""
    header: dict[str, Any] = {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in names}
    if description:
        header["__metadata__"] = {"tlimb": json.dumps({"format": 1, **description})}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    write_bids(tmp_path / "ukb", 120)
    (tmp_path / "datasets.yaml").write_text(
        "ukb:\n  format: bids\n  root: ukb\n  image: T1w\n  labels: {sex: {column: sex, classes: [F, M]}}\n"
    )
    return tmp_path


def mistakes(lab: Path, text: str) -> list[Diagnostic]:
    parsed = parse(text)
    found = check(parsed.recipe, load_catalogue(lab), find_datasets(lab))
    if not found:
        with pytest.raises(RecipeError) as error:
            build(parsed.recipe, "test", load_catalogue(lab), find_datasets(lab))
        found = error.value.diagnostics
    return found


def plan(lab: Path, text: str) -> StageGraph:
    parsed = parse(text)
    assert check(parsed.recipe, load_catalogue(lab), find_datasets(lab)) == []
    return build(parsed.recipe, "test", load_catalogue(lab), find_datasets(lab))


def weights_of(graph: StageGraph) -> dict[str, Any]:
    return dict(next(stage.config for stage in graph.stages if stage.kind == "weights"))


def test_a_file_that_is_not_there_and_one_of_unknown_architecture(lab: Path) -> None:
    text = 'finetune on ukb.sex from "net.pth"'
    (found,) = mistakes(lab, text)
    assert found.code == "unknown-source"
    assert text[found.span.start : found.span.end] == '"net.pth"'
    blocks = [f"module.layer{layer}.{block}.conv1.weight" for layer in range(1, 5) for block in range(2)]
    write_safetensors(lab / "nets.pth", blocks)
    assert "did you mean 'nets.pth'" in mistakes(lab, text)[0].hint
    (found,) = mistakes(lab, text.replace("net.pth", "nets.pth"))
    assert "named like those of MedicalNet" in found.message
    assert "with architecture=resnet18(shortcut=A)" in found.hint


def test_names_of_a_torch_archive_are_read_as_data(lab: Path) -> None:
    pickle = b"\x80\x02}q\x00(X\x15\x00\x00\x00layer1.0.conv1.weightcposix\nsystem\nX\x05\x00\x00\x00echo.u."
    with zipfile.ZipFile(lab / "net.pth", "w") as archive:
        archive.writestr("net/data.pkl", pickle)
    assert "layer1.0.conv1.weight" in find_weights(lab / "net.pth").names


def test_the_recipe_names_the_architecture_and_the_data_its_channels(lab: Path) -> None:
    write_safetensors(lab / "net.pth", ["conv1.weight"])
    graph = plan(lab, 'finetune freeze layer4 on ukb.sex from "net.pth" with architecture=resnet18(shortcut=A), weights.channels=mean')
    config = weights_of(graph)
    assert config["architecture"]["init_args"] == {"depth": 18, "shortcut": "A", "in_channels": 1, "spatial_dims": 3}
    assert config["weights"] == {"fingerprint": find_weights(lab / "net.pth").fingerprint, "channels": "mean"}
    fit = next(stage for stage in graph.stages if stage.kind == "fit")
    assert fit.config["architecture"] == config["architecture"]
    assert {"role": "weights", "name": "net", "digest": config["digest"]} in fit.config["parents"]
    assert str(lab) not in json.dumps(graph.document())
    assert any("cohort is unknown" in warning for warning in graph.warnings)


def test_the_content_is_the_identity_not_the_place(lab: Path) -> None:
    text = 'finetune on ukb.sex from "{}" with architecture=resnet10'
    write_safetensors(lab / "a.pth", ["conv1.weight"])
    (lab / "deep").mkdir()
    write_safetensors(lab / "deep" / "b.pth", ["conv1.weight"])
    write_safetensors(lab / "c.pth", ["conv1.weight"], content=b"\0\0\0\1")
    digests = [weights_of(plan(lab, text.format(name)))["digest"] for name in ("a.pth", "deep/b.pth", "c.pth")]
    assert digests[0] == digests[1] != digests[2]
    shared = plan(lab, text.format("a.pth") + "\nsweep lr in [1e-3, 1e-4]\nrepeat 2")
    assert [stage.kind for stage in shared.stages].count("weights") == 1
    assert [stage.kind for stage in shared.stages].count("fit") == 4


def test_a_file_of_tlimb_says_all_and_can_be_evaluated(lab: Path) -> None:
    target = {"name": "sex", "dataset": "UKB", "kind": "category", "classes": ["F", "M"], "label": "sex", "part": None, "unit": None}
    write_safetensors(
        lab / "m.safetensors", ["encoder.conv1.weight"], architecture=ARCHITECTURE, targets=[target], input_shape=[2, 8, 8, 8]
    )
    graph = plan(lab, 'finetune on ukb.sex from "m.safetensors" as tuned\nevaluate on ukb from "m.safetensors"')
    config = weights_of(graph)
    assert config["architecture"]["init_args"] == {"depth": 10, "spatial_dims": 3, "in_channels": 1}
    assert config["weights"]["input_shape"] == [8, 8, 8]
    assert [stage.kind for stage in graph.stages].count("weights") == 1
    tested = next(stage for stage in graph.stages if stage.kind == "evaluate")
    assert [item["name"] for item in tested.config["targets"]] == ["sex"]
    assert any("trained on UKB, which this stage uses too" in warning for warning in graph.warnings)


PASSPORT = """
architecture: {class_path: resnet18, init_args: {shortcut: A}}
input: {orientation: LPS, spacing_mm: 1, shape: [160, 192, 160], skull_strip: true, intensity: zscore, channels: 2}
licence: MIT
cohorts: [ADNI]
rename: {"^net1": conv1}
"""


def test_a_passport_says_what_the_file_does_not(lab: Path) -> None:
    write_safetensors(lab / "net.pth", ["net1.weight"])
    (lab / "net.passport.yaml").write_text(PASSPORT)
    graph = plan(lab, 'data crop_center(size=40x48x40, spacing_mm=1)\nfinetune on ukb.sex from "net.pth"')
    config = weights_of(graph)
    assert config["architecture"]["init_args"]["shortcut"] == "A"
    assert config["weights"]["rename"] == {"^net1": "conv1"}
    said = " ".join(graph.warnings)
    for words in ("LPS", "160x192x160, the data have 40x48x40", "2 channels, the data have 1", "without the skull", "trained on ADNI"):
        assert words in said
    for words in ("voxels", "intensities"):  # equal: a number stands for all axes
        assert words not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("licens: MIT", "unknown key 'licens'"),
        ("cohorts: ADNI", "'cohorts' is 'ADNI'"),
        ("input: {size: 3}", "no 'size'"),
        ("tlimb: 2", "format 2"),
    ],
)
def test_mistakes_of_a_passport(text: str, words: str, lab: Path) -> None:
    write_safetensors(lab / "net.pth", ["conv1.weight"])
    (lab / "passport.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        find_weights(lab / "net.pth")


def test_a_wrong_option_is_told_with_its_place(lab: Path) -> None:
    write_safetensors(lab / "net.pth", ["conv1.weight"])
    text = 'finetune on ukb.sex from "net.pth" with architecture=resnet10, weights.channels=maen'
    (found,) = mistakes(lab, text)
    assert text[found.span.start : found.span.end] == "maen"
    assert "mean" in found.hint
    text = "train resnet10 on ukb.sex with weights.channels=mean"
    (found,) = mistakes(lab, text)
    assert text[found.span.start : found.span.end] == "weights.channels"


def test_where_files_lie_stands_in_datasets_yaml_only(lab: Path) -> None:
    text = dump_datasets(find_datasets(lab), ["ukb"], {"ab12": lab / "net.pth"})
    (lab / "sub").mkdir()
    (lab / "sub" / "datasets.yaml").write_text(text)
    found = find_datasets(lab / "sub")
    assert found.weights == {"ab12": lab / "net.pth"}
    assert set(found) == {"ukb", "demo"}
    assert not found.broken
