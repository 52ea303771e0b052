"""Scratch: copies of prepared data on a node's own disk, or in its memory, made once and shared by all stages there.

``ROOT/tlimb-UID/`` holds ``DIGEST/``, a copy of a finished stage, which appears by one rename; ``DIGEST.lock``, held shared by who reads
the copy and alone by who makes or removes it; and ``.DIGEST.PID/``, a copy that is being made, or was when its process was killed.
Results do not depend on any of it: whatever goes wrong here, the data are read where they lie.
"""

import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tlimb.seal import damage

VARIABLE = "TLIMB_SCRATCH"
SPARE = 0.1
"""Share of the scratch that is left to others."""

KEEP_S = 12 * 3600.0
"""How long a copy that nobody reads is kept for the next stage, where space is not short."""

TRIES, PAUSE_S = 50, 0.1
"""How often, and after how long, one looks again for a copy that others are busy with; one waits for a copy in the making without limit."""

_GIB = 2**30
Tell = Callable[[str], None]


@contextmanager
def copies(root: str | Path | None, folders: Mapping[str, Path], tell: Tell) -> Iterator[dict[str, Path]]:
    """Copies of finished stages in the scratch, which stay there at least until the context ends.

    Args:
        root: The scratch, variables of the environment in it are filled in; none: no copies are made.
        folders: By digest.
        tell: Told of each copy that cannot be had, and why.

    Yields:
        By digest the copy, or the folder itself where there is none.
    """
    found = dict(folders)
    with ExitStack() as held:
        place = _place(root, tell) if root and folders else None
        for digest, folder in folders.items() if place else ():
            assert place is not None
            try:
                _drop_old(place)
                found[digest] = held.enter_context(_copy(place, folder, digest))
            except OSError as error:
                tell(f"scratch: no copy of {digest} in {place.parent} ({error.strerror or error}); the data are read where they lie")
        yield found


def tidy(root: str | Path | None) -> None:
    """Remove all copies that nobody reads."""
    place = _place(root, lambda _: None) if root else None
    for digest in _known(place) if place else ():
        assert place is not None
        _remove(place, digest)


def _place(root: str | Path, tell: Tell) -> Path | None:
    """The folder of this user in the scratch, which others may write to."""
    place = Path(os.path.expandvars(root)) / f"tlimb-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(errno.EPERM, f"{place.name} belongs to somebody else")
    except OSError as error:
        tell(f"scratch: {place.parent} cannot be used ({error.strerror}); the data are read where they lie")
        return None
    return place


@contextmanager
def _copy(place: Path, folder: Path, digest: str) -> Iterator[Path]:
    """A whole copy, which is made where there is none; nobody removes it while it is open.

    Raises:
        OSError: there is no room, or others hold a copy that is damaged.
    """
    for _ in range(TRIES):
        with _lock(place, digest, fcntl.LOCK_SH):
            if _is_whole(place / digest, folder, digest):
                yield place / digest
                return
        with suppress(BlockingIOError), _lock(place, digest, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if not _is_whole(place / digest, folder, digest):
                _make(place, folder, digest)
            continue
        time.sleep(PAUSE_S)  # others are looking, or read a damaged copy
    raise OSError(errno.EBUSY, "others hold a copy that is damaged")


@contextmanager
def _lock(place: Path, digest: str, kind: int) -> Iterator[None]:
    """Hold the lock of a copy; raises `BlockingIOError` if it is not to be waited for."""
    path = place / f"{digest}.lock"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            if not _is_same(descriptor, path):  # whoever removed the copy has removed this lock too
                continue
            try:
                os.utime(descriptor)  # says when the copy was used last
                yield
            finally:
                os.utime(descriptor)
            return
        finally:
            os.close(descriptor)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_whole(copy: Path, folder: Path, digest: str) -> bool:
    """Whether a copy is there, sealed as the original is and of its sizes."""
    if not copy.is_dir() or damage(copy, digest, contents=True):
        return False
    try:
        return all((copy / file.name).stat().st_size == file.stat().st_size for file in _files(folder))
    except OSError:
        return False


def _files(folder: Path) -> list[Path]:
    """What of a finished stage is read again; its log may still grow."""
    return [file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix not in (".txt", ".jsonl")]


def _make(place: Path, folder: Path, digest: str) -> None:
    """Make the copy, by one who holds its lock alone."""
    files = _files(folder)
    for left in [place / digest, *place.glob(f".{digest}.*")]:
        shutil.rmtree(left, ignore_errors=True)
    _make_room(place, sum(file.stat().st_size for file in files))
    began, half = time.monotonic(), place / f".{digest}.{os.getpid()}"
    try:
        half.mkdir()
        for file in files:
            with file.open("rb") as source, (half / file.name).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 24)
                target.flush()
                os.fsync(target.fileno())  # else a machine that crashes may leave a file of the right size without its content
        half.rename(place / digest)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    size = sum(file.stat().st_size for file in files)
    print(f"scratch: {digest} ({size / _GIB:.2f} GiB) copied to {place.parent} in {time.monotonic() - began:.1f} s")


def _make_room(place: Path, size: int) -> None:
    """Remove what has not been used for longest, and nobody reads, until there is room.

    Raises:
        OSError: there is not enough.
    """
    known = sorted(_known(place), key=lambda digest: _used_at(place, digest))
    while (missing := size - _room(place)) > 0:
        if not known:
            raise OSError(errno.ENOSPC, f"{size / _GIB:.2f} GiB are needed, {missing / _GIB:.2f} GiB more than may be used")
        _remove(place, known.pop(0))


def _drop_old(place: Path) -> None:
    now = time.time()
    for digest in _known(place):
        if now - _used_at(place, digest) > KEEP_S:
            _remove(place, digest)


def _known(place: Path) -> set[str]:
    """Digests of all that lies here, whole or not."""
    return {entry.name.lstrip(".").partition(".")[0] for entry in place.iterdir()}


def _used_at(place: Path, digest: str) -> float:
    try:
        return (place / f"{digest}.lock").stat().st_mtime
    except OSError:
        return 0.0


def _remove(place: Path, digest: str) -> None:
    """Remove a copy unless somebody reads or makes it."""
    with suppress(OSError), _lock(place, digest, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for left in [place / digest, *place.glob(f".{digest}.*")]:
            shutil.rmtree(left, ignore_errors=True)
        (place / f"{digest}.lock").unlink()


def _room(place: Path) -> int:
    """Bytes that may be used: of the file system and, where that lies in memory, of the memory of the machine and of this job."""
    state = os.statvfs(place)
    room = state.f_bavail * state.f_frsize - int(SPARE * state.f_blocks * state.f_frsize)
    return min(room, *_memory()) if _in_memory(place) else room


def _in_memory(place: Path) -> bool:
    """Whether a folder lies in a file system in memory, such as /dev/shm."""
    mounts = [line.split()[1:3] for line in _lines("/proc/mounts")]
    under = [(mount, kind) for mount, kind in mounts if place.is_relative_to(mount.replace("\\040", " "))]
    return bool(under) and max(under, key=lambda item: len(item[0]))[1] in ("tmpfs", "ramfs")


def _memory() -> list[int]:
    """Bytes of memory that are free: of the machine and, in a job with a limit, of the job."""
    known = dict(line.split(":") for line in _lines("/proc/meminfo"))
    free = [int((1 - SPARE) * int(known["MemAvailable"].split()[0]) * 1024)] if "MemAvailable" in known else []
    group = next((line.rstrip("\n").split("::")[1] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), "/")
    for folder in {Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup" + group)}:
        limit, used = ("".join(_lines(str(folder / name))).strip() for name in ("memory.max", "memory.current"))
        if limit.isdecimal() and used.isdecimal():
            free.append(int((1 - SPARE) * int(limit)) - int(used))
    return free or [2**62]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
