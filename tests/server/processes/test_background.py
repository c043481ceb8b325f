"""The worker inside `s3import serve`: it tries again, gives up, and outlives what it did not expect."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from s3import import status
from s3import.core.errors import SourceUnavailable
from s3import.core.limits import Counters, RejectLimit
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.core.tables import accounts, import_parts
from s3import.importing import backlog
from s3import.importing.importer import Importer
from s3import.importing.parts import ActiveRun
from s3import.importing.retries import Retries
from s3import.importing.transactions import Transactions
from s3import.operations.composition import file_copier
from s3import.operations.sources import source_opener
from s3import.readers.sources.source import DumpSource, SourceOpener
from s3import.server.workers.background import BackgroundWorker
from s3import.status import Run
from tests import commands as app
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import execute, ignore
from tests.server.processes.conftest import served_settings
from tests.server.processes.processes import wait_until
from tests.server.workers.fleets import ask, error_codes, let_time_pass, states

pytestmark = pytest.mark.integration

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
SOON = Retries(limit=3, first_seconds=0.05)


@pytest.fixture
def waiting(tmp_path: Path, sqlite_url: str) -> Settings:
    """An account whose recent pass was asked for."""
    settings = served_settings(tmp_path, sqlite_url)
    execute(settings, accounts.insert().values(id=ACCOUNT, status="migrating", created_at=NOW, updated_at=NOW))
    ask(settings, passes=[Pass.RECENT])
    return settings


@contextmanager
def background_worker(settings: Settings, open_source: SourceOpener | None = None) -> Iterator[None]:
    """A worker at work for as long as the block runs."""
    database = app.connect(settings)
    opener = open_source or source_opener(settings, 1)
    transactions = Transactions(database, settings.retry_seconds, ignore, threading.Event())
    importer = Importer(
        transactions, settings, open_source=opener, files=file_copier(settings, transactions), workers=1
    )
    with importer, BackgroundWorker(importer, limit=RejectLimit(), retries=SOON, poll_seconds=0.05):
        yield
    database.close()


def test_a_failure_that_stays_is_reported_in_the_end(waiting: Settings) -> None:
    """It tries as often as it may, then the run has failed and says why."""
    tried = []

    def gone(uri: str, account_id: str) -> DumpSource:
        tried.append(uri)
        raise SourceUnavailable("the source is away")

    with background_worker(waiting, gone):
        wait_until(lambda: states(waiting) == ["failed"])
    assert error_codes(waiting) == ["source_unavailable"]
    assert len(tried) == SOON.limit


def test_a_failure_that_passes_is_forgotten(waiting: Settings) -> None:
    """Once the source is back the run succeeds."""
    failures = iter([True])
    open_dump = source_opener(waiting, 1)

    def back_at_once(uri: str, account_id: str) -> DumpSource:
        if next(failures, False):
            raise SourceUnavailable("the source is away")
        return open_dump(uri, account_id)

    with background_worker(waiting, back_at_once):
        wait_until(lambda: states(waiting) == ["succeeded"])
    assert error_codes(waiting) == [None]


def test_a_run_that_costs_worker_after_worker_is_given_up(waiting: Settings) -> None:
    """After as many deaths as there are tries it has failed; asked for again it goes on."""
    for _ in range(SOON.limit):
        _take_and_die(waiting)
    with background_worker(waiting):
        wait_until(lambda: error_codes(waiting) == ["worker_lost"])
        ask(waiting, passes=[Pass.RECENT])
        wait_until(lambda: states(waiting) == ["succeeded"])


def test_workers_that_get_on_may_die_as_often_as_they_like(waiting: Settings) -> None:
    """Whoever committed something before it died does not count among those that died in a row."""
    for _ in range(SOON.limit + 2):
        _take_and_die(waiting, get_on=True)
    with background_worker(waiting):
        wait_until(lambda: states(waiting) != ["running"])
    assert error_codes(waiting) == [None]


def _take_and_die(settings: Settings, *, get_on: bool = False) -> None:
    """A worker that plans the run, and may import something of it, and is gone."""
    database = app.connect(settings)
    transactions = Transactions(database, settings.retry_seconds, ignore, threading.Event())
    with database.begin() as connection:
        [run] = backlog.due(connection, 1)
        claim = status.claim(connection, run, source=run.source, holder=status.Holder("a worker", 60))
        assert claim is not None
    opener = source_opener(settings, 1)
    by_parts = replace(settings, block_bytes=1)  # else it would import all of it at once
    with Importer(
        transactions, by_parts, open_source=opener, files=file_copier(settings, transactions), workers=1
    ) as importer:
        importer.begin(ActiveRun(claim, opener(run.source, ACCOUNT), Counters(RejectLimit())))
    database.close()
    if get_on:
        read = import_parts.c.read_count
        execute(settings, import_parts.update().where(import_parts.c.number == 1).values(read_count=read + 1))
    let_time_pass(settings)


def test_nothing_unexpected_ends_the_worker(waiting: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while it looks for runs, it looks again."""
    failures = iter([True, True])
    due = backlog.due

    def sometimes_due(connection: Connection, limit: int) -> list[Run]:
        if next(failures, False):
            raise MemoryError
        return due(connection, limit)

    monkeypatch.setattr(backlog, "due", sometimes_due)
    with background_worker(waiting):
        wait_until(lambda: states(waiting) == ["succeeded"])
