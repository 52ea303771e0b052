"""Real data modules end to end: prepare, fit, fine-tune, evaluate, each found by its digest."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import AGE, SEX, stage

from tlimb.errors import InputError
from tlimb.train.stage import run_stage

DATA = {"class_path": "tlimb.components.data.SliceDataModule", "init_args": {"size": [32, 32], "count": 3, "batch_size": 16}}
PREPARED = "00000000000000aa"


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "datasets.yaml"
    path.write_text("small: {format: demo, participants: 24}\n", encoding="utf-8")
    return path


def written(folder: Path, name: str, config: dict[str, Any]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**config, "name": name}), encoding="utf-8")
    return path


def fitted(target: dict[str, Any], digest: str, **changes: Any) -> dict[str, Any]:
    config = stage({**target, "dataset": "small"}, trainer__max_epochs=1, **changes)
    config["split"] = {"small": {"parts": [], "val": 0.25, "test": 0.25, "seed": 0}}
    parents = [{"role": "data", "name": "small", "digest": PREPARED}]
    return {**config, "data": DATA, "digest": digest, "parents": parents}


def test_the_whole_chain(catalogue: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    age = run_stage(written(tmp_path, "age", fitted(AGE, "a1")), store / "a1", datasets=catalogue)
    prepared = json.loads((store / PREPARED / "prepared.json").read_text())
    assert prepared["shape"] == [32, 32]
    assert json.loads((store / PREPARED / "results.json").read_text())["kind"] == "prepare"
    assert sum(age["subjects"][role] for role in ("train", "val", "test")) == 24
    assert set(age["baselines"]["test.mae"]) == {"constant", "head_size"}
    units = len((store / "a1" / "predictions.csv").read_text().splitlines()) - 1
    assert units == age["subjects"]["val"] + age["subjects"]["test"], "three slices of a session are one prediction"

    sex = fitted(SEX, "b2", scenario__freeze="layer4")
    sex["parents"].append({"role": "weights", "name": "age", "digest": "a1"})
    found_beside = run_stage(written(tmp_path, "sex", sex), store / "b2")
    assert found_beside["parameters"]["frozen"] > 0

    tested = {key: value for key, value in sex.items() if key not in ("objective", "scenario")}
    tested |= {"kind": "evaluate", "digest": "c3", "parents": [sex["parents"][0], {"role": "weights", "name": "sex", "digest": "b2"}]}
    results = run_stage(
        written(tmp_path, "tested", tested), tmp_path / "elsewhere" / "c3", parents=[store / PREPARED, store / "b2", store / "a1"]
    )
    assert results["metrics"] == {name: value for name, value in found_beside["metrics"].items() if name.startswith("test.")}


def test_data_that_changed_since_planning_are_refused(catalogue: Path, tmp_path: Path) -> None:
    config = {"tlimb": 1, "kind": "prepare", "digest": PREPARED, "dataset": {"name": "small", "fingerprint": "old"}, "data": DATA}
    with pytest.raises(InputError, match="is not what this stage was planned for"):
        run_stage(written(tmp_path, "small", config), tmp_path / "out", datasets=catalogue)
    config["dataset"] = {"name": "smal"}
    with pytest.raises(InputError, match=r"no data set 'smal'(.|\n)*did you mean 'small'"):
        run_stage(written(tmp_path, "smal", config), tmp_path / "out2", datasets=catalogue)
