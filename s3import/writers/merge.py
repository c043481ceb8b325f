"""A batch's way into a table: straight in where every row is new, else merged with what is there already.

The contract's rules for an id seen before, a parent that is not there and a row that a person deleted are decided
here, by the keys of the batch alone; a row's body travels only when it is written.

Exact under concurrent deletions: tombstones are read last, after the rows and parents they would contradict. What is
deleted before that is seen as a tombstone; what is deleted later meets a key that is broken or an update that finds
no row, which is a Conflict, and the whole transaction is tried again. What a dump deletes goes with nobody else at work
on the account's dumps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from s3import.core.errors import AccountDeleted, Conflict
from s3import.core.records import ROW_ENTITIES, Entity, Reason, Written
from s3import.core.tables import PARENTS, TARGETS, accounts, import_reread, import_tombstones
from s3import.writers.deletions import delete
from s3import.writers.kept import require_as_sent, require_kept
from s3import.writers.schema import triggers
from s3import.writers.temporary import fill, keys_table, temporary_table
from s3import.writers.tombstones import (
    Found,
    KeptOut,
    Tombstone,
    add_tombstones,
    count_tombstones,
    has_tombstones,
    remove_tombstones,
)
from s3import.writers.translation import translated
from s3import.writers.writer import Writer

PartKey = tuple[str, int]  # of a run, and the part's number within it


class _There(IntEnum):
    """What the target holds of a row's id, seen from the batch's row: one that is no older and has the same parents,
    no older with other parents, an older one, or none."""

    SAME = 0
    ELSEWHERE = 1
    OLDER = 2
    ABSENT = 3

    @property
    def sql(self) -> sa.ColumnElement[int]:
        return sa.literal_column(str(self.value), sa.Integer)


_KEYS: dict[Entity, sa.Table] = {entity: keys_table(f"import_keys_of_{entity}", entity) for entity in ROW_ENTITIES}
"""The keys of a batch: the row's index, its id and parents, and the instant that decides which of two rows is newer."""

_STAGED: dict[Entity, sa.Table] = {
    entity: temporary_table(
        f"import_staged_{entity}",
        *(sa.Column(column.name, column.type, nullable=not column.primary_key) for column in target.columns),
        key=["account_id", "id"],
    )
    for entity, target in TARGETS.items()
}
"""Whole rows that are to replace older ones."""


@translated()
def write(
    connection: sa.Connection,
    writer: Writer,
    entity: Entity,
    account_id: str,
    rows: pa.Table,
    *,
    expect_existing: bool = False,
    restarted: PartKey | None = None,
) -> tuple[Written, bool]:
    """Write a batch's rows within the caller's transaction, by the contract's rules.

    `rows` has columns of the entity's table, `account_id` among them, or those of deletions. `expect_existing` spares
    the try to load the rows as they are; the second result is what to pass for the part's next batch: whether that is
    likely to be merged, too. A part that was `restarted`, as another object is in its place, wins ties against what the
    first one left; once it has read an id the row that is there stays.
    Raises: Conflict when another transaction got in between (try the caller's transaction again), AccountDeleted,
    DatabaseRefused, DatabaseUnavailable; the transaction must then be rolled back.
    """
    if not rows.num_rows:
        return Written(0, 0), expect_existing
    if entity is Entity.DELETIONS:
        _check_account(connection, account_id)
        return delete(connection, writer, account_id, rows), expect_existing
    if not expect_existing and not restarted and _load_directly(connection, writer, entity, account_id, rows):
        return Written(rows.num_rows, 0), False
    written = _Merge(connection, writer, entity, account_id, rows, restarted).run()
    return written, written.written < rows.num_rows


@translated()
def load_new(
    connection: sa.Connection, writer: Writer, account_id: str, batches: Sequence[tuple[Entity, pa.Table]]
) -> None:
    """Load rows within the caller's transaction as they are, parents' before their children's.

    Raises: Conflict where one is there already, lacks its parent, or anything of the account was ever deleted: nothing
    is decided here. DatabaseRefused, DatabaseUnavailable; the transaction must then be rolled back.
    """
    for entity, rows in batches:
        if rows.num_rows:
            _load(connection, writer, entity, account_id, rows)
    if has_tombstones(connection, account_id):  # looked for last, as somebody may delete while the rows go in
        raise Conflict(f"account {account_id} has tombstones")


def _load(connection: sa.Connection, writer: Writer, entity: Entity, account_id: str, rows: pa.Table) -> None:
    if not writer.load(connection, TARGETS[entity], _by_parent(entity, rows)):
        require_as_sent(connection, writer, entity, account_id, rows)


def _load_directly(connection: sa.Connection, writer: Writer, entity: Entity, account_id: str, rows: pa.Table) -> bool:
    try:
        with connection.begin_nested() as savepoint:
            _load(connection, writer, entity, account_id, rows)
            if _brings_back(connection, writer, entity, account_id, rows):
                savepoint.rollback()
                return False
    except Conflict:
        return False
    return True


def _by_parent(entity: Entity, rows: pa.Table) -> pa.Table:
    """The rows, children of one parent together: the look at it for the foreign key, and the place in the index by it,
    then lie close to the last ones. Saves PostgreSQL a tenth of its work on a million messages in random order."""
    column, *_ = PARENTS[entity][-1]
    return rows.sort_by(column)


def _brings_back(connection: sa.Connection, writer: Writer, entity: Entity, account_id: str, rows: pa.Table) -> bool:
    """Whether a row that went in has a tombstone; looked for last, as somebody may delete while the rows go in.

    Looks from the smaller side: for each tombstone at the table, or for each row at the tombstones. A tombstone of the
    row's parent does not matter: the parent is there, or the row would not be.
    """
    count = count_tombstones(connection, account_id, entity.value, at_most=rows.num_rows + 1)
    if not count:
        return False
    writer.look_up_by_key(connection)
    kept, target = import_tombstones.c, TARGETS[entity].c
    mine = sa.and_(kept.account_id == account_id, kept.entity == entity.value)
    if count <= rows.num_rows:
        there = sa.select(target.id).where(target.account_id == kept.account_id, target.id == kept.id).scalar_subquery()
        found = sa.select(kept.id).where(mine, there.is_not(None))
    else:
        keys = _KEYS[entity]
        fill(connection, writer, keys, _keys_of(entity, rows))
        buried = sa.select(kept.id).where(mine, kept.id == keys.c.id).scalar_subquery()
        found = sa.select(keys.c.id).where(buried.is_not(None))
    return connection.execute(found.limit(1)).first() is not None


def _check_account(connection: sa.Connection, account_id: str) -> None:
    account = sa.select(accounts.c.id).where(accounts.c.id == account_id)
    if connection.execute(account).first() is None:
        raise AccountDeleted(f"the account {account_id} was deleted while its run was at work; nothing of it is left")


class _Merge:
    """One batch that does not go straight in."""

    def __init__(
        self,
        connection: sa.Connection,
        writer: Writer,
        entity: Entity,
        account_id: str,
        rows: pa.Table,
        restarted: PartKey | None,
    ) -> None:
        self.restarted = restarted
        self.connection = connection
        self.writer = writer
        self.entity = entity
        self.target = TARGETS[entity]
        self.keys = _KEYS[entity]
        self.account_id = account_id
        self.rows = rows

    def run(self) -> Written:
        self.writer.look_up_by_key(self.connection)
        fill(self.connection, self.writer, self.keys, _keys_of(self.entity, self.rows))
        found = self._found()
        absent = {row for row, there in found.items() if there is _There.ABSENT}
        newer = {row for row, there in found.items() if there is _There.OLDER}
        # Where the target's row has the same parents these are there: its foreign keys say so.
        unknown = self._unknown_parents() if found else {}
        _check_account(self.connection, self.account_id)
        kept_out = self._kept_out(unknown.keys())
        held_back = kept_out.held_back - kept_out.rejected.keys()
        rejected = {row: unknown[row] for row in unknown.keys() - held_back} | kept_out.rejected
        winners = _newest(self.rows, (absent | newer) - rejected.keys() - held_back)
        self._insert(sorted(winners & absent))
        self._replace(sorted(winners & newer))
        self._require_as_sent(sorted(winners))
        self._renew_tombstones(kept_out, absent, winners)
        if self.restarted:
            self._remember_as_read(self.restarted)
        unchanged = self.rows.num_rows - len(winners) - len(rejected)
        return Written(len(winners), unchanged, rejected, frozenset(winners))

    # --- questions about the batch's keys; each answer is a set of row indices ---

    def _found(self) -> dict[int, _There]:
        """What the target holds of each row's id, by one statement; left out are rows of which it is the SAME."""
        there = sa.func.coalesce(self._lookup(self.target, "id", self._compared()), _There.ABSENT.sql)
        found = self.connection.execute(sa.select(self.keys.c.ordinal, there).where(there != _There.SAME.sql))
        return {ordinal: _There(what) for ordinal, what in found}

    def _compared(self) -> sa.ColumnElement[int]:
        at = self.keys.c.at
        effective = sa.func.coalesce(self.target.c.updated_at, self.target.c.created_at)
        older = effective < at
        if self.restarted:
            older = sa.or_(older, sa.and_(effective == at, self._is_unread(self.restarted)))
        elsewhere = sa.or_(*(self.target.c[column] != self.keys.c[column] for column, _, _ in PARENTS[self.entity]))
        return sa.case((older, _There.OLDER.sql), (elsewhere, _There.ELSEWHERE.sql), else_=_There.SAME.sql)

    def _is_unread(self, part: PartKey) -> sa.ColumnElement[bool]:
        read = import_reread.c
        mine = (read.run_id == part[0], read.part_number == part[1], read.id == self.keys.c.id)
        return sa.select(read.id).where(*mine).correlate(self.keys).scalar_subquery().is_(None)

    def _remember_as_read(self, part: PartKey) -> None:
        columns = (sa.literal(part[0]), sa.literal(part[1]), self.keys.c.id)
        new = sa.select(*columns).where(self._is_unread(part)).distinct()
        self.connection.execute(sa.insert(import_reread).from_select(["run_id", "part_number", "id"], new))

    def _unknown_parents(self) -> dict[int, tuple[Reason, ...]]:
        found: dict[int, tuple[Reason, ...]] = {}
        for column, parent, code in PARENTS[self.entity]:
            reason = Reason(code, column, f"there is no {_singular(parent.name)} of this id in the account")
            _add(found, self._ordinals(self._lookup(parent, column).is_(None)), reason)
        return found

    def _kept_out(self, orphans: Collection[int]) -> KeptOut:
        kept_out = KeptOut()
        if has_tombstones(self.connection, self.account_id):
            for column, parent, _code in PARENTS[self.entity]:
                for found in self._tombstones(parent.name, column):
                    if found.ordinal in orphans:  # else somebody brought the parent back
                        kept_out.add_of_parent(found, column, parent.name)
            for found in self._tombstones(self.entity.value, "id"):
                is_back = (
                    self.entity is Entity.ATTACHMENTS and found.ordinal not in orphans
                )  # it belongs to its message
                kept_out.add_own(found, self.entity.value, is_back=is_back)
        return kept_out

    def _tombstones(self, entity: str, column: str) -> Iterator[Found]:
        kept = import_tombstones.c
        deleted_at, from_dump, inherited = (
            self._lookup(import_tombstones, column, result, kept.entity == entity)
            for result in (kept.deleted_at, kept.from_dump, kept.inherited)
        )
        query = sa.select(self.keys.c.ordinal, deleted_at, from_dump, inherited, deleted_at >= self.keys.c.at)
        for ordinal, *tombstone, holds in self.connection.execute(query.where(deleted_at.is_not(None))):
            yield Found(ordinal, Tombstone(*tombstone), bool(holds))

    def _lookup(
        self,
        table: sa.Table,
        column: str,
        result: sa.ColumnElement[Any] | None = None,
        *conditions: sa.ColumnElement[bool],
    ) -> sa.ScalarSelect[Any]:
        """`result` (its id) of the table's row that the key `column` names, or NULL.

        A scalar subquery is one look into the primary key for each row of the batch on every database. A join would
        leave the choice to planners that know nothing about a temporary table, or about one that has just grown.
        """
        found = sa.select(table.c.id if result is None else result)
        same = (table.c.account_id == self.account_id, table.c.id == self.keys.c[column])
        return found.where(*same, *conditions).scalar_subquery()

    def _ordinals(self, condition: sa.ColumnElement[bool]) -> set[int]:
        return set(self.connection.scalars(sa.select(self.keys.c.ordinal).where(condition)))

    # --- rows on their way in ---

    def _insert(self, ordinals: list[int]) -> None:
        if ordinals:
            self.writer.load(self.connection, self.target, _by_parent(self.entity, self.rows.take(ordinals)))

    def _replace(self, ordinals: list[int]) -> None:
        if not ordinals:
            return
        staged = _STAGED[self.entity]
        fill(self.connection, self.writer, staged, self.rows.take(ordinals))
        replacement = _replacement(self.target, staged, self.rows.column_names, ties_too=self.restarted is not None)
        result = self.connection.execute(replacement)
        if result.rowcount != len(ordinals):
            if triggers.foreign(self.connection, self.target.name):
                require_kept(self.connection, self.target, len(ordinals), result.rowcount)
            raise Conflict(f"rows of {self.target.name} changed while they were being replaced")

    def _require_as_sent(self, ordinals: list[int]) -> None:
        if ordinals:
            rows = self.rows.take(ordinals)
            require_as_sent(self.connection, self.writer, self.entity, self.account_id, rows)

    def _renew_tombstones(self, kept_out: KeptOut, absent: set[int], winners: set[int]) -> None:
        """Remove those that a newer row outlived; add new ones for rows that stay out because of their parent's."""
        if kept_out.outlived & winners:
            remove_tombstones(
                self.connection, self.account_id, self.entity.value, self._ids(kept_out.outlived & winners)
            )
        if kept_out.inherited:
            written = set(self._ids(winners))
            inheriting = sorted(kept_out.inherited.keys() & absent)
            inherited = {
                row_id: kept_out.inherited[row]
                for row, row_id in zip(inheriting, self._ids(inheriting), strict=True)
                if row_id not in written
            }
            add_tombstones(self.connection, self.writer, self.account_id, self.entity.value, inherited)

    def _ids(self, ordinals: Collection[int]) -> list[str]:
        ids: list[str] = self.rows["id"].take(pa.array(ordinals, pa.int32())).to_pylist()
        return ids


def _replacement(target: sa.Table, staged: sa.Table, columns: Iterable[str], *, ties_too: bool) -> sa.Update:
    """Never a deletion and an insertion: that would take the row's children along."""
    older = sa.func.coalesce(target.c.updated_at, target.c.created_at)
    newer = sa.func.coalesce(staged.c.updated_at, staged.c.created_at)
    same = sa.and_(target.c.account_id == staged.c.account_id, target.c.id == staged.c.id)
    changed = {name: staged.c[name] for name in columns if name not in ("account_id", "id")}
    return sa.update(target).values(changed).where(same, older <= newer if ties_too else older < newer)


def _keys_of(entity: Entity, rows: pa.Table) -> pa.Table:
    parents = [column for column, _parent, _code in PARENTS[entity]]
    keys = rows.select(["id", *parents]).append_column("at", _effective(rows))
    numbered = keys.add_column(0, "ordinal", pa.array(range(rows.num_rows), pa.int32()))
    return numbered.sort_by("id")  # then each page of the target's key is visited once, not once a row


def _effective(rows: pa.Table) -> pa.ChunkedArray:
    return pc.coalesce(rows["updated_at"], rows["created_at"])


def _newest(rows: pa.Table, candidates: set[int]) -> set[int]:
    """Of the candidates of one id the newest, and of those the first."""
    ordinals = pa.array(sorted(candidates), pa.int32())
    some = rows.take(ordinals)
    table = pa.table({"ordinal": ordinals, "id": some["id"], "at": _effective(some)})
    ranked = table.sort_by([("at", "descending"), ("ordinal", "ascending")])
    first = ranked.group_by("id", use_threads=False).aggregate([("ordinal", "first")])
    return set(first["ordinal_first"].to_pylist())


def _add(found: dict[int, tuple[Reason, ...]], ordinals: set[int], reason: Reason) -> None:
    for ordinal in ordinals:
        found[ordinal] = (*found.get(ordinal, ()), reason)


def _singular(table_name: str) -> str:
    return table_name.removesuffix("s")
