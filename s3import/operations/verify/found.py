"""What the database holds: sums by key range, fingerprints of some ranges, rows by id."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.records import TIMESTAMP, Entity
from s3import.core.tables import PARENTS, TARGETS, Id, UtcTime, import_tombstones
from s3import.importing.transactions import Transactions
from s3import.operations.spill import Spill
from s3import.transform.fingerprints import compared_columns, fingerprint_in, key_range_in
from s3import.writers.temporary import fill, keys_table, temporary_table
from s3import.writers.tombstones import has_tombstones

T = TypeVar("T")
Row = dict[str, Any]

_DELETED_SCHEMA = pa.schema([("id", pa.string()), ("at", TIMESTAMP)])
SCHEMA = pa.schema([("id", pa.string()), ("key_range", pa.int16()), ("fresh", pa.bool_()), ("fingerprint", pa.int64())])
ROWS_AT_ONCE = 10_000
MODULUS = 1 << 64


class Sum(NamedTuple):
    """How many rows, and the sum of their fingerprints modulo 2^64: the same in whatever order they come."""

    rows: int = 0
    checksum: int = 0


class RememberedDeletion(NamedTuple):
    """What is remembered of a row that is gone: `column` of the record names it; whether a dump said so, or a person
    took it away; and whether that was no earlier than the record's own instant."""

    column: str
    from_dump: bool
    is_later: bool


_ABSENT: dict[Entity, sa.Table] = {entity: keys_table(f"import_absent_{entity}", entity) for entity in TARGETS}
"""The keys of records without rows: the record's index, its id and parents, and its instant."""
_DELETED = temporary_table(
    "import_deleted_by_dump", sa.Column("id", Id, nullable=False), sa.Column("at", UtcTime, nullable=False), key=["id"]
)

NOTHING = Sum()
Sums = dict[tuple[int, bool], Sum]
"""By key range, and by whether a row was made after the import began."""


def digest_of(sums: Sums) -> str:
    """One digest for all rows, in 64 hexadecimal digits: the SHA-256 over a line for each key range that has rows, in
    their order: its number, its rows and their checksum."""
    ranges: dict[int, Sum] = {}
    for (key_range, _), (rows, checksum) in sums.items():
        before = ranges.get(key_range, NOTHING)
        ranges[key_range] = Sum(before.rows + rows, (before.checksum + checksum) % MODULUS)
    lines = (f"{key_range} {rows} {checksum}\n" for key_range, (rows, checksum) in sorted(ranges.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AccountRows:
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

    def undeleted(self, entity: Entity, deleted: Mapping[str, dt.datetime]) -> set[str]:
        """Of the ids that a dump deletes, by when, those whose row is there, neither newer nor made since the import
        began."""
        target = TARGETS[entity].c
        effective = sa.func.coalesce(target.updated_at, target.created_at)
        is_old = target.created_at < sa.literal(self.began, UtcTime)

        def look(connection: Connection) -> set[str]:
            writer = self.transactions.database.writer
            writer.look_up_by_key(connection)
            fill(
                connection, writer, _DELETED, pa.table([list(deleted), list(deleted.values())], schema=_DELETED_SCHEMA)
            )
            there = self._lookup(TARGETS[entity], effective, _DELETED.c.id, is_old)
            return set(connection.scalars(sa.select(_DELETED.c.id).where(there <= _DELETED.c.at)))

        return self._fill_and_read(look)

    def has_tombstones(self) -> bool:
        """Whether anything that the account had is remembered as deleted."""
        return self._read(lambda connection: has_tombstones(connection, self.account_id))

    def orphans(self, entity: Entity, records: pa.Table) -> set[int]:
        """The indices of the records that lack a parent."""

        def look(connection: Connection) -> set[int]:
            keys = self._fill(connection, entity, records)
            absent = (self._lookup(parent, parent.c.id, keys.c[name]).is_(None) for name, parent, _ in PARENTS[entity])
            return set(connection.scalars(sa.select(keys.c.ordinal).where(sa.or_(*absent))))

        return self._fill_and_read(look)

    def tombstones(self, entity: Entity, records: pa.Table) -> dict[int, list[RememberedDeletion]]:
        """The tombstones of the records and of their parents, by the record's index."""
        kinds = [("id", entity.value), *((column, parent.name) for column, parent, _ in PARENTS[entity])]

        def look(connection: Connection) -> dict[int, list[RememberedDeletion]]:
            found: dict[int, list[RememberedDeletion]] = {}
            if has_tombstones(connection, self.account_id):
                keys = self._fill(connection, entity, records)
                for column, kind in kinds:
                    for ordinal, from_dump, is_later in connection.execute(self._buried(keys, column, kind)):
                        found.setdefault(ordinal, []).append(
                            RememberedDeletion(column, bool(from_dump), bool(is_later))
                        )
            return found

        return self._fill_and_read(look)

    def _buried(self, keys: sa.Table, column: str, kind: str) -> sa.Select[Any]:
        kept = import_tombstones.c
        from_dump, deleted_at = (
            self._lookup(import_tombstones, what, keys.c[column], kept.entity == kind)
            for what in (kept.from_dump, kept.deleted_at)
        )
        return sa.select(keys.c.ordinal, from_dump, deleted_at >= keys.c.at).where(from_dump.is_not(None))

    def _lookup(
        self, table: sa.Table, result: sa.ColumnElement[Any], key: sa.Column[Any], *conditions: sa.ColumnElement[bool]
    ) -> sa.ScalarSelect[Any]:
        """`result` of the table's row of that key, or NULL: one look into an index, whatever a planner knows."""
        mine = (table.c.account_id == self.account_id, table.c.id == key)
        return sa.select(result).where(*mine, *conditions).scalar_subquery()

    def _fill(self, connection: Connection, entity: Entity, records: pa.Table) -> sa.Table:
        """The temporary table of the records' keys: parameters by the thousand would take longer than the looks."""
        writer, keys = self.transactions.database.writer, _ABSENT[entity]
        at = pc.coalesce(records["updated_at"], records["created_at"])
        columns = records.select([column.name for column in keys.c if column.name not in ("ordinal", "at")])
        numbered = columns.append_column("ordinal", pa.array(range(records.num_rows), pa.int32()))
        writer.look_up_by_key(connection)
        fill(connection, writer, keys, numbered.append_column("at", at))
        return keys

    def _fill_and_read(self, look: Callable[[Connection], T]) -> T:
        """What `look` finds with the help of temporary tables, which PostgreSQL takes for writing."""
        return self.transactions.run(self.account_id, look)

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
