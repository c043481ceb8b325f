"""Runs look by look, as `study.record` keeps them: what would be told of them today."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from statistics import median
from types import SimpleNamespace
from typing import Any
from unittest import mock

from s3import.core.limits import Counters, Rates, RejectLimit
from s3import.core.records import Entity
from s3import.core.settings import LEASE_SECONDS
from s3import.reporting import progress

FILES = ("files_total", "files_copied", "files_missing", "files_differ")
SLICE = ("entity", "parts_total", "parts_done", "bytes_total", "bytes_done", "read")
BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HEARTBEAT_SECONDS = 2.0
LONG_SECONDS = 45.0  # of a run of a minute
MOST_WRONG = 0.2

Looks = list[tuple[float, dict[str, Any]]]  # the seconds since a run began, and the progress that is shown then


class Clock:
    """What `time` is to the counters: it stands where it was put."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def shown(run: dict[str, Any], estimate: dict[str, Any] | None) -> Looks:
    """The run as it would be shown today."""
    with mock.patch("s3import.core.limits.time", Clock()) as clock:
        return [(look[0], _document(run, estimate, look, rates)) for look, rates in _with_rates(run["looks"], clock)]


def _document(run: dict[str, Any], estimate: dict[str, Any] | None, look: list[Any], rates: Rates) -> dict[str, Any]:
    seconds, numbers, slices = look
    row = SimpleNamespace(
        state="running",
        spread=False,
        attempts=run.get("attempts", 1),
        started_at=BEGAN,
        finished_at=None,
        lease_until=BEGAN.timestamp() + seconds - seconds % HEARTBEAT_SECONDS + LEASE_SECONDS,
        files_to=run["files_to"],
        estimate=estimate,
        rows_per_second=rates.rows_per_second,
        bytes_per_second=rates.bytes_per_second,
        files_per_second=rates.files_per_second,
        **dict(zip(FILES, numbers[-len(FILES) :], strict=True)),
    )
    parts = [SimpleNamespace(**dict(zip(SLICE, one, strict=True)), leased_until=None) for one in slices]
    return progress.document(row, parts)


def _with_rates(looks: list[Any], clock: Clock) -> Iterator[tuple[Any, Rates]]:
    """Each look with the rates that the last heartbeat before it wrote: what a look sees for the first time was
    committed then."""
    counters, rates, beat = Counters(RejectLimit()), Rates(), looks[0][0]
    stage, before = None, (0, 0, 0)
    for look in looks:
        seconds, numbers, slices = look
        while beat + HEARTBEAT_SECONDS <= seconds:
            beat += HEARTBEAT_SECONDS
            clock.seconds = beat
            rates = counters.rates() if stage is not None else rates
        clock.seconds = seconds
        read, size, files = sum(one[5] for one in slices), sum(one[4] for one in slices), sum(numbers[-3:])
        if stage is not None and (read, size) != before[:2]:
            counters.add(read - before[0], 0, size - before[1])
        if stage is not None and files != before[2]:
            counters.add_files(files - before[2])
        before = (read, size, files)
        now = next((entity for entity in Entity for one in slices if one[0] == entity and one[2] < one[1]), "files")
        if now != stage:
            counters.begin_stage()
            stage = now
        yield look, rates


def require_no_lies(looks: Looks) -> None:
    """Progress never goes back, and is never complete before the end; some time is left, or nobody knows how much."""
    fractions = [document["fraction"] for _, document in looks]
    assert fractions == sorted(fractions)
    assert fractions[-1] < 1
    assert all(one["eta_seconds"] is None or one["eta_seconds"] >= 1 for _, one in looks)


def median_error(looks: Looks, seconds_in_all: float) -> float:
    """The median error of the time left in the second half of what was looked at, relative to what was left."""
    half = (looks[0][0] + seconds_in_all) / 2
    errors = [
        abs(document["eta_seconds"] - (seconds_in_all - seconds)) / max(seconds_in_all - seconds, 1.0)
        for seconds, document in looks
        if half <= seconds < seconds_in_all and document["eta_seconds"] is not None
    ]
    assert len(errors) >= 5
    return float(median(errors))
