"""MySQL and MariaDB: LOAD DATA LOCAL from memory where the server allows it, else multi-row inserts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pymysql
import sqlalchemy as sa

from s3import.core.errors import Conflict, DatabaseMisconfigured, DatabaseRefused
from s3import.core.settings import Keys
from s3import.writers.idle import check_idle_connections
from s3import.writers.kept import require_kept
from s3import.writers.translation import decide_mysql_number, translated
from s3import.writers.url import Parser, options_of, truth, whole_number
from s3import.writers.writer import (
    CONNECT_SECONDS,
    GRACE_SECONDS,
    driver_cursor,
    require_rows,
    silence_seconds,
    timestamps_as_text,
)

DRIVER = "mysql+pymysql"

# Whatever the server may set for sessions that would change what statements and answers mean. A process that hangs
# loses its transaction, and the locks in it, after 20 seconds. MariaDB can tell a hanging transaction from a connection
# that merely waits in the pool, MySQL cannot (and the pool then opens another one).
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', foreign_key_checks = 1, unique_checks = 1,"
    " time_zone = '+00:00', sql_auto_is_null = 0, sql_safe_updates = 0, sql_select_limit = DEFAULT,"
    " sql_big_selects = 1, lock_wait_timeout = 20, innodb_lock_wait_timeout = 20, net_read_timeout = 20"
    " /*M! , idle_transaction_timeout = 20 */ /*!50700 , wait_timeout = 20 */"
)
_LIMITS = " /*M! , max_statement_time = {seconds} */ /*!50708 , max_execution_time = {milliseconds} */"
_TRANSACTION = "SET SESSION TRANSACTION READ WRITE"
_OPTIONS: dict[str, Parser] = {
    **dict.fromkeys(("connect_timeout", "max_allowed_packet"), whole_number),
    **dict.fromkeys(("local_infile", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"), truth),
    **dict.fromkeys(("unix_socket", "bind_address", "read_default_file", "read_default_group"), str),
    **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key", "ssl_key_password"), str),
    **dict.fromkeys(("ssl_capath", "ssl_cipher"), str),
    "ssl_check_hostname": truth,
    "charset": str,  # it is utf8mb4 whatever the URL says
    "use_unicode": truth,
}
_OF_SQLALCHEMY = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_capath", "ssl_cipher", "ssl_check_hostname")
_LOCAL_FORBIDDEN = {1148, 3948, 4166}
_ROW_OVERHEAD_BYTES = 1024
_LARGE_TEXT = pa.large_string()


def make_engine(url: sa.URL, application_name: str, pool_size: int, limit_seconds: float) -> sa.Engine:
    """An engine whose connections are strict, speak utf8mb4 and lose a transaction that hangs.

    Their statements may take `limit_seconds` (MySQL limits only those that read).
    Raises: ConfigurationError for an option that PyMySQL does not know.
    """
    options = options_of(url, _OPTIONS)
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "local_infile": True,
            **{name: value for name, value in options.items() if name not in _OF_SQLALCHEMY},
            "charset": "utf8mb4",
            "use_unicode": True,
            "program_name": application_name,
            "init_command": _SESSION + _LIMITS.format(seconds=limit_seconds, milliseconds=int(limit_seconds * 1000)),
        },
    )
    sa.event.listen(engine, "do_connect", _connect)
    sa.event.listen(engine, "begin", _limit)
    check_idle_connections(engine)
    return engine


class _Connection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection that breaks when the server says nothing for a while, which can be changed."""

    def limit(self, seconds: float) -> None:
        self._read_timeout = self._write_timeout = seconds


def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> _Connection:
    seconds = options["connect_timeout"]  # for each answer until it is logged in; `_limit` has the word from then on
    own = {"password": options["password"].encode()} if "password" in options else {}  # else it would be Latin-1
    try:
        connection = _Connection(*arguments, **{**options, **own, "read_timeout": seconds, "write_timeout": seconds})
    except RuntimeError as error:
        raise DatabaseMisconfigured(
            "the user logs in by a way that needs a package: pip install 'PyMySQL[rsa]', or use TLS (ssl_ca)"
        ) from error
    except (OSError, ValueError, LookupError) as error:  # it looks at files before it connects
        raise DatabaseMisconfigured(
            f"the driver of the database cannot use what the database URL names ({type(error).__name__}); "
            "correct its options"
        ) from error
    with connection.cursor() as cursor:
        cursor.execute(_TRANSACTION)
    return connection


def _limit(connection: sa.Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.limit(silence_seconds(connection) + GRACE_SECONDS)


class MysqlWriter:
    """Loads by LOAD DATA LOCAL; once a server has forbidden it, by multi-row inserts."""

    def __init__(self, *, local_infile: bool = True) -> None:
        self._local_infile = local_infile

    @translated()
    def load(self, connection: sa.Connection, table: sa.Table, rows: pa.Table) -> bool:
        """Insert all `rows`, whose columns are some of the table's, within the connection's transaction."""
        texts = [_as_text(column) for column in rows.columns]
        _check_packet(connection, table, texts)
        if self._local_infile:
            self._local_infile = _load_file(connection, table, rows, texts)
        if not self._local_infile:
            _insert(connection, table, rows, texts)
        return False

    def keys(self, connection: sa.Connection) -> Keys:
        return Keys.ROWS

    def evict(self, connection: sa.Connection, application_name: str) -> None:
        """The server itself ends what waits for its client too long (`wait_timeout`, `net_read_timeout`)."""

    def look_up_by_key(self, connection: sa.Connection) -> None:
        """These servers do so by themselves."""


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return timestamps_as_text(column).cast(_LARGE_TEXT)


def _check_packet(connection: sa.Connection, table: sa.Table, texts: list[pa.ChunkedArray]) -> None:
    """Raise DatabaseRefused before sending a row that the server could not take, or could not give back."""
    limit: int = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    if sum(column.nbytes for column in texts) < limit // 2:
        return
    lengths = [pc.fill_null(pc.binary_length(column), 0) for column in texts]
    largest = max(map(sum, zip(*(column.to_pylist() for column in lengths), strict=True)), default=0)
    if largest + _ROW_OVERHEAD_BYTES > limit:
        raise DatabaseRefused(
            f"a row of {largest} bytes for {table.name} is larger than the server's max_allowed_packet of {limit};"
            " raise max_allowed_packet to 64M, then run the same command again"
        )


# --- LOAD DATA LOCAL -----------------------------------------------------------------------------------------------


def _load_file(connection: sa.Connection, table: sa.Table, rows: pa.Table, texts: list[pa.ChunkedArray]) -> bool:
    """Load all rows by file. False, and nothing done, where the server forbids it."""
    with _file_of(texts) as path, driver_cursor(connection) as cursor:
        try:
            affected = cursor.execute(_load_statement(connection, table, rows, path))
        except pymysql.err.MySQLError as error:
            if error.args and error.args[0] in _LOCAL_FORBIDDEN:
                return False
            raise
        if affected != rows.num_rows or cursor.warning_count:
            raise _decide_warnings(cursor, table)
    return True


def _decide_warnings(cursor: Any, table: sa.Table) -> Exception:
    # With LOCAL the server leaves out the rows it does not like, and only warns.
    cursor.execute("SHOW WARNINGS")
    errors = [decide_mysql_number(number, text) for _level, number, text in cursor.fetchall()]
    conflict = Conflict(
        f"rows of {table.name} are there already, have no parent, or break a key that is not s3import's",
        key=next((error.key for error in errors if isinstance(error, Conflict)), None),
    )
    return next((error for error in errors if not isinstance(error, Conflict)), conflict)


def _load_statement(connection: sa.Connection, table: sa.Table, rows: pa.Table, path: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, rows.column_names))
    return (
        f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {quote(table.name)} CHARACTER SET utf8mb4"
        rf" FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n' ({names}, @end_of_line)"
    )


@contextmanager
def _file_of(texts: list[pa.ChunkedArray]) -> Iterator[str]:
    with _memory_file() as file:
        for chunk in _lines(texts).chunks:
            file.write(_bytes_of(chunk))
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if file.name == file.fileno() else file.name


def _memory_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("s3import"), "wb")
    return tempfile.NamedTemporaryFile("wb", prefix="s3import-")


def _lines(texts: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    # The last field of a line is empty (@end_of_line): so one join gives the ends of the lines, too.
    end = pa.scalar("\n", _LARGE_TEXT)
    return pc.binary_join_element_wise(
        *map(_escaped, texts), end, pa.scalar("\t", _LARGE_TEXT), null_handling="replace", null_replacement=r"\N"
    )


def _escaped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    for special, escape in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n")):
        column = pc.replace_substring(column, special, escape)
    return column


def _bytes_of(chunk: pa.LargeStringArray) -> memoryview:
    """The text of all rows, one after the other, without a copy."""
    _validity, offsets, body = chunk.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(body)[bounds[chunk.offset] : bounds[chunk.offset + len(chunk)]]


# --- INSERT --------------------------------------------------------------------------------------------------------


def _insert(connection: sa.Connection, table: sa.Table, rows: pa.Table, texts: list[pa.ChunkedArray]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, rows.column_names))
    marks = ", ".join(["%s"] * rows.num_columns)
    statement = f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})"
    values = zip(*(column.to_pylist() for column in texts), strict=True)
    with driver_cursor(connection) as cursor:
        kept = cursor.executemany(statement, list(values))
    require_kept(connection, table, rows.num_rows, kept or 0)


def make_writer(keys: Keys) -> MysqlWriter:
    """Raises: ConfigurationError, where keys are to be checked in sets."""
    require_rows(keys)
    return MysqlWriter()
