"""A text file that grows while it is read."""

import os
from pathlib import Path


class Tail:
    """The lines that a file gains. A file that was replaced or cut is read from its beginning again.

    Args:
        path: Need not exist yet.
        skip: Whether what the file holds now is passed over.
    """

    __slots__ = ("_identity", "_offset", "path")

    def __init__(self, path: Path, *, skip: bool = False) -> None:
        self.path = path
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        if skip:
            try:
                found = path.stat()
            except OSError:
                return
            self._offset, self._identity = found.st_size, (found.st_dev, found.st_ino)

    def news(self) -> list[str]:
        """The whole lines that the file has gained since the last call."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                identity = (found.st_dev, found.st_ino)
                if identity != self._identity or found.st_size < self._offset:
                    self._offset, self._identity = 0, identity
                if found.st_size == self._offset:
                    return []
                file.seek(self._offset)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode(errors="replace").splitlines()


def last_lines(path: Path, count: int, *, width: int = 4096) -> list[str]:
    """The last lines of a file, without reading what stands before them; none where there is no file.

    Args:
        path: A text file.
        count: How many lines.
        width: Bytes that a line may have on average.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - count * width))
            text = file.read()
    except OSError:
        return []
    return text.decode(errors="replace").splitlines()[-count:]
