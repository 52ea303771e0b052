"""Scans as they look, read by a child process that loads the imaging libraries."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tlimb.catalogue.listing import Dataset, Scan
from tlimb.errors import TlimbError

COMMAND = (sys.executable, "-m", "tlimb.components.data.look")
PATIENCE_S = 2.0


class Looker:
    """Asks the child process, which starts with the first question and keeps the file that it read last; one question at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def look(
        self,
        dataset: Dataset,
        scan: Scan,
        *,
        size: tuple[int, int],
        channel: int = 0,
        frame: int = 0,
        at: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """What `tlimb.components.data.look` says of a scan; ``{"error": MESSAGE}`` where it cannot be shown.

        Args:
            dataset: Whose.
            scan: Which.
            size: Pixels across and down that each slice may have.
            channel: Which of its files.
            frame: Which volume of a file with several.
            at: Voxels in RAS+, or a region.

        Raises:
            TlimbError: the child process ended.
        """
        request = {
            "files": [str(file) for file in scan.images],
            "channel": channel,
            "frame": frame,
            "at": list(at) if at is not None else None,
            "size": list(size),
            "demo": {"root": str(dataset.root), "options": dict(dataset.options)} if dataset.format == "demo" else None,
        }
        with self._lock:
            process = self._running()
            try:
                self._pipe(process.stdin).write(json.dumps(request) + "\n")
                self._pipe(process.stdin).flush()
                line = self._pipe(process.stdout).readline()
            except (OSError, ValueError):
                line = ""
            if not line:
                self._end()
                raise TlimbError(
                    f"the process that reads images ended with status {process.returncode}",
                    f"{Path(scan.images[channel]).name} may be too large for this machine; the command is: {' '.join(COMMAND)}",
                )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the child process, also in the middle of an answer, which whoever waits for it then does not get."""
        process = self._process
        if process is not None and not self._lock.acquire(blocking=False):
            process.kill()
            self._lock.acquire()
        elif process is None:
            return
        try:
            self._end()
        finally:
            self._lock.release()

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            # In a session of its own: Ctrl-C in the terminal is not meant for it. It ends with its standard input.
            self._process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            self._pipe(process.stdin).close()
        try:
            process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._pipe(process.stdout).close()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe
