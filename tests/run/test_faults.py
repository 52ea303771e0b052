"""Faults of a run and of its store: each is named, and the next run ends with what an undisturbed one has."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from run.test_local import FAKE, RUN, alive, behave, diamond, journal, names, start, store
from tlimb.cli import main
from tlimb.errors import InputError, TlimbError
from tlimb.run import machine
from tlimb.run.local import run_local
from tlimb.run.progress import Event, Progress
from tlimb.run.store import Store
from tlimb.run.whole import run_recipe
from tlimb.seal import SEAL, damage, seal, set_aside

__all__ = ["journal", "store"]
DIGESTS = {stage.name: stage.digest for stage in diamond().stages}


def finals(store: Store) -> dict[str, bytes]:
    """What stages have computed."""
    files = [file for digest in DIGESTS.values() for file in sorted(store.folder(digest).iterdir())]
    return {str(file.relative_to(store.root)): file.read_bytes() for file in files if file.name not in ("log.txt", "events.jsonl")}


def leftovers(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / ".partial").iterdir())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 255
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "cut": (cut, "images.npy", "has 195 bytes, not 200"),
    "header": (flip, "images.npy", "other contents"),
    "absent": (Path.unlink, "prepared.json", "cannot be read: No such file"),
    "unreadable": (make_folder, "prepared.json", "prepared.json"),
    "results cut": (cut, "results.json", "results.json is missing or broken"),
    "results are a folder": (make_folder, "results.json", "results.json is missing or broken"),
    "of another stage": (lambda path: path.write_text('{"digest": "d9"}'), "results.json", "that of the stage d9"),
    "seal cut": (cut, SEAL, "files.json is broken"),
    "seal emptied": (lambda path: path.write_text("{}"), SEAL, "files.json is broken"),
    "folder emptied": (empty, "results.json", "results.json is missing"),
}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a finished stage."""
    folder = tmp_path / "d1"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"format": 1, "digest": "d1", "metrics": {"val.mae": 5.0}}))
    (folder / "images.npy").write_bytes(bytes(range(200)))
    (folder / "prepared.json").write_text("{}")
    (folder / "log.txt").write_text("reading\n")
    (folder / "last.ckpt").touch()
    seal(folder, "d1")
    return folder


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_and_kept_aside(kind: str, finished: Path) -> None:
    harm, name, message = DAMAGES[kind]
    assert damage(finished, "d1", contents=True) == ""
    harm(finished / name)
    assert message in damage(finished, "d1", contents=True)
    kept = set_aside(finished)
    assert not finished.exists()
    assert kept == finished.parent / ".damaged" / "d1-1"
    shutil.copytree(kept, finished)
    assert set_aside(finished).name == "d1-2"


def test_logs_and_times_are_no_damage_and_stages_without_a_seal_count(finished: Path) -> None:
    (finished / "log.txt").write_text("more")
    (finished / "last.ckpt").unlink()
    (finished / "notes.txt").write_text("of the user")
    for file in finished.iterdir():
        os.utime(file, (4e9, 4e9))  # the year 2096
    assert damage(finished, "d1", contents=True) == ""
    (finished / SEAL).unlink()
    assert damage(finished, "d1", contents=True) == ""


def test_damaged_results_are_computed_again_with_the_same_outcome(journal: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_local(diamond(), store, worker_command=FAKE)
    before = finals(store)
    journal.unlink()
    cut(store.folder(DIGESTS["pretrain"]) / "model.safetensors")
    cut(store.folder(DIGESTS["test"]) / "results.json")
    flip(store.folder(DIGESTS["right"]) / "model.safetensors")  # needed again by what is computed again
    os.utime(store.folder(DIGESTS["left"]), (4e9, 4e9))

    assert store.states(diamond())[DIGESTS["pretrain"]] == "new"
    with Progress(diamond(), sys.stdout) as observer:
        outcome = run_local(diamond(), store, worker_command=FAKE, observer=observer)
    shown = capsys.readouterr().out
    title = f"pretrain {DIGESTS['pretrain'][:8]}"
    assert f"{title}  is tried again: its result is damaged: its model.safetensors has 7995 bytes, not 8000" in shown
    assert sorted(names(journal, "start")) == ["pretrain", "right", "test"]
    assert (len(outcome.done), len(outcome.cached)) == (3, 2)
    assert finals(store) == before
    assert len(list((store.root / ".damaged").iterdir())) == 3
    assert not leftovers(store)


def test_two_runs_on_one_store_train_nothing_twice(journal: Path, store: Store, tmp_path: Path) -> None:
    alone = Store(tmp_path / "alone")
    run_local(diamond(), alone, worker_command=FAKE)
    journal.unlink()
    script = RUN.format(tests=str(Path(__file__).parents[1]), store=str(store.root))
    runs = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for process in runs:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert sorted(names(journal, "start")) == sorted(DIGESTS)
    assert [content for name, content in finals(store).items() if "model" in name] == [
        content for name, content in finals(alone).items() if "model" in name
    ]
    assert not leftovers(store)
    assert not (store.root / ".damaged").exists()


def test_a_run_whose_stage_another_one_finishes_meanwhile_takes_its_result(
    journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of work becomes the result between the look at it and the start."""
    whole, begin = diamond(), Store.begin
    other = Store(store.root.with_name("other"))
    run_local(whole, other, worker_command=FAKE)

    def beaten(self: Store, digest: str) -> Path:
        partial = begin(self, digest)
        if self.root == store.root and digest == DIGESTS["pretrain"]:
            shutil.copytree(other.folder(digest), self.folder(digest))
            shutil.rmtree(partial)
        return partial

    monkeypatch.setattr(Store, "begin", beaten)
    journal.unlink()
    outcome = run_local(whole, store, worker_command=FAKE)
    assert len(outcome.done) == 5
    assert "pretrain" not in names(journal, "start")
    assert not leftovers(store)


def test_after_a_run_that_was_killed_the_next_one_ends_as_if_nothing_had_happened(
    journal: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = Store(tmp_path / "undisturbed")
    run_local(diamond(), undisturbed, worker_command=FAKE)
    behave(monkeypatch, pretrain="slow")
    process = start(store)
    process.kill()
    assert process.wait(timeout=20) == -signal.SIGKILL
    behave(monkeypatch)
    outcome = run_local(diamond(), store, worker_command=FAKE)  # its worker may still be ending: the lock is waited for
    assert (len(outcome.cached), len(outcome.done)) == (1, 4)
    assert finals(store) == finals(undisturbed)
    assert not leftovers(store)


def test_one_sees_whose_stage_a_run_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(diamond(), sys.stdout) as observer:
        observer(Event("begin", total=5))
        observer(Event("waiting", digest=DIGESTS["ukb"], message="process 7 on node3"))
    assert "another run is at it (process 7 on node3)" in capsys.readouterr().out


def test_a_worker_that_prints_garbage_is_understood(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, pretrain="garbage")
    outcome = run_local(diamond(), store, worker_command=FAKE)
    assert len(outcome.done) == 5
    assert '"text"' in (store.folder(DIGESTS["pretrain"]) / "log.txt").read_text(errors="replace")


def test_ctrl_c_twice_ends_a_worker_that_does_not_listen(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, pretrain="deaf")
    process = start(store)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert not alive(journal)
    behave(monkeypatch)
    assert len(run_local(diamond(), store, worker_command=FAKE).done) == 4


def test_ctrl_c_ends_a_worker_that_hangs_at_an_import(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, all="hang")
    script = RUN.format(tests=str(Path(__file__).parents[1]), store=str(store.root))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not journal.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert not alive(journal)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts something; needs the right to."""
    places: list[Path] = []

    def mounted(place: Path, *arguments: str) -> Path:
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting takes a right that this process has not: {done.stderr.decode().strip()}")
        places.append(place)
        return place

    yield mounted
    for place in reversed(places):
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.skipif(not shutil.which("mount"), reason="a full disk is made by mount")
def test_a_full_disk_ends_the_run_with_a_message_and_the_next_one_goes_on(
    journal: Path, tmp_path: Path, mount: Callable[..., Path]
) -> None:
    disk = mount(tmp_path / "small", "-t", "tmpfs", "-o", "size=32k", "tmpfs")
    small = Store(disk / "runs")
    with pytest.raises(TlimbError, match=r"takes no more: the disk or a quota is full.*No space left(.|\n)*make room"):
        run_local(diamond(), small, worker_command=FAKE)
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    assert not run_local(diamond(), small, worker_command=FAKE).failed
    roomy = Store(tmp_path / "roomy")
    run_local(diamond(), roomy, worker_command=FAKE)
    assert finals(small) == finals(roomy)


@pytest.mark.skipif(not shutil.which("mount"), reason="a read-only disk is made by mount")
def test_a_read_only_store_is_shown_and_not_written(
    journal: Path, store: Store, tmp_path: Path, mount: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_local(diamond(), store, worker_command=FAKE)
    seen = mount(tmp_path / "read only é", "--bind", "-o", "ro", str(store.root))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(seen)], check=True)
    frozen = Store(seen)
    assert set(frozen.states(diamond()).values()) == {"done"}
    shown = CliRunner().invoke(main, ["status", "--store", str(seen)])
    assert shown.exit_code == 0
    assert shown.output.count("done") == 5
    (tmp_path / "small.tlr").write_text("train resnet10 on demo.age\n")
    (tmp_path / "datasets.yaml").write_text("demo: {format: demo, participants: 24}\n")
    asked = CliRunner().invoke(main, ["run", str(tmp_path / "small.tlr"), "--store", str(seen)])
    assert asked.exit_code == 2
    assert "is read-only" in asked.output
    assert "tlimb results" in asked.output


def test_a_store_of_a_newer_version_is_refused_with_its_name(store: Store, tmp_path: Path) -> None:
    store.create()
    (store.root / "store.json").write_text('{"format": 7}')
    for command in (["status", "--store", str(store.root)],):
        shown = CliRunner().invoke(main, command)
        assert shown.exit_code == 2
        assert "has format 7" in shown.output
        assert "update TLIMB" in shown.output


def test_strange_files_in_a_store_disturb_nobody(journal: Path, store: Store) -> None:
    store.create()
    (store.root / "0123456789abcdef").mkdir()
    (store.root / "0123456789abcdef" / "results.json").symlink_to("0123456789abcdef")  # leads to itself
    partial = store.begin(DIGESTS["ukb"])
    (partial / "events.jsonl").write_bytes(b'\xff\xfe\x00\n{"event": "epoch"')
    (partial / "lock").mkdir()
    assert CliRunner().invoke(main, ["status", "--store", str(store.root)]).exit_code == 0
    (partial / "lock").rmdir()
    assert len(run_local(diamond(), store, worker_command=FAKE).done) == 5


def test_a_failed_stage_is_named_before_its_message(journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tlimb.catalogue.datasets import Datasets
    from tlimb.run import whole

    said: list[str] = []
    behave(monkeypatch, pretrain="fail")
    monkeypatch.setattr(whole, "run_local", lambda *args, **kwargs: run_local(*args, worker_command=FAKE, **kwargs))
    monkeypatch.setattr(whole, "needed", lambda graph, datasets: "")
    monkeypatch.setattr(whole, "plan_document", lambda graph, root: {})
    monkeypatch.setattr(whole, "write_results", lambda plan, root, home: "ranking")
    status = run_recipe(
        diamond(),
        store,
        Datasets({}, ()),
        lambda *_: diamond(),
        engine="local",
        profile="standard",
        jobs=1,
        threads=1,
        pack=None,
        echo=said.append,
    )
    assert status == 1
    log = store.partial(DIGESTS["pretrain"]) / "log.txt"
    place = said.index(f"failed: pretrain {DIGESTS['pretrain'][:8]} (log: {log})")
    assert said[place + 1] == "  no participant has a label"
    assert machine.cores() == 2


def test_a_message_of_another_kind_is_left_as_it_is(tmp_path: Path) -> None:
    from tlimb.files import cannot_write, writing

    assert cannot_write(tmp_path, ValueError("dropout")) is None
    with pytest.raises(FileNotFoundError), writing(tmp_path):
        raise FileNotFoundError(2, "No such file", str(tmp_path))
    with pytest.raises(InputError, match="cannot be written: Permission denied"), writing(tmp_path):
        raise PermissionError(13, "Permission denied", str(tmp_path / "x"))


def test_what_a_stage_warns_of_is_seen(
    journal: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    behave(monkeypatch, pretrain="warn")
    with Progress(diamond(), sys.stdout) as observer:
        run_local(diamond(), store, worker_command=FAKE, observer=observer)
    assert f"pretrain {DIGESTS['pretrain'][:8]}  warning: bf16 is slow here" in capsys.readouterr().out
