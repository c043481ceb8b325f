"""How far a run is from time to time: kept for charts, and so that the time it takes can be learnt from.

Samples are taken with the heartbeat of whoever holds the run, never with a batch: two seconds apart at first, and half
as often after each `DENSITY` of them. A run of a day leaves some six hundred.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.limits import RATE_WINDOW_SECONDS
from s3import.core.records import Entity
from s3import.core.tables import import_parts, import_runs, import_samples

FILES = "files"
DENSITY = 60  # samples until they become half as many
FIRST_SECONDS = 1.9  # between two samples of a run that is young: a little less than between heartbeats
MOST_SHARE = 0.02  # of the time that sampling may take: sums over many parts are slow
MOST_RUNS = 1000  # remembered at a time


@dataclass(frozen=True, slots=True)
class Sample:
    """Records (or files) and bytes that are done of the stage at work."""

    stage: str
    records: int
    bytes: int


class Samples:
    """Takes samples of runs that this process looks after. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_at: dict[str, float] = {}

    def take(self, connection: Connection, run_id: str, *, is_spread: bool = False) -> None:
        """Take a sample where one is due, in the caller's transaction. Of a spread run, whose workers know only their
        own parts, the rates are written down, too."""
        began = time.monotonic()
        with self._lock:
            if began < self._next_at.get(run_id, began):
                return
        taken, newest = _known(connection, run_id)
        now, pause = dt.datetime.now(dt.UTC), FIRST_SECONDS * 2 ** (taken // DENSITY)
        if newest is None or (now - newest).total_seconds() >= pause:
            sample = _look(connection, run_id)
            if sample is not None:
                connection.execute(import_samples.insert(), _row(run_id, now, sample))
                if is_spread:
                    _note_rates(connection, run_id, now, newest, sample)
        ended = time.monotonic()
        with self._lock:
            if len(self._next_at) >= MOST_RUNS:
                self._next_at.clear()
            self._next_at[run_id] = ended + (ended - began) / MOST_SHARE


def _known(connection: Connection, run_id: str) -> tuple[int, dt.datetime | None]:
    """How many samples there are of the run, and when the newest was taken."""
    samples = import_samples.c
    query = sa.select(sa.func.count(), sa.func.max(samples.at)).where(samples.run_id == run_id)
    taken, newest = connection.execute(query).one()
    return taken, newest


def _row(run_id: str, at: dt.datetime, sample: Sample) -> dict[str, Any]:
    return {"run_id": run_id, "at": at, "stage": sample.stage, "records": sample.records, "bytes": sample.bytes}


def _look(connection: Connection, run_id: str) -> Sample | None:
    """How far the run is; None before it is planned."""
    parts, done = import_parts.c, sa.case((import_parts.c.done, 1), else_=0)
    bytes_done = sa.case((parts.done, parts.size_bytes), else_=parts.bytes_done)
    sums = (sa.cast(sa.func.sum(one), sa.BigInteger) for one in (done, parts.read_count, bytes_done))
    query = sa.select(parts.entity, sa.func.count(), *sums).where(parts.run_id == run_id).group_by(parts.entity)
    found = {entity: numbers for entity, *numbers in connection.execute(query)}
    for entity in Entity:
        if entity in found and found[entity][1] < found[entity][0]:
            return Sample(entity.value, *map(int, found[entity][2:]))
    return _of_files(connection, run_id) if found else None


def _of_files(connection: Connection, run_id: str) -> Sample | None:
    runs = import_runs.c
    handled = runs.files_copied + runs.files_missing + runs.files_differ
    row = connection.execute(sa.select(handled, runs.files_bytes, runs.files_to).where(runs.run_id == run_id)).first()
    return Sample(FILES, int(row[0]), int(row[1])) if row and row.files_to else None


def _note_rates(
    connection: Connection, run_id: str, now: dt.datetime, newest: dt.datetime | None, sample: Sample
) -> None:
    """How fast the stage goes, by the oldest of its samples that is not too old; by the `newest` where all are."""
    samples, runs = import_samples.c, import_runs.c
    since = now - dt.timedelta(seconds=RATE_WINDOW_SECONDS)
    since = min(since, newest or since)
    same = (samples.run_id == run_id, samples.stage == sample.stage, samples.at >= since, samples.at < now)
    first = connection.execute(sa.select(import_samples).where(*same).order_by(samples.at).limit(1)).first()
    rates: dict[str, float | None] = dict.fromkeys(("rows_per_second", "bytes_per_second", "files_per_second"))
    if first is not None:
        seconds = (now - first.at).total_seconds()
        rate = (sample.records - first.records) / seconds
        rates["files_per_second" if sample.stage == FILES else "rows_per_second"] = rate
        rates["bytes_per_second"] = (sample.bytes - first.bytes) / seconds
    connection.execute(import_runs.update().where(runs.run_id == run_id).values(rates))
