"""Tables of a connection's own, in which rows of a batch wait to be asked about or moved."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from s3import.writers.writer import Writer

_metadata = sa.MetaData()


def temporary_table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """The definition of a temporary table; `fill` makes it."""
    return sa.Table(
        name, _metadata, *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DELETE ROWS", mysql_charset="utf8mb4"
    )


def fill(connection: sa.Connection, writer: Writer, table: sa.Table, rows: pa.Table) -> None:
    """Put `rows` in place of what the temporary table held. Raises: as `Writer.load`."""
    connection.execute(CreateTable(table, if_not_exists=True))
    connection.execute(sa.delete(table))
    writer.load(connection, table, rows)
