"""The tables of a database: created and upgraded by Alembic, and compared with what this version writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import DatabaseUnavailable, SchemaMismatch, SchemaTooNew
from s3import.core.tables import metadata
from s3import.writers.schema import triggers

VERSION_TABLE = "import_schema_version"
HEAD = "0003"  # the newest revision under versions/; a test holds the two together
LOCK_ID = 0x5331_1909  # any number that nobody else uses for a PostgreSQL advisory lock
LOCK_SECONDS = 60  # that MySQL waits for another process to change the tables

_SCHEMA_FIRST = """
    SELECT set_config(
        'search_path', concat_ws(', ', quote_ident(nspname), nullif(current_setting('search_path'), '')), true
    )
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = coalesce(to_regclass('accounts'), to_regclass('import_runs'))
"""


class Upgrade(StrEnum):
    """What became of a database's tables."""

    CREATED = "created"
    UPGRADED = "upgraded"
    NOTHING = "up to date already"


def upgrade(connection: Connection) -> Upgrade:
    """Create what is missing and bring the rest up to date. Safe to call from several processes at once.

    Raises: SchemaMismatch where somebody else made tables of our names that do not fit, SchemaTooNew.
    """
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    with _locked(connection):
        _stay_in_their_schema(connection)
        found = _revision(connection)
        if found and found > HEAD:
            raise _too_new(found)
        if found:
            command.upgrade(config, "head")
        else:
            _create(connection)
            command.stamp(config, "head")
        without_triggers = any(triggers.missing(connection))
        if without_triggers:
            triggers.create(connection)
    if not found:
        return Upgrade.CREATED
    return Upgrade.UPGRADED if found != HEAD or without_triggers else Upgrade.NOTHING


def _stay_in_their_schema(connection: Connection) -> None:
    """On PostgreSQL, for the rest of the transaction: create things in the schema of the tables that are there
    already, which may not be where the search path begins."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_SCHEMA_FIRST)


def _create(connection: Connection) -> None:
    """All tables as they are today, and those of Re:amaze's own. Raises: SchemaMismatch, where these do not fit."""
    if misfits := list(_misfits(connection)):
        raise _refusal(misfits, HEAD)
    metadata.create_all(connection, checkfirst=True)


def require(connection: Connection) -> None:
    """Make sure that the tables fit before a byte is read: creates them in a database that has none of them.

    Raises: SchemaMismatch naming everything that differs, SchemaTooNew.
    """
    if not is_there(connection):
        upgrade(connection)


def is_there(connection: Connection) -> bool:
    """Whether there is any of our tables; what is there must fit. Changes nothing. Raises: as `require`."""
    if not metadata.tables.keys() & set(sa.inspect(connection).get_table_names()):
        return False
    found, differences = _revision(connection), list(_differences(connection))
    if found == HEAD and not differences:
        return True
    if found and found > HEAD:
        raise _too_new(found)
    if found != HEAD:
        differences.insert(0, f"they are at revision {found or 'none'}, not {HEAD}")
    raise _refusal(differences, found)


def _refusal(differences: list[str], found: str | None) -> SchemaMismatch:
    return SchemaMismatch(
        f"the database's tables are not the ones that this version of s3import writes: {'; '.join(differences)}. "
        f"Nothing was read or written; {_remedy(found)}"
    )


def _too_new(found: str) -> SchemaTooNew:
    return SchemaTooNew(
        f"the database's tables are at revision {found}, and this version of s3import knows those up to {HEAD}; "
        "install a newer s3import, or point --database at another database"
    )


def _remedy(found: str | None) -> str:
    if found == HEAD:
        return "change the tables back, or point --database at another database"
    return "run `s3import db init`"


def exists(connection: Connection) -> bool:
    """Whether the bookkeeping tables are there at all."""
    return bool(sa.inspect(connection).has_table("import_runs"))


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    """Let one process at a time change the tables."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_ID)))  # goes with the transaction
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield
        return
    name = sa.func.concat(
        "s3import-", sa.func.md5(sa.func.coalesce(sa.func.database(), ""))
    )  # such a lock is the whole server's
    if connection.execute(sa.select(sa.func.get_lock(name, LOCK_SECONDS))).scalar() != 1:
        raise DatabaseUnavailable("another process is changing the tables; run the same command again")
    try:
        yield
    finally:  # it would stay with the connection, which goes back to its pool
        connection.execute(sa.select(sa.func.release_lock(name)))


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return str(revision)[:32] if revision is not None else None


def _differences(connection: Connection) -> Iterator[str]:
    """One phrase for each thing that would make a write fail or go wrong."""
    present = sa.inspect(connection).get_table_names()
    yield from (f"table {name} is missing" for name in metadata.tables if name not in present)
    yield from _misfits(connection)
    yield from (f"trigger {name} is missing (`s3import db init` creates it)" for name in triggers.missing(connection))


def _misfits(connection: Connection) -> Iterator[str]:
    """What is wrong with those of our tables that are there."""
    inspector = sa.inspect(connection)
    live = {name: columns for (_, name), columns in inspector.get_multi_columns().items()}
    keys = {name: key for (_, name), key in inspector.get_multi_pk_constraint().items()}
    links = {name: links for (_, name), links in inspector.get_multi_foreign_keys().items()}
    for name, table in metadata.tables.items():
        if name not in live:
            continue
        yield from _column_differences(table, {column["name"]: column for column in live[name]}, connection.dialect)
        expected = [column.name for column in table.primary_key]
        if (keys[name] or {}).get("constrained_columns") != expected:
            yield f"the primary key of {name} is not ({', '.join(expected)})"
        yield from _link_differences(table, links.get(name) or [])


def _link_differences(table: sa.Table, live: list[Any]) -> Iterator[str]:
    """Foreign keys that are missing: they keep orphans out, and take children along."""
    found = {
        (tuple(link["constrained_columns"]), link["referred_table"], tuple(link["referred_columns"]))
        for link in live
        if (link["options"].get("ondelete") or "").upper() == "CASCADE"
    }
    for link in table.foreign_key_constraints:
        columns, parent = tuple(link.column_keys), link.referred_table.name
        if (columns, parent, tuple(element.column.name for element in link.elements)) not in found:
            yield f"the foreign key of {table.name} ({', '.join(columns)}) to {parent} ON DELETE CASCADE is missing"


def _column_differences(table: sa.Table, live: dict[str, Any], dialect: sa.Dialect) -> Iterator[str]:
    for column in table.columns:
        found = live.pop(column.name, None)
        if found is None:
            yield f"column {table.name}.{column.name} is missing"
        elif _family(found["type"], dialect) != _family(column.type.dialect_impl(dialect), dialect):
            yield f"column {table.name}.{column.name} is {found['type']}, not {column.type.compile(dialect)}"
    for name, found in live.items():
        if not found["nullable"] and found.get("default") is None and found.get("autoincrement") is not True:
            yield f"column {table.name}.{name} is NOT NULL without a default, and nothing would fill it"


def _family(type_: Any, dialect: sa.Dialect) -> str:
    """What kinds of values a column takes, coarse enough that a longer or renamed type of the same kind passes."""
    if isinstance(type_, sa.types.TypeDecorator):
        type_ = type_.load_dialect_impl(dialect)
    families = (
        (sa.JSON, "json" if dialect.name == "postgresql" else "text"),
        (sa.String, "text"),
        ((sa.Boolean, sa.Integer), "integer"),
        (sa.Numeric, "number"),
        (sa.DateTime, "time with zone" if getattr(type_, "timezone", False) else "time"),
    )
    for kinds, family in families:
        if isinstance(type_, kinds):
            return family
    return str(type_.dialect_impl(dialect))
