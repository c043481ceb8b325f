"""What drivers say in errors stays with them: a trigger, a value or a password may speak through it."""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from s3import.core.errors import (
    ConfigurationError,
    DatabaseMisconfigured,
    DatabaseRefused,
    DatabaseUnavailable,
    S3ImportError,
)
from s3import.core.records import Entity
from s3import.core.settings import Settings
from s3import.writers import Database, open_database, translate, translated
from s3import.writers.translation import MYSQL_CONFLICTS, decide_mysql_number
from tests import commands as app
from tests.writers.rows import message, put, thread

CANARY = "canary-of-a-customer"


class Diagnosis:
    """What a trigger may put into an error."""

    message_primary = table_name = column_name = constraint_name = CANARY


class PostgresError(psycopg.Error):
    """An error of PostgreSQL that says the canary wherever it can."""

    diag: Any = Diagnosis()

    def __init__(self, sqlstate: str | None, text: str = CANARY) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


PostgresError.__module__ = "psycopg.errors"


def _errors() -> Iterator[Exception]:
    yield from (PostgresError(state) for state in (None, *psycopg.errors._sqlcodes))
    said = (
        "authentication failed",
        "does not exist",
        "invalid sslmode value",
        "certificate",
        "timeout",
        "Connection refused",
    )
    yield from (PostgresError(None, f"{CANARY} {text} {CANARY}") for text in said)
    yield from (pymysql.err.OperationalError(number, CANARY) for number in range(5000))
    yield pymysql.err.InterfaceError(CANARY)
    for name in (name for name in vars(sqlite3) if name.startswith("SQLITE_")):
        error = sqlite3.OperationalError(CANARY)
        error.sqlite_errorname = name
        yield error
    yield sqlite3.OperationalError(f"no such table: {CANARY}")


def test_no_text_of_a_driver_leaves() -> None:
    """Every error of every driver becomes one of ours, which does not repeat it."""
    for error in _errors():
        for raised in (error, sa.exc.DBAPIError("statement", {"body": CANARY}, error)):
            ours = translate(raised)
            assert isinstance(ours, S3ImportError), repr(error)
            assert CANARY not in ours.message, repr(error)


@pytest.mark.parametrize("state", ["25006", "57P01", "57P02", "57P03", "08000", "08006", "53300", "40001", "57P05"])
def test_a_failover_of_postgresql_passes(state: str) -> None:
    """A server that is read-only, goes or comes is another one soon."""
    assert isinstance(translate(PostgresError(state)), DatabaseUnavailable)


@pytest.mark.parametrize("number", [1047, 1053, 1180, 1290, 1792, 1836, 2006, 2013, 3100, 9001])
def test_a_failover_of_mysql_passes(number: int) -> None:
    """The same for MySQL, MariaDB and Galera."""
    assert isinstance(decide_mysql_number(number), DatabaseUnavailable)


@pytest.mark.parametrize("number", sorted(MYSQL_CONFLICTS))
def test_conflicts_are_no_refusals(number: int) -> None:
    """Keys that somebody else wrote first are tried again."""
    assert decide_mysql_number(number).code == "conflict"


def test_a_certificate_that_is_not_trusted_is_no_matter_of_patience() -> None:
    """PyMySQL says that it cannot connect; what kept it from it does not pass."""
    error = pymysql.err.OperationalError(2003, CANARY)
    error.original_exception = ssl.SSLError("certificate")
    assert isinstance(translate(error), DatabaseMisconfigured)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (PostgresError("57014"), "statement_timeout"),
        (PostgresError("55P03"), "lock_timeout"),
        (pymysql.err.OperationalError(1205, ""), "innodb_lock_wait_timeout"),
        (pymysql.err.OperationalError(1969, ""), "max_statement_time"),
        (pymysql.err.OperationalError(1665, ""), "binlog_format"),
        (pymysql.err.OperationalError(3750, ""), "primary key"),
    ],
)
def test_settings_that_are_in_the_way_are_named(error: Exception, named: str) -> None:
    """Whoever may change them knows which."""
    assert named in str(translate(error))


# --- what databases really say ---------------------------------------------------------------------------------------

_RAISES = {
    "postgresql": (
        (
            "CREATE FUNCTION their_doing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'no: %%', NEW.body USING TABLE = NEW.body, COLUMN = NEW.body; END $$"
        ),
        "CREATE TRIGGER theirs BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION their_doing()",
    ),
    "mysql": (
        (
            "CREATE TRIGGER theirs BEFORE INSERT ON messages FOR EACH ROW"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = NEW.body"
        ),
    ),
    "sqlite": (
        "CREATE TRIGGER theirs BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'canary-of-a-customer'); END",
    ),
}
_DROP = {"postgresql": "DROP FUNCTION their_doing() CASCADE"}


@contextmanager
def _statements(database: Database, before: tuple[str, ...], after: str) -> Iterator[None]:
    for statement in before:
        _execute(database, statement)
    try:
        yield
    finally:
        _execute(database, after)


def _execute(database: Database, statement: str) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql(statement)


def test_a_trigger_that_raises_is_told_without_its_words(database: Database) -> None:
    """It may quote the row."""
    put(database, Entity.THREADS, thread("t"))
    kind = database.engine.dialect.name
    raised = pytest.raises(DatabaseRefused, match=r"(trigger|does not take)")
    with _statements(database, _RAISES[kind], _DROP.get(kind, "DROP TRIGGER theirs")), raised as refusal:
        put(database, Entity.MESSAGES, message("m", body=CANARY))
    assert CANARY not in str(refusal.value)


# --- URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://u@127.0.0.1/d?ssl=true", "ssl"),
        ("postgresql://u@127.0.0.1/d?schema=public", "schema"),
        ("postgresql://u@127.0.0.1/d?sslmode=no-verify", "sslmode"),
        ("postgresql://u@127.0.0.1/d?connect_timeout=abc", "connect_timeout"),
        ("postgresql://u@127.0.0.1/d?keepalives=maybe", "keepalives"),
        ("postgresql://u@127.0.0.1:99999/d", "99999"),
        ("mysql://u@127.0.0.1:0/d", "port 0"),
        ("mysql://u@127.0.0.1/d?useSSL=false", "useSSL"),
        ("mysql://u@127.0.0.1/d?ssl=true", "ssl"),
        ("mysql://u@127.0.0.1/d?local_infile=maybe", "local_infile"),
        ("mysql://u@127.0.0.1/d?cursorclass=x", "cursorclass"),
        ("mysql://u@127.0.0.1/d?connect_timeout=1&connect_timeout=2", "connect_timeout"),
        ("sqlite:///x.db?timeout=abc", "timeout"),
        ("sqlite:///file:x?mode=memory&uri=true", "mode"),
        ("sqlite:///:memory:", "no file"),
        ("sqlite://host/x.db", "no file"),
    ],
)
def test_an_option_that_cannot_be_is_named(url: str, named: str) -> None:
    """A URL is refused before anybody is asked."""
    with pytest.raises(ConfigurationError, match=named):
        open_database(url)


@pytest.mark.parametrize("option", ["channel_binding=abc", "target_session_attrs=abc", "gssencmode=abc"])
def test_what_the_driver_alone_knows_is_refused_too(option: str) -> None:
    """Its words mean that the URL is wrong, not that the server is away."""
    _require_misconfigured(f"postgresql://u@127.0.0.1:1/d?{option}")


@pytest.mark.parametrize(
    "text",
    [
        "channel binding required, but server authenticated client without channel binding",
        'authentication method requirement "md5" failed: server did not complete authentication',
        "GSSAPI encryption required but no credential cache",
        'could not parse network address "x": Name or service not known',
    ],
)
def test_a_url_that_asks_for_what_the_server_does_not_do_is_refused(text: str) -> None:
    """It stays so, however often it is tried."""
    assert isinstance(translate(PostgresError(None, f"connection failed: {text}")), DatabaseMisconfigured)


def test_a_file_that_is_not_there_is_refused() -> None:
    """PyMySQL looks for it before it connects."""
    _require_misconfigured("mysql://u@127.0.0.1:1/d?ssl_ca=/nowhere/ca.pem")


def _require_misconfigured(url: str) -> None:
    with closing(open_database(url)) as database, pytest.raises(ConfigurationError), database.begin():
        pass


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize("password", ["hunter@2secret", "hunter/2secret", "12/secret", "hunter?2secret", "a@b/2secret"])
def test_a_password_that_is_not_escaped_does_not_become_a_host(scheme: str, password: str) -> None:
    """The message tells how to write it, and shows nothing of it."""
    with pytest.raises(ConfigurationError, match="%40") as refusal:
        open_database(f"{scheme}://u:{password}@db.example/name")
    assert "secret" not in str(refusal.value)


def test_a_server_without_a_database_is_refused() -> None:
    """MySQL lets one log in without a database; there is nothing to write to then."""
    with pytest.raises(ConfigurationError, match="names no database"):
        app.connect(Settings(database="mysql://u@127.0.0.1"))


def test_a_setting_that_the_server_does_not_know_is_refused(postgres_url: str) -> None:
    """Waiting does not help."""
    _require_misconfigured(sa.make_url(postgres_url).set(query={"options": "-cnone=1"}).render_as_string(False))


def test_passwords_that_are_escaped_are_right() -> None:
    """Nor does a colon or a number sign hurt."""
    for password in ("hunter%402%2F", "a:b", "a#b"):
        assert open_database(f"postgresql://u:{password}@h/name").engine.url.host == "h"
    assert open_database(f"sqlite:///{Path('a@b.db')}").engine.url.database == "a@b.db"


def test_other_errors_pass() -> None:
    """Only a database's errors are translated."""
    with pytest.raises(KeyError), translated():
        raise KeyError
