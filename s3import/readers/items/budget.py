"""How much of a table's capacity may be used: Conversations works on it too."""

from __future__ import annotations

import time
from multiprocessing import get_context


class ReadBudget:
    """At most so many read units a second on average, shared by whoever reads, in this process and in those that it
    starts; None: as many as there are."""

    def __init__(self, units_per_second: float | None) -> None:
        self._rate = units_per_second
        # When what was used is paid off, on the monotonic clock, which is the same in all processes.
        self._free_at = get_context("spawn").Value("d", 0.0) if units_per_second is not None else None

    def wait(self) -> None:
        """Return when the next request may be made."""
        if self._free_at is not None and (wait_seconds := self._free_at.value - time.monotonic()) > 0:
            time.sleep(wait_seconds)

    def spend(self, units: float) -> None:
        """Take note of what a request used."""
        if self._free_at is not None and self._rate is not None:
            with self._free_at.get_lock():
                self._free_at.value = max(self._free_at.value, time.monotonic()) + units / self._rate
