"""Tables of a connection's own, in which rows of a batch wait to be asked about or moved."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from s3import.core.records import Entity
from s3import.core.tables import PARENTS, Id, UtcTime
from s3import.writers.writer import Writer

_metadata = sa.MetaData()


def temporary_table(name: str, *columns: sa.Column[Any], key: Collection[str]) -> sa.Table:
    """The definition of a temporary table; `fill` makes it. No two rows share a `key`.

    Only MySQL is told so: some of its servers want a key in each table, the others would build an index for nothing.
    """
    primary_key = sa.PrimaryKeyConstraint(*key).ddl_if(callable_=_wants_keys)
    return sa.Table(
        name,
        _metadata,
        *columns,
        primary_key,
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def keys_table(name: str, entity: Entity) -> sa.Table:
    """The definition of a temporary table of keys, by the number of their row: its `id`, its parents' ids, and `at`,
    the instant that decides which of two rows is newer."""
    return temporary_table(
        name,
        sa.Column("ordinal", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("id", Id, nullable=False),
        *(sa.Column(column, Id, nullable=False) for column, _parent, _code in PARENTS[entity]),
        sa.Column("at", UtcTime, nullable=False),
        key=["ordinal"],
    )


def _wants_keys(*_: Any, dialect: sa.Dialect, **__: Any) -> bool:
    return dialect.name in ("mysql", "mariadb")


def fill(connection: sa.Connection, writer: Writer, table: sa.Table, rows: pa.Table) -> None:
    """Put `rows` in place of what the temporary table held. Raises: as `Writer.load`."""
    connection.execute(CreateTable(table, if_not_exists=True))
    connection.execute(sa.delete(table))
    writer.load(connection, table, rows)
