"""Samples tell how far a run was: often at first, ever more seldom, and never by a batch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from s3import.core.tables import accounts, import_parts, import_runs, import_samples
from s3import.importing.samples import DENSITY, Samples
from s3import.writers import Database, open_database

pytestmark = pytest.mark.integration

NOW = dt.datetime.now(dt.UTC)
RUN = {"run_id": "run", "account_id": "acme", "pass": "recent", "source": "s", "state": "running", "requested_at": NOW}
PART = {
    "run_id": "run",
    "account_id": "acme",
    "object_key": "k",
    "etag": "e",
    "rejects_by_code": {},
    "ignored_fields": [],
}


@pytest.fixture(autouse=True)
def _clock_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the database is, only `age` lets time pass."""
    clock = SimpleNamespace(UTC=dt.UTC, timedelta=dt.timedelta, datetime=SimpleNamespace(now=lambda _: NOW))
    monkeypatch.setattr("s3import.importing.samples.dt", clock)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of each kind with a run whose threads are in and whose messages are half way."""
    with closing(open_database(database_url)) as opened:
        with opened.begin() as connection:
            account = {"id": "acme", "status": "migrating", "created_at": NOW, "updated_at": NOW}
            connection.execute(accounts.insert(), account)
            connection.execute(import_runs.insert(), {**RUN, "skipped_objects": []})
            for number, (entity, done) in enumerate([("threads", True), ("messages", True), ("messages", False)], 1):
                part = {"entity": entity, "key": f"{number}", "done": done, "size_bytes": 100, "bytes_done": 40}
                connection.execute(import_parts.insert(), {**PART, **part, "number": number, "read_count": 7})
        yield opened


def taken(connection: sa.Connection) -> list[tuple[str, int, int]]:
    samples = import_samples.c
    query = sa.select(samples.stage, samples.records, samples.bytes).order_by(samples.at)
    return [tuple(row) for row in connection.execute(query)]


def age(connection: sa.Connection, seconds: float) -> None:
    """Let the samples be so old."""
    for at in connection.scalars(sa.select(import_samples.c.at).order_by(import_samples.c.at)).all():
        older = import_samples.update().where(import_samples.c.at == at)
        connection.execute(older.values(at=at - dt.timedelta(seconds=seconds)))


def test_a_sample_is_of_the_stage_at_work(database: Database) -> None:
    """Its records and bytes, and not those of the stages before."""
    with database.begin() as connection:
        Samples().take(connection, "run")
        assert taken(connection) == [("messages", 14, 140)]


def test_files_come_after_all_parts(database: Database) -> None:
    """They are counted as records of their stage."""
    with database.begin() as connection:
        connection.execute(import_parts.update().values(done=True))
        connection.execute(import_runs.update().values(files_to="/f", files_copied=3, files_missing=1, files_bytes=9))
        Samples().take(connection, "run")
        assert taken(connection) == [("files", 4, 9)]


def test_a_run_without_plan_has_no_samples(database: Database) -> None:
    """There is nothing to tell of."""
    with database.begin() as connection:
        connection.execute(import_parts.delete())
        Samples().take(connection, "run")
        assert taken(connection) == []


def test_samples_become_rarer_as_there_are_more(database: Database) -> None:
    """Two seconds apart at first; four once there are sixty of them, by whichever process they were taken."""
    with database.begin() as connection:
        Samples().take(connection, "run")
        Samples().take(connection, "run")
        assert len(taken(connection)) == 1
        age(connection, 2)
        Samples().take(connection, "run")
        assert len(taken(connection)) == 2
        old = [
            {
                "run_id": "run",
                "at": NOW - dt.timedelta(hours=1, seconds=n),
                "stage": "threads",
                "records": n,
                "bytes": n,
            }
            for n in range(DENSITY)
        ]
        connection.execute(import_samples.insert(), old)
        age(connection, 3)
        Samples().take(connection, "run")
        assert len(taken(connection)) == 2 + DENSITY
        age(connection, 1)
        Samples().take(connection, "run")
        assert len(taken(connection)) == 3 + DENSITY


def test_of_a_spread_run_the_rates_are_written_down(database: Database) -> None:
    """By the samples of the same stage: no worker knows more than its own part."""
    with database.begin() as connection:
        Samples().take(connection, "run", is_spread=True)
        age(connection, 10)
        connection.execute(import_parts.update().where(import_parts.c.number == 3).values(bytes_done=90, read_count=57))
        Samples().take(connection, "run", is_spread=True)
        runs = import_runs.c
        rows, size, files = connection.execute(
            sa.select(runs.rows_per_second, runs.bytes_per_second, runs.files_per_second)
        ).one()
        assert (rows, size, files) == (pytest.approx(5.0, rel=0.1), pytest.approx(5.0, rel=0.1), None)


def test_of_a_spread_run_whose_samples_are_rare_the_last_pause_tells_the_rate(database: Database) -> None:
    """After half an hour they are further apart than the rate looks back."""
    with database.begin() as connection:
        Samples().take(connection, "run", is_spread=True)
        age(connection, 300)
        connection.execute(import_parts.update().where(import_parts.c.number == 3).values(read_count=607))
        Samples().take(connection, "run", is_spread=True)
        rate = connection.execute(sa.select(import_runs.c.rows_per_second)).scalar_one()
        assert rate == pytest.approx(2.0, rel=0.1)
