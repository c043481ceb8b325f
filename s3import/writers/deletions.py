"""A batch of a dump's tombstones: the rows that they name go, and everything below them.

Tombstones are added before their rows are deleted, so that the triggers which remember what people delete find nothing
new. Rows are locked from the top down first: nobody can hang anything new on one that is about to go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from s3import.core.records import ROW_ENTITIES, TEXT, Entity, Written
from s3import.core.tables import TARGETS, Id, attachments, import_tombstones, messages
from s3import.writers.schema import triggers
from s3import.writers.temporary import fill, temporary_table
from s3import.writers.tombstones import Tombstone, add_tombstones, remove_tombstones
from s3import.writers.writer import Writer

_CHUNK = 1000  # rows at a time

# As in a merge, rows are found one by one through their keys: a list of ids, or a join, may make a planner that knows
# nothing yet of the account's rows read all of them.
_IDS = temporary_table("import_ids_of_deletions", sa.Column("id", Id, nullable=False), key=["id"])
_ONE = (sa.bindparam("account_id", type_=Id), sa.bindparam("row_id", type_=Id))


def _below(entity: Entity, ancestor: sa.Column[Any]) -> sa.Select[Any]:
    """The ids of the entity's rows that hang on one row, which `ancestor` names, and that have no tombstone yet."""
    account_id, row_id = _ONE
    table, kept = TARGETS[entity].c, import_tombstones.c
    same = (kept.account_id == table.account_id, kept.entity == entity.value, kept.id == table.id)
    buried = sa.select(kept.id).where(*same).scalar_subquery()
    query = sa.select(table.id).where(table.account_id == account_id, ancestor == row_id, buried.is_(None))
    if ancestor.table is not TARGETS[entity]:
        query = query.where(messages.c.account_id == table.account_id, messages.c.id == table.message_id)
    return query.with_for_update()


_BELOW: dict[Entity, dict[Entity, sa.Select[Any]]] = {
    Entity.THREADS: {
        Entity.MESSAGES: _below(Entity.MESSAGES, messages.c.thread_id),
        Entity.ATTACHMENTS: _below(Entity.ATTACHMENTS, messages.c.thread_id),
    },
    Entity.MESSAGES: {Entity.ATTACHMENTS: _below(Entity.ATTACHMENTS, attachments.c.message_id)},
    Entity.ATTACHMENTS: {},
}
"""Whatever hangs on a row of an entity, parents before children."""

Tombstones = Mapping[str, Tombstone]
"""Of rows of one entity, by their ids."""


def delete(connection: sa.Connection, writer: Writer, account_id: str, deletions: pa.Table) -> Written:
    """Apply a batch's deletions (columns of the record) within the caller's transaction.

    Written are those that hold from now on; unchanged those that lose against a later one, a person's, or a newer row.
    Raises: DatabaseRefused where rows that are to go stay.
    """
    writer.look_up_by_key(connection)
    removal = _Removal(connection, writer, account_id)
    newest = _newest(deletions)
    written = sum(
        removal.remove(entity, chunk) for entity in ROW_ENTITIES for chunk in _chunks(newest.get(entity.value, {}))
    )
    return Written(written, deletions.num_rows - written)


def require_gone(connection: sa.Connection, entity: Entity, account_id: str, ids: Collection[str]) -> None:
    """Make sure that none of these rows of the account is left. Raises: DatabaseRefused."""
    table = TARGETS[entity]
    if not ids or not triggers.foreign(connection, table.name):
        return
    count, gone = sa.select(sa.func.count()).where(table.c.account_id == account_id), list(ids)
    chunks = (gone[start : start + _CHUNK] for start in range(0, len(gone), _CHUNK))
    left = sum(connection.execute(count.where(table.c.id.in_(chunk))).scalar_one() for chunk in chunks)
    if left:
        raise triggers.interference(connection, table, f"keeps {left} of {len(ids)} rows that are to be deleted")


def _delete_rows(connection: sa.Connection, entity: Entity, account_id: str, ids: Collection[str]) -> None:
    """Delete the account's rows of these ids, and whatever hangs on them."""
    if ids:
        table, (account, row_id) = TARGETS[entity], _ONE
        one = sa.delete(table).where(table.c.account_id == account, table.c.id == row_id)
        connection.execute(one, [{"account_id": account_id, "row_id": each} for each in ids])


def _newest(deletions: pa.Table) -> dict[str, dict[str, Tombstone]]:
    """By entity and id, the latest of the batch."""
    newest: dict[str, dict[str, Tombstone]] = {}
    columns = (deletions[name].to_pylist() for name in ("entity", "id", "deleted_at"))
    for entity, row_id, deleted_at in zip(*columns, strict=True):
        of_entity = newest.setdefault(entity, {})
        if row_id not in of_entity or of_entity[row_id].deleted_at < deleted_at:
            of_entity[row_id] = Tombstone(deleted_at, True)
    return newest


def _chunks(tombstones: Tombstones) -> Iterator[dict[str, Tombstone]]:
    items = iter(tombstones.items())
    while chunk := dict(islice(items, _CHUNK)):
        yield chunk


class _Removal:
    """The account's rows that go."""

    def __init__(self, connection: sa.Connection, writer: Writer, account_id: str) -> None:
        self._connection = connection
        self._writer = writer
        self._account_id = account_id

    def remove(self, entity: Entity, deleted: Tombstones) -> int:
        """Delete rows of one entity, a chunk of them; how many of the tombstones hold from now on."""
        known = self._known(entity, deleted)
        fresh = {row_id: one for row_id, one in deleted.items() if row_id not in known or _outdoes(one, known[row_id])}
        rows = self._locked(entity, fresh)
        doomed = {row_id: fresh[row_id] for row_id, at in rows.items() if at <= fresh[row_id].deleted_at}
        valid = {row_id: one for row_id, one in fresh.items() if row_id in doomed or row_id not in rows}
        if known.keys() & valid.keys():
            remove_tombstones(self._connection, self._account_id, entity, list(known.keys() & valid.keys()))
        add_tombstones(self._connection, self._writer, self._account_id, entity, valid)
        below = self._take_along(entity, doomed)
        _delete_rows(self._connection, entity, self._account_id, doomed)
        for kind, ids in {entity: doomed, **below}.items():
            require_gone(self._connection, kind, self._account_id, ids)
        return len(valid)

    def _known(self, entity: Entity, deleted: Tombstones) -> dict[str, Tombstone]:
        kept = import_tombstones.c
        same = (kept.account_id == self._account_id, kept.entity == entity.value, kept.id == _IDS.c.id)
        columns = (kept.deleted_at, kept.from_dump, kept.inherited)
        found = self._look_up(deleted, *(sa.select(column).where(*same).scalar_subquery() for column in columns))
        return {row_id: Tombstone(at, *others) for row_id, at, *others in found if at is not None}

    def _locked(self, entity: Entity, deleted: Tombstones) -> dict[str, Any]:
        """The instant of each of the rows that is there; nobody changes it from now on."""
        table = TARGETS[entity].c
        effective = sa.select(sa.func.coalesce(table.updated_at, table.created_at))
        mine = effective.where(table.account_id == self._account_id, table.id == _IDS.c.id)
        found = self._look_up(deleted, mine.with_for_update().scalar_subquery())
        return {row_id: at for row_id, at in found if at is not None}

    def _look_up(self, ids: Collection[str], *answers: sa.ScalarSelect[Any]) -> Iterable[Any]:
        fill(self._connection, self._writer, _IDS, pa.table({"id": pa.array(ids, TEXT)}))
        return self._connection.execute(sa.select(_IDS.c.id, *answers))

    def _take_along(self, entity: Entity, doomed: Tombstones) -> dict[Entity, Tombstones]:
        """Add tombstones for whatever hangs on rows that go, as late as theirs; those, by entity."""
        added: dict[Entity, Tombstones] = {}
        for child, query in _BELOW[entity].items():
            added[child] = {
                child_id: tombstone._replace(inherited=True)
                for row_id, tombstone in doomed.items()
                for child_id in self._connection.scalars(query, {"account_id": self._account_id, "row_id": row_id})
            }
            add_tombstones(self._connection, self._writer, self._account_id, child, added[child])
        return added


def _outdoes(one: Tombstone, known: Tombstone) -> bool:
    return known.from_dump and (known.inherited or known.deleted_at < one.deleted_at)
