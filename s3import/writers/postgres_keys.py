"""Foreign keys in sets: all parents of a batch are locked and counted by one statement, instead of one by one by a
trigger for each row.

The lock is the trigger's own (``FOR KEY SHARE``, of the parent's row, held until the transaction ends). Rows then go in
under ``session_replication_role = replica``, which skips triggers, and the statement behind them ends that. The same
statement asks what else was skipped. Nothing can be added to a table that a transaction has written to before that
transaction ends, so the answer holds for the very rows that went in; where it is not what was expected the transaction
is tried again, row by row.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from s3import.core.errors import ConfigurationError, Conflict, DatabaseMisconfigured, printable
from s3import.core.settings import Keys
from s3import.core.tables import PARENTS, TARGETS
from s3import.writers.translation import translate
from s3import.writers.writer import driver_cursor

log = logging.getLogger(__name__)

GRANT = "GRANT SET ON PARAMETER session_replication_role TO the role (PostgreSQL 15 and later)"
_SEPARATOR = "\n"  # stands in no id
_PARENTS = {
    TARGETS[entity].name: {column: parent.name for column, parent, _code in parents}
    for entity, parents in PARENTS.items()
}
_TABLES = sorted({*_PARENTS, *(parent for parents in _PARENTS.values() for parent in parents.values())})
_DENIED = "42501"

_RELATIONS = sa.text(
    "SELECT relname::text AS name, oid, relkind = 'r' AND NOT relispartition AS is_plain,"
    " row_security_active(oid) AS is_filtered,"
    " has_table_privilege(oid, 'SELECT') AND has_any_column_privilege(oid, 'UPDATE') AS may_lock"
    " FROM pg_class WHERE oid IN (SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name)"
)
_FIRES = "tgtype & 4 <> 0 AND tgenabled <> 'D'"  # on INSERT
_CHECKS = sa.text(
    "SELECT tgrelid, coalesce(conname, tgname)::text AS name, tgconstraint AS key, contype = 'f' AS is_key, confrelid,"
    " (SELECT array_agg(attname::text ORDER BY place) FROM unnest(conkey) WITH ORDINALITY AS of_key (number, place)"
    "  JOIN pg_attribute ON attrelid = conrelid AND attnum = number) AS columns,"
    " (SELECT array_agg(attname::text ORDER BY place) FROM unnest(confkey) WITH ORDINALITY AS of_key (number, place)"
    "  JOIN pg_attribute ON attrelid = confrelid AND attnum = number) AS parent_columns"
    " FROM pg_trigger LEFT JOIN pg_constraint ON pg_constraint.oid = tgconstraint"
    f" WHERE tgrelid = ANY(CAST(:tables AS oid[])) AND {_FIRES}"
    " UNION ALL SELECT ev_class, rulename::text, 0, false, 0, NULL, NULL FROM pg_rewrite"
    " WHERE ev_class = ANY(CAST(:tables AS oid[])) AND ev_type = '3' AND ev_enabled <> 'D'"
)


@dataclass(frozen=True, slots=True)
class _Key:
    """A foreign key of ours as it stands in the database: the column that names a parent, the parent's table, and the
    key's OID."""

    column: str
    parent: str
    oid: int


@dataclass(frozen=True, slots=True)
class _Target:
    """The two statements around the rows of a table."""

    keys: tuple[_Key, ...]
    lock: str
    unlock: str


class PostgresKeys:
    """Finds out once whether keys can be asked in sets here; does so from then on, until something shows that speaks
    against it."""

    def __init__(self, mode: Keys) -> None:
        self._mode = mode
        self._lock = threading.Lock()
        self._targets: dict[str, _Target] | None = None

    def way(self, connection: sa.Connection) -> Keys:
        """SETS or ROWS, looked up within the connection's transaction if nobody has yet.

        Raises: ConfigurationError, where sets were asked for and cannot be; DatabaseMisconfigured.
        """
        with self._lock:
            if self._targets is None:
                self._targets = self._found(connection)
            return Keys.SETS if self._targets else Keys.ROWS

    @contextmanager
    def of(self, connection: sa.Connection, table: sa.Table, rows: pa.Table) -> Iterator[bool]:
        """Check the keys of the rows that the block sends to the table. Gives whether that is done in sets: then no
        trigger is fired, and none that could have changed the rows is there.

        Raises: Conflict, where a parent is missing or sets turn out to be impossible; the rows are then to be rolled
        back. In sets a parent that is missing is told before the block begins.
        """
        in_sets = table.name in _PARENTS and self.way(connection) is Keys.SETS
        target = (self._targets or {}).get(table.name) if in_sets else None
        if target is None or len(pc.unique(rows["account_id"])) != 1:
            yield False
            return
        with driver_cursor(connection) as cursor:
            self._lock_parents(cursor, table, target, rows)
            yield True
            self._require_ours(cursor, table, target)

    def _lock_parents(self, cursor: Any, table: sa.Table, target: _Target, rows: pa.Table) -> None:
        """Lock the batch's parents, and skip triggers from here on. Raises: Conflict."""
        ids = {key.column: pc.unique(rows[key.column]).drop_null() for key in target.keys}
        given = {column: _SEPARATOR.join(some.to_pylist()) for column, some in ids.items()}
        counts = {f"{column}_count": len(some) for column, some in ids.items()}
        try:
            found = cursor.execute(target.lock, {"account_id": rows["account_id"][0].as_py(), **given, **counts})
        except Exception as error:
            if getattr(error, "sqlstate", None) != _DENIED:
                raise
            self._give_up([f"a permission was taken from the role since ({table.name})"])
            raise _changed(table) from error
        if found.fetchone() is None:
            raise Conflict(f"rows of {table.name} have no parent")

    def _require_ours(self, cursor: Any, table: sa.Table, target: _Target) -> None:
        """Skip triggers no more. Raises: Conflict, where a trigger was skipped that is none of our keys."""
        _, others = cursor.execute(target.unlock, {"keys": [key.oid for key in target.keys]}).fetchone()
        if others:
            self._give_up([f"{table.name} has {_listed(others)}"])
            raise _changed(table)

    def _give_up(self, reasons: Sequence[str]) -> None:
        with self._lock:
            if self._mode is Keys.SETS:
                raise _impossible(reasons)
            self._targets = {}
        _log(Keys.ROWS, reasons)

    def _found(self, connection: sa.Connection) -> dict[str, _Target]:
        _require_origin(connection)
        if self._mode is Keys.ROWS:
            return {}
        keys, reasons = _look(connection)
        if not reasons and not _may_skip(connection):
            reasons = [f"the role may not set session_replication_role; {GRANT}"]
        if reasons:
            if self._mode is Keys.SETS:
                raise _impossible(reasons)
            _log(Keys.ROWS, reasons)
            return {}
        _log(Keys.SETS, ())
        return {table: _target(table, of_table) for table, of_table in keys.items()}


def _log(way: Keys, reasons: Sequence[str]) -> None:
    if way is Keys.SETS:
        log.info("foreign keys are checked in sets", extra={"event": "keys_in_sets"})
    else:
        log.info("foreign keys are checked row by row: %s", "; ".join(reasons), extra={"event": "keys_in_rows"})


def _impossible(reasons: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"S3IMPORT_KEYS is sets, and this database does not allow that: {'; '.join(reasons)}. Correct that, or set "
        "S3IMPORT_KEYS to auto"
    )


def _changed(table: sa.Table) -> Conflict:
    return Conflict(f"the keys of {table.name} changed while rows went in")


# --- what there is ---------------------------------------------------------------------------------------------------


def _require_origin(connection: sa.Connection) -> None:
    """Raises: DatabaseMisconfigured, where the database would check no key, row by row or otherwise."""
    role = connection.exec_driver_sql("SHOW session_replication_role").scalar_one()
    if role != "origin":
        raise DatabaseMisconfigured(
            f"session_replication_role is {role} for this role or database, so that foreign keys and triggers are "
            "skipped; ALTER ROLE … (or DATABASE …) RESET session_replication_role, then run the same command again"
        )


def _look(connection: sa.Connection) -> tuple[dict[str, list[_Key]], list[str]]:
    """Our keys by table, and what speaks against asking them in sets."""
    relations = {row.name: row for row in connection.execute(_RELATIONS, {"names": _TABLES})}
    missing = [f"there is no table {name}" for name in _TABLES if name not in relations]
    if missing:
        return {}, missing
    reasons = list(_against(relations))
    names = {row.oid: row.name for row in relations.values()}
    keys: dict[str, list[_Key]] = {name: [] for name in _PARENTS}
    others: dict[str, list[str]] = {name: [] for name in _PARENTS}
    for row in connection.execute(_CHECKS, {"tables": [relations[name].oid for name in _PARENTS]}):
        table = names[row.tgrelid]
        column = row.columns[-1] if row.is_key else ""
        expected = (["account_id", column], _PARENTS[table].get(column), ["account_id", "id"])
        if row.is_key and (row.columns, names.get(row.confrelid), row.parent_columns) == expected:
            keys[table].append(_Key(column, names[row.confrelid], row.key))
        else:
            others[table].append(row.name)
    reasons += [f"{table} has {_listed(found)}" for table, found in others.items() if found]
    reasons += [
        f"{table} lacks its key to {parent}"
        for table, parents in _PARENTS.items()
        for column, parent in parents.items()
        if column not in {key.column for key in keys[table]}
    ]
    return keys, reasons


def _against(relations: dict[str, Any]) -> Iterator[str]:
    for name, row in relations.items():
        if not row.is_plain:
            yield f"{name} is no plain table"
        if row.is_filtered:
            yield f"{name} has row level security"
        if not row.may_lock:
            yield f"the role may not lock rows of {name} (SELECT and UPDATE)"


def _listed(names: Collection[str]) -> str:
    return f"triggers, rules or keys that are not s3import's ({', '.join(sorted(map(printable, names)))})"


def _may_skip(connection: sa.Connection) -> bool:
    """Whether the role may set what skips triggers: servers and their guardians differ, so it is tried."""
    try:
        with connection.begin_nested() as savepoint:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            savepoint.rollback()
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _DENIED:
            return False
        raise translate(error) or error from error
    return True


# --- the statements --------------------------------------------------------------------------------------------------


def _target(table: str, keys: Sequence[_Key]) -> _Target:
    """The statements for a table. A key in the index is looked up for each parent, whatever the planner's statistics
    say of a table that has just grown: what is locked cannot be joined in another way."""
    locked = ", ".join(
        f"locked_{key.column} AS MATERIALIZED (SELECT FROM unnest(string_to_array(%({key.column})s, E'\\n')) AS"
        f' sent (id) CROSS JOIN LATERAL (SELECT FROM ONLY "{key.parent}" AS parent WHERE parent.account_id ='
        " %(account_id)s AND parent.id = sent.id FOR KEY SHARE) AS found)"
        for key in keys
    )
    complete = " AND ".join(f"(SELECT count(*) FROM locked_{key.column}) = %({key.column}_count)s" for key in keys)
    skip = "SELECT set_config('session_replication_role', 'replica', true)"
    parents = ", ".join(f"to_regclass('{key.parent}')" for key in keys)
    others = (
        f"SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass('{table}') AND {_FIRES}"
        f" AND NOT (tgconstraint = ANY(%(keys)s::oid[]) AND tgconstrrelid IN ({parents}))"
    )
    return _Target(
        tuple(keys),
        lock=f"WITH {locked} {skip} WHERE {complete}",
        unlock=f"SELECT set_config('session_replication_role', 'origin', true), ARRAY({others})",
    )
