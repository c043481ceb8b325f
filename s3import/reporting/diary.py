"""What happened to an account's runs, how far they were at some instants, and what they consist of: page by page.

Each page comes with the place behind which the next one begins (None: there are no more).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.records import Pass
from s3import.core.tables import COUNTS, import_events, import_parts, import_runs, import_samples
from s3import.reporting.pages import PartCursor, SampleCursor
from s3import.reporting.progress import rfc3339
from s3import.status import is_newest

Documents = list[dict[str, Any]]


def event_page(connection: Connection, account_id: str, after: int, limit: int) -> tuple[Documents, int | None]:
    """At most `limit` events behind that id, in the order in which they happened."""
    events = import_events.c
    mine = sa.select(import_events).where(events.account_id == account_id, events.id > after)
    rows = connection.execute(mine.order_by(events.id).limit(limit + 1)).all()
    return [_event(row) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None


def newest_events(connection: Connection, account_id: str, limit: int) -> Documents:
    """At most `limit` events, the newest first."""
    events = import_events.c
    mine = sa.select(import_events).where(events.account_id == account_id)
    return [_event(row) for row in connection.execute(mine.order_by(events.id.desc()).limit(limit))]


def _event(row: Any) -> dict[str, Any]:
    return {
        "at": rfc3339(row.at),
        "event": row.event,
        "run_id": row.run_id,
        "pass": row._mapping["pass"],
        "actor": row.actor,
        "attempt": row.attempt,
        "code": row.code,
    }


def sample_page(
    connection: Connection, account_id: str, pass_: Pass | None, after: SampleCursor | None, limit: int
) -> tuple[Documents, SampleCursor | None]:
    """At most `limit` samples by their instants; `pass_`: only those of the pass's newest run."""
    samples, runs = import_samples.c, import_runs.c
    query = sa.select(import_samples, runs["pass"].label("of_pass")).join(import_runs, runs.run_id == samples.run_id)
    query = query.where(runs.account_id == account_id)
    if pass_ is not None:
        query = query.where(runs["pass"] == pass_.value, is_newest())
    if after is not None:
        query = query.where(
            sa.or_(samples.at > after.at, sa.and_(samples.at == after.at, samples.run_id > after.run_id))
        )
    rows = connection.execute(query.order_by(samples.at, samples.run_id).limit(limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return [_sample(row) for row in rows[:limit]], SampleCursor(last.at, last.run_id) if last else None


def _sample(row: Any) -> dict[str, Any]:
    return {
        "at": rfc3339(row.at),
        "run_id": row.run_id,
        "pass": row.of_pass,
        "stage": row.stage,
        "records": row.records,
        "bytes": row.bytes,
    }


def speeds(samples: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of one run's samples, how fast it went between each two that follow each other in one stage: for a chart.

    `records_per_second` (files a second in the stage `files`) and `bytes_per_second` are those of the time until `at`.
    """
    for before, after in pairwise(samples):
        seconds = (_instant(after) - _instant(before)).total_seconds()
        if after["stage"] == before["stage"] and seconds > 0:
            yield {
                "at": after["at"],
                "stage": after["stage"],
                "seconds": seconds,
                "records_per_second": max(after["records"] - before["records"], 0) / seconds,
                "bytes_per_second": max(after["bytes"] - before["bytes"], 0) / seconds,
            }


def _instant(sample: dict[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(sample["at"])


def part_page(
    connection: Connection, account_id: str, passes: Sequence[Pass], after: PartCursor | None, limit: int
) -> tuple[Documents, PartCursor | None]:
    """At most `limit` parts of the newest runs of these passes, by pass and number."""
    runs, parts = import_runs.c, import_parts.c
    newest = sa.select(runs["pass"], runs.run_id).where(runs.account_id == account_id, is_newest())
    run_ids = {Pass(name): run_id for name, run_id in connection.execute(newest)}
    found: list[tuple[Pass, Any]] = []
    for pass_ in (one for one in Pass if one in passes and one in run_ids):
        first = 0
        if after is not None and list(Pass).index(pass_) <= list(Pass).index(after.pass_):
            if pass_ is not after.pass_:
                continue
            first = after.number
        mine = sa.select(import_parts).where(parts.run_id == run_ids[pass_], parts.number > first)
        rows = connection.execute(mine.order_by(parts.number).limit(limit + 1 - len(found)))
        found += ((pass_, row) for row in rows)
    more = len(found) > limit
    last = PartCursor(found[limit - 1][0], found[limit - 1][1].number) if more else None
    return [_part(pass_, row) for pass_, row in found[:limit]], last


def _part(pass_: Pass, row: Any) -> dict[str, Any]:
    return {
        "pass": pass_.value,
        "number": row.number,
        "entity": row.entity,
        "key": row.key,
        "size_bytes": row.size_bytes,
        "bytes_done": row.size_bytes if row.done else min(row.bytes_done, row.size_bytes),
        "done": bool(row.done),
        **{what: getattr(row, f"{what}_count") for what in COUNTS},
        "rejects_by_code": row.rejects_by_code,
    }
