"""What was kept of a migration is forgotten once it is over, and not before."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from s3import import app, tables
from s3import.errors import AccountPurged, ConfigurationError, NotImported
from s3import.records import Pass
from s3import.settings import Settings
from tests.migration.dumps import ACCOUNT, simple_dump, write
from tests.migration.moving import code_of, execute, ignore, migrate, rows, settings_for
from tests.migration.test_reset import kept

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


def test_a_delta_after_a_purge_is_refused(moved: Settings) -> None:
    """It is forgotten what people deleted, and nothing deleted may come back."""
    purge(moved)
    assert code_of(migrate(moved, passes=[Pass.DELTA])) == AccountPurged.code


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


def test_nothing_expires_without_a_setting(moved: Settings) -> None:
    """The message names it."""
    with pytest.raises(ConfigurationError, match="S3IMPORT_RETENTION_DAYS"):
        expire(moved)
