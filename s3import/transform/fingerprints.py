"""A number for every row that is the same wherever it is made: of a dump's rows in Arrow, of a table's in the database.

A row's canonical text has for every compared column its length in bytes, a colon and its text, or ``-`` for NULL, so
that no two rows share one; times are ``2026-11-22 10:00:00.000000`` in UTC. The fingerprint is the first 60 bits of
that text's MD5: no secret hangs on it, and every database has it. Equal fingerprints mean equal rows. Rows of different
ones may still hold the same values, for JSON can be written in many ways: they need a closer look.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from s3import.core.records import TEXT, Entity, one_array
from s3import.core.tables import TARGETS, UtcTime

RANGES = 4096
SQLITE_FUNCTION = "s3import_fingerprint"
_RANGE_SHIFT = 48  # of 60 bits
_NOT_OF_THE_DUMP = ("account_id", "storage_key", "state")


def compared_columns(entity: Entity) -> list[sa.Column[Any]]:
    """The columns of the entity's table whose values the dump alone decides, in the table's order."""
    return [column for column in TARGETS[entity].columns if column.name not in _NOT_OF_THE_DUMP]


# --- in Arrow ------------------------------------------------------------------------------------------------------


def fingerprints_of(entity: Entity, rows: pa.Table) -> pa.Int64Array:
    """The fingerprints of rows as `mapping.to_rows` gives them."""
    return fingerprints_over([column.name for column in compared_columns(entity)], rows)


def fingerprints_over(columns: Sequence[str], rows: pa.Table) -> pa.Int64Array:
    """The fingerprints of these columns alone, as `fingerprint` makes them of the table's."""
    return _fingerprints([one_array(rows[name]) for name in columns])


def key_ranges_of(ids: pa.StringArray) -> pa.Int16Array:
    """The key range of each id: 0 to `RANGES` - 1, as even as a hash."""
    return pc.shift_right(_fingerprints([ids]), _RANGE_SHIFT).cast(pa.int16())


def _fingerprints(columns: Sequence[pa.Array]) -> pa.Int64Array:
    pieces = [piece for column in columns for piece in _canonical(column)]
    return _numbers(pc.binary_join_element_wise(*pieces, "", null_handling="replace", null_replacement=""))


def _canonical(column: pa.Array) -> list[pa.Array | pa.Scalar]:
    """What the column adds to the canonical text: the length, and the value (null: nothing)."""
    if column.null_count == len(column):
        return [pa.repeat("-", len(column))]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    text = column.cast(TEXT)
    length = pc.binary_join_element_wise(pc.binary_length(text).cast(TEXT), "", ":")
    return [length.fill_null("-"), text]


def _numbers(texts: pa.StringArray) -> pa.Int64Array:
    _, offsets, body = texts.buffers()
    bounds = memoryview(offsets).cast("i")[texts.offset : texts.offset + len(texts) + 1]
    view, md5 = memoryview(body or b""), hashlib.md5
    heads = [md5(view[start:end], usedforsecurity=False).digest()[:8] for start, end in pairwise(bounds)]
    numbers = struct.unpack(f">{len(heads)}Q", b"".join(heads))
    return pc.shift_right(pa.array(numbers, pa.uint64()), pa.scalar(4, pa.uint64())).cast(pa.int64())


# --- in SQL --------------------------------------------------------------------------------------------------------


class fingerprint(GenericFunction[int]):  # noqa: N801 - a SQL function
    """The fingerprint of a row that has these columns; NULL where the database cannot make it (MySQL: packet size)."""

    type = sa.BigInteger()
    inherit_cache = True


def fingerprint_in(entity: Entity) -> fingerprint:
    """The fingerprint of a row of the entity's table."""
    return fingerprint(*compared_columns(entity))


def key_range_in(entity: Entity) -> sa.ColumnElement[int]:
    """The key range of a row of the entity's table."""
    return fingerprint(TARGETS[entity].c.id).bitwise_rshift(sa.literal_column(str(_RANGE_SHIFT)))


@compiles(fingerprint, "postgresql")
def _fingerprint_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    texts = [_postgresql_text(column, compiler.process(column, **kw)) for column in element.clauses]
    pieces = ", ".join(f"coalesce(octet_length({text}) || ':' || {text}, '-')" for text in texts)
    return f"('x' || substr(md5(concat({pieces})), 1, 15))::bit(60)::bigint"


def _postgresql_text(column: sa.ColumnElement[Any], name: str) -> str:
    if isinstance(column.type, UtcTime):
        return f"to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"({name})::text"


@compiles(fingerprint, "mysql")
@compiles(fingerprint, "mariadb")
def _fingerprint_mysql(element: Any, compiler: Any, **kw: Any) -> str:
    texts = [f"CAST({compiler.process(column, **kw)} AS BINARY)" for column in element.clauses]
    pieces = ", ".join(f"coalesce(concat(octet_length({text}), ':', {text}), '-')" for text in texts)
    return f"CAST(conv(left(md5(concat({pieces})), 15), 16, 10) AS SIGNED)"


@compiles(fingerprint, "sqlite")
def _fingerprint_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"{SQLITE_FUNCTION}{compiler.process(element.clause_expr, **kw)}"


def fingerprint_of_values(*values: object) -> int:
    """The fingerprint of a row of these values, as SQLite stores them: it has no MD5 of its own."""
    texts = [None if value is None else str(value).encode() for value in values]
    canonical = b"".join([b"-" if text is None else b"%d:%b" % (len(text), text) for text in texts])
    return int.from_bytes(hashlib.md5(canonical, usedforsecurity=False).digest()[:8], "big") >> 4
