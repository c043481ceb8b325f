"""Triggers that remember what people delete: a row that goes leaves a tombstone, and so does every row below it.

From its account's first run until its migration is purged, and not when the account itself goes: it is gone by then.
What s3import takes away because a dump says so has its tombstone already, and keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import DatabaseRefused
from s3import.core.tables import attachments, brands, channels, messages, metadata, threads

_Path = tuple[tuple[sa.Table, str], ...]  # from a table down to a descendant: each step's table and its column

WATCHED = (brands, channels, threads, messages, attachments)
_PREFIX = "import_deletions_of_"
_FUNCTION = "import_remember_deletions"
_COLUMNS = "import_tombstones (account_id, entity, id, deleted_at, from_dump)"
_REMEMBERED = (
    "accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL"
)


def create(connection: Connection) -> None:
    """Create the triggers, in place of those that are there."""
    for statement in _CREATE[_kind(connection)]():
        connection.exec_driver_sql(statement)


def missing(connection: Connection) -> Iterator[str]:
    """The names of triggers that are not there."""
    found = {row[0] for row in connection.exec_driver_sql(_FIND[_kind(connection)])}
    return (name for table in WATCHED if (name := _name(table)) not in found)


def foreign(connection: Connection, table_name: str) -> list[str]:
    """The names of a table's triggers (and rules, on PostgreSQL) that are not s3import's."""
    found = connection.execute(_FOREIGN[_kind(connection)], {"name": table_name}).scalars()
    return sorted(name for name in found if not name.startswith(_PREFIX))


def interference(connection: sa.Connection, table: sa.Table, what: str) -> DatabaseRefused:
    """The error that something of the database's own changes what is written; names the table and its triggers."""
    found = ", ".join(foreign(connection, table.name)) or "none that s3import can see"
    return DatabaseRefused(
        f"the table {table.name} {what} (triggers and rules that are not s3import's: {found}); turn them off while "
        "s3import is at work, then run the same command again"
    )


def _kind(connection: Connection) -> str:
    return "mysql" if connection.dialect.name == "mariadb" else connection.dialect.name


def _name(table: sa.Table) -> str:
    return f"{_PREFIX}{table.name}"


# --- PostgreSQL: one statement for all the rows that a statement deletes; cascades are such statements, too ---------


def _on_postgresql() -> Iterator[str]:
    # With its owner's rights and names: whoever may delete a row need not know of s3import's tables.
    yield f"""
        CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO {_COLUMNS}
            SELECT gone.account_id, TG_TABLE_NAME, gone.id, clock_timestamp(), false
            FROM gone, {_REMEMBERED} WHERE accounts.id = gone.account_id
            ON CONFLICT DO NOTHING;
            RETURN NULL;
        END $$
    """
    yield f"""
        DO $$ BEGIN
            EXECUTE 'ALTER FUNCTION {_FUNCTION}() SET search_path = ' || quote_ident(current_schema()) || ', pg_temp';
        END $$
    """
    for table in WATCHED:
        yield f"DROP TRIGGER IF EXISTS {_name(table)} ON {table.name}"
        yield f"""
            CREATE TRIGGER {_name(table)} AFTER DELETE ON {table.name} REFERENCING OLD TABLE AS gone
            FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()
        """


# --- SQLite: row by row; cascades fire triggers ----------------------------------------------------------------------


def _on_sqlite() -> Iterator[str]:
    for table in WATCHED:
        yield f"DROP TRIGGER IF EXISTS {_name(table)}"
        yield f"""
            CREATE TRIGGER {_name(table)} AFTER DELETE ON {table.name} BEGIN
                INSERT OR IGNORE INTO {_COLUMNS}
                SELECT id, '{table.name}', OLD.id, strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0
                FROM {_REMEMBERED} WHERE id = OLD.account_id;
            END
        """


# --- MySQL and MariaDB: row by row; cascades fire no triggers, so a row speaks for all that goes with it --------------


def _on_mysql() -> Iterator[str]:
    for table in WATCHED:
        descendants = "".join(f"{_remember(path)};" for path in _paths_below(table))
        yield f"DROP TRIGGER IF EXISTS {_name(table)}"
        yield f"""
            CREATE TRIGGER {_name(table)} BEFORE DELETE ON {table.name} FOR EACH ROW BEGIN
                IF EXISTS (SELECT 1 FROM {_REMEMBERED} WHERE id = OLD.account_id) THEN
                    INSERT INTO {_COLUMNS} VALUES (OLD.account_id, '{table.name}', OLD.id, UTC_TIMESTAMP(6), 0)
                    ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                    {descendants}
                END IF;
            END
        """


def _remember(path: _Path) -> str:
    """Remember what `path` leads to from the row that goes."""
    (first, column), descendant = path[0], path[-1][0].name
    joins = "".join(
        f" JOIN {child.name} ON {child.name}.account_id = {parent.name}.account_id"
        f" AND {child.name}.{column} = {parent.name}.id"
        for (parent, _), (child, column) in pairwise(path)
    )
    return (
        f"INSERT INTO {_COLUMNS} SELECT {descendant}.account_id, '{descendant}', {descendant}.id, UTC_TIMESTAMP(6), 0"
        f" FROM {first.name}{joins} WHERE {first.name}.account_id = OLD.account_id AND {first.name}.{column} = OLD.id"
        " ON DUPLICATE KEY UPDATE id = import_tombstones.id"
    )


def _paths_below(table: sa.Table) -> Iterator[_Path]:
    """Every way from the table to one that its rows take along."""
    for child in metadata.sorted_tables:
        for link in child.foreign_key_constraints:
            if link.referred_table is table and child in WATCHED:
                step = (child, link.column_keys[-1])
                yield (step,)
                yield from ((step, *path) for path in _paths_below(child))


_CREATE = {"postgresql": _on_postgresql, "mysql": _on_mysql, "sqlite": _on_sqlite}
_FIND = {
    "postgresql": "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
    " WHERE pg_table_is_visible(pg_class.oid) AND tgenabled <> 'D'",
    "mysql": "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
}
_FOREIGN = {
    "postgresql": sa.text(
        "SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass(:name) AND NOT tgisinternal"
        " AND tgenabled <> 'D' UNION ALL SELECT rulename::text FROM pg_rewrite WHERE ev_class = to_regclass(:name)"
    ),
    "mysql": sa.text(
        "SELECT trigger_name FROM information_schema.triggers"
        " WHERE event_object_schema = DATABASE() AND event_object_table = :name"
    ),
    "sqlite": sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name"),
}
