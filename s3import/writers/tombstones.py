"""What tombstones mean for the rows of a batch, and how new ones are added.

A tombstone stands for a row that is gone; a row never has both. A person's keeps every record of its row
out for good, one of a dump those that are not newer. Whatever lacks its parent because that one has a tombstone stays
out with it, and gets a tombstone of the same kind for its own children to find.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from s3import.core.errors import RejectCode
from s3import.core.records import TEXT, TIMESTAMP, Reason
from s3import.core.tables import import_tombstones
from s3import.writers.writer import Writer

_SCHEMA = pa.schema(
    [
        ("account_id", TEXT),
        ("entity", TEXT),
        ("id", TEXT),
        ("deleted_at", TIMESTAMP),
        ("from_dump", pa.bool_()),
        ("inherited", pa.bool_()),
    ]
)
# Asked for every batch: made once, as small dumps would notice.
_ANY: sa.Select[int] = (
    sa.select(sa.literal_column("1", sa.Integer))
    .where(import_tombstones.c.account_id == sa.bindparam("account_id"))
    .limit(1)
)
_COUNT = sa.select(sa.func.count()).select_from(
    sa.select(import_tombstones.c.id)
    .where(
        import_tombstones.c.account_id == sa.bindparam("account_id"),
        import_tombstones.c.entity == sa.bindparam("entity"),
    )
    .limit(sa.bindparam("at_most", type_=sa.Integer))
    .subquery()
)


class Tombstone(NamedTuple):
    """When the row went, whether a dump says so (else a person did it), and whether of its parent only."""

    deleted_at: dt.datetime
    from_dump: bool
    inherited: bool = False


class Found(NamedTuple):
    """A tombstone that a row of a batch meets, and whether the row's own instant is no later."""

    ordinal: int
    tombstone: Tombstone
    holds: bool


@dataclass(slots=True)
class KeptOut:
    """What tombstones say of a batch, by the index of a row.

    `rejected`: a person deleted it or its parent; `held_back`: a dump did; `inherited`: the parent's tombstone that
    keeps a row out which has none of its own; `outlived`: rows newer than a dump's tombstone of their own, or
    back with their parent.
    """

    rejected: dict[int, tuple[Reason, ...]] = field(default_factory=dict)
    held_back: set[int] = field(default_factory=set)
    inherited: dict[int, Tombstone] = field(default_factory=dict)
    outlived: set[int] = field(default_factory=set)

    def add_of_parent(self, found: Found, column: str, parent: str) -> None:
        """Decide about a row whose parent is not there."""
        tombstone = self.inherited.get(found.ordinal)
        if tombstone is None or tombstone.from_dump:  # a person's weighs more
            self.inherited[found.ordinal] = found.tombstone._replace(inherited=True)
        if found.tombstone.from_dump:
            self.held_back.add(found.ordinal)
        else:
            reasons = self.rejected.get(found.ordinal, ())
            self.rejected[found.ordinal] = (*reasons, _deletion(column, parent))

    def add_own(self, found: Found, entity: str, *, is_back: bool) -> None:
        """Decide about a row by its own tombstone. `is_back`: with its parent, if it only went with that."""
        self.inherited.pop(found.ordinal, None)
        if not found.tombstone.from_dump:
            self.rejected[found.ordinal] = (_deletion("id", entity),)
        elif found.holds and not (found.tombstone.inherited and is_back):
            self.held_back.add(found.ordinal)
        else:
            self.outlived.add(found.ordinal)


def has_tombstones(connection: sa.Connection, account_id: str) -> bool:
    """Whether the account has any."""
    return connection.execute(_ANY, {"account_id": account_id}).first() is not None


def count_tombstones(connection: sa.Connection, account_id: str, entity: str, *, at_most: int) -> int:
    """How many an entity of the account has, as far as `at_most`."""
    some = {"account_id": account_id, "entity": entity, "at_most": at_most}
    count: int = connection.execute(_COUNT, some).scalar_one()
    return count


def add_tombstones(
    connection: sa.Connection, writer: Writer, account_id: str, entity: str, tombstones: Mapping[str, Tombstone]
) -> None:
    """Write tombstones of rows of `entity`, by their ids, none of which has one. Raises: as `Writer.load`."""
    count = len(tombstones)
    if count:
        columns = [
            [account_id] * count,
            [entity] * count,
            list(tombstones),
            [tombstone.deleted_at for tombstone in tombstones.values()],
            [tombstone.from_dump for tombstone in tombstones.values()],
            [tombstone.inherited for tombstone in tombstones.values()],
        ]
        writer.load(connection, import_tombstones, pa.table(columns, schema=_SCHEMA))


def remove_tombstones(connection: sa.Connection, account_id: str, entity: str, ids: Collection[str]) -> None:
    """Take away what dumps left of those rows."""
    kept = import_tombstones.c
    mine = sa.and_(kept.account_id == account_id, kept.entity == entity, kept.from_dump.is_(True))
    connection.execute(sa.delete(import_tombstones).where(mine, kept.id.in_(ids)))


def _deletion(column: str, entity: str) -> Reason:
    message = f"a person deleted this {entity.removesuffix('s')} in Re:amaze after it was imported"
    return Reason(RejectCode.DELETED_IN_TARGET, column, message)
