"""Whatever a server, a database, a role or the environment sets for sessions, rows arrive and are found as they are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import ConfigurationError, SchemaTooNew
from s3import.core.records import Entity
from s3import.writers import Database, open_database, schema
from s3import.writers.schema import VERSION_TABLE
from tests.importing.dumps import deletion, lines, simple_dump, write
from tests.importing.moving import code_of, migrate, settings_for
from tests.operations.verify.verifying import verify
from tests.writers.rows import NOON, create_account, put, stored, thread

pytestmark = pytest.mark.integration

LETTERS = "Grüße, naïve café 😀"
ODD = {
    "client_encoding": "LATIN1",
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "iso_8601",
    "TimeZone": "'Asia/Kathmandu'",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
}


def make(server: sa.URL, how: str = "") -> str:
    """A new database of PostgreSQL; its URL."""
    name = f"s3import_test_{uuid.uuid4().hex[:12]}"
    execute(server, f"CREATE DATABASE {name} {how}")
    return server.set(database=name).render_as_string(hide_password=False)


def execute(server: sa.URL | str, *statements: str) -> None:
    """What an administrator does."""
    with closing(sa.create_engine(sa.make_url(server).set(drivername="postgresql+psycopg")).connect()) as connection:
        outside = connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            outside.exec_driver_sql(statement)


@pytest.fixture
def own_database(request: pytest.FixtureRequest, postgres_database: sa.URL) -> Iterator[str]:
    """The URL of a database of PostgreSQL that nobody else uses."""
    url = make(postgres_database, getattr(request, "param", ""))
    yield url
    execute(postgres_database, f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")


def in_and_out(database: Database) -> None:
    """Write a row with letters and times, and look at it in both ways."""
    create_account(database)
    put(database, Entity.THREADS, thread("ü", subject=LETTERS, updated_at=NOON), thread("\\'"))
    assert stored(database, Entity.THREADS, "id", "subject", "updated_at") == [
        ("\\'", None, None),
        ("ü", LETTERS, NOON),
    ]
    with database.look() as connection:
        found = connection.execute(sa.select(tables.threads.c.subject, tables.threads.c.updated_at)).all()
    assert (LETTERS, NOON) in [tuple(row) for row in found]


@pytest.mark.parametrize("at", ["database", "url", "environment"])
def test_what_postgresql_is_told_to_do_for_sessions_does_not_matter(
    own_database: str, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Encodings, spellings of times and numbers, and modes of transactions."""
    name = sa.make_url(own_database).database
    if at == "database":
        execute(own_database, *(f"ALTER DATABASE {name} SET {key} = {value}" for key, value in ODD.items()))
    if at == "environment":
        for key, value in {"ENCODING": "LATIN1", "DATESTYLE": "German", "TZ": "Asia/Kathmandu"}.items():
            monkeypatch.setenv(f"PG{key}" if key == "DATESTYLE" else f"PGCLIENT{key}", value)
    url = f"{own_database}?client_encoding=latin1" if at == "url" else own_database
    with closing(open_database(url)) as database:
        with database.begin() as connection:
            schema.require(connection)
            schema.require(connection)
        in_and_out(database)
    with closing(sa.create_engine(own_database.replace("postgresql", "postgresql+psycopg")).connect()) as connection:
        octets = "SELECT encode(convert_to(subject, 'UTF8'), 'hex') FROM threads WHERE subject IS NOT NULL"
        assert bytes.fromhex(connection.exec_driver_sql(octets).scalar_one()).decode() == LETTERS


def test_sessions_that_only_read_by_default_verify_what_a_dump_deletes(own_database: str, tmp_path: Path) -> None:
    """The ids of what may be gone are looked up with the help of temporary tables, which count as writing."""
    name = sa.make_url(own_database).database
    execute(own_database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    write({**simple_dump(), "recent/deletions/a.jsonl": lines([deletion(Entity.MESSAGES, "recent-m1")])}, tmp_path)
    settings = settings_for(tmp_path, own_database)
    assert code_of(migrate(settings)) is None
    assert verify(settings).findings.difference_count == 0


@pytest.mark.parametrize(
    "own_database",
    [f"TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '{encoding}'" for encoding in ("LATIN1", "SQL_ASCII")],
    indirect=True,
)
def test_a_database_that_is_not_utf8_is_refused(own_database: str) -> None:
    """One sentence, before anything is made or compared."""
    with closing(open_database(own_database)) as database:
        for way in (database.begin, database.read, database.look):
            with pytest.raises(ConfigurationError, match="ENCODING 'UTF8'"), way():
                pass


def test_tables_are_found_where_they_are(own_database: str) -> None:
    """A schema of the user's own that stands first in the search path holds none of them."""
    user, name = sa.make_url(own_database).username, sa.make_url(own_database).database
    with closing(open_database(own_database)) as database, database.begin() as connection:
        schema.upgrade(connection)
    execute(own_database, f'CREATE SCHEMA "{user}"', "CREATE SCHEMA app")
    execute(own_database, f'ALTER DATABASE {name} SET search_path = app, "$user", public')
    with closing(open_database(own_database)) as database:
        with database.begin() as connection:
            schema.require(connection)
            connection.exec_driver_sql("DROP TRIGGER import_deletions_of_threads ON threads")
            schema.upgrade(connection)
            schema.require(connection)
            where = (
                "SELECT DISTINCT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'import_remember%%'"
            )
            assert connection.exec_driver_sql(where).scalars().all() == ["public"]
        in_and_out(database)


def test_an_odd_session_of_mysql_does_not_matter(bare_mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes, times, and the guards of careful people, as `init_connect` would set them."""
    from s3import.writers import mysql

    odd = (
        "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT', time_zone = '+05:45',"
        " sql_safe_updates = 1, sql_select_limit = 1, sql_auto_is_null = 1, NAMES latin1;"
    )
    connect = mysql._Connection.connect

    def connect_oddly(self: mysql._Connection, *args: object) -> None:
        init_command, self.init_command = self.init_command, None
        connect(self, *args)
        for statement in (odd.replace(", NAMES latin1;", ""), "SET NAMES latin1", init_command):
            self.query(statement)
        self.set_character_set("utf8mb4")

    monkeypatch.setattr(mysql._Connection, "connect", connect_oddly)
    with closing(open_database(bare_mariadb_url)) as database:
        with database.begin() as connection:
            schema.require(connection)
        in_and_out(database)


@pytest.mark.parametrize("option", ["ssl_disabled=false", "connect_timeout=5", "charset=latin1"])
def test_options_of_mysql_mean_what_they_say(mariadb_url: str, option: str) -> None:
    """Among them a character set that s3import does not use."""
    plain = sa.make_url(mariadb_url).set(query={}).render_as_string(hide_password=False)
    with closing(open_database(f"{plain}?{option}")) as database:
        in_and_out(database)


def test_newer_tables_are_refused(database_url: str) -> None:
    """By `db init`, too: it makes nothing older."""
    newer, older = (f"UPDATE {VERSION_TABLE} SET version_num = '{name}'" for name in ("9999", schema.HEAD))
    with closing(open_database(database_url)) as database:
        with database.begin() as connection:
            connection.exec_driver_sql(newer)
        try:
            for look in (schema.require, schema.upgrade):
                with pytest.raises(SchemaTooNew, match="install a newer s3import"), database.begin() as connection:
                    look(connection)
        finally:
            with database.begin() as connection:
                connection.exec_driver_sql(older)


def test_a_table_without_a_key_is_nowhere(bare_mariadb_url: str, tmp_path: Path) -> None:
    """Some servers take none, temporary ones included: both passes, one of which replaces rows."""
    write(simple_dump(), tmp_path)
    settings = settings_for(tmp_path, f"{bare_mariadb_url}")
    assert code_of(migrate(settings)) is None
    keyless = (
        "SELECT table_name FROM information_schema.tables t WHERE table_schema = DATABASE() AND NOT EXISTS (SELECT 1"
        " FROM information_schema.table_constraints c WHERE c.table_schema = t.table_schema"
        " AND c.table_name = t.table_name AND constraint_type = 'PRIMARY KEY')"
    )
    with closing(open_database(bare_mariadb_url)) as database, database.read() as connection:
        assert connection.exec_driver_sql(keyless).all() == []
