"""What is known of stages from the folders of a store."""

import fcntl
import json
from pathlib import Path

import pytest
from emit.small_graphs import sweep

from tlimb.errors import InputError
from tlimb.run.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "runs")
    made.create()
    return made


def finish(store: Store, digest: str, **more: object) -> None:
    store.folder(digest).mkdir()
    (store.folder(digest) / "results.json").write_text(json.dumps({"format": 1, "digest": digest} | more))


def test_a_stage_is_new_running_failed_done(store: Store) -> None:
    assert store.state("d1") == "new"
    partial = store.begin("d1")
    assert store.state("d1") == "new"
    with (partial / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert store.state("d1") == "running"
    store.mark_failed("d1", "no labels")
    assert (store.state("d1"), store.failure("d1")) == ("failed", "no labels")
    store.begin("d1")
    assert (store.state("d1"), store.failure("d1")) == ("new", "")
    finish(store, "d1", metrics={"val.mae": 5.0})
    assert store.state("d1") == "done"
    assert store.results("d1")["metrics"] == {"val.mae": 5.0}


def test_results_of_another_stage_or_cut_off_do_not_count(store: Store) -> None:
    store.folder("d1").mkdir()
    (store.folder("d1") / "results.json").write_text('{"format": 1, "digest": "d2"}')
    assert not store.is_done("d1")
    (store.folder("d1") / "results.json").write_text('{"format": 1, "dig')
    assert not store.is_done("d1")
    with pytest.raises(InputError, match="not finished"):
        store.results("d1")
    assert "results.json is missing or broken" in store.set_aside("d1")
    assert not store.folder("d1").exists()
    assert (store.root / ".damaged" / "d1-1" / "results.json").exists()
    assert store.set_aside("d1") == ""


def test_states_of_a_graph(store: Store) -> None:
    whole = sweep(1)
    finish(store, whole.stages[0].digest)
    assert list(store.states(whole).values()) == ["done", "new", "new", "new", "new"]


def test_what_a_newer_tlimb_wrote_is_refused(store: Store) -> None:
    finish(store, "d1", format=2)
    with pytest.raises(InputError, match="newer TLIMB"):
        store.results("d1")
    (store.root / "store.json").write_text('{"format": 2}')
    with pytest.raises(InputError, match="format 2"):
        Store(store.root)


def test_looking_writes_nothing_and_a_file_is_no_store(tmp_path: Path) -> None:
    assert Store(tmp_path / "none").state("d1") == "new"
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        Store(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file" / "runs").create()
