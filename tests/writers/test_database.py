"""Opening databases by URL, and what their errors become."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import (
    ConfigurationError,
    Conflict,
    DatabaseMisconfigured,
    DatabaseRefused,
    DatabaseUnavailable,
    S3ImportError,
    SchemaMismatch,
)
from s3import.core.records import Entity
from s3import.writers import Database, idle, open_database, translate, translated
from tests.importing.strikes import end_session
from tests.writers.rows import arrow, create_account, message, put, stored, thread

PASSWORD = "hunter2"


def use(url: str) -> None:
    database = open_database(url)
    try:
        with database.begin() as connection:
            connection.execute(sa.select(sa.literal(1)))
    finally:
        database.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "reamaze.db",
        f"postgresql://u:{PASSWORD}@host:port/name",
        f"oracle://u:{PASSWORD}@host/name",
        f"postgresql+asyncpg://u:{PASSWORD}@host/name",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_url_of_no_database_is_a_configuration_error(url: str) -> None:
    """A URL that cannot be used is refused at once, and the message shows no password."""
    with pytest.raises(ConfigurationError) as refusal:
        open_database(url)
    assert PASSWORD not in str(refusal.value)


@pytest.mark.parametrize(
    ("scheme", "driver"),
    [
        ("postgres", "postgresql+psycopg"),
        ("postgresql", "postgresql+psycopg"),
        ("mysql", "mysql+pymysql"),
        ("mariadb", "mysql+pymysql"),
    ],
)
def test_usual_schemes_find_their_driver(scheme: str, driver: str) -> None:
    """The schemes that people write lead to the drivers that s3import ships."""
    assert open_database(f"{scheme}://u@host/name").engine.url.drivername == driver


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_host_that_does_not_answer_is_temporary(scheme: str) -> None:
    """A server that is not there may come back, and the message shows no password."""
    with pytest.raises(DatabaseUnavailable) as failure:
        use(f"{scheme}://u:{PASSWORD}@127.0.0.1:1/name")
    assert PASSWORD not in str(failure.value)


def test_a_database_that_does_not_exist_is_refused(postgres_url: str, mariadb_url: str) -> None:
    """Trying again does not create a database; the URL has to be corrected."""
    for url in (postgres_url, mariadb_url):
        with pytest.raises(DatabaseMisconfigured):
            use(sa.make_url(url).set(database="s3import_nowhere").render_as_string(hide_password=False))


def test_an_unknown_user_is_refused(postgres_url: str, mariadb_url: str) -> None:
    """Trying again does not help a wrong login, and the message shows no password."""
    for url in (postgres_url, mariadb_url):
        wrong = sa.make_url(url).set(username="s3import_nobody", password=PASSWORD)
        with pytest.raises(DatabaseMisconfigured) as refusal:
            use(wrong.render_as_string(hide_password=False))
        assert PASSWORD not in str(refusal.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """SQLite makes files, not folders; the message says what to do."""
    with pytest.raises(DatabaseRefused, match="create the folder"):
        use(f"sqlite:///{tmp_path}/nowhere/test.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text file is not overwritten."""
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look at" * 20)
    with pytest.raises(DatabaseRefused):
        use(f"sqlite:///{tmp_path}/notes.txt")


def test_a_missing_table_names_the_remedy(bare_database_url: str) -> None:
    """Before `db init` there is nothing to write to."""
    database = open_database(bare_database_url)
    with pytest.raises(DatabaseRefused), database.begin() as connection:
        database.writer.load(connection, tables.threads, arrow(Entity.THREADS, [thread("1")]))
    database.close()


def test_postgres_loses_a_transaction_that_hangs(postgres_url: str) -> None:
    """A paused process does not keep its locks for long, and says who it is."""
    with open_database(postgres_url, application_name="me").read() as connection:
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in _POSTGRES_SETTINGS]
    assert shown == ["20s", "me", "read committed"]


_POSTGRES_SETTINGS = ("idle_in_transaction_session_timeout", "application_name", "transaction_isolation")


def test_mysql_loses_a_transaction_that_hangs(mariadb_url: str) -> None:
    """A paused process does not keep its locks for long; modes are strict whatever the server's default."""
    with open_database(mariadb_url).read() as connection:
        row = connection.exec_driver_sql("SELECT VERSION(), @@net_read_timeout, @@tx_isolation, @@sql_mode").one()
        idle = "idle_transaction_timeout" if "MariaDB" in row[0] else "wait_timeout"
        seconds = connection.exec_driver_sql(f"SELECT @@{idle}").scalar_one()
    assert (row[1], row[2], seconds) == (20, "READ-COMMITTED", 20)
    assert "STRICT_ALL_TABLES" in row[3]


def test_sqlite_survives_a_crash_of_the_machine(sqlite_url: str) -> None:
    """Journal, fsync and foreign keys are as the contract needs them."""
    with open_database(sqlite_url).read() as connection:
        shown = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in _SQLITE_SETTINGS]
    assert shown == ["wal", 2, 1]


_SQLITE_SETTINGS = ("journal_mode", "synchronous", "foreign_keys")


def test_sqlite_reads_while_it_writes(sqlite_url: str) -> None:
    """A status is there at once while a batch is being written."""
    database = open_database(sqlite_url)
    with database.begin() as writing, database.read() as reading:
        writing.execute(sa.delete(tables.threads))
        assert reading.execute(sa.select(tables.threads)).all() == []
    database.close()


def test_mysql_without_local_files_falls_back_to_inserts(mariadb_url: str) -> None:
    """Where LOAD DATA LOCAL is forbidden the rows arrive all the same."""
    database = open_database(f"{mariadb_url}&local_infile=0")
    create_account(database)
    assert put(database, Entity.THREADS, thread("1", subject="\\\t")).written == 1
    assert stored(database, Entity.THREADS, "subject") == ["\\\t"]
    database.close()


def test_mysql_names_the_setting_that_is_too_small(mariadb_url: str) -> None:
    """A row that the server could not give back is not sent."""
    database = open_database(mariadb_url)
    create_account(database)
    put(database, Entity.THREADS, thread("t"))
    with database.read() as connection:
        limit = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    with pytest.raises(DatabaseRefused, match="max_allowed_packet"):
        put(database, Entity.MESSAGES, message("1", body="x" * limit))
    database.close()


def test_postgres_refuses_a_column_of_another_type(bare_postgres_url: str) -> None:
    """Binary COPY would take the bytes as they are; they are never sent."""
    database = open_database(bare_postgres_url)
    tables.metadata.create_all(database.engine)
    create_account(database)
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE threads ALTER subject TYPE bytea USING NULL")
    with pytest.raises(SchemaMismatch, match=r"threads\.subject"):
        put(database, Entity.THREADS, thread("1"))
    database.close()


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_a_connection_that_broke_while_it_lay_idle_is_replaced(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """Whoever takes it from the pool next notices nothing."""
    monkeypatch.setattr(idle, "IDLE_SECONDS", 0.0)
    url = request.getfixturevalue(server)
    database = open_database(url)
    with database.read() as connection:
        pooled = connection.connection.dbapi_connection
    end_session(url)(pooled)
    with database.read() as connection:
        assert connection.execute(sa.select(sa.literal(1))).scalar() == 1
    database.close()


class DriverError(Exception):
    """Stands in for a driver's error: its module and its code are all that counts."""

    sqlstate: str | None = None


def _mysql(number: int) -> Exception:
    return _of_module("pymysql.err", number, "text with a secret")


def _postgres(state: str | None, text: str = "text with a secret") -> Exception:
    error = _of_module("psycopg.errors", text)
    error.sqlstate = state
    return error


def _of_module(module: str, *args: Any) -> DriverError:
    kind: type[DriverError] = type("DriverError", (DriverError,), {"__module__": module})
    return kind(*args)


@pytest.mark.parametrize("state", ["08006", "57P01", "57P03", "40001", "40P01", "53300", "25P03"])
def test_postgres_passing_failures_are_temporary(state: str) -> None:
    """Lost connections, restarts, deadlocks and full servers pass."""
    assert isinstance(translate(_postgres(state)), DatabaseUnavailable)


@pytest.mark.parametrize("number", [1205, 1213, 2006, 2013, 1040, 1927, 1305])
def test_mysql_passing_failures_are_temporary(number: int) -> None:
    """Lost connections, restarts, deadlocks and full servers pass."""
    assert isinstance(translate(_mysql(number)), DatabaseUnavailable)


@pytest.mark.parametrize(
    "error", [_postgres("23505"), _postgres("23503"), _mysql(1062), _mysql(1452)], ids=lambda error: str(error.args)
)
def test_broken_keys_are_conflicts(error: Exception) -> None:
    """A key that exists and a parent that does not are told apart from all else."""
    assert isinstance(translate(error), Conflict)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (_postgres("53100"), "free disk space"),
        (_postgres("42501"), "grant"),
        (_mysql(1114), "free disk space"),
        (_mysql(1142), "grant"),
        (_mysql(1153), "max_allowed_packet"),
    ],
)
def test_lasting_refusals_name_their_remedy(error: Exception, remedy: str) -> None:
    """What somebody has to change is in the message; the driver's text, which may quote a record, is not."""
    refusal = translate(error)
    assert isinstance(refusal, DatabaseRefused)
    assert remedy in str(refusal)
    assert "secret" not in str(refusal)


def test_other_errors_pass_untouched() -> None:
    """Only a database's errors are translated."""
    with pytest.raises(LookupError), translated():
        raise LookupError
    assert translate(OSError()) is None


def test_a_busy_file_is_temporary(bare_sqlite_url: str) -> None:
    """A file that another process holds will be free again."""
    path = bare_sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as holder:
        holder.execute("PRAGMA journal_mode = WAL")
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(S3ImportError) as failure, translated(), sqlite3.connect(path, timeout=0) as other:
            other.execute("BEGIN IMMEDIATE")
    assert isinstance(failure.value, DatabaseUnavailable)


def test_a_pool_that_is_empty_is_temporary() -> None:
    """Waiting for a connection has an end."""
    assert isinstance(translate(sa.exc.TimeoutError()), DatabaseUnavailable)


def test_databases_say_whether_they_take_two_writers() -> None:
    """Only SQLite has one writer at a time."""
    urls = ("postgresql://h/d", "mysql://h/d", "sqlite:///x.db")
    opened: list[Database] = [open_database(url) for url in urls]
    assert [database.dialect.concurrent_writers for database in opened] == [True, True, False]
