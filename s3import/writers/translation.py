"""The one place where driver errors become s3import's own.

Drivers are recognised by their module's name, so that only the driver of the database at hand is ever imported.
Errors are told apart by their codes; only a connection that PostgreSQL refuses has none, and is told apart by its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from s3import.errors import DatabaseRefused, DatabaseUnavailable, S3ImportError, TemporaryFailure


class Conflict(TemporaryFailure):
    """A primary or foreign key is broken: another worker or a person was there first.

    The transaction holds nothing of use any more; tried again from its start it sees what the other one did.
    """

    code = "conflict"


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of SQLAlchemy and the drivers into s3import's; all others pass as they are.

    Raises: Conflict, DatabaseUnavailable (try the transaction again), DatabaseRefused (somebody has to act).
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
    """What `error` means to a caller: Conflict, DatabaseUnavailable or DatabaseRefused; None: it is no database's."""
    if isinstance(error, sa.exc.TimeoutError):
        return DatabaseUnavailable("no free connection to the database: use fewer workers, then run it again")
    if isinstance(error, sa.exc.DBAPIError):
        if error.connection_invalidated:
            return _unavailable("the connection was lost")
        return translate(error.orig) if error.orig else None
    judge = _JUDGES.get(type(error).__module__.partition(".")[0])
    return judge(error) if judge else None


def _unavailable(what: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"the database is not available: {what}; run the same command again, it resumes")


def _refused(what: str, remedy: str = "") -> DatabaseRefused:
    advice = remedy or "correct that in the database"
    return DatabaseRefused(f"the database refuses: {what}; {advice}, then run the same command again")


def _conflict(what: str) -> Conflict:
    return Conflict(f"a key of the database is broken ({what}), because somebody else writes the same rows")


# --- PostgreSQL ----------------------------------------------------------------------------------------------------

_POSTGRES_CONFLICTS = {"23503", "23505"}
# Connection lost, server going or coming, deadlock, serialization failure, lock and statement timeouts, no slot free.
_POSTGRES_TRANSIENT = re.compile(r"08...|40...|57P0.|57014|53200|53300|55P03|25P03|25P04")
_POSTGRES_LOGIN = re.compile(r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|denied")
_POSTGRES_REMEDIES = {
    "42501": "grant the permission",
    "53100": "free disk space",
    "42P01": "run `s3import db init`",
    "42703": "run `s3import db init`",
}
_QUOTES_VALUES = ("22", "23")  # classes of SQLSTATE whose messages may quote a record


def _judge_postgres(error: BaseException) -> S3ImportError:
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:
        return _judge_postgres_connection(error)
    if state in _POSTGRES_CONFLICTS:
        return _conflict(state)
    if _POSTGRES_TRANSIENT.fullmatch(state):
        return _unavailable(f"{type(error).__name__} ({state})")
    return _refused(f"{_postgres_text(error, state)} ({state})", _POSTGRES_REMEDIES.get(state, ""))


def _judge_postgres_connection(error: BaseException) -> S3ImportError:
    text = " ".join(str(error).split())
    if _POSTGRES_LOGIN.search(text):
        return _refused(text, "correct the database URL or the server's permissions")
    return _unavailable(text or type(error).__name__)


def _postgres_text(error: BaseException, state: str) -> str:
    diagnosis = getattr(error, "diag", None)
    if not state.startswith(_QUOTES_VALUES):
        return getattr(diagnosis, "message_primary", None) or type(error).__name__
    place = [getattr(diagnosis, name, None) for name in ("table_name", "column_name", "constraint_name")]
    return " ".join([type(error).__name__, *filter(None, place)])


# --- MySQL and MariaDB ---------------------------------------------------------------------------------------------

MYSQL_CONFLICTS = frozenset({1062, 1216, 1217, 1451, 1452, 1586})
_MYSQL_TRANSIENT = {
    0: "the connection is closed",
    1040: "too many connections",
    1053: "the server is shutting down",
    1158: "the connection broke",
    1159: "the connection timed out",
    1160: "the connection broke",
    1161: "the connection timed out",
    1203: "too many connections of this user",
    1205: "waited too long for a lock",
    1213: "deadlock",
    1305: "the server rolled the transaction back",  # its savepoint is gone, as after a deadlock
    1317: "the query was interrupted",
    1927: "the connection was killed",
    1969: "the statement took too long",
    2002: "cannot connect",
    2003: "cannot connect",
    2005: "unknown host",
    2006: "the server is gone",
    2013: "the connection was lost",
    2014: "the connection is out of step",
    3024: "the statement took too long",
    4031: "the connection was idle for too long",
}
_MYSQL_REFUSED = {
    1021: ("the disk is full", "free disk space"),
    1044: ("the user has no access to the database", "grant it, or correct the database URL"),
    1045: ("wrong user or password", "correct the database URL"),
    1049: ("there is no such database", "create it, or correct the database URL"),
    1054: ("a column is missing", "run `s3import db init`"),
    1114: ("the table is full", "free disk space"),
    1118: ("a row is too large for the redo log", "raise innodb_log_file_size to ten times the largest record"),
    1130: ("this host may not connect", "grant it access"),
    1142: ("a permission on a table is missing", "grant it"),
    1143: ("a permission on a column is missing", "grant it"),
    1146: ("a table is missing", "run `s3import db init`"),
    1153: ("a row is larger than max_allowed_packet", "raise max_allowed_packet to 64M"),
    1227: ("a permission is missing", "grant it"),
    1290: ("the server is read-only", "connect to the one that takes writes"),
    1419: (
        "triggers take more rights while the binary log is on",
        "set log_bin_trust_function_creators = 1, or grant SUPER, while `s3import db init` runs",
    ),
    1698: ("wrong user or password", "correct the database URL"),
    1836: ("the server is read-only", "connect to the one that takes writes"),
}


def _judge_mysql(error: BaseException) -> S3ImportError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    return judge_mysql_number(number)


def judge_mysql_number(number: int) -> S3ImportError:
    """What the server's error or warning of this number means. Its text may quote a record and is left out."""
    if number in MYSQL_CONFLICTS:
        return _conflict(f"error {number}")
    if number in _MYSQL_TRANSIENT:
        return _unavailable(f"{_MYSQL_TRANSIENT[number]} (error {number})")
    what, remedy = _MYSQL_REFUSED.get(number, ("it does not take the statement or a value", ""))
    return _refused(f"{what} (error {number})", remedy)


# --- SQLite --------------------------------------------------------------------------------------------------------

_SQLITE_CONFLICTS = {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_FOREIGNKEY"}
_SQLITE_TRANSIENT = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT")
_SQLITE_REMEDIES = {
    "SQLITE_FULL": "free disk space",
    "SQLITE_CANTOPEN": "create the folder of the database file, or correct the database URL",
    "SQLITE_READONLY": "make the database file and its folder writable",
    "SQLITE_NOTADB": "name another file in the database URL",
}


def _judge_sqlite(error: BaseException) -> S3ImportError:
    name: str = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if name in _SQLITE_CONFLICTS:
        return _conflict(name)
    if name.startswith(_SQLITE_TRANSIENT):
        return _unavailable(f"another process holds the file ({name})")
    return _refused(f"{error} ({name})", _SQLITE_REMEDIES.get(name, ""))


_JUDGES: dict[str, Callable[[BaseException], S3ImportError]] = {
    "psycopg": _judge_postgres,
    "pymysql": _judge_mysql,
    "sqlite3": _judge_sqlite,
}
