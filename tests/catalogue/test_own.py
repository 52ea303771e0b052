"""Components of a user's own: read without being run, refused where they are not trusted, hashed."""

import sys
from pathlib import Path

import pytest

from tlimb.catalogue.own import CODE, Own, trust, trusted_folders
from tlimb.catalogue.registry import load_catalogue
from tlimb.errors import InputError
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse

NETS = '''
"""Importing this ends the tests."""
import dataclasses
from typing import ClassVar, Literal
from torch import nn
from tlimb.components.data import BaseDataModule, CropCenterDataModule as Crop
from .base import Thin
from . import base
raise SystemExit("imported")


class Net(nn.Module):
    """A net. More words.

    Args:
        width: How wide,
            in channels.
        mode: How.
    """

    views: ClassVar[tuple[str, ...]] = ("weak", "full")

    def __init__(self, width: int, mode: Literal["a", "b"] = "a", *, rate: float = 1e-3, _hidden=1, network=None) -> None: ...


class Deep(Thin):
    def __init__(self, extra: bool = False, **more) -> None: ...


class Deeper(base.Thin): ...


class Slab(Crop):
    spatial_dims = 2
    LOADING = (*Crop.LOADING,)


class Own(BaseDataModule):
    LOADING: ClassVar = ("batch_size", "speed")

    def __init__(self, speed: float = 1.0, **arguments): ...


class Strange(some.thing.Unknown): ...


@dataclasses.dataclass
class Points:
    count: int
    name: str = "x"


def make(depth: int = 3): ...
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(CODE, raising=False)
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "__init__.py").write_text("from mylab.nets import Net\n")
    (tmp_path / "mylab" / "nets.py").write_text(NETS)
    (tmp_path / "mylab" / "base.py").write_text("class Thin:\n    def __init__(self, width: int = 2): ...\n")
    return tmp_path


def own(folder: Path) -> Own:
    return Own(folder, (folder,), load_catalogue().signatures)


def names(folder: Path, class_path: str) -> list[str]:
    signature = own(folder).signature(class_path)
    assert signature is not None
    return [parameter["name"] for parameter in signature["parameters"]]


def test_arguments_are_read_from_the_source(folder: Path) -> None:
    net = own(folder).signature("mylab.nets.Net")
    assert net is not None
    assert net["help"] == "A net."
    assert [(p["name"], p["type"], p["default"], p["required"]) for p in net["parameters"]] == [
        ("width", "int", None, True),
        ("mode", "Literal['a', 'b']", "a", False),
        ("rate", "float", 0.001, False),
    ]
    assert net["parameters"][0]["help"] == "How wide, in channels."
    assert net["views"] == ["weak", "full"]
    assert own(folder).signature("mylab.Net") == net
    assert names(folder, "mylab.nets.Points") == ["count", "name"]
    assert names(folder, "mylab.nets.make") == ["depth"]
    assert "mylab" not in sys.modules


def test_arguments_of_base_classes(folder: Path) -> None:
    assert names(folder, "mylab.nets.Deep") == ["extra", "width"]
    assert names(folder, "mylab.nets.Deeper") == ["width"]
    slab = own(folder).signature("mylab.nets.Slab")
    assert slab is not None
    assert slab["spatial_dims"] == 2
    assert {"size", "batch_size", "spacing_mm"} <= set(names(folder, "mylab.nets.Slab"))
    assert {"speed", "batch_size", "orientation"} <= set(names(folder, "mylab.nets.Own"))
    module = own(folder).signature("mylab.nets.Own")
    assert module is not None
    assert module["loading"] == ["batch_size", "speed"]
    strange = own(folder).signature("mylab.nets.Strange")
    assert strange is not None
    assert strange["open"]


def test_code_that_is_not_trusted_is_found_but_refused(folder: Path) -> None:
    stranger = Own(folder, (), {})
    assert stranger.signature("mylab.nets.Net") is None
    refusal = stranger.refusal("mylab.nets.Net")
    assert refusal is not None
    assert "mylab/nets.py" in refusal.message
    assert "--trust" in refusal.hint
    assert str(folder) in refusal.hint
    assert stranger.refusal("elsewhere.nets.Net") is None
    trust(folder)
    assert folder in trusted_folders()
    missing = own(folder).refusal("mylab.nets.Nett")
    assert missing is not None
    assert "Net, Deep" in missing.hint


def test_mistakes_have_their_places(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(text: str) -> list[tuple[str, str]]:
        recipe = parse(text).recipe
        from tlimb.catalogue.datasets import find_datasets

        return [(item.code, text[item.span.start : item.span.end]) for item in check(recipe, load_catalogue(folder), find_datasets(folder))]

    assert found("train mylab.nets.Net(width=3) on demo.age") == [("own-code", "mylab.nets.Net")]
    monkeypatch.setenv(CODE, str(folder))
    assert found("train mylab.nets.Net(width=3) on demo.age") == []
    assert found("train mylab.nets.Net(width=x, mode=c, wide=1) on demo.age") == [
        ("bad-value", "x"),
        ("bad-value", "c"),
        ("unknown-argument", "wide"),
    ]
    assert found("train mylab.nets.Strange(anything=1) on demo.age") == []
    assert found("train nolab.nets.Net on demo.age") == [("unknown-architecture", "nolab.nets.Net")]
    assert found("train resnet10 on demo.age with optimizer=torch.optim.Rprop(lr=0.1)") == []
    assert found("train resnet10 on demo.age with optimizer=torch.optim.Rprop(rate=0.1)") == [("unknown-argument", "rate")]
    (folder / "mylab" / "nets.py").write_text("def broken(:\n")
    assert found("train mylab.nets.Net(width=3) on demo.age") == [("own-code", "mylab.nets.Net")]


def test_what_the_fingerprint_depends_on(folder: Path) -> None:
    config = {"architecture": {"class_path": "mylab.nets.Net", "init_args": {}}, "data": {"class_path": "tlimb.components.data.X"}}
    first = own(folder).code(config)
    assert list(first) == ["mylab"]
    assert own(folder).code({"optimizer": {"class_path": "torch.optim.Rprop"}}) == {}
    (folder / "mylab" / "notes.txt").write_text("not code")
    assert own(folder).code(config) == first
    (folder / "mylab" / "base.py").write_text("class Thin: ...\n")
    assert own(folder).code(config) != first
    (folder / "bad.py").write_text("class (")
    with pytest.raises(InputError, match="is not Python"):
        own(folder).signature("bad.Thing")
