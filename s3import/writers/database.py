"""A database by its URL: the engine, the writer, and what is different about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from s3import.core.errors import ConfigurationError, Conflict, printable
from s3import.core.settings import Keys
from s3import.writers import keys_of_others
from s3import.writers.translation import translated
from s3import.writers.url import parse_url
from s3import.writers.writer import READ_ONLY, SILENCE, STATEMENT_SECONDS, Writer

BRIEF_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is different about a kind of database.

    `module`: where its writer is; `schemes`: what its URLs may start with; `concurrent_writers`: whether two
    connections can write at the same time; `independent_inserts`: whether those that insert different rows never wait
    for each other; `looking`: the isolation level at which a single statement costs least, None for the engine's own;
    `in_process`: whether it works in this process, and under its locks.
    """

    name: str
    module: str
    schemes: tuple[str, ...]
    concurrent_writers: bool = True
    independent_inserts: bool = False
    looking: str | None = None
    in_process: bool = False


_DIALECTS = (
    Dialect(
        "postgresql",
        "s3import.writers.postgres",
        ("postgresql", "postgres", "postgresql+psycopg"),
        independent_inserts=True,
        looking="AUTOCOMMIT",
    ),
    Dialect("mysql", "s3import.writers.mysql", ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")),
    Dialect(
        "sqlite", "s3import.writers.sqlite", ("sqlite", "sqlite+pysqlite"), concurrent_writers=False, in_process=True
    ),
)
_BY_SCHEME = {scheme: dialect for dialect in _DIALECTS for scheme in dialect.schemes}


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. Connections are made when they are needed, so the first use may be the one that fails."""

    engine: sa.Engine
    writer: Writer
    dialect: Dialect
    application_name: str
    silence_seconds: float = STATEMENT_SECONDS

    def evict(self, connection: sa.Connection, application_name: str) -> None:
        """End what a process of that name left open, so that its locks are in nobody's way: it may be dead or paused.

        Where the database does not know its clients by name it ends their transactions by itself, after seconds.
        """
        self.writer.evict(connection, application_name)

    def require_name(self) -> None:
        """Raises: ConfigurationError, where the URL names a server and no database on it."""
        if self.dialect.name == "mysql" and not self.engine.url.database:
            raise ConfigurationError(
                "the database URL names no database; it looks like mysql://user:password@host/name"
            )

    @property
    def is_there(self) -> bool:
        """False for a file that does not exist yet: the first connection would make it."""
        return not self.dialect.in_process or Path(self.engine.url.database or "").exists()

    @contextmanager
    def begin(self, *, silence_seconds: float | None = None) -> Iterator[sa.Connection]:
        """A transaction that commits at the end of the block and rolls back on any error.

        A statement that gets no answer within `silence_seconds` (None: what the database was opened with) fails.
        Raises: Conflict, DatabaseUnavailable, DatabaseRefused, ConfigurationError (the URL, or a login).
        """
        with self._connect(silence_seconds) as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self, *, silence_seconds: float | None = None) -> Iterator[sa.Connection]:
        """A transaction that only reads and never waits for those that write. Raises: as `begin`."""
        with self._connect(silence_seconds) as connection:
            yield connection.execution_options(**{READ_ONLY: True})

    @contextmanager
    def look(self) -> Iterator[sa.Connection]:
        """A connection for a few small reads that need no transaction around them, and a quick answer."""
        level = {"isolation_level": self.dialect.looking} if self.dialect.looking else {}
        with self.read(silence_seconds=BRIEF_SECONDS) as connection:
            yield connection.execution_options(**level)

    @contextmanager
    def _connect(self, silence_seconds: float | None) -> Iterator[sa.Connection]:
        with translated(), self.engine.connect() as connection:
            limit = min(silence_seconds or self.silence_seconds, self.silence_seconds)
            yield connection.execution_options(**{SILENCE: limit})

    def require_own_key(self, conflict: Conflict) -> None:
        """Look whether the key that is broken is one of s3import's, so that trying again may help.

        Raises: DatabaseRefused, naming one that is not; DatabaseUnavailable.
        """
        if conflict.key is not None:
            with self.read() as connection:
                refusal = keys_of_others.refusal(connection, conflict.key)
            if refusal is not None:
                raise refusal from conflict

    def close(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()


def open_database(
    url: str,
    *,
    application_name: str = "s3import",
    pool_size: int = 5,
    silence_seconds: float = STATEMENT_SECONDS,
    keys: Keys = Keys.AUTO,
) -> Database:
    """The database at `url`; no connection is made yet. `pool_size` is the number of connections kept open.

    A statement fails that gets no answer within `silence_seconds`: the server ends it, and this process does where the
    server says nothing at all.
    `keys`: how foreign keys are checked while rows go in.
    Raises: ConfigurationError for a URL that names no database s3import can write to, and for keys that it cannot check
    so; never shows a password.
    """
    parsed = parse_url(url)
    dialect = _BY_SCHEME.get(parsed.drivername.lower())
    if dialect is None:
        known = ", ".join(known.schemes[0] for known in _DIALECTS)
        scheme = printable(parsed.drivername)[:32]
        raise ConfigurationError(f"cannot write to a database of kind {scheme!r}; use one of: {known}")
    module: Any = import_module(dialect.module)
    engine = module.make_engine(parsed.set(drivername=module.DRIVER), application_name, pool_size, silence_seconds)
    return Database(engine, module.make_writer(keys), dialect, application_name, silence_seconds)
