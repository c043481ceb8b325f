"""PostgreSQL: binary COPY of Arrow batches through psycopg, inside SQLAlchemy's own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql

from s3import.errors import SchemaMismatch
from s3import.records import TEXT, TIMESTAMP
from s3import.writers.idle import check_idle_connections
from s3import.writers.translation import translated
from s3import.writers.writer import driver_cursor, fitted

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
# One look into an index per row: a target that grows faster than its statistics would be read as a whole instead.
_INDEX_LOOKUPS = sa.text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)"
)

_TERMINATE = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = :name AND usename = current_user AND pid <> pg_backend_pid()"
)


def make_engine(url: sa.URL, application_name: str, pool_size: int) -> sa.Engine:
    """An engine whose connections name their application and lose a transaction that hangs."""
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        hide_parameters=True,
        connect_args={"application_name": url.query.get("application_name", application_name)},
    )
    sa.event.listen(engine, "connect", _configure)
    check_idle_connections(engine)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    autocommit = connection.autocommit
    connection.autocommit = True
    connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_SECONDS}s'")
    connection.autocommit = autocommit


class PostgresWriter:
    """Loads by COPY in binary form. Remembers the types of the columns it has seen."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}

    @translated()
    def load(self, connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
        """As `Writer.load`. Raises besides: SchemaMismatch for a column of a type that is not one of ours."""
        types = self._live_types(connection, table, tuple(rows.column_names))
        fitting = _fit(table, rows, types)
        encoder = _encoder(fitting.schema, types)
        with driver_cursor(connection) as cursor, cursor.copy(_copy_statement(table, rows)) as copy:
            copy.write(encoder.write_header())
            for chunk in _chunks(fitting):
                copy.write(encoder.write_batch(chunk))
            copy.write(encoder.finish())

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


def _encoder(schema: pa.Schema, types: tuple[int, ...]) -> ArrowToPostgresBinaryEncoder:
    encoders = {
        field.name: StringEncoderBuilder.new_with_output(field, Jsonb())
        if oid == _JSONB
        else ArrowToPostgresBinaryEncoder.infer_encoder(field)
        for field, oid in zip(schema, types, strict=True)
    }
    return ArrowToPostgresBinaryEncoder.new_with_encoders(schema, encoders)


def _copy_statement(table: sa.Table, rows: pa.Table) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.Identifier(table.name), columns)


def _chunks(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    size = max(1, rows.num_rows * CHUNK_BYTES // max(rows.nbytes, 1))
    yield from rows.to_batches(max_chunksize=size)


WRITER = PostgresWriter
