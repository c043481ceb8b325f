"""How long a pass takes, by its parts, the study, and what earlier runs of the same database took."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, replace
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
    assert timing.work_of([part("a.gz", 10, window=window)], None) is None


def test_a_stage_takes_as_long_as_its_slower_side() -> None:
    """Reading that is slow counts, writing at the same time does not come on top; one writer takes longer than two,
    but not twice as long: they wait for each other."""
    slow = Work({Entity.MESSAGES: Load(1e6, 700e6, 400.0, 10)})
    fast = Work({Entity.MESSAGES: Load(1e6, 700e6, 0.0, 10)})
    assert timing.forecast(slow, HERE, PLAIN).model_seconds == pytest.approx(200.0, rel=0.01)
    alone = timing.forecast(fast, Place("postgresql", 2, 1), PLAIN).model_seconds
    assert 1.2 < alone / timing.forecast(fast, HERE, PLAIN).model_seconds < 2


def test_files_are_a_stage_where_somebody_wants_them() -> None:
    """They come last."""
    work = Work(MILLION.loads, files=1000, file_bytes=1e9, files_to="/copies")
    assert list(timing.forecast(work, HERE, PLAIN).stages) == ["messages", "files"]
    assert "files" not in timing.forecast(MILLION, HERE, PLAIN).stages


@pytest.mark.parametrize("files_to", ["/copies", "s3://copies/{account}"])
def test_files_have_a_range_of_their_own(files_to: str) -> None:
    """Each kind of place where they go has what the study measured of it."""
    seconds = timing.forecast(Work({}, 10_000, 0.0, files_to), HERE, timing.inexperienced()).seconds
    known = timing.coefficients()["files"]["s3" if files_to.startswith("s3:") else "folder"]["seconds"]
    assert seconds.low > 10_000 * known["low"]
    assert seconds.high == pytest.approx(10_000 * known["high"], rel=0.05)


def test_a_machine_that_is_slow_now_takes_longer() -> None:
    """To start, and to write into a database of its own; one elsewhere does not mind, and reading was measured as slow
    as it is. What runs here took has the machine in it already."""
    slow, seen = Range(2.0, 3.0, 5.0), Experience(Range.exactly(1.0), runs=3)
    here, there = (replace(HERE, is_here=is_here, pace=slow) for is_here in (True, False))
    usual, unseen = timing.forecast(MILLION, HERE, timing.inexperienced()).seconds, timing.inexperienced()
    slower = timing.forecast(MILLION, here, unseen).seconds
    assert astuple(slower) == pytest.approx(astuple(usual.times(2.0, 3.0, 5.0)), rel=0.05)
    assert timing.forecast(MILLION, there, unseen).seconds.expected == pytest.approx(usual.expected, rel=0.05)
    assert timing.forecast(MILLION, here, seen).seconds.expected == pytest.approx(usual.expected, rel=0.05)
    reading = Work({Entity.MESSAGES: Load(1e6, 700e6, 400.0, 10)})
    assert timing.forecast(reading, here, unseen).seconds.expected == pytest.approx(200.0, rel=0.05)
    starts = [
        timing.until({Pass.REMAINING: timing.forecast(Work({}), place, unseen)}, place)[1] for place in (HERE, here)
    ]
    assert starts[0] is not None
    assert starts[1] is not None
    assert astuple(starts[1]) == pytest.approx(astuple(starts[0].times(2.0, 3.0, 5.0)))


@pytest.mark.parametrize("database", ["postgresql", "mysql", "sqlite"])
def test_a_range_of_the_study_is_wide_but_not_useless(database: str) -> None:
    """From half to twice about what is expected, whatever the dump's size: its high end is three times its low one."""
    place = Place(database, workers=2, writers=1 if database == "sqlite" else 2)
    for work in (Work({}), MILLION):
        one = timing.forecast(work, place, timing.inexperienced())
        _, complete = timing.until({Pass.RECENT: one, Pass.REMAINING: one}, place)
        assert complete is not None
        assert 1.5 < complete.high / complete.low < 3.2


def test_usable_comes_before_complete() -> None:
    """Both are sums; without the second dump nobody can tell when it is complete."""
    one = timing.forecast(MILLION, HERE, PLAIN)
    usable, complete = timing.until({Pass.RECENT: one, Pass.REMAINING: one}, HERE)
    assert complete is not None
    assert usable.expected < complete.expected < 2 * usable.expected
    assert timing.until({Pass.RECENT: one}, HERE)[1] is None
    assert timing.until({Pass.REMAINING: one}, HERE)[0] == Range.exactly(0.0)


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
