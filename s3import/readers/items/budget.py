"""How much of a table's capacity may be used: Conversations works on it too."""

from __future__ import annotations

import threading
import time


class ReadBudget:
    """At most so many read units a second on average, shared by whoever reads; None: as many as there are."""

    def __init__(self, units_per_second: float | None) -> None:
        self._rate = units_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0  # on the monotonic clock: when what was used is paid off

    def wait(self) -> None:
        """Return when the next request may be made."""
        with self._lock:
            wait_seconds = self._free_at - time.monotonic()
        if wait_seconds > 0:
            time.sleep(wait_seconds)

    def spend(self, units: float) -> None:
        """Take note of what a request used."""
        if self._rate is not None:
            with self._lock:
                self._free_at = max(self._free_at, time.monotonic()) + units / self._rate
