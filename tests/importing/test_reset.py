"""A reset takes back what was imported, and nothing that people made once they could."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import (
    AccountIsActive,
    AccountNotFound,
    ConfigurationError,
    DatabaseRefused,
    DumpNotFound,
    NotImported,
    RunIsAlive,
)
from s3import.core.records import ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.operations.reset import Removed
from tests import commands as app
from tests.importing.dumps import ACCOUNT, simple_dump, write
from tests.importing.moving import code_of, execute, ids, migrate, rows, settings_for, snapshot
from tests.server.workers.fleets import ask

pytestmark = pytest.mark.integration

BOOKKEEPING = (tables.import_runs, tables.import_parts, tables.import_rejects, tables.import_tombstones)
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def reset(settings: Settings, account: str = ACCOUNT, *, confirmed: bool = True, force: bool = False) -> Removed:
    return app.reset(
        settings, account, confirmed=confirmed, force=force, observe=lambda _: None, stop=threading.Event()
    )


def kept(settings: Settings) -> int:
    """How many rows of bookkeeping there are."""
    database = app.connect(settings)
    with database.read() as connection:
        counts = [connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in BOOKKEEPING]
    database.close()
    return sum(count or 0 for count in counts)


def thread_by_a_person(settings: Settings) -> dict[str, Any]:
    """A thread that is in no dump, beside the first one that is."""
    first = rows(settings)["threads"][0]
    made = {**first, "id": "made by a person"}
    execute(settings, tables.threads.insert().values(made))
    return made


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    write(simple_dump(), tmp_path)
    return settings_for(tmp_path, sqlite_url)


def test_the_account_is_as_before_its_migration(tmp_path: Path, database_url: str) -> None:
    """Rows and bookkeeping are gone, brands and channels stay, and the same migration brings everything back."""
    settings = settings_for(tmp_path, database_url)
    write(simple_dump(), tmp_path)
    migrate(settings)
    before, shown = rows(settings), snapshot(settings)
    removed = reset(settings, force=True)
    after = rows(settings)
    assert [len(after[table]) for table in ("threads", "messages", "attachments")] == [0, 0, 0]
    assert (after["brands"], after["channels"]) == (before["brands"], before["channels"])
    assert removed.rows == {entity: len(before[entity]) for entity in ROW_ENTITIES}
    assert kept(settings) == 0
    migrate(settings)
    assert snapshot(settings) == shown


def test_rows_that_the_database_does_not_let_go_end_it(settings: Settings) -> None:
    """The message names the trigger that is in the way; once it is gone the same command finishes."""
    migrate(settings, passes=[Pass.RECENT])
    keep = "CREATE TRIGGER theirs BEFORE DELETE ON messages BEGIN SELECT RAISE(IGNORE); END"
    execute(settings, sa.text(keep))
    with pytest.raises(DatabaseRefused, match=r"messages.*\btheirs\b"):
        reset(settings)
    execute(settings, sa.text("DROP TRIGGER theirs"))
    reset(settings)
    assert rows(settings)["messages"] == []


def test_what_people_made_stays(tmp_path: Path, database_url: str) -> None:
    """As soon as they could work, only what the dumps hold goes, with what hangs on it."""
    settings = settings_for(tmp_path, database_url)
    write(simple_dump(), tmp_path)
    migrate(settings, passes=[Pass.RECENT])
    made = thread_by_a_person(settings)
    reply = {**rows(settings)["messages"][0], "id": "a reply"}
    execute(settings, tables.messages.insert().values(reply))
    removed = reset(settings)
    assert ids(settings, tables.threads) == [made["id"]]
    assert ids(settings, tables.messages) == []
    assert sum(removed.left.values()) == 1
    assert app.status_document(settings, ACCOUNT)["account_status"] == "migrating"


def test_a_migration_that_stopped_is_taken_back_whole(settings: Settings) -> None:
    """Nobody worked in the account yet, so that no dump is asked."""
    migrate(settings, passes=[Pass.RECENT], max_rejects="0")
    execute(settings, tables.accounts.update().values(status="migrating"))
    reset(Settings(**{**_fields(settings), "source": "/nowhere/{account}"}))
    assert ids(settings, tables.threads) == []


def test_an_active_account_is_left_alone_unless_forced(settings: Settings) -> None:
    """People have worked in it, and the message says so."""
    migrate(settings)
    before = snapshot(settings)
    with pytest.raises(AccountIsActive, match="--force"):
        reset(settings)
    assert snapshot(settings) == before


def test_nothing_goes_without_a_yes(settings: Settings) -> None:
    """The message tells how much would."""
    migrate(settings)
    with pytest.raises(ConfigurationError, match=r"\d+ threads, \d+ messages, \d+ attachments; give --yes"):
        reset(settings, confirmed=False)
    assert ids(settings, tables.threads) != []


def test_a_run_at_work_is_not_pulled_away(settings: Settings) -> None:
    """Whoever wants a reset cancels it first."""
    execute(settings, tables.accounts.insert().values(id=ACCOUNT, status="migrating", created_at=NOON, updated_at=NOON))
    assert ask(settings) == [None]
    with pytest.raises(RunIsAlive, match="s3import cancel"):
        reset(settings)


def test_a_dump_that_is_gone_ends_it_before_anything_else_goes(settings: Settings, tmp_path: Path) -> None:
    """Which rows came from it nobody can tell any more."""
    migrate(settings, passes=[Pass.RECENT])
    there = ids(settings, tables.threads)
    (tmp_path / ACCOUNT / "recent").rename(tmp_path / "elsewhere")
    with pytest.raises(DumpNotFound):
        reset(settings)
    assert ids(settings, tables.threads) == there
    (tmp_path / "elsewhere").rename(tmp_path / ACCOUNT / "recent")
    reset(settings)
    assert ids(settings, tables.threads) == []


def test_a_pass_that_never_came_is_in_nobodys_way(settings: Settings, tmp_path: Path) -> None:
    """A run that failed before it imported anything has nothing to take back, and needs no dump."""
    (tmp_path / ACCOUNT / "remaining").rename(tmp_path / "elsewhere")
    assert code_of(migrate(settings)) == DumpNotFound.code
    reset(settings)
    assert ids(settings, tables.threads) == []


def test_a_purged_account_is_left_alone(settings: Settings) -> None:
    """Nobody can tell any more what people made, so that nothing goes, not even by force."""
    migrate(settings)
    app.purge(settings, ACCOUNT, confirmed=True, observe=lambda _: None, stop=threading.Event())
    before = rows(settings)
    with pytest.raises(NotImported):
        reset(settings, force=True)
    assert rows(settings) == before


def test_what_people_deleted_stays_deleted_after_a_reset(settings: Settings) -> None:
    """Only `purge` forgets it: what is taken back and imported anew does not bring it along."""
    migrate(settings, passes=[Pass.RECENT])
    first = ids(settings, tables.threads)[0]
    execute(settings, tables.threads.delete().where(tables.threads.c.id == first))
    reset(settings)
    assert code_of(migrate(settings)) is None
    assert first not in ids(settings, tables.threads)
    assert {reject["reasons"][0]["code"] for reject in snapshot(settings)["rejects"]} == {"deleted_in_target"}


def test_an_unknown_account_is_named(settings: Settings) -> None:
    """There is nothing to take back."""
    with pytest.raises(AccountNotFound, match="nobody"):
        reset(settings, "nobody")


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__slots__}
