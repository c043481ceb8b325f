"""What people delete from an account's first run on leaves tombstones, on every database."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.accounts import remember_deletions
from s3import.core.records import ROW_ENTITIES
from s3import.writers import Database, open_database, schema
from s3import.writers.schema import triggers
from tests.writers.rows import ACCOUNT, attachment, create_account, execute, message, put, thread

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
EVERYTHING = {
    ("threads", "t"),
    ("messages", "m1"),
    ("messages", "m2"),
    ("attachments", "a1"),
    ("attachments", "a2"),
}


@pytest.fixture
def migrating(database_url: str) -> Iterator[Database]:
    """A database of each kind, with an account that is migrating and a thread with two messages, an attachment each."""
    database = open_database(database_url, pool_size=2)
    create_account(database)
    with database.begin() as connection:
        remember_deletions(connection, ACCOUNT)
    put(database, THREADS, thread("t"), thread("other"))
    put(database, MESSAGES, message("m1"), message("m2"))
    put(database, ATTACHMENTS, attachment("a1", message_id="m1"), attachment("a2", message_id="m2"))
    yield database
    database.close()


def tombstones(database: Database) -> set[tuple[str, str]]:
    """What is remembered as deleted by a person."""
    kept = tables.import_tombstones.c
    with database.read() as connection:
        rows = connection.execute(sa.select(kept.entity, kept.id).where(kept.from_dump.is_(False))).all()
    return {(entity, row_id) for entity, row_id in rows}


def delete(database: Database, table: sa.Table, *ids: str) -> None:
    """What a person does."""
    wanted = table.c.id.in_(ids) if ids else sa.true()
    execute(database, sa.delete(table).where(wanted))


def test_a_deletion_takes_its_descendants_along(migrating: Database) -> None:
    """A thread that goes leaves a tombstone, and so do its messages and their attachments."""
    delete(migrating, tables.threads, "t")
    assert tombstones(migrating) == EVERYTHING


def test_a_message_takes_its_attachments_along(migrating: Database) -> None:
    """The thread and the other message are none of its business."""
    delete(migrating, tables.messages, "m1")
    assert tombstones(migrating) == {("messages", "m1"), ("attachments", "a1")}


@pytest.mark.parametrize("table", [tables.brands, tables.channels], ids=str)
def test_a_brand_or_channel_takes_everything_along(migrating: Database, table: sa.Table) -> None:
    """Whatever hangs on it, whichever way."""
    delete(migrating, table)
    above = {("channels", "c"), ("brands", "b")} if table is tables.brands else {("channels", "c")}
    assert tombstones(migrating) == EVERYTHING | above | {("threads", "other")}


def test_the_instant_is_kept(migrating: Database) -> None:
    """A tombstone knows when, in UTC."""
    delete(migrating, tables.attachments, "a1")
    with migrating.read() as connection:
        at = connection.execute(sa.select(tables.import_tombstones.c.deleted_at)).scalar_one()
    assert abs(at.timestamp() - time.time()) < 60


def test_the_same_row_may_go_twice(migrating: Database) -> None:
    """Somebody brings a row back by hand and deletes it again."""
    delete(migrating, tables.threads, "other")
    put(migrating, THREADS, thread("again"))
    execute(migrating, sa.update(tables.threads).where(tables.threads.c.id == "again").values(id="other"))
    delete(migrating, tables.threads, "other")
    assert tombstones(migrating) == {("threads", "other")}


@pytest.mark.parametrize("status", ["migrating", "active-recent-only"])
def test_nothing_is_remembered_of_an_account_that_goes(migrating: Database, status: str) -> None:
    """Neither by its deletion nor from before it."""
    execute(migrating, sa.update(tables.accounts).values(status=status))
    delete(migrating, tables.messages, "m1")
    delete(migrating, tables.accounts, ACCOUNT)
    assert tombstones(migrating) == set()


def test_an_active_account_is_remembered_too(migrating: Database) -> None:
    """A delta or a second reading of its dumps brings nothing back."""
    execute(migrating, sa.update(tables.accounts).values(status="active"))
    delete(migrating, tables.threads, "t")
    assert tombstones(migrating) == EVERYTHING


def test_nothing_is_remembered_of_an_account_without_a_migration(migrating: Database) -> None:
    """Before its first run, or once that is purged."""
    execute(migrating, sa.delete(tables.import_accounts))
    delete(migrating, tables.threads)
    assert tombstones(migrating) == set()


def test_many_rows_at_once_are_remembered_in_reasonable_time(migrating: Database) -> None:
    """Two thousand threads with their messages, in one statement."""
    numbers = [f"{number:04}" for number in range(2000)]
    put(migrating, THREADS, *(thread(number) for number in numbers))
    put(migrating, MESSAGES, *(message(number, thread_id=number) for number in numbers))
    began = time.monotonic()
    delete(migrating, tables.threads)
    seconds = time.monotonic() - began
    assert len(tombstones(migrating)) == 4000 + len(EVERYTHING) + 1
    assert seconds < 20


def test_a_missing_trigger_is_noticed_and_made_again(migrating: Database) -> None:
    """Tables without it do not fit; `db init` puts it back."""
    name = "import_deletions_of_threads"
    table = " ON threads" if migrating.dialect.name == "postgresql" else ""
    with migrating.begin() as connection:
        connection.exec_driver_sql(f"DROP TRIGGER {name}{table}")
        assert list(triggers.missing(connection)) == [name]
        schema.upgrade(connection)
        assert list(triggers.missing(connection)) == []
