"""PostgreSQL: binary COPY of Arrow batches through psycopg, inside SQLAlchemy's own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pyarrow as pa
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql

from s3import.core.errors import ConfigurationError, SchemaMismatch, printable
from s3import.core.records import TEXT, TIMESTAMP
from s3import.core.settings import Keys
from s3import.writers.idle import check_idle_connections
from s3import.writers.kept import require_kept
from s3import.writers.postgres_connection import Connection, Cursor
from s3import.writers.postgres_keys import PostgresKeys
from s3import.writers.translation import translated
from s3import.writers.url import Parser, one_of, options_of, require_known, whole_number
from s3import.writers.writer import (
    CONNECT_SECONDS,
    GRACE_SECONDS,
    READ_ONLY,
    driver_cursor,
    fitted,
    silence_seconds,
)

DRIVER = "postgresql+psycopg"
IDLE_TRANSACTION_SECONDS = 20  # a process that hangs in a transaction loses it, and its locks, after this time
CHUNK_BYTES = 4 * 1024 * 1024

_JSONB = 3802
# The binary form of each type (by its OID) that a column may have. COPY takes the bytes of any other
# type of the same width without a word, so nothing else is ever sent.
_ARROW_TYPES: dict[int, pa.DataType] = {
    16: pa.bool_(),
    20: pa.int64(),
    23: pa.int32(),
    25: TEXT,
    114: TEXT,  # json
    701: pa.float64(),
    1043: TEXT,  # varchar
    1184: TIMESTAMP,
    _JSONB: TEXT,
}
# Statistics know nothing of an account that has just come: it seems to have no rows, and one index as good as another,
# so that the one by thread or by message would be read for all of the account, for each row. Plans for any account are
# made for one of the usual size.
_ANY_ACCOUNT = "plan_cache_mode", "force_generic_plan"
# One look into an index per row: a target that grows faster than its statistics would be read as a whole instead.
_INDEX_LOOKUPS = sa.text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),"
    f" set_config('enable_mergejoin', 'off', true), set_config('{_ANY_ACCOUNT[0]}', '{_ANY_ACCOUNT[1]}', true)"
)

_OPTIONS = frozenset(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())
_CHECKED: dict[str, Parser] = {
    "sslmode": one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    **dict.fromkeys(
        ("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"), whole_number
    ),
    "tcp_user_timeout": whole_number,
}
# A peer that is gone, or a network that swallows everything, is noticed by the operating system; `Connection` notices
# a server that says nothing.
_TIMEOUTS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
# Whatever may be set for a session, a role or a database, and would change what statements and answers mean.
_PINNED = "; ".join(
    f"SET LOCAL {name} = {value}"
    for name, value in {
        "DateStyle": "'ISO, MDY'",
        "IntervalStyle": "'postgres'",
        "TimeZone": "'UTC'",
        "standard_conforming_strings": "on",
        "quote_all_identifiers": "off",
        "bytea_output": "'hex'",
        "extra_float_digits": "1",
        "transform_null_equals": "off",
        "jit": "off",  # what it compiles is thrown away with the batch
        "row_security": "off",  # an error is better than rows that nobody sees
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": f"'{IDLE_TRANSACTION_SECONDS}s'",
    }.items()
)

_TERMINATE = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = :name AND usename = current_user AND pid <> pg_backend_pid()"
)


def make_engine(url: sa.URL, application_name: str, pool_size: int, _limit_seconds: float) -> sa.Engine:
    """An engine whose transactions are the same whatever the server, the database and the role set for their sessions.

    What is set is set with the connection's start, or for one transaction: a pooler's other clients never see it.
    Nothing of them is prepared; looks outside of transactions are where that is safe (`postgres_connection`).
    Raises: ConfigurationError for an option that libpq does not know.
    """
    require_known(url, _OPTIONS)
    options_of(url.set(query={name: text for name, text in url.query.items() if name in _CHECKED}), _CHECKED)
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # the driver begins nothing: `_begin` does, with the settings, in one round trip
        pool_size=pool_size,
        hide_parameters=True,
        use_native_hstore=False,
        json_deserializer=orjson.loads,
        connect_args={
            **{name: value for name, value in _TIMEOUTS.items() if name not in url.query},
            "application_name": url.query.get("application_name", application_name),
            "client_encoding": "UTF8",
            "prepare_threshold": None,
        },
    )
    sa.event.listen(engine, "do_connect", _connect)
    sa.event.listen(engine, "connect", _require_utf8)
    sa.event.listen(engine, "begin", _begin)
    sa.event.listen(engine, "before_cursor_execute", _ask_in_binary)
    check_idle_connections(engine)
    return engine


def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Connection:
    return Connection.connect(*arguments, **options, cursor_factory=Cursor)


def _require_utf8(connection: Any, _record: Any) -> None:
    for whose in ("server", "client"):
        name = f"{whose}_encoding"
        encoding = connection.info.parameter_status(name) or connection.execute(f"SHOW {name}").fetchone()[0]
        if encoding != "UTF8":
            connection.close()
            raise ConfigurationError(
                f"the PostgreSQL database has {name} {printable(encoding)}, in which letters would get lost; "
                "s3import writes to databases that are made WITH ENCODING 'UTF8'"
            )


def _begin(connection: sa.Connection) -> None:
    seconds = silence_seconds(connection)
    driver: Any = connection.connection.driver_connection
    driver.limit(seconds + GRACE_SECONDS)
    if _is_look(connection):
        driver.prepare_what_repeats()
        return
    driver.prepare_nothing()
    is_reading = connection.get_execution_options().get(READ_ONLY)
    mode = "" if is_reading else f", READ WRITE; SET LOCAL {' = '.join(_ANY_ACCOUNT)}"
    begin = f"BEGIN ISOLATION LEVEL READ COMMITTED{mode}; {_PINNED}; SET LOCAL statement_timeout = {seconds * 1000:.0f}"
    driver.execute(begin)  # not by SQLAlchemy, which would put a cursor around it where rows are to be streamed


def _is_look(connection: sa.Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _ask_in_binary(connection: sa.Connection, cursor: Any, *_: Any) -> None:
    # Nothing is set for a statement on its own: its times must not depend on how the session writes them.
    if _is_look(connection):
        cursor.format = psycopg.pq.Format.BINARY


class PostgresWriter:
    """Loads by COPY in binary form. Remembers the types of the columns it has seen, and how keys are checked."""

    def __init__(self, keys: Keys = Keys.AUTO) -> None:
        self._keys = PostgresKeys(keys)
        self._types: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self._encoders: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}

    @translated()
    def load(self, connection: sa.Connection, table: sa.Table, rows: pa.Table) -> bool:
        """Insert all `rows`, whose columns are some of the table's, within the connection's transaction.

        Raises: what `Writer.load` promises; SchemaMismatch for a column of a type that is not one of ours.
        """
        types = self._live_types(connection, table, tuple(rows.column_names))
        fitting = _fit(table, rows, types)
        encoder = self._encoder(table, fitting.schema, types)
        with driver_cursor(connection) as cursor:
            with self._keys.of(connection, table, rows) as in_sets, cursor.copy(_copy_statement(table, rows)) as copy:
                copy.write(encoder.write_header())
                for chunk in _chunks(fitting):
                    copy.write(encoder.write_batch(chunk))
                copy.write(encoder.finish())
            require_kept(connection, table, rows.num_rows, cursor.rowcount)
        return in_sets

    def keys(self, connection: sa.Connection) -> Keys:
        return self._keys.way(connection)

    def evict(self, connection: sa.Connection, application_name: str) -> None:
        connection.execute(_TERMINATE, {"name": application_name})

    def look_up_by_key(self, connection: sa.Connection) -> None:
        connection.execute(_INDEX_LOOKUPS)

    def _live_types(self, connection: sa.Connection, table: sa.Table, columns: tuple[str, ...]) -> tuple[int, ...]:
        known = self._types.get((table.name, columns))
        if known is None:
            result = connection.execute(sa.select(*(table.c[name] for name in columns)).where(sa.false()))
            description: Any = result.cursor.description
            known = tuple(column.type_code for column in description)
            self._types[table.name, columns] = known
        return known

    def _encoder(self, table: sa.Table, schema: pa.Schema, types: tuple[int, ...]) -> ArrowToPostgresBinaryEncoder:
        key = table.name, tuple(schema.names)
        encoders = self._encoders.get(key)
        if encoders is None:
            encoders = {
                field.name: StringEncoderBuilder.new_with_output(field, Jsonb())
                if oid == _JSONB
                else ArrowToPostgresBinaryEncoder.infer_encoder(field)
                for field, oid in zip(schema, types, strict=True)
            }
            self._encoders[key] = encoders
        return ArrowToPostgresBinaryEncoder.new_with_encoders(schema, encoders)


def _fit(table: sa.Table, rows: pa.Table, types: tuple[int, ...]) -> pa.Table:
    columns = [
        fitted(column, _arrow_type(f"{table.name}.{name}", oid), f"{table.name}.{name}")
        for name, column, oid in zip(rows.column_names, rows.columns, types, strict=True)
    ]
    return pa.table(columns, names=rows.column_names)


def _arrow_type(place: str, oid: int) -> pa.DataType:
    try:
        return _ARROW_TYPES[oid]
    except KeyError:
        message = f"the column {place} has a type (OID {oid}) that s3import does not write; run `s3import db init`"
        raise SchemaMismatch(message) from None


def _copy_statement(table: sa.Table, rows: pa.Table) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.Identifier(table.name), columns)


def _chunks(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    size = max(1, rows.num_rows * CHUNK_BYTES // max(rows.nbytes, 1))
    yield from rows.to_batches(max_chunksize=size)


make_writer = PostgresWriter
