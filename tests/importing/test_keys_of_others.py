"""A key of somebody else's in the way of an import is named at once, instead of being tried until the time is over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core.errors import DatabaseRefused
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.writers import open_database, schema
from tests.databases import on_servers
from tests.importing.dumps import deletion, lines, simple_dump, write
from tests.importing.moving import code_of, execute, migrate, settings_for

pytestmark = pytest.mark.integration

CHARSET = {"p": "", "m": "CHARACTER SET utf8mb4"}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """An account's dump and empty tables, and much more time for retries than a test may take."""
    write(simple_dump(3), tmp_path)
    with open_database(database_url).begin() as connection:
        schema.upgrade(connection)
    return settings_for(tmp_path, database_url, retry_seconds=60)


def table_of_others(settings: Settings, *columns: sa.schema.SchemaItem) -> sa.Table:
    """A table of Re:amaze's own, which refers to ours."""
    engine, metadata = open_database(settings.database).engine, sa.MetaData()
    metadata.reflect(engine, only=["messages"])
    table = sa.Table("notes", metadata, *columns, mysql_engine="InnoDB")
    table.create(engine)
    return table


def refused(settings: Settings, *passes: Pass) -> str:
    """What an import is refused with, long before the time for retries is over."""
    began = time.monotonic()
    result = migrate(settings, passes=passes)
    assert time.monotonic() - began < 30
    assert isinstance(result.error, DatabaseRefused)
    return result.error.message


def test_a_unique_index_is_named(settings: Settings) -> None:
    """Two records that it does not allow beside each other are never there both; without it they are."""
    execute(settings, sa.text("CREATE UNIQUE INDEX one_each ON messages (account_id, origin)"))
    message = refused(settings, Pass.RECENT)
    assert "the unique key of messages (one_each)" in message
    assert "recent" not in message
    dropped = "DROP INDEX one_each" + (" ON messages" if settings.database.startswith("m") else "")
    execute(settings, sa.text(dropped))
    assert code_of(migrate(settings)) is None


def test_a_foreign_key_of_another_table_is_named(settings: Settings) -> None:
    """Rows that it holds on to cannot be deleted."""
    assert code_of(migrate(settings)) is None
    reference = sa.ForeignKeyConstraint(["account_id", "message_id"], ["messages.account_id", "messages.id"], "holds")
    kind = sa.inspect(open_database(settings.database).engine).get_columns("messages")[0]["type"]
    notes = table_of_others(settings, sa.Column("account_id", kind), sa.Column("message_id", kind), reference)
    execute(settings, sa.insert(notes).values(account_id="acme", message_id="recent-m1"))
    write(
        {"delta/deletions/a.jsonl": lines([deletion(Entity.MESSAGES, "recent-m1")])}, Path(settings.source or "").parent
    )
    assert "the foreign key of notes to messages (holds)" in refused(settings, Pass.DELTA)
    execute(settings, sa.delete(notes))
    assert code_of(migrate(settings, passes=[Pass.DELTA])) is None


@on_servers
def test_a_foreign_key_of_ours_to_another_table_is_named(settings: Settings) -> None:
    """What it asks for can be added, and the same command goes on."""
    execute(
        settings,
        sa.text(f"CREATE TABLE origins (name varchar(32) PRIMARY KEY) {CHARSET[settings.database[:1]]}"),
        sa.text("ALTER TABLE messages ADD CONSTRAINT known FOREIGN KEY (origin) REFERENCES origins (name)"),
    )
    assert "the foreign key of messages to origins (known)" in refused(settings, Pass.RECENT)
    execute(settings, sa.text("INSERT INTO origins VALUES ('email')"))
    assert code_of(migrate(settings)) is None
