"""Ctrl-C, SIGTERM and SIGUSR1 as calls: the first asks for a clean stop, the second for an end at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Clusters announce a time limit by the last one."""


class Interrupts:
    """While open, signals call a function instead of raising `KeyboardInterrupt`; outside the main thread nothing changes."""

    __slots__ = ("_before", "_call", "count")

    def __init__(self, call: Callable[[], None]) -> None:
        """`call` runs inside the signal handler, after `count` has grown: it must not block."""
        self.count = 0
        self._call = call
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._call()
