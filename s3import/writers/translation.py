"""The one place where driver errors become s3import's own.

Drivers are recognised by their module's name, so that only the driver of the database at hand is ever imported.
Errors are told apart by their codes, and by their text only where a driver gives no code. No driver's text is ever
repeated: a trigger, a value or a password may speak through it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa

from s3import.core.errors import (
    Conflict,
    DatabaseMisconfigured,
    DatabaseRefused,
    DatabaseUnavailable,
    S3ImportError,
)
from s3import.core.tables import metadata

T = TypeVar("T")


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of SQLAlchemy and the drivers into s3import's; all others pass as they are.

    Raises: Conflict, DatabaseUnavailable (try the transaction again), DatabaseRefused (somebody has to act),
    DatabaseMisconfigured (the URL is wrong).
    """
    try:
        yield
    except S3ImportError:
        raise
    except Exception as error:
        translation = translate(error)
        if translation is None:
            raise
        raise translation from error


def translate(error: BaseException) -> S3ImportError | None:
    """What `error` means to a caller: as `translated` raises; None: it is no database's."""
    if isinstance(error, sa.exc.TimeoutError):
        return DatabaseUnavailable("no free connection to the database: use fewer workers, then run it again")
    if isinstance(error, sa.exc.DBAPIError):
        if error.connection_invalidated:
            return _unavailable("the connection was lost")
        return translate(error.orig) if error.orig else None
    decide = _DECIDERS.get(type(error).__module__.partition(".")[0])
    return decide(error) if decide else None


def _unavailable(what: str, _remedy: str = "") -> DatabaseUnavailable:
    return DatabaseUnavailable(f"the database is not available: {what}; run the same command again, it resumes")


def _refused(what: str, remedy: str = "") -> DatabaseRefused:
    advice = remedy or "correct that in the database"
    return DatabaseRefused(f"the database refuses: {what}; {advice}, then run the same command again")


def _misconfigured(what: str, remedy: str = "") -> DatabaseMisconfigured:
    return DatabaseMisconfigured(f"the database cannot be used: {what}; {remedy or _CORRECT_URL}")


def _conflict(what: str, key: str = "") -> Conflict:
    return Conflict(
        f"a key of the database is broken ({what}): somebody else writes the same rows, or the table has a unique or "
        "foreign key that is not s3import's",
        key=key,
    )


_CORRECT_URL = "correct the database URL"
_INIT = "run `s3import db init`"
Decision = tuple[Callable[..., S3ImportError], str, str]
"""What makes the error, what it says, and what is to be done."""

# --- PostgreSQL ----------------------------------------------------------------------------------------------------

_POSTGRES_CONFLICTS = {"23503", "23505"}
_POSTGRES_TRANSIENT: Mapping[str, str] = {
    "08...": "the connection was lost",
    "25006": "the server takes no writes at the moment, as after a failover",
    "25P03": "the server ended a transaction that was idle for too long (idle_in_transaction_session_timeout)",
    "25P04": "the transaction took longer than the server's transaction_timeout allows; raise it if this stays so",
    "40...": "another transaction was in the way",
    "53200": "the server has no memory left",
    "53300": "the server has no connection left",
    "53400": "the server has reached a limit of its configuration",
    "55006": "another session uses what is to be changed",
    "55P03": "a lock was not to be had in time (lock_timeout)",
    "57014": "a statement was cancelled, or took longer than allowed (statement_timeout; S3IMPORT_DATABASE_SECONDS)",
    "57P0[1235]": "the server or an administrator ended the connection",
    "57P04": "the database was dropped",
    "72000": "a snapshot is too old",
}
_POSTGRES_LASTING: Mapping[str, Decision] = {
    "0A000": (_refused, "it cannot do what is asked of it", "look at rules, views and row level security of the table"),
    "22...": (_refused, "a value does not fit", ""),
    "23...": (_refused, "a constraint of the table does not hold", "drop the constraint, or correct the records"),
    "28...": (_misconfigured, "wrong user or password, or this host may not connect", ""),
    "3D000": (_misconfigured, "there is no such database", "create it, or correct the database URL"),
    "3F000": (_refused, "there is no schema to create tables in", "correct search_path"),
    "42501": (_refused, "a permission is missing", "grant the permission (with row level security: BYPASSRLS)"),
    "42703": (_refused, "a column is missing", _INIT),
    "42P01": (_refused, "a table is missing", _INIT),
    "53100": (_refused, "the disk is full", "free disk space"),
    "54...": (_refused, "a value is too large", "make it smaller"),
    "55000": (_refused, "the table does not take rows", "look at its triggers and at the server's log"),
    "P0...": (_refused, "a trigger of the database's own raised an error", "look at the trigger in the database"),
    "2F...": (_refused, "a trigger of the database's own raised an error", "look at the trigger in the database"),
    "38...": (_refused, "a trigger of the database's own raised an error", "look at the trigger in the database"),
}


def _decide_postgres(error: BaseException) -> S3ImportError:
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:
        return _decide_postgres_connection(error)
    if state in _POSTGRES_CONFLICTS:
        return _conflict(state, getattr(getattr(error, "diag", None), "constraint_name", None) or "")
    transient = _of_state(_POSTGRES_TRANSIENT, state)
    if transient is not None:
        return _unavailable(f"{transient} ({state})")
    make, what, remedy = _of_state(_POSTGRES_LASTING, state) or (_refused, "it does not take the statement", "")
    return make(f"{what}{_postgres_place(error)} ({state})", remedy)


def _of_state(decisions: Mapping[str, T], state: str) -> T | None:
    return next((decision for pattern, decision in decisions.items() if re.fullmatch(pattern, state)), None)


def _postgres_place(error: BaseException) -> str:
    """The table and column that an error names, where they are ours: what else stands there may quote a record."""
    diagnosis = getattr(error, "diag", None)
    table = metadata.tables.get(getattr(diagnosis, "table_name", None) or "")
    if table is None:
        return ""
    column = str(getattr(diagnosis, "column_name", None))
    return f" in {table.name}.{column}" if column in table.columns else f" in {table.name}"


# A connection that does not come about has no code, only libpq's words, which quote users, hosts and files.
_POSTGRES_CONNECTION: tuple[tuple[str, Decision], ...] = (
    (r"authentication failed|no password supplied|fe_sendauth", (_misconfigured, "wrong user or password", "")),
    (r"no pg_hba\.conf entry|rejects connection", (_refused, "this host may not connect", "allow it in pg_hba.conf")),
    (r"(database|role) .*does not exist", (_misconfigured, "there is no such database or user", "")),
    (r"permission denied for database", (_misconfigured, "the user may not connect to the database", "grant it")),
    (r"invalid port number", (_misconfigured, "the port is none", "")),
    (
        r"channel binding required|authentication method requirement|GSSAPI encryption required",
        (_misconfigured, "the URL asks for a login or an encryption that the server does not offer", ""),
    ),
    (
        r"connection option|(invalid|bad value)[a-z ]* \w+|parse network address",
        (_misconfigured, "an option has a value it cannot have", ""),
    ),
    (
        r"unsupported startup parameter",
        (_misconfigured, "a pooler does not take an option of the URL", "take it out, or have the pooler ignore it"),
    ),
    (r"no such user|auth failed", (_misconfigured, "the pooler does not know the user or password", "")),
    (r"server does not support SSL", (_misconfigured, "the server has no TLS, which sslmode asks for", "")),
    (
        r"certificate|SSL error",
        (_misconfigured, "TLS: a certificate is missing, or is not trusted", "correct sslmode and sslrootcert"),
    ),
    (
        r"definition of service|no such file|could not open",
        (_misconfigured, "a file that an option names is missing", ""),
    ),
    (
        r"configuration parameter|for parameter|parameter .* cannot be|to set parameter",
        (_misconfigured, "a setting in the URL's options is none, or may not be set", ""),
    ),
    (r"host name|resolve host", (_unavailable, "the name of its host is not known", "")),
    (r"Connection refused|No such file or directory", (_unavailable, "nobody listens there", "")),
    (r"timeout|timed out", (_unavailable, "it does not answer in time", "")),
)


def _decide_postgres_connection(error: BaseException) -> S3ImportError:
    return _decide_text(_POSTGRES_CONNECTION, error, "the connection did not come about, or was lost")


def _decide_text(decisions: tuple[tuple[str, Decision], ...], error: BaseException, otherwise: str) -> S3ImportError:
    text = " ".join(str(error).split())
    for pattern, (make, what, remedy) in decisions:
        if re.search(pattern, text):
            return make(what, remedy)
    return _unavailable(otherwise)


# --- MySQL and MariaDB ---------------------------------------------------------------------------------------------

MYSQL_CONFLICTS = frozenset({1062, 1216, 1217, 1451, 1452, 1586})
_MYSQL_TRANSIENT = {
    0: "the connection is closed",
    1020: "another transaction was in the way",
    1037: "the server has no memory left",
    1038: "the server has no memory left",
    1040: "too many connections",
    1041: "the server has no memory left",
    1047: "the server takes no statements at the moment, as a node of a cluster that is cut off",
    1053: "the server is shutting down",
    1077: "the server is shutting down",
    1078: "the server is shutting down",
    1079: "the server is shutting down",
    1080: "the server is shutting down",
    1135: "the server has no thread left",
    1152: "the connection broke",
    1156: "the connection is out of step",
    1158: "the connection broke",
    1159: "the connection timed out",
    1160: "the connection broke",
    1161: "the connection timed out",
    1180: "the commit failed, as in a cluster whose nodes disagree",
    1184: "the connection broke",
    1203: "too many connections of this user",
    1205: "waited too long for a lock (innodb_lock_wait_timeout)",
    1206: "the server has no room for locks left",
    1213: "deadlock",
    1223: "the server is locked for a backup",
    1226: "the user has used up what the server grants it",
    1290: "the server takes no writes at the moment (read_only), as after a failover",
    1305: "the server rolled the transaction back",  # its savepoint is gone, as after a deadlock
    1317: "the query was interrupted",
    1412: "a table was changed meanwhile",
    1637: "the server has too many transactions",
    1792: "the server takes no writes at the moment (read_only), as after a failover",
    1836: "the server takes no writes at the moment (read_only), as after a failover",
    1927: "the connection was killed",
    1969: "the statement took too long (max_statement_time; S3IMPORT_DATABASE_SECONDS)",
    2002: "cannot connect",
    2003: "cannot connect",
    2005: "unknown host",
    2006: "the server is gone",
    2013: "the connection was lost",
    2014: "the connection is out of step",
    2055: "the connection was lost",
    3024: "the statement took too long (max_execution_time; S3IMPORT_DATABASE_SECONDS)",
    3100: "a node of the cluster refused the commit",
    3101: "the cluster rolled the transaction back",
    3168: "the server is not ready",
    3169: "the session was killed",
    4031: "the connection was idle for too long",
    9001: "the proxy reached no server in time",
}
_TRIGGER = (_refused, "a trigger of the database's own raised an error", "look at the trigger in the database")
_CHECK = (_refused, "a check constraint of the table does not hold", "drop the constraint, or correct the records")
_LOGIN = (_misconfigured, "wrong user or password", "")
_KEYLESS = (_refused, "it wants a primary key in each table", "run `s3import db init` with this version")
_MYSQL_LASTING: Mapping[int, Decision] = {
    1021: (_refused, "the disk is full", "free disk space"),
    1044: (_misconfigured, "the user has no access to the database", "grant it, or correct the database URL"),
    1045: _LOGIN,
    1046: (_misconfigured, "the URL names no database", ""),
    1048: (_refused, "a column takes no NULL", ""),
    1049: (_misconfigured, "there is no such database", "create it, or correct the database URL"),
    1054: (_refused, "a column is missing", _INIT),
    1114: (_refused, "the table is full", "free disk space"),
    1118: (
        _refused,
        "a row is too large for the redo log",
        "raise innodb_log_file_size to ten times the largest record",
    ),
    1129: (_refused, "it has blocked this host after many failed connections", "run FLUSH HOSTS"),
    1130: (_misconfigured, "this host may not connect", "grant it access"),
    1142: (_refused, "a permission on a table is missing", "grant it"),
    1143: (_refused, "a permission on a column is missing", "grant it"),
    1146: (_refused, "a table is missing", _INIT),
    1153: (_refused, "a row is larger than max_allowed_packet", "raise max_allowed_packet to 64M"),
    1173: _KEYLESS,
    1193: (_refused, "it does not know a setting", "use MySQL 8 or MariaDB 10.6, or a later one"),
    1227: (_refused, "a permission is missing", "grant it"),
    1251: (_misconfigured, "it asks for a way to log in that PyMySQL does not have", "change the user's plugin"),
    1264: (_refused, "a number does not fit its column", ""),
    1273: (_refused, "it does not know a collation", "use MySQL 8 or MariaDB 10.6, or a later one"),
    1364: (_refused, "a column has no default and nothing fills it", "give it a default"),
    1366: (_refused, "a letter does not fit the character set of its column", "convert the table to utf8mb4"),
    1370: (_refused, "a permission on a routine is missing", "grant it"),
    1406: (_refused, "a text does not fit its column", "make the column longer"),
    1419: (
        _refused,
        "triggers take more rights while the binary log is on",
        "set log_bin_trust_function_creators = 1, or grant SUPER, while `s3import db init` runs",
    ),
    1442: _TRIGGER,
    1644: _TRIGGER,
    1665: (
        _refused,
        "its binary log is written by statement, which InnoDB does not allow at READ COMMITTED",
        "set binlog_format = ROW or MIXED",
    ),
    1698: _LOGIN,
    1787: (
        _refused,
        "with enforce_gtid_consistency this version takes no temporary tables in transactions",
        "use MySQL 8.0.13 or later",
    ),
    1820: (_misconfigured, "the user's password must be changed first", "change it"),
    1862: (_misconfigured, "the user's password has expired", "change it"),
    2026: (_misconfigured, "TLS did not come about", "correct the database URL's ssl_… options"),
    2059: (_misconfigured, "it asks for a way to log in that PyMySQL does not have", "change the user's plugin"),
    2061: (_misconfigured, "it asks for a way to log in that PyMySQL does not have", "change the user's plugin"),
    3118: (_misconfigured, "the user's account is locked", "unlock it"),
    3159: (_misconfigured, "it takes connections with TLS only", "add ssl_ca to the database URL"),
    3750: _KEYLESS,
    3819: _CHECK,
    4025: _CHECK,
    4151: (_misconfigured, "the user's account is locked", "unlock it"),
}


def _decide_mysql(error: BaseException) -> S3ImportError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if isinstance(getattr(error, "original_exception", None), ssl.SSLError):
        number = 2026
    return decide_mysql_number(number, str(error.args[-1]) if error.args else "")


def decide_mysql_number(number: int, text: str = "") -> S3ImportError:
    """What the server's error or warning means. Its text may quote a record and is left out, but for a key's name."""
    if number in MYSQL_CONFLICTS:
        return _conflict(f"error {number}", _mysql_key(text))
    if number in _MYSQL_TRANSIENT:
        return _unavailable(f"{_MYSQL_TRANSIENT[number]} (error {number})")
    make, what, remedy = _MYSQL_LASTING.get(number, (_refused, "it does not take the statement or a value", ""))
    return make(f"{what} (error {number})", remedy)


def _mysql_key(text: str) -> str:
    """The name of the key that is broken; MySQL writes ``for key 'messages.name'``."""
    found = re.search(r"CONSTRAINT `([^`]+)` FOREIGN KEY", text) or re.search(r" for key '(?:[^'.]+\.)?([^']+)'$", text)
    return found[1] if found else ""


# --- SQLite --------------------------------------------------------------------------------------------------------

_SQLITE_CONFLICTS = {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_FOREIGNKEY"}
_SQLITE_TRANSIENT = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT", "SQLITE_PROTOCOL", "SQLITE_SCHEMA")
_SQLITE_LASTING: Mapping[str, Decision] = {
    "SQLITE_CONSTRAINT_TRIGGER": _TRIGGER,
    "SQLITE_CONSTRAINT": _CHECK,
    "SQLITE_FULL": (_refused, "the disk is full", "free disk space"),
    "SQLITE_CANTOPEN": (
        _refused,
        "the file cannot be opened",
        "create the folder of the database file, or correct the database URL",
    ),
    "SQLITE_READONLY": (
        _refused,
        "the file cannot be written",
        "make the database file and its folder writable",
    ),
    "SQLITE_PERM": (_refused, "the file may not be opened", "give access to it"),
    "SQLITE_AUTH": (_refused, "the file may not be opened", "give access to it"),
    "SQLITE_NOTADB": (_refused, "the file is no SQLite database", "name another file in the database URL"),
    "SQLITE_CORRUPT": (_refused, "the file is damaged", "restore it from a backup"),
    "SQLITE_IOERR": (_refused, "the file cannot be read or written", "look at its disk"),
    "SQLITE_TOOBIG": (_refused, "a value is too large", "make it smaller"),
    "SQLITE_NOMEM": (_refused, "there is no memory left", "free memory"),
}
_SQLITE_TEXTS: tuple[tuple[str, Decision], ...] = (
    (r"^no such table", (_refused, "a table is missing", _INIT)),
    (r"has no column|^no such column", (_refused, "a column is missing", _INIT)),
)


def _decide_sqlite(error: BaseException) -> S3ImportError:
    name: str = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if name in _SQLITE_CONFLICTS:
        return _conflict(name)
    if name.startswith(_SQLITE_TRANSIENT):
        return _unavailable(f"another process holds the file ({name})")
    known = next((lasting for prefix, lasting in _SQLITE_LASTING.items() if name.startswith(prefix)), None)
    by_text = next((lasting for pattern, lasting in _SQLITE_TEXTS if re.search(pattern, str(error))), None)
    make, what, remedy = known or by_text or (_refused, "it does not take the statement or a value", "")
    return make(f"{what} ({name})", remedy)


_DECIDERS: dict[str, Callable[[BaseException], S3ImportError]] = {
    "psycopg": _decide_postgres,
    "pymysql": _decide_mysql,
    "sqlite3": _decide_sqlite,
}
