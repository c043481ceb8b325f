"""What was kept of a migration is forgotten once it is over, and not before."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import (
    AccountNotFound,
    AccountPurged,
    ConfigurationError,
    Interrupted,
    NotImported,
    RunIsAlive,
)
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.importing import bookkeeping
from s3import.operations import purge as purging
from tests import commands as app
from tests.databases import on_sqlite
from tests.importing.dumps import ACCOUNT, lines, records, simple_dump, write
from tests.importing.moving import code_of, execute, ids, ignore, is_waiting, migrate, rows, settings_for
from tests.importing.strikes import Moment, Transactions
from tests.importing.test_reset import kept
from tests.server.workers.fleets import ask, fleet

pytestmark = pytest.mark.integration


def purge(settings: Settings, *, confirmed: bool = True) -> int:
    """What `s3import purge` does."""
    return app.purge(settings, ACCOUNT, confirmed=confirmed, observe=ignore, stop=threading.Event())


def expire(settings: Settings) -> list[str]:
    """What `s3import purge --expired` does."""
    return app.purge_expired(settings, observe=ignore, stop=threading.Event())


@pytest.fixture
def moved(tmp_path: Path, database_url: str) -> Settings:
    """An account that is active."""
    write(simple_dump(), tmp_path)
    settings = settings_for(tmp_path, database_url)
    assert code_of(migrate(settings)) is None
    return settings


def test_bookkeeping_goes_and_rows_stay(moved: Settings) -> None:
    """The account is still active, and there is nothing left to do."""
    before = rows(moved)
    purge(moved)
    assert (kept(moved), rows(moved)) == (0, before)
    assert app.status_document(moved, ACCOUNT)["account_status"] == "active"
    assert migrate(moved).imported == ()


@on_sqlite
def test_a_delta_after_a_purge_is_refused(moved: Settings) -> None:
    """It is forgotten what people deleted, and nothing deleted may come back."""
    purge(moved)
    assert code_of(migrate(moved, passes=[Pass.DELTA])) == AccountPurged.code


@on_sqlite
def test_a_delta_that_is_in_is_refused_while_its_account_is_purged(moved: Settings, tmp_path: Path) -> None:
    """Also before the purge has forgotten that it is in."""
    write({"delta/threads/part-0.jsonl": lines(records(Entity.THREADS, 1, ACCOUNT, "new-"))}, tmp_path)
    assert code_of(migrate(moved, passes=[Pass.DELTA])) is None
    execute(moved, sa.update(tables.import_accounts).values(purged_at=dt.datetime.now(dt.UTC)))
    assert code_of(migrate(moved, passes=[Pass.DELTA])) == AccountPurged.code


def test_a_paused_migration_imports_nothing_once_its_purge_has_begun(database_url: str, tmp_path: Path) -> None:
    """Its lease has ended and there is no account yet: what it would import, nobody would know of."""
    write(simple_dump(), tmp_path)
    settings = settings_for(tmp_path, database_url, block_bytes=1 << 20)

    def begin(_: Any) -> None:
        with closing(app.connect(settings)) as database, database.begin() as connection:
            purging.begin(ACCOUNT, connection)

    with Transactions(2, Moment.ANSWER, begin).watched():
        assert code_of(migrate(settings)) == "cancelled"
    assert not any(rows(settings).values())


def test_a_migration_under_way_keeps_its_bookkeeping(tmp_path: Path, sqlite_url: str) -> None:
    """It is needed until both passes are in."""
    write(simple_dump(), tmp_path)
    settings = settings_for(tmp_path, sqlite_url)
    migrate(settings, passes=[Pass.RECENT])
    with pytest.raises(NotImported, match="active-recent-only"):
        purge(settings)
    assert kept(settings) > 0


def test_only_what_is_old_enough_expires(moved: Settings) -> None:
    """The last run's end counts."""
    patient = replace(moved, retention_days=30.0)
    assert expire(patient) == []
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=31)
    execute(moved, tables.import_runs.update().values(finished_at=long_ago))
    assert expire(patient) == [ACCOUNT]
    assert expire(patient) == []


def test_what_is_left_of_a_deleted_account_expires_too(moved: Settings) -> None:
    """Its runs outlive it, but not for ever."""
    execute(moved, tables.accounts.delete())
    execute(moved, tables.import_runs.update().values(finished_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)))
    assert expire(replace(moved, retention_days=1.0)) == [ACCOUNT]


def test_nothing_expires_where_nothing_was_migrated(tmp_path: Path) -> None:
    """A database that is not there is not made by asking."""
    file = tmp_path / "none.db"
    settings = settings_for(tmp_path, f"sqlite:///{file}")
    assert (expire(replace(settings, retention_days=1.0)), file.exists()) == ([], False)


@on_sqlite
def test_nothing_expires_without_a_setting(moved: Settings) -> None:
    """The message names it."""
    with pytest.raises(ConfigurationError, match="S3IMPORT_RETENTION_DAYS"):
        expire(moved)


@on_sqlite
def test_nothing_is_forgotten_without_a_yes(moved: Settings) -> None:
    """The message tells how much would be."""
    before = kept(moved)
    with pytest.raises(ConfigurationError, match=r"2 runs .*--yes"):
        purge(moved, confirmed=False)
    assert kept(moved) == before


@on_sqlite
def test_an_unknown_account_is_named(moved: Settings) -> None:
    """Before anybody is asked for a yes."""
    with pytest.raises(AccountNotFound, match="there is no account typo"):
        app.purge(moved, "typo", confirmed=False, observe=ignore, stop=threading.Event())


@on_sqlite
def test_a_purged_account_cannot_be_verified(moved: Settings) -> None:
    """Nobody can tell any more what was imported, and the message says so instead of asking for a migration."""
    purge(moved)
    with pytest.raises(AccountPurged, match=r"purged on \d{4}-\d\d-\d\d.*nothing can be verified"):
        app.verify(moved, ACCOUNT, observe=ignore, stop=threading.Event())


def test_an_interrupted_purge_goes_on(moved: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first transaction on nothing is imported that it is forgetting about; the same command ends it."""
    monkeypatch.setattr(bookkeeping, "PAGE_ROWS", 2)
    stop = threading.Event()
    with pytest.raises(Interrupted):
        app.purge(moved, ACCOUNT, confirmed=True, observe=lambda _: stop.set(), stop=stop)
    assert kept(moved) > 0
    assert code_of(migrate(moved, passes=[Pass.DELTA])) == AccountPurged.code
    assert code_of(migrate(moved, again=True)) == AccountPurged.code
    purge(moved)
    assert kept(moved) == 0


def test_a_queued_delta_keeps_what_it_needs(moved: Settings) -> None:
    """Whoever wants a purge cancels it first."""
    assert ask(moved, passes=[Pass.DELTA]) == [None]
    with pytest.raises(RunIsAlive, match="s3import cancel"):
        purge(moved)
    assert kept(moved) > 0


def test_a_queued_delta_whose_account_was_purged_brings_nothing_back(moved: Settings, tmp_path: Path) -> None:
    """However that came about: a worker asks again before it begins."""
    write({"delta/threads/part-0.jsonl": lines(records(Entity.THREADS, 1, prefix="recent-"))}, tmp_path)
    execute(moved, sa.delete(tables.threads).where(tables.threads.c.id == "recent-t0"))
    assert ask(moved, passes=[Pass.DELTA]) == [None]
    execute(moved, sa.update(tables.import_accounts).values(purged_at=dt.datetime.now(dt.UTC)))
    execute(moved, sa.delete(tables.import_tombstones))
    with fleet(moved, 1) as workers, suppress(AccountPurged):
        workers.sweep()
        workers.deliver_all()
    assert "recent-t0" not in ids(moved, tables.threads)


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_whoever_asks_for_a_delta_waits_for_whoever_purges(
    request: pytest.FixtureRequest, server: str, tmp_path: Path
) -> None:
    """One of the two is first, and the other one sees it."""
    write(simple_dump(), tmp_path)
    settings = settings_for(tmp_path, request.getfixturevalue(server))
    migrate(settings)
    with closing(app.connect(settings)) as database, database.begin() as connection, ThreadPoolExecutor(1) as other:
        purging.begin(ACCOUNT, connection)
        asking = other.submit(ask, settings, passes=[Pass.DELTA])
        while not is_waiting(settings):
            assert not asking.done()
        connection.commit()
        assert [type(answer) for answer in asking.result()] == [AccountPurged]
