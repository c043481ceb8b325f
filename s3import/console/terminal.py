"""What a person sees of a migration while it runs: bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from s3import.console.output import is_screen
from s3import.core.durations import in_words
from s3import.core.events import (
    AccountEnded,
    Advanced,
    Event,
    FilesAdvanced,
    HowFar,
    PassEnded,
    PassStarted,
    Reading,
    Retrying,
    RowsRemoved,
    Waiting,
    WaitingForReset,
)
from s3import.core.limits import RATE_WINDOW_SECONDS

if TYPE_CHECKING:
    from s3import.console.bars import Bars

ALMOST_DONE = 0.99  # the most that a bar shows before the end
LEAST_SECONDS_LEFT = 1.0
MOST_GUESSED_SECONDS = 5.0  # that went by since somebody looked: without a newer look nobody knows whether it goes on
LEAST_WINDOW_SECONDS = 0.5  # by which a rate can be told
LEAST_ROWS_TOLD = 100_000  # fewer are read before anybody wonders
SAME_AGAIN_SECONDS = 5.0  # a message that many parts have at the same time is shown once


class Terminal:
    """Shows events as they come, from any thread, and the warnings that are logged meanwhile.

    `accounts`: how many there are to come; with several, what is shown counts accounts; `line_seconds`: between two
    lines where there are no bars; `place`: what the first line says, where it happens. Use as a context manager:
    leaving it puts the screen in order.
    """

    def __init__(self, *, accounts: int, line_seconds: float, place: str = "") -> None:
        self._place = place
        self._lock = threading.RLock()
        self._several = accounts > 1
        self._bars: Bars | None = None
        if is_screen(sys.stderr):
            from s3import.console.bars import Bars

            self._bars = Bars()
        self._line_seconds = line_seconds
        self._passes: dict[tuple[str, str], _PassShown] = {}
        self._accounts: _AccountsShown | None = None
        if self._several:
            self._accounts = (
                _AccountsBar(self._bars, accounts) if self._bars else _AccountLines(accounts, line_seconds, self._tell)
            )
        self._files_pace, self._files_recent = _Pace(line_seconds), _Recent()
        self._removed_pace = _Pace(line_seconds)
        self._said: dict[str, float] = {}
        self._warnings = _Warnings(self._say)

    def __enter__(self) -> Terminal:
        if self._bars and self._several:
            self._say_place()
        logging.getLogger("s3import").addHandler(self._warnings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("s3import").removeHandler(self._warnings)
        with self._lock, suppress(OSError):
            for shown in self._passes.values():
                shown.close()
            if self._bars:
                self._bars.close()

    def __call__(self, event: Event) -> None:
        """Show one event. A terminal that is gone is no reason to stop."""
        with self._lock, suppress(OSError):
            match event:
                case PassStarted():
                    self._start(event)
                case Advanced():
                    self._advance(event)
                case FilesAdvanced():
                    self._advance_files(event)
                case PassEnded():
                    self._end(event)
                case AccountEnded() if self._accounts is not None:
                    self._accounts.end(event)
                case Waiting():
                    self._say(
                        f"account {event.account_id}: {event.holder} holds the {event.pass_} pass; waiting up to "
                        f"{max(event.seconds, 0):.0f} s to see whether it is alive"
                    )
                case WaitingForReset():
                    self._say(
                        f"account {event.account_id}: {event.holder} is taking it back; waiting up to "
                        f"{max(event.seconds, 0):.0f} s to see whether it is alive"
                    )
                case RowsRemoved() | Reading():
                    self._tell_rows(event)
                case Retrying():
                    self._say(f"trying again: {event.reason.partition('; run the same command')[0]}")

    def _start(self, event: PassStarted) -> None:
        if self._accounts is not None:
            self._accounts.see(event)
            return
        if self._bars:
            self._say_place()
        shown = _Bar(self._bars, event) if self._bars else _Lines(event, self._line_seconds, self._tell)
        self._passes[event.account_id, event.pass_] = shown
        if event.attempts > 1:
            self._say(
                f"account {event.account_id}: resuming the {event.pass_} pass ({event.parts_done} of "
                f"{event.parts_total} parts done, {event.read:,} records read)"
            )

    def _advance(self, event: Advanced) -> None:
        shown = self._accounts or self._passes.get((event.account_id, event.pass_))
        if shown is not None:
            shown.advance(event)

    def _advance_files(self, event: FilesAdvanced) -> None:
        if self._accounts is not None:
            self._accounts.see(event)
        else:
            self._tell_files(event)

    def _tell_files(self, event: FilesAdvanced) -> None:
        """In the run's bar where it has one, else in a line now and then, the last of which tells the end."""
        shown, done = self._passes.get((event.account_id, event.pass_)), event.copied + event.failed
        self._files_recent.note(f"{event.account_id} {event.pass_}", done)
        if isinstance(shown, _Bar):
            shown.advance_files(event)
        elif self._files_pace.is_due() or done == event.total:
            left = f", {_left(self._seconds_of_files(event))}" if done < event.total else ""
            self._tell(f"{event.account_id} {event.pass_}: {_files(event)}{left}")

    def _seconds_of_files(self, event: FilesAdvanced) -> float | None:
        """What is left of the run, or of files that are copied after it."""
        if event.how_far is not None:
            return _seconds_left(event.how_far)
        rate = self._files_recent.rate
        return (event.total - event.copied - event.failed) / rate if rate else None

    def _tell_rows(self, event: RowsRemoved | Reading) -> None:
        match event:
            case RowsRemoved() if self._removed_pace.is_due():
                total = "" if event.total is None else f" of {event.total:,}"
                self._say(f"{event.account_id}: {event.done:,}{total} {event.what} removed")
            case Reading() if event.rows >= LEAST_ROWS_TOLD:
                self._tell(f"{event.account_id}: reading {event.rows:,} {event.what}")

    def _end(self, event: PassEnded) -> None:
        shown = self._passes.pop((event.account_id, event.pass_), None)
        if shown is not None:
            shown.close(is_done=event.error is None)

    def _tell(self, text: str) -> None:
        """Say how far it is; where it happens comes first."""
        if not self._bars:
            self._say_place()
        self._say(text)

    def _say_place(self) -> None:
        """Once."""
        if self._place:
            self._say(self._place)
            self._place = ""

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said.get(text, -SAME_AGAIN_SECONDS) >= SAME_AGAIN_SECONDS:
            self._said[text] = now
            self._bars.say(text) if self._bars else _print(text)


class _Warnings(logging.Handler):
    """Shows warnings on a line each, without tracebacks: those may quote a customer's text."""

    def __init__(self, say: Any) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._say(f"s3import: {' '.join(record.getMessage().split())}")


# --- one account: its passes ------------------------------------------------------------------------------------------


class _PassShown:
    """The numbers of one pass as they grow. How far it is and how long it takes are the status document's, where it has
    a run; else its bytes tell."""

    def __init__(self, event: PassStarted) -> None:
        self.name = f"{event.account_id} {event.pass_}"
        self.parts, self.parts_total = event.parts_done, event.parts_total
        self.bytes, self.bytes_total = event.bytes_done, event.bytes_total
        self.read, self.rejected = event.read, event.rejected
        self.stage = ""
        self.how_far = event.how_far
        self._recent = _Recent()

    def advance(self, event: Advanced) -> None:
        self.parts += event.parts
        self.bytes += event.bytes
        self.read += event.read
        self.rejected += event.rejected
        if event.entity is not None:
            self.stage = f"{event.entity}, "
        self.how_far = event.how_far or self.how_far
        self._recent.note(self.stage, self.bytes)

    @property
    def left(self) -> str:
        """The time left, in words."""
        if self.how_far is not None:
            return _left(_seconds_left(self.how_far))
        rate = self._recent.rate
        return _left((self.bytes_total - self.bytes) / rate if rate else None)

    def close(self, *, is_done: bool = False) -> None:
        """Leave the screen as it should stay."""


class _Bar(_PassShown):
    """A bar that never goes back, and is not full before all is done."""

    def __init__(self, bars: Bars, event: PassStarted) -> None:
        super().__init__(event)
        self._is_done = False
        self._files = ""
        self._drawn_fraction = 0.0
        self._shown = bars.add(self.name, self._fraction, self._told)

    def advance(self, event: Advanced) -> None:
        super().advance(event)
        self._shown()

    def advance_files(self, event: FilesAdvanced) -> None:
        """All parts are in."""
        self._files = f"{_files(event)}, "
        self.how_far = event.how_far or self.how_far
        self._shown()

    def _fraction(self) -> float:
        if self._is_done:
            return 1.0
        if self.how_far is not None:
            fraction = _fraction(self.how_far)
        else:
            fraction = self.bytes / self.bytes_total if self.bytes_total else 0.0
        self._drawn_fraction = max(self._drawn_fraction, min(fraction, ALMOST_DONE))
        return self._drawn_fraction

    def _told(self) -> str:
        """What stands behind the bar; the last of it is what a narrow terminal cuts off."""
        rate = None if self._is_done or self._files else self._recent.rate
        speed = f", {rate / 1e6:,.1f} MB/s" if rate else ""
        left = "" if self._is_done else f"{self.left}, "
        done = f"{self.bytes / 1e6:,.1f} of {self.bytes_total / 1e6:,.1f} MB"
        counted = f"{self.read:,} rows, {self.rejected:,} rejects, part {self.parts}/{self.parts_total}"
        if self._files:
            return f"{self._files}{left}{done}, {counted}"
        return f"{done}{speed}, {left}{self.stage}{counted}"

    def close(self, *, is_done: bool = False) -> None:
        self._is_done = is_done


class _Lines(_PassShown):
    def __init__(self, event: PassStarted, line_seconds: float, tell: Callable[[str], None]) -> None:
        super().__init__(event)
        self._tell = tell
        self._pace = _Pace(line_seconds)
        self._read_before = self.read

    def advance(self, event: Advanced) -> None:
        super().advance(event)
        if self._pace.is_due():
            self._say()

    def _say(self) -> None:
        done, total = self.bytes / 1e6, self.bytes_total / 1e6
        rate = self.how_far.rows_per_second if self.how_far else None
        if rate is None:
            rate = (self.read - self._read_before) / self._pace.seconds
        self._tell(
            f"{self.name}: part {self.parts}/{self.parts_total}, {self.stage}{self.read:,} rows, {done:,.1f} of "
            f"{total:,.1f} MB, {rate:,.0f} rows/s, {self.left}, {self.rejected:,} rejects"
        )


def _files(event: FilesAdvanced) -> str:
    failed = f", {event.failed:,} failed" if event.failed else ""
    return f"{event.copied:,} of {event.total:,} files copied{failed}"


def _seconds_left(how_far: HowFar) -> float | None:
    """The time left by now."""
    return None if how_far.seconds_left is None else how_far.seconds_left - _since(how_far)


def _fraction(how_far: HowFar) -> float:
    """How much is done by now, as far as the time left was right."""
    left = how_far.seconds_left
    return how_far.fraction + (1 - how_far.fraction) * min(_since(how_far) / left, 1.0) if left else how_far.fraction


def _since(how_far: HowFar) -> float:
    return min(time.monotonic() - how_far.at, MOST_GUESSED_SECONDS)


# --- several accounts -------------------------------------------------------------------------------------------------


class _AccountsShown:
    """How many accounts are dealt with, and the records of all of them."""

    def __init__(self, accounts: int) -> None:
        self.total, self.done, self.failed = accounts, 0, 0
        self.read, self.rejected = 0, 0
        self._at_work: dict[str, HowFar] = {}

    def advance(self, event: Advanced) -> None:
        self.read += event.read
        self.rejected += event.rejected
        self.see(event)

    def end(self, event: AccountEnded) -> None:
        self.done += 1
        self.failed += event.error is not None
        self._at_work.pop(event.account_id, None)

    def see(self, event: PassStarted | Advanced | FilesAdvanced) -> None:
        """Remember how far an account's pass is."""
        if event.how_far is not None:
            self._at_work[event.account_id] = event.how_far

    def _time_left(self, pace: _Pace) -> str:
        """As the accounts went that are done, but not less than one of those at work still takes: it may be larger than
        all of them."""
        if not self.done:
            return _left(None)
        at_work = (_seconds_left(how_far) or 0.0 for how_far in self._at_work.values())
        return _left(max((self.total - self.done) * pace.seconds / self.done, *at_work, LEAST_SECONDS_LEFT))

    def __str__(self) -> str:
        return f"{self.read:,} rows, {self.rejected:,} rejects, {self.failed:,} failed"


class _AccountsBar(_AccountsShown):
    def __init__(self, bars: Bars, accounts: int) -> None:
        super().__init__(accounts)
        self._pace = _Pace(0.0)
        self._shown = bars.add("accounts", lambda: self.done / self.total, self._told)

    def end(self, event: AccountEnded) -> None:
        super().end(event)
        self._shown()

    def _told(self) -> str:
        left = f", {self._time_left(self._pace)}" if self.done < self.total else ""
        return f"{self.done:,}/{self.total:,}{left}, {self}"


class _AccountLines(_AccountsShown):
    def __init__(self, accounts: int, line_seconds: float, tell: Callable[[str], None]) -> None:
        super().__init__(accounts)
        self._tell = tell
        self._pace = _Pace(line_seconds)

    def advance(self, event: Advanced) -> None:
        super().advance(event)
        self._say_if_due()

    def end(self, event: AccountEnded) -> None:
        super().end(event)
        self._say_if_due()

    def _say_if_due(self) -> None:
        if self._pace.is_due():
            left = self._time_left(self._pace) if self.done < self.total else "done"
            self._tell(f"accounts {self.done:,}/{self.total:,}, {self}, {left}")


# --- what they share --------------------------------------------------------------------------------------------------


class _Pace:
    """Tells when the next line is due."""

    def __init__(self, line_seconds: float) -> None:
        self._line_seconds = line_seconds
        self._began = self._said = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        due = now - self._said >= self._line_seconds
        if due:
            self._said = now
        return due

    @property
    def seconds(self) -> float:
        """Since the beginning; never 0."""
        return max(time.monotonic() - self._began, 1e-6)


class _Recent:
    """How fast one stage went over the last minute."""

    def __init__(self) -> None:
        self._stage = ""
        self._noted: deque[tuple[float, int]] = deque()

    def note(self, stage: str, done: int) -> None:
        """So much is done in all; a stage goes at a pace of its own."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage = stage
            self._noted.clear()
        self._noted.append((now, done))
        while self._noted[0][0] < now - RATE_WINDOW_SECONDS and len(self._noted) > 2:
            self._noted.popleft()

    @property
    def rate(self) -> float | None:
        """Each second; None where that is not known yet."""
        if not self._noted:
            return None
        (began, before), (now, done) = self._noted[0], self._noted[-1]
        return (done - before) / (now - began) if now - began > LEAST_WINDOW_SECONDS and done > before else None


def _left(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"{in_words(max(seconds, LEAST_SECONDS_LEFT))} left"


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
