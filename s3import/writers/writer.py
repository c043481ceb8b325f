"""What one kind of database has to offer, and how Arrow columns are fitted to a table's."""

from __future__ import annotations

from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from s3import.core.errors import ConfigurationError, DatabaseRefused
from s3import.core.records import TEXT
from s3import.core.settings import Keys

READ_ONLY = "s3import_read_only"
"""The execution option of a connection that only reads: it does not wait for those that write."""

SILENCE = "s3import_silence_seconds"
"""The execution option of a connection: how long one of its statements may take before it fails."""

GRACE_SECONDS = 5.0
"""How much longer this process waits than the server should: one that says nothing even then is taken for gone."""

STATEMENT_SECONDS = 30.0
CONNECT_SECONDS = 10


def silence_seconds(connection: sa.Connection) -> float:
    """How long a statement of this connection may take."""
    seconds: float = connection.get_execution_options().get(SILENCE, STATEMENT_SECONDS)
    return seconds


class Writer(Protocol):
    """Bulk loading in one kind of database. Instances are shared by threads; connections are not."""

    def load(self, connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
        """Insert all `rows` into `table`, within the connection's transaction.

        The columns of `rows` are some of the table's: text, integers, bool, timestamps in UTC, and JSON as text.
        Raises: Conflict when a key is broken (some rows may be in: roll back to the savepoint, or all of it),
        DatabaseRefused for a value or size the database does not take, or rows that it does not keep;
        DatabaseUnavailable.
        """
        ...

    def keys(self, connection: sa.Connection) -> Keys:
        """How it checks foreign keys here: ROWS or SETS. Raises: ConfigurationError, where that is not what was asked
        for."""
        ...

    def evict(self, connection: sa.Connection, application_name: str) -> None:
        """End other connections of that name, where the database knows its clients by name."""
        ...

    def look_up_by_key(self, connection: sa.Connection) -> None:
        """For the rest of the transaction, find rows one by one through keys, however the planner's statistics look."""
        ...


def require_rows(keys: Keys) -> None:
    """Raises: ConfigurationError, where keys are to be checked in sets by a database that cannot."""
    if keys is Keys.SETS:
        raise ConfigurationError("S3IMPORT_KEYS is sets, which only PostgreSQL can do; set it to auto or rows")


def driver_cursor(connection: sa.Connection) -> Any:
    """A cursor of the driver itself, within the connection's transaction."""
    return connection.connection.cursor()


def timestamps_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """``2026-11-22 10:00:00.000000``, in UTC, of a timestamp column; any other column as it is."""
    if not pa.types.is_timestamp(column.type):
        return column
    naive = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us"))
    return naive.cast(TEXT)


def fitted(column: pa.ChunkedArray, kind: pa.DataType, place: str) -> pa.ChunkedArray:
    """The column as Arrow type `kind`, no value changed. Raises: DatabaseRefused naming `place` if it does not fit."""
    if column.type == kind:
        return column
    try:
        return pc.cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = f"values of type {column.type} do not fit {place} ({kind}); run `s3import db init`"
        raise DatabaseRefused(message) from error
