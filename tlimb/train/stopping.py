"""Signals: how a stage is asked to end."""

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StoppedError(BaseException):
    """The stage was asked to end; a later start goes on. Not an `Exception`: nothing on the way up may take it for a failure.

    Attributes:
        exit_status: 75 (try again), or 130 after Ctrl-C.
    """

    def __init__(self, exit_status: int = 75) -> None:
        super().__init__("interrupted" if exit_status == 130 else "stopped; run it again to go on")
        self.exit_status = exit_status


class Stop:
    """Signals as a wish: SIGTERM and SIGUSR1 end a fit where its state is saved, and anything else at once; Ctrl-C always ends at once.

    Attributes:
        requested: True from the first signal on.
        deferred: True while a fit is running, which looks at `requested` by itself.
    """

    def __init__(self) -> None:
        self.requested = False
        self.deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def install(self) -> None:
        """Take the signals over, from Lightning too, which ends a fit anywhere; Python allows it in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            raise StoppedError(130)
        self.requested = True
        if not self.deferred:
            raise StoppedError
