"""Rows of the entities' tables for tests: one call a row, every column that is not given filled in."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.records import TEXT, TIMESTAMP, Entity, Written
from s3import.writers import Database, write

ACCOUNT = "acme"
NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)

_DEFAULTS: dict[Entity, dict[str, Any]] = {
    Entity.THREADS: {"brand_id": "b", "channel_id": "c", "status": "unresolved", "tags": "[]", "custom_fields": "[]"},
    Entity.MESSAGES: {"thread_id": "t", "origin": "email", "direction": "inbound", "visibility": "regular"},
    Entity.ATTACHMENTS: {"message_id": "m", "filename": "a.txt", "source_key": "a", "state": "pending"},
}
Row = dict[str, Any]
Deletion = tuple[Entity, str, dt.datetime]


def thread(id: str, **columns: Any) -> Row:  # noqa: A002 - it is the column's name
    """A thread as it comes from the mapping."""
    return _row(Entity.THREADS, id, columns)


def message(id: str, **columns: Any) -> Row:  # noqa: A002
    """A message as it comes from the mapping."""
    return _row(Entity.MESSAGES, id, columns)


def attachment(id: str, **columns: Any) -> Row:  # noqa: A002
    """An attachment as it comes from the mapping."""
    return _row(Entity.ATTACHMENTS, id, columns)


def _row(entity: Entity, row_id: str, columns: Row) -> Row:
    return {"account_id": ACCOUNT, "id": row_id, "created_at": NOON, **_DEFAULTS[entity], **columns}


def arrow(entity: Entity, rows: list[Row]) -> pa.Table:
    """The rows as the mapping would hand them over."""
    schema = pa.schema([(column.name, _arrow_type(column)) for column in tables.TARGETS[entity].columns])
    return pa.Table.from_pylist(rows, schema)


def _arrow_type(column: sa.Column[Any]) -> pa.DataType:
    if isinstance(column.type, tables.UtcTime):
        return TIMESTAMP
    return pa.int64() if isinstance(column.type, sa.Integer) else TEXT


def put(database: Database, entity: Entity, *rows: Row, expect_existing: bool = False) -> Written:
    """Write the rows as one batch in a transaction of its own."""
    with database.begin() as connection:
        table = arrow(entity, list(rows))
        return write(connection, database.writer, entity, ACCOUNT, table, expect_existing=expect_existing)[0]


def delete(database: Database, *deletions: Deletion) -> Written:
    """Apply the deletions as one batch in a transaction of its own."""
    kind = pa.schema([("entity", TEXT), ("id", TEXT), ("deleted_at", TIMESTAMP)])
    columns: list[list[object]] = [list(column) for column in zip(*deletions, strict=True)]
    with database.begin() as connection:
        table = pa.table(columns, schema=kind)
        return write(connection, database.writer, Entity.DELETIONS, ACCOUNT, table)[0]


def stored(database: Database, entity: Entity, *columns: str) -> list[Any]:
    """What the columns of the entity's table hold, in the order of ids; bare values where it is one column."""
    table = tables.TARGETS[entity]
    with database.read() as connection:
        found = connection.execute(sa.select(*(table.c[name] for name in columns)).order_by(table.c.id)).all()
    return [row[0] if len(columns) == 1 else tuple(row) for row in found]


def execute(database: Database, *statements: sa.Executable) -> None:
    """What somebody else does to the database, in a transaction."""
    with database.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def create_account(database: Database) -> None:
    """An account with the brand `b` and the channel `c`, whose deletions are remembered."""
    account = {"id": ACCOUNT, "status": "migrating", "created_at": NOON, "updated_at": NOON}
    execute(
        database,
        sa.insert(tables.accounts).values(account),
        sa.insert(tables.brands).values(account_id=ACCOUNT, id="b"),
        sa.insert(tables.channels).values(account_id=ACCOUNT, id="c", brand_id="b"),
        sa.insert(tables.import_accounts).values(account_id=ACCOUNT, deletions_since=NOON),
    )


def tombstone(entity: str, row_id: str) -> sa.Insert:
    """What the deletion of a row by a person leaves behind."""
    return sa.insert(tables.import_tombstones).values(account_id=ACCOUNT, entity=entity, id=row_id, deleted_at=NOON)
