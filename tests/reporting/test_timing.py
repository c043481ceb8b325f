"""How long a pass takes, by its parts, the study, and what earlier runs of the same database took."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection

from s3import.core.records import Entity, Pass, PlannedPart, StoredObject, Window
from s3import.core.tables import import_runs
from s3import.reporting import timing
from s3import.reporting.timing import Experience, Load, Place, Range, Work
from s3import.writers import open_database

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HERE = Place("postgresql", workers=2, writers=2)
PLAIN = Experience(Range.exactly(1.0))
MILLION = Work({Entity.MESSAGES: Load(1e6, 700e6, 8.0, 10)})


def part(key: str, size: int, rows: int | None = None, window: Window | None = None) -> PlannedPart:
    return PlannedPart(Entity.MESSAGES, key, StoredObject(key, size, "e"), rows, window=window)


def test_compressed_parts_hold_more_than_their_size() -> None:
    """What a manifest says of the rows is taken as it is."""
    plain, packed, told = (timing.load_of(part(*one)) for one in (("a.jsonl", 10**6), ("a.gz", 10**6), ("a.gz", 9, 70)))
    assert packed.records > 2 * plain.records
    assert told.records == 70


def test_nobody_can_tell_what_share_of_a_table_is_a_passs() -> None:
    """Then nothing is said."""
    window = Window(Pass.RECENT, AT, AT)
    assert timing.work_of([part("a.gz", 10, window=window)], with_files=False) is None


def test_a_stage_takes_as_long_as_its_slower_side() -> None:
    """Reading that is slow counts, writing at the same time does not come on top; one writer takes twice as long."""
    slow = Work({Entity.MESSAGES: Load(1e6, 700e6, 400.0, 10)})
    fast = Work({Entity.MESSAGES: Load(1e6, 700e6, 0.0, 10)})
    assert timing.forecast(slow, HERE, PLAIN).model_seconds == pytest.approx(200.0, rel=0.01)
    alone = timing.forecast(fast, Place("postgresql", 2, 1), PLAIN).model_seconds
    assert alone == pytest.approx(2 * timing.forecast(fast, HERE, PLAIN).model_seconds, rel=0.01)


def test_files_are_a_stage_where_somebody_wants_them() -> None:
    """They come last."""
    work = Work(MILLION.loads, files=1000, file_bytes=1e9)
    assert list(timing.forecast(work, HERE, PLAIN).stages) == ["messages", "files"]
    assert "files" not in timing.forecast(MILLION, HERE, PLAIN).stages


def test_usable_comes_before_complete() -> None:
    """Both are sums; without the second dump nobody can tell when it is complete."""
    one = timing.forecast(MILLION, HERE, PLAIN)
    usable, complete = timing.until({Pass.RECENT: one, Pass.REMAINING: one})
    assert complete is not None
    assert usable.expected < complete.expected < 2 * usable.expected
    assert timing.until({Pass.RECENT: one})[1] is None
    assert timing.until({Pass.REMAINING: one})[0] == Range.exactly(0.0)


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[Connection]:
    with closing(open_database(sqlite_url)) as database, database.begin() as opened:
        yield opened


def put_runs(connection: Connection, took: list[float], said: float = 10.0, **changes: Any) -> None:
    """Runs that took so many seconds, for which the coefficients said `said`."""
    for number, seconds in enumerate(took):
        run = {
            "run_id": f"{seconds}-{number}-{len(changes)}",
            "account_id": "acme",
            "pass": "recent",
            "number": number,
            "source": "s",
            "state": "succeeded",
            "requested_at": AT,
            "started_at": AT,
            "finished_at": AT + dt.timedelta(seconds=seconds),
            "attempts": 1,
            "skipped_objects": [],
            "estimate": {"seconds": {}, "stages": {"messages": said}},
        }
        connection.execute(import_runs.insert(), {**run, **changes})


@pytest.mark.integration
def test_runs_of_the_same_database_correct_the_study(connection: Connection) -> None:
    """A database that is three times as slow is expected to be so; the more it has seen, the narrower the range."""
    before = timing.expect(connection, MILLION, HERE)
    put_runs(connection, [29.0, 30.0, 31.0])
    few = timing.expect(connection, MILLION, HERE)
    put_runs(connection, [29.5, 30.0, 30.5] * 4, account_id="other")
    many = timing.expect(connection, MILLION, HERE)
    assert few.seconds.expected == pytest.approx(3 * before.model_seconds, rel=0.1)
    assert many.seconds.expected == pytest.approx(few.seconds.expected, rel=0.05)
    widths = [found.seconds.high / found.seconds.low for found in (before, few, many)]
    assert widths == sorted(widths, reverse=True)
    assert (few.basis, many.basis) == ("3 earlier runs here", "15 earlier runs here")
    assert before.basis.startswith("the study, ")


@pytest.mark.integration
@pytest.mark.parametrize(
    "changes",
    [
        {"attempts": 2},
        {"again": "alone"},
        {"state": "failed"},
        {"pass": "delta"},
        {"estimate": {"stages": {"m": 0.01}}},
    ],
)
def test_runs_that_say_nothing_of_the_speed_are_left_out(connection: Connection, changes: dict[str, Any]) -> None:
    """Those that waited between attempts, found most rows there, failed, or were over at once."""
    put_runs(connection, [300.0], **changes)
    assert timing.expect(connection, MILLION, HERE).basis.startswith("the study, ")
