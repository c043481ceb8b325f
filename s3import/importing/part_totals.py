"""What all machines have read and rejected of a run: looked up so seldom that it costs next to nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3import.importing import checkpoints
from s3import.status import Run

if TYPE_CHECKING:
    from s3import.writers import Database


LEAST_SECONDS = 1.0  # between two looks at one run
MOST_SHARE = 0.02  # of the time that looking may take: sums over many parts are slow
MOST_RUNS = 1000  # remembered at a time


@dataclass(frozen=True, slots=True)
class _Look:
    read: int
    rejected: int
    next_at: float


class Totals:
    """Sums over a run's parts. Between two looks they are those of a while ago: never too many, and at the end of a
    run, when nothing is added any more, they are looked up afresh. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks: dict[tuple[str, int], _Look] = {}

    def of(self, run: Run, *, fresh: bool) -> tuple[int, int]:
        """Records read and rejected by all machines."""
        key = (run.run_id, run.attempts)  # another attempt may begin from the beginning
        look = self._looks.get(key)
        if fresh or look is None or time.monotonic() >= look.next_at:
            look = self._look(run.run_id)
            if len(self._looks) >= MOST_RUNS:
                self._looks.clear()
            self._looks[key] = look
        return look.read, look.rejected

    def _look(self, run_id: str) -> _Look:
        began = time.monotonic()
        with self._database.read() as connection:
            read, rejected = checkpoints.totals(connection, run_id)
        ended = time.monotonic()
        return _Look(read, rejected, ended + max(LEAST_SECONDS, (ended - began) / MOST_SHARE))
