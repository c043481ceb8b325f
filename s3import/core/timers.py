"""Work that repeats on a thread of its own, and the end of a process that does not end by itself."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from s3import.core.errors import as_failure

log = logging.getLogger(__name__)


class Ticker:
    """Calls `work` at once, every `seconds` and when woken, from a thread called `name`, until `stop` is set.

    With `once_more` it is called once again after that. What it raises is logged, and the next round may succeed.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        seconds: float,
        *,
        stop: threading.Event | None = None,
        once_more: bool = False,
    ) -> None:
        self._name = name
        self._work = work
        self._seconds = seconds
        self._stop = stop or threading.Event()
        self._once_more = once_more
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin with the first round."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next round now. Never blocks."""
        self._woken.set()

    def stop(self) -> None:
        """Have the round at hand be the last, but for the one of `once_more`. Never blocks."""
        self._stop.set()
        self.wake()

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has stopped, for at most so many seconds if given."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._round()
            self._woken.wait(self._seconds)
            self._woken.clear()
        if self._once_more:
            self._round()

    def _round(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round may go better
            log.warning("%s: %s", self._name, as_failure(error), extra={"event": "round_failed"})


def end_process_after(seconds: float, status: int, end: Callable[[int], object] = os._exit) -> None:
    """`end` the process with that status after so many seconds, unless it has ended by then."""
    watchdog = threading.Timer(seconds, end, [status])
    watchdog.daemon = True
    watchdog.start()
