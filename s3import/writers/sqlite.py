"""SQLite: one writer at a time, in WAL mode, through executemany."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from s3import.core.errors import ConfigurationError
from s3import.core.settings import Keys
from s3import.transform.fingerprints import SQLITE_FUNCTION, fingerprint_of_values
from s3import.writers.kept import require_kept
from s3import.writers.translation import translated
from s3import.writers.url import options_of, whole_number
from s3import.writers.writer import READ_ONLY, driver_cursor, require_rows, timestamps_as_text

DRIVER = "sqlite+pysqlite"
BUSY_SECONDS = 10

# synchronous FULL: one fsync a batch buys that what was committed survives a power failure.
# The cache (in KiB, when negative) holds the pages of a batch's random keys; the log is folded in every 8000 pages.
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "temp_store = MEMORY",
    "cache_size = -32768",
    "wal_autocheckpoint = 8000",
)

_OPTIONS = {"timeout": whole_number}
_ROWS_AT_A_TIME = 1000


def make_engine(url: sa.URL, _application_name: str, pool_size: int, _limit_seconds: float) -> sa.Engine:
    """An engine whose transactions take the write lock at once, unless marked `READ_ONLY`.

    Raises: ConfigurationError for a database in memory, which would be gone with the process, and for an option that is
    none.
    """
    if url.host or url.username or url.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "the database URL names no file; write sqlite:///reamaze.db or sqlite:////full/path.db"
        )
    options = {"timeout": BUSY_SECONDS, **options_of(url, _OPTIONS)}
    # The last connection that wrote still knows its pages; each other one would read them again, and hold them, too.
    engine = sa.create_engine(url, pool_size=pool_size, pool_use_lifo=True, hide_parameters=True, connect_args=options)
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin late, and commit before some statements
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function(SQLITE_FUNCTION, -1, fingerprint_of_values, deterministic=True)


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later could not wait for another writer: it would fail at once.
    mode = "DEFERRED" if connection.get_execution_options().get(READ_ONLY) else "IMMEDIATE"
    connection.exec_driver_sql(f"BEGIN {mode}")


class SqliteWriter:
    """Loads by executemany of columns turned into Python lists, some rows at a time."""

    @translated()
    def load(self, connection: sa.Connection, table: sa.Table, rows: pa.Table) -> bool:
        """Insert all `rows`, whose columns are some of the table's, within the connection's transaction."""
        empty = [name for name in rows.column_names if rows[name].null_count == rows.num_rows]
        statement = _insert_statement(connection, table, rows.column_names, empty)
        with closing(driver_cursor(connection)) as cursor:
            cursor.executemany(statement, _values(rows.drop_columns(empty)))
            require_kept(connection, table, rows.num_rows, cursor.rowcount)
        return False

    def keys(self, connection: sa.Connection) -> Keys:
        return Keys.ROWS

    def evict(self, connection: sa.Connection, application_name: str) -> None:
        """A dead process holds no lock on the file."""

    def look_up_by_key(self, connection: sa.Connection) -> None:
        """SQLite does so by itself."""


def _insert_statement(connection: sa.Connection, table: sa.Table, columns: list[str], empty: list[str]) -> str:
    """The statement for rows of which `empty` columns hold nothing: a NULL that stands in it is not bound for each
    row."""
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, columns))
    marks = ", ".join("NULL" if name in empty else "?" for name in columns)
    return f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})"


def _values(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """What is bound for each row. Only some rows at a time are Python objects."""
    for start in range(0, rows.num_rows, _ROWS_AT_A_TIME):
        some = rows.slice(start, _ROWS_AT_A_TIME)
        yield from zip(*(timestamps_as_text(column).to_pylist() for column in some.columns), strict=True)


def make_writer(keys: Keys) -> SqliteWriter:
    """Raises: ConfigurationError, where keys are to be checked in sets."""
    require_rows(keys)
    return SqliteWriter()
