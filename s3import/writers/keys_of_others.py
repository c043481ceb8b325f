"""Unique and foreign keys that are not s3import's: what breaks one breaks it again, however often it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import DatabaseRefused, printable
from s3import.core.tables import metadata

MOST_NAMED = 5
_OUR_NAMES = frozenset(
    {
        "PRIMARY",  # as MySQL calls it
        *(f"{table}_pkey" for table in metadata.tables),  # as PostgreSQL does
        *(str(index.name) for table in metadata.tables.values() for index in table.indexes),
        *(str(key.name) for table in metadata.tables.values() for key in table.constraints if key.name),
    }
)
"""Names that need no look: those that ask for the same thing at the same moment meet there."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of somebody else's: its name, "" where it has none, and what it is, in words."""

    name: str
    what: str


def refusal(connection: Connection, name: str) -> DatabaseRefused | None:
    """The error that names the keys of others that may be broken: the one of that name, all if it is "". None: there
    is none, so that it is one of s3import's."""
    if name in _OUR_NAMES:
        return None
    keys = (*_foreign_keys(connection), *_unique_keys(connection))
    found = {key.name or key.what: key for key in keys if name in (key.name, "")}  # a constraint has an index, too
    if not found:
        return None
    some = [*found.values()][:MOST_NAMED]
    named = ", ".join(printable(f"{key.what} ({key.name})" if key.name else key.what) for key in some)
    return DatabaseRefused(
        f"the database refuses: a key that is not s3import's does not allow what is written or deleted: {named}; drop "
        "that key, or add or remove the rows that it asks for, then run the same command again"
    )


def _foreign_keys(connection: Connection) -> Iterator[_Key]:
    """Those of our tables, and of other tables to ours."""
    for (_, table), links in sa.inspect(connection).get_multi_foreign_keys().items():
        for link in links:
            parent = link["referred_table"]
            if (table in metadata.tables or parent in metadata.tables) and not _is_ours(table, parent, link):
                yield _Key(link["name"] or "", f"the foreign key of {table} to {parent}")


def _is_ours(table: str, parent: str, link: sa.engine.interfaces.ReflectedForeignKeyConstraint) -> bool:
    ours = metadata.tables[table].foreign_key_constraints if table in metadata.tables else ()
    return any((one.referred_table.name, one.column_keys) == (parent, link["constrained_columns"]) for one in ours)


def _unique_keys(connection: Connection) -> Iterator[_Key]:
    """Those of our tables."""
    inspector, names = sa.inspect(connection), list(metadata.tables)
    for (_, table), indexes in inspector.get_multi_indexes(filter_names=names).items():
        for index in indexes:
            if index["unique"] and index["name"] not in _OUR_NAMES:
                yield _Key(index["name"] or "", f"the unique key of {table}")
    for (_, table), constraints in inspector.get_multi_unique_constraints(filter_names=names).items():
        for constraint in constraints:
            if constraint["name"] not in _OUR_NAMES:
                yield _Key(constraint["name"] or "", f"the unique key of {table}")
