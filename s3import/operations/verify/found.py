"""What the database holds: sums by key range, fingerprints of some ranges, rows by id."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.records import Entity
from s3import.core.tables import PARENTS, TARGETS, UtcTime, import_tombstones
from s3import.importing.transactions import Transactions
from s3import.operations.verify.spill import Spill
from s3import.transform.fingerprints import compared_columns, fingerprint_in, key_range_in

T = TypeVar("T")
Row = dict[str, Any]

SCHEMA = pa.schema([("id", pa.string()), ("key_range", pa.int16()), ("fresh", pa.bool_()), ("fingerprint", pa.int64())])
ROWS_AT_ONCE = 10_000
MODULUS = 1 << 64


class Sum(NamedTuple):
    """How many rows, and the sum of their fingerprints modulo 2^64: the same in whatever order they come."""

    rows: int = 0
    checksum: int = 0


class Tombstone(NamedTuple):
    """What is remembered of a row that is gone: whether a dump said so, or a person took it away."""

    id: str
    from_dump: bool
    deleted_at: dt.datetime


NOTHING = Sum()
Sums = dict[tuple[int, bool], Sum]
"""By key range, and by whether a row was made after the import began."""


@dataclass(frozen=True, slots=True)
class Database:
    """One account's rows. `began`: when its import did."""

    transactions: Transactions
    account_id: str
    began: dt.datetime

    def sums(self, entity: Entity) -> Sums:
        """One look at the whole table; the sums are the database's work, unless it works in this process anyway."""
        keyed = self._rows(entity)
        query = sa.select(keyed.c.key_range, keyed.c.fresh)
        if self.transactions.database.dialect.in_process:  # it would sort whole rows by their ranges, in memory
            query = query.add_columns(sa.literal_column("1"), keyed.c.fingerprint)
        else:
            query = query.add_columns(sa.func.count(), sa.func.sum(keyed.c.fingerprint))
            query = query.group_by(keyed.c.key_range, keyed.c.fresh)
        return self._read(lambda connection: _added_up(_stream(connection, query)))

    def spill(self, entity: Entity, key_ranges: Collection[int]) -> Spill:
        """The fingerprints of all rows in these key ranges; -1 for one that the database could not make."""
        keyed = self._rows(entity)
        query = sa.select(keyed.c.id, keyed.c.key_range, keyed.c.fresh, keyed.c.fingerprint)
        query = query.where(keyed.c.key_range.in_(key_ranges))

        def look(connection: Connection) -> Spill:
            spill = Spill(SCHEMA)
            for some in _stream(connection, query).partitions():
                spill.add(_as_table(some))
            return spill

        return self._read(look)

    def _rows(self, entity: Entity) -> sa.Subquery:
        target = TARGETS[entity].c
        fresh = (target.created_at >= sa.literal(self.began, UtcTime)).label("fresh")
        key_range, fingerprint = key_range_in(entity).label("key_range"), fingerprint_in(entity).label("fingerprint")
        rows = sa.select(target.id, key_range, fresh, fingerprint)
        return rows.where(target.account_id == self.account_id).subquery()

    def by_id(self, entity: Entity, ids: Iterable[str]) -> dict[str, Row]:
        """The rows of these ids as they are now, by id; JSON as text."""
        target = TARGETS[entity]
        columns = [_readable(column) for column in compared_columns(entity)]
        query = sa.select(*columns).where(target.c.account_id == self.account_id, target.c.id.in_(ids))
        return self._read(lambda connection: {row["id"]: dict(row) for row in connection.execute(query).mappings()})

    def parents(self, entity: Entity, rows: Iterable[Row]) -> set[tuple[str, str]]:
        """The parents of rows that are there, as (column, id)."""
        return {
            (column, parent_id)
            for column, parent, _ in PARENTS[entity]
            for parent_id in self._ids(parent, {row[column] for row in rows})
        }

    def tombstones(self, entity: Entity, rows: Iterable[Row]) -> dict[tuple[str, str], list[Tombstone]]:
        """The tombstones of the rows and of their parents, by (column, id)."""
        places = [("id", TARGETS[entity]), *((column, parent) for column, parent, _ in PARENTS[entity])]
        found: dict[tuple[str, str], list[Tombstone]] = {}
        for column, table in places:
            for tombstone in self._tombstones(table.name, {row[column] for row in rows}):
                found.setdefault((column, tombstone.id), []).append(tombstone)
        return found

    def _tombstones(self, entity: str, ids: set[str]) -> list[Tombstone]:
        kept = import_tombstones.c
        query = sa.select(kept.id, kept.from_dump, kept.deleted_at)
        query = query.where(kept.account_id == self.account_id, kept.entity == entity, kept.id.in_(ids))
        return self._read(lambda connection: [Tombstone(*row) for row in connection.execute(query)])

    def _ids(self, table: sa.Table, ids: set[str]) -> set[str]:
        mine = (table.c.account_id == self.account_id, table.c.id.in_(ids))
        return self._read(lambda connection: set(connection.scalars(sa.select(table.c.id).where(*mine))))

    def _read(self, look: Callable[[Connection], T]) -> T:
        return self.transactions.read(self.account_id, look)


def _stream(connection: Connection, query: sa.Select[Any]) -> sa.Result[Any]:
    return connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)


def _added_up(found: Iterable[Any]) -> Sums:
    sums: Sums = {}
    for key_range, fresh, count, total in found:
        key = (key_range, bool(fresh))
        rows, checksum = sums.get(key, NOTHING)
        sums[key] = Sum(rows + count, (checksum + int(total or 0)) % MODULUS)
    return sums


def _as_table(rows: Iterable[Any]) -> pa.Table:
    ids, key_ranges, fresh, fingerprints = zip(*rows, strict=True)
    known = [-1 if fingerprint is None else fingerprint for fingerprint in fingerprints]
    return pa.table([ids, key_ranges, list(map(bool, fresh)), known], schema=SCHEMA)


def _readable(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.cast(column, sa.Text).label(column.name) if isinstance(column.type, sa.JSON) else column
