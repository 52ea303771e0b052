"""Copies of prepared data on a node: made once, whole, kept while they are read, and done without where they cannot be had."""

import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from emit.small_graphs import sweep

from run.test_nextflow_engine import NEW, OLD, engine, files, needs_engine, status
from tlimb import scratch
from tlimb.run.nextflow import find_nextflow, write_project
from tlimb.scratch import copies, tidy
from tlimb.seal import damage, seal

MIB = 2**20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def place(root: Path) -> Path:
    return root / f"tlimb-{os.getuid()}"


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Path]:
    def made(digest: str = "d1", size: int = MIB) -> Path:
        folder = tmp_path / "runs" / digest
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(digest.encode() * (size // 2))
        (folder / "results.json").write_text(json.dumps({"format": 1, "digest": digest}))
        (folder / "log.txt").write_text("reading\n")
        seal(folder, digest)
        return folder

    return made


@pytest.fixture
def told() -> list[str]:
    return []


def test_a_copy_is_made_once_and_stays_for_the_next_stage(
    root: Path, place: Path, prepared: Callable[..., Path], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepared()
    for _ in range(2):
        with copies(root, {"d1": folder}, told.append) as found:
            assert found == {"d1": place / "d1"}
            assert (place / "d1" / "images.npy").read_bytes() == (folder / "images.npy").read_bytes()
            assert damage(place / "d1", "d1", contents=True) == ""
    assert capsys.readouterr().out.count("copied to") == 1
    assert not told
    assert sorted(entry.name for entry in place.iterdir()) == ["d1", "d1.lock"]
    assert place.stat().st_mode & 0o777 == 0o700
    tidy(root)
    assert not list(place.iterdir())
    tidy(None)


def test_without_a_scratch_data_are_read_where_they_lie(prepared: Callable[..., Path], told: list[str]) -> None:
    folder = prepared()
    with copies(None, {"d1": folder}, told.append) as found:
        assert found == {"d1": folder}
    assert not told


def test_variables_are_filled_in_on_the_node(
    root: Path, prepared: Callable[..., Path], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_TMP", str(root))
    with copies("$JOB_TMP", {"d1": prepared()}, told.append) as found:
        assert found["d1"].is_relative_to(root)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path: Path) -> None:
    path.write_bytes(b"\xff" + path.read_bytes()[1:])


@pytest.mark.parametrize("harm", [_cut, _flip, Path.unlink], ids=["cut", "other contents", "absent"])
@pytest.mark.parametrize("name", ["images.npy", "results.json", "files.json"])
def test_a_damaged_copy_is_made_anew(
    harm: Callable[[Path], object], name: str, root: Path, place: Path, prepared: Callable[..., Path], told: list[str]
) -> None:
    folder = prepared()
    with copies(root, {"d1": folder}, told.append):
        pass
    harm(place / "d1" / name)
    with copies(root, {"d1": folder}, told.append) as found:
        assert found["d1"] == place / "d1"
        assert (found["d1"] / name).read_bytes() == (folder / name).read_bytes()
    assert not told


def _read(root: Path, folder: Path, seconds: float, report: Path) -> None:
    with copies(root, {"d1": folder}, lambda text: report.with_suffix(".told").write_text(text)) as found:
        report.write_text(str(found["d1"]))
        time.sleep(seconds)


def _started(target: Callable[..., None], *arguments: object) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process  # type: ignore[return-value]


def test_stages_that_start_at_once_share_one_copy(
    root: Path, place: Path, prepared: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, made = prepared(), tmp_path / "made"
    make = scratch._make

    def slowly(place: Path, folder: Path, digest: str) -> None:
        with made.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        make(place, folder, digest)

    monkeypatch.setattr(scratch, "_make", slowly)
    processes = [_started(_read, root, folder, 0.1, tmp_path / f"reader{number}.txt") for number in range(4)]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert {(tmp_path / f"reader{number}.txt").read_text() for number in range(4)} == {str(place / "d1")}
    assert len(made.read_text().splitlines()) == 1
    assert not list(tmp_path.glob("*.told"))


def _die_while_copying(root: Path, folder: Path) -> None:
    def fatal(source: object, target: object, length: int) -> None:
        target.write(b"half")  # type: ignore[attr-defined]
        target.flush()  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)

    shutil.copyfileobj = fatal  # type: ignore[assignment]
    with copies(root, {"d1": folder}, print):
        pass


def test_killed_while_it_copies_it_leaves_nothing_that_the_next_one_takes_for_a_copy(
    root: Path, place: Path, prepared: Callable[..., Path], told: list[str]
) -> None:
    folder = prepared()
    process = _started(_die_while_copying, root, folder)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert [entry.name for entry in place.glob(".d1.*")] == [f".d1.{process.pid}"]
    with copies(root, {"d1": folder}, told.append) as found:
        assert (found["d1"] / "images.npy").read_bytes() == (folder / "images.npy").read_bytes()
    assert not list(place.glob(".d1.*"))
    assert not told


def test_the_copy_used_longest_ago_makes_room_and_none_that_is_read(
    root: Path, place: Path, prepared: Callable[..., Path], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {digest: prepared(digest) for digest in ("d1", "d2", "d3", "d4")}

    def room(place: Path) -> int:
        return int(2.5 * MIB) - sum(file.stat().st_size for file in place.rglob("*") if file.is_file())

    monkeypatch.setattr(scratch, "_room", room)
    for number, digest in enumerate(("d1", "d2")):
        with copies(root, {digest: folders[digest]}, told.append):
            pass
        os.utime(place / f"{digest}.lock", (time.time() - 100 + number,) * 2)
    with copies(root, {"d1": folders["d1"]}, told.append):  # used again, so that d2 is the oldest
        pass
    with copies(root, {"d3": folders["d3"]}, told.append):
        assert sorted(entry.name for entry in place.iterdir() if entry.is_dir()) == ["d1", "d3"]
        with copies(root, {"d1": folders["d1"]}, told.append), copies(root, {"d4": folders["d4"]}, told.append) as found:
            assert found["d4"] == folders["d4"], "both others are read"
    assert len(told) == 1
    assert "no copy of d4" in told[0]
    assert "GiB are needed" in told[0]
    assert "the data are read where they lie" in told[0]


def test_copies_that_nobody_wants_any_more_go(root: Path, place: Path, prepared: Callable[..., Path], told: list[str]) -> None:
    with copies(root, {"d1": prepared("d1")}, told.append):
        pass
    os.utime(place / "d1.lock", (time.time() - scratch.KEEP_S - 60,) * 2)
    with copies(root, {"d2": prepared("d2")}, told.append):
        assert not (place / "d1").exists()


def test_a_clock_that_is_set_takes_no_copy_from_who_reads_it(
    root: Path, place: Path, prepared: Callable[..., Path], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {digest: prepared(digest) for digest in ("d1", "d2")}
    with copies(root, {"d1": folders["d1"]}, told.append) as found:
        for now in (4e9, 0.0):  # the years 2096 and 1970
            monkeypatch.setattr(time, "time", lambda now=now: now)
            with copies(root, {"d2": folders["d2"]}, told.append) as other:
                assert other["d2"] == place / "d2"
            assert (found["d1"] / "images.npy").exists()
    assert not told


def test_who_reads_a_damaged_copy_is_not_disturbed_and_others_do_without(
    root: Path, place: Path, prepared: Callable[..., Path], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "PAUSE_S", 0.001)
    folder = prepared()
    with copies(root, {"d1": folder}, told.append):
        _cut(place / "d1" / "images.npy")
        with copies(root, {"d1": folder}, told.append) as found:
            assert found["d1"] == folder
        assert (place / "d1").exists()
    assert ["others hold a copy that is damaged" in text for text in told] == [True]


@pytest.mark.parametrize("what", ["absent", "a file", "not ours"])
def test_a_scratch_that_cannot_be_used_is_told(what: str, root: Path, place: Path, prepared: Callable[..., Path], told: list[str]) -> None:
    if what == "not ours":
        (root / "elsewhere").mkdir()
        place.symlink_to(root / "elsewhere")  # what somebody may put into a folder that all can write to
    elif what == "a file":
        root.rmdir()
        root.write_text("")
    folder = prepared()
    with copies(root / "absent" if what == "absent" else root, {"d1": folder}, told.append) as found:
        assert found == {"d1": folder}
    assert len(told) == 1
    assert "cannot be used" in told[0]
    assert what != "not ours" or not list((root / "elsewhere").iterdir())


def test_an_error_of_the_stage_is_its_own(root: Path, place: Path, prepared: Callable[..., Path], told: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match="mine"), copies(root, {"d1": prepared()}, told.append):
        raise FileNotFoundError("mine")
    assert not told
    descriptor = os.open(place / "d1.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more
    os.close(descriptor)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A scratch of 1 MiB in memory."""
    disk = tmp_path / "small disk"
    disk.mkdir()
    if not shutil.which("mount"):
        pytest.skip("a small disk is made by mount")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting takes a right that this process has not: {done.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_full_scratch_is_done_without(
    small_disk: Path, prepared: Callable[..., Path], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scratch._in_memory(small_disk)
    assert 0 < scratch._room(small_disk) < MIB
    folder = prepared(size=2 * MIB)
    with copies(small_disk, {"d1": folder}, told.append) as found:
        assert found == {"d1": folder}
    monkeypatch.setattr(scratch, "_room", lambda place: 10 * MIB)  # somebody else fills it while the copy is made
    with copies(small_disk, {"d1": folder}, told.append) as found:
        assert found == {"d1": folder}
    assert len(told) == 2
    assert "No space left" in told[1]
    assert [entry.name for entry in next(small_disk.iterdir()).iterdir()] in ([], ["d1.lock"]), "no half copy keeps it full"


def test_memory_that_a_job_may_not_have_is_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = {
        "/proc/mounts": ["/dev/sda / ext4 rw 0 0", f"tmpfs {tmp_path} tmpfs rw 0 0"],
        "/proc/meminfo": ["MemTotal: 99999999 kB", "MemAvailable: 88888888 kB"],
        "/proc/self/cgroup": ["0::/job7"],
        "/sys/fs/cgroup/job7/memory.max": ["1000000"],
        "/sys/fs/cgroup/job7/memory.current": ["300000"],
    }
    monkeypatch.setattr(scratch, "_lines", lambda path: texts.get(path, []))
    assert scratch._room(tmp_path) == 600000
    texts["/sys/fs/cgroup/job7/memory.max"] = ["max"]
    texts["/proc/meminfo"] = ["MemAvailable: 100 kB"]
    assert scratch._room(tmp_path) == 92160
    texts["/proc/mounts"] = texts["/proc/mounts"][:1]
    assert scratch._room(tmp_path) > MIB


@needs_engine
@pytest.mark.parametrize(("version", "parser"), [(OLD, "v1"), (NEW, "v2")])
def test_a_compiled_project_has_a_scratch_that_changes_no_task(
    version: str, parser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(monkeypatch, version, parser)
    monkeypatch.setenv("NXF_OPTS", "-Xmx512m")
    project = write_project(files(sweep(1)), tmp_path / "project")
    for number, given in enumerate((["--scratch", "/scratch/it's $SLURM_JOB_ID"], [])):
        command = [find_nextflow(), "run", project, "-stub", "-resume", "-profile", "test", *given]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert set(status(tmp_path / "results" / "pipeline_info" / "trace.txt").values()) == {"CACHED" if number else "COMPLETED"}
    scripts = list((tmp_path / "work").glob("*/*/.command.run"))
    assert len(scripts) == 6
    for script in scripts:
        line = next(line for line in script.read_text().splitlines() if "TLIMB_SCRATCH" in line)
        shown = subprocess.run(["bash", "-c", f'{line.strip()}; printf %s "$TLIMB_SCRATCH"'], capture_output=True, text=True, check=True)
        assert shown.stdout == "/scratch/it's $SLURM_JOB_ID", "filled in on the node"
