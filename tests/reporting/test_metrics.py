"""Metrics: counted from events, read from the database, shown as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
import stamina
from prometheus_client.parser import text_string_to_metric_families

from s3import import status
from s3import.core.accounts import create_account
from s3import.core.errors import Conflict
from s3import.core.events import Advanced, Retrying
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.importing import queueing
from s3import.reporting.metrics import DESCRIBED, Metrics
from s3import.reporting.notify.notice import NoticeChannel
from s3import.reporting.notify.outbox import record
from s3import.writers import Database, open_database

pytestmark = pytest.mark.integration

BATCH = Advanced("acme", Pass.RECENT, 10, 1, 500, 1, Entity.THREADS, 7, 2, 0.2)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with all tables, of each kind in turn."""
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def empty(bare_sqlite_url: str) -> Iterator[Database]:
    """A database without any table."""
    opened = open_database(bare_sqlite_url)
    yield opened
    opened.close()


def shown(metrics: Metrics, database: Database) -> Mapping[tuple[str, ...], float]:
    """Every sample of the page, by its name and the values of its labels, in the order of their names."""
    page = metrics.render(database).decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}


def run_of(database: Database, account_id: str, *, lease_seconds: float | None) -> str:
    """A queued run, claimed if a lease is given."""
    with database.begin() as connection:
        create_account(connection, account_id, None)
        run, _ = queueing.enqueue(connection, account_id, Pass.RECENT, "/dumps")
        if lease_seconds is not None:
            status.claim(connection, run, source="/dumps", holder=status.Holder("a test", lease_seconds))
        return run.run_id


def test_batches_are_counted(empty: Database) -> None:
    """Each batch adds its records by outcome, its bytes and its time, by entity."""
    metrics = Metrics(Settings())
    metrics(BATCH)
    metrics(BATCH)
    now = shown(metrics, empty)
    outcomes = {outcome: now["s3import_rows_total", "threads", outcome] for outcome in ("read", "written", "unchanged")}
    assert outcomes == {"read": 20, "written": 14, "unchanged": 4}
    assert now["s3import_rows_total", "threads", "rejected"] == 2
    assert now["s3import_batches_total", "threads"] == 2
    assert now["s3import_bytes_total", "threads"] == 1000
    assert now["s3import_batch_seconds_sum", "threads"] == pytest.approx(0.4)


def test_a_dry_run_counts_nothing(empty: Database) -> None:
    """What was only read for show is not counted as imported."""
    metrics = Metrics(Settings())
    metrics(Advanced("acme", Pass.RECENT, 10, 1, 500, 1))
    metrics(Retrying("acme", "no matter"))
    assert not [name for name, *_ in shown(metrics, empty) if name.startswith("s3import_rows")]


def test_each_has_its_own(empty: Database) -> None:
    """Two in one process do not share their numbers."""
    one, other = Metrics(Settings()), Metrics(Settings())
    one(BATCH)
    assert ("s3import_rows_total", "threads", "read") not in shown(other, empty)


@pytest.mark.parametrize(("error", "of"), [(Conflict("a key"), "database"), (OSError(), "source")])
def test_retries_are_counted(empty: Database, error: Exception, of: str) -> None:
    """What stamina tries again is counted, as the database's or the source's."""
    metrics = Metrics(Settings())
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([metrics.count_retry])
    try:
        for attempt in stamina.retry_context(on=Exception, attempts=3, wait_initial=0, wait_jitter=0):
            with attempt:
                if attempt.num < 3:
                    raise error
    finally:
        stamina.instrumentation.set_on_retry_hooks(before)
    assert shown(metrics, empty)["s3import_retries_total", of] == 2


def test_runs_by_state_and_pass(database: Database) -> None:
    """Runs are counted as the database has them, zeros included."""
    run_of(database, "one", lease_seconds=None)
    run_of(database, "two", lease_seconds=15)
    now = shown(Metrics(Settings()), database)
    assert now[("s3import_database_up",)] == 1
    assert now["s3import_runs", "recent", "queued"] == 1
    assert now["s3import_runs", "recent", "running"] == 1
    assert now["s3import_runs", "remaining", "failed"] == 0


def test_the_queue_s_lag(database: Database) -> None:
    """The lag is the age of the run that has waited longest."""
    run_of(database, "one", lease_seconds=None)
    assert 0 <= shown(Metrics(Settings()), database)[("s3import_queue_lag_seconds",)] < 60


def test_heartbeats(database: Database) -> None:
    """The oldest heartbeat's age is shown, and how many runs lost their process."""
    run_of(database, "fresh", lease_seconds=15)
    run_of(database, "dead", lease_seconds=-5)
    now = shown(Metrics(Settings(lease_seconds=15)), database)
    assert now[("s3import_heartbeat_age_seconds",)] == pytest.approx(20, abs=2)
    assert now[("s3import_lost_runs",)] == 1


def test_nothing_at_work(database: Database) -> None:
    """Without runs there is no lag, no heartbeat and nothing lost."""
    now: Any = shown(Metrics(Settings()), database)
    names = ("s3import_queue_lag_seconds", "s3import_heartbeat_age_seconds", "s3import_lost_runs")
    assert [now[(name,)] for name in names] == [0, 0, 0]


def test_notices_that_wait(database: Database) -> None:
    """Notices that were not delivered yet are counted by channel."""
    run_id = run_of(database, "one", lease_seconds=15)
    with database.begin() as connection:
        record(connection, [NoticeChannel.SLACK], run_id)
    assert shown(Metrics(Settings()), database)["s3import_notices_waiting", "slack"] == 1


def test_a_database_that_cannot_be_asked(empty: Database) -> None:
    """Without an answer from the database the page says so and still shows the counters."""
    metrics = Metrics(Settings())
    metrics(BATCH)
    now = shown(metrics, empty)
    assert now[("s3import_database_up",)] == 0
    assert now["s3import_batches_total", "threads"] == 1


def test_every_metric_is_described(sqlite_url: str) -> None:
    """What is scraped is what `DESCRIBED` names, and the docs with it."""
    with closing(open_database(sqlite_url)) as database:
        scraped = Metrics(Settings()).render(database).decode()
    kinds = dict(line.split()[2:4] for line in scraped.splitlines() if line.startswith("# TYPE"))
    assert kinds == {one.name: one.kind for one in DESCRIBED}
