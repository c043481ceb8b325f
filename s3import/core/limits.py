"""How many rejects a pass may have, and the count that is held against it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass

from s3import.core.errors import ConfigurationError, TooManyRejects
from s3import.core.events import HowFar

ENOUGH_FOR_A_SHARE = 10_000  # records read before a percentage can stop a pass early
ENOUGH_TO_DESPAIR = 10_000  # rejects after which a pass of which nothing came over ends
RATE_WINDOW_SECONDS = 60.0  # machines and databases are faster and slower for ten seconds or more at a time
SETTLE_SECONDS = 1.0  # after which files that were copied are written down, and counted
LEAST_SAMPLES = 6  # of a rate, however long ago: of large batches a few seconds hold one or two


@dataclass(frozen=True, slots=True)
class RejectLimit:
    """At most `count` rejects, or at most `percent` of the records read; neither: any number."""

    count: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> RejectLimit:
        """Read ``N`` or ``P%``. Raises: ConfigurationError."""
        try:
            if text.endswith("%"):
                limit = cls(percent=float(text[:-1]))
                valid = 0 <= (limit.percent or 0) <= 100
            else:
                limit = cls(count=int(text))
                valid = (limit.count or 0) >= 0
        except ValueError:
            valid = False
        if not valid:
            raise ConfigurationError(f"--max-rejects takes a number (100) or a percentage (0.5%), not {text!r}")
        return limit

    @property
    def is_set(self) -> bool:
        """Whether somebody said how many are too many."""
        return self.count is not None or self.percent is not None

    def allows(self, rejected: int, read: int, *, final: bool) -> bool:
        """Whether the pass may go on. A percentage is held against the whole pass at its `final` record, and
        before that once enough records were read to know."""
        if self.count is not None:
            return rejected <= self.count
        if self.percent is not None and (final or read >= ENOUGH_FOR_A_SHARE):
            return rejected * 100 <= self.percent * read
        return True

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.percent is not None else str(self.count)


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a run goes, each a second; None: not known yet."""

    rows_per_second: float | None = None
    bytes_per_second: float | None = None
    files_per_second: float | None = None


class Counters:
    """What a run has read and rejected so far, over all its parts and attempts. Safe to use from several threads."""

    def __init__(self, limit: RejectLimit, *, dry_run: bool = False) -> None:
        self._limit, self._dry_run = limit, dry_run
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, int, int, int]] = deque()
        self._counted_at = time.monotonic()
        self._is_new_stage = False
        self.read = 0
        self.rejected = 0
        self.bytes = 0
        self.files = 0
        self.how_far: HowFar | None = None  # as was last seen, where somebody watches
        self._came_over = False

    def afresh(self) -> Counters:
        """The same limits, and nothing counted."""
        return Counters(self._limit, dry_run=self._dry_run)

    def start(self, read: int, rejected: int) -> None:
        """Begin with what earlier attempts did."""
        self.read, self.rejected = read, rejected
        self._came_over = read > rejected

    def add(self, read: int, rejected: int, bytes_: int) -> None:
        """Count one committed batch."""
        with self._lock:
            self.read += read
            self.rejected += rejected
            self.bytes += bytes_
            self._counted_at = time.monotonic()
            self._came_over = self._came_over or read > rejected

    def nothing_came_over(self, *, final: bool = False) -> bool:
        """Whether every record was rejected, and that is enough to know (`final`: there are no more), where nobody said
        how many rejects are too many."""
        if self._came_over or self._limit.is_set:
            return False
        return self.rejected >= (1 if final else ENOUGH_TO_DESPAIR)

    def add_files(self, number: int) -> None:
        """Count files that were copied or have failed."""
        with self._lock:
            self.files += number
            self._counted_at = time.monotonic()

    def require_within_limit(self, account_id: str, *, final: bool = False) -> None:
        """Raises: TooManyRejects."""
        with self._lock:
            read, rejected = self.read, self.rejected
        if self._limit.allows(rejected, read, final=final):
            return
        why = (
            "--json lists the first of them"
            if self._dry_run
            else f"`s3import rejects --account {account_id}` shows why"
        )
        kept = "" if self._dry_run else ": what was imported stays"
        raise TooManyRejects(
            f"account {account_id}: {rejected} of {read} records were rejected, more than --max-rejects {self._limit} "
            f"allows; {why}. Repair the dump or allow more, then run the same command again{kept}"
        )

    def begin_stage(self) -> None:
        """Forget how fast it went: what comes now goes at a pace of its own."""
        with self._lock:
            self._samples.clear()
            self._is_new_stage = True
            self._samples.append((time.monotonic(), self.read, self.bytes, self.files))

    def rates(self) -> Rates:
        """How fast the stage at work went over the last minute; nothing is known until two samples were taken."""
        with self._lock:
            now, latest = time.monotonic(), self._samples[-1][0] if self._samples else -math.inf
            if self._counted_at > latest:
                self._samples.append((self._counted_at, self.read, self.bytes, self.files))
            if self._is_new_stage and len(self._samples) > 2:
                self._samples.popleft()  # its start: the first commit waits for more than the others
                self._is_new_stage = False
            while self._samples[0][0] < now - RATE_WINDOW_SECONDS and len(self._samples) > LEAST_SAMPLES:
                self._samples.popleft()
            now = self._until(now)
            then, *before = self._samples[0]
            if now - then < 0.5:
                return Rates()
            done = zip((self.read, self.bytes, self.files), before, strict=True)
            return Rates(*((number - was) / (now - then) for number, was in done))

    def _until(self, now: float) -> float:
        """The last commit: what was done since is not counted yet, and the time that it took would look idle. Once
        longer than usual has passed since, it is."""
        first, last = self._samples[0][0], self._samples[-1][0]
        usual = (last - first) / max(len(self._samples) - 1, 1)
        return max(last, now - usual)
