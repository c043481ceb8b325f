"""A scratch database of each kind, filled by s3import or by the database's own tool from ready-made files.

The files are exported from tables that s3import filled, so both load the same rows. A scratch database is dropped when
its ``with`` block ends.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import SplitResult, unquote, urlsplit

from benchmarks.clock import S3IMPORT, Command, Timing, one_after_the_other, run
from s3import.core.tables import TARGETS, metadata

PARENTS = ("accounts", "brands", "channels")
ENTITIES = tuple(table.name for table in TARGETS.values())
NAME = f"s3import_bench_{os.getpid()}"
FORGET = (
    "DELETE FROM import_rejects",
    "DELETE FROM import_parts",
    "DELETE FROM import_runs",
    "UPDATE accounts SET status = 'migrating'",
)
"""Makes s3import believe that nothing was imported yet, while the rows stay."""


class Scratch(Protocol):
    """What the benchmark needs of a database."""

    @property
    def tool(self) -> str: ...

    @property
    def url(self) -> str: ...

    def recreate(self) -> None:
        """Make it empty, with all tables and keys, as quiet as it gets."""
        ...

    def export(self, folder: Path) -> None:
        """Write what the tables hold as files that `load` reads."""
        ...

    def load(self, folder: Path) -> Timing:
        """Fill the empty tables of the entities from the files, in one connection; parents are there at no charge."""
        ...

    def execute(self, statements: Sequence[str]) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def create_tables(url: str) -> None:
    run((S3IMPORT, "db", "init", "--database", url))


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database of its own on the server of `server`, a URL."""

    server: str
    tool: str = "psql \\copy"

    @property
    def url(self) -> str:
        return urlsplit(self.server)._replace(path=f"/{NAME}").geturl()

    def recreate(self) -> None:
        self._administer(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)", f"CREATE DATABASE {NAME}")
        create_tables(self.url)
        self._administer("CHECKPOINT")

    def export(self, folder: Path) -> None:
        for table in (*PARENTS, *ENTITIES):
            run(self._psql(rf"\copy {table} TO '{folder / table}.csv' (FORMAT csv)"))
        for table in ENTITIES:
            for half in range(2):
                rows = f"SELECT * FROM {table} WHERE abs(hashtext(id)) % 2 = {half}"
                run(self._psql(rf"\copy ({rows}) TO '{folder / table}-{half}.csv' (FORMAT csv)"))

    def load(self, folder: Path) -> Timing:
        self._load_parents(folder)
        return run(self._psql(*(self._copy(table, folder / f"{table}.csv") for table in ENTITIES)))

    def load_by_two(self, folder: Path) -> Timing:
        """As `load`, in two connections at a time, each with half of a table's rows."""
        self._load_parents(folder)
        return one_after_the_other(*(lambda table=table: self._load_halves(folder, table) for table in ENTITIES))

    def execute(self, statements: Sequence[str]) -> None:
        run(self._psql(*statements))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._administer(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")

    def _load_parents(self, folder: Path) -> None:
        run(self._psql(*(self._copy(table, folder / f"{table}.csv") for table in PARENTS)))

    def _load_halves(self, folder: Path, table: str) -> Timing:
        return run(*(self._psql(self._copy(table, folder / f"{table}-{half}.csv")) for half in range(2)))

    def _copy(self, table: str, path: Path) -> str:
        return rf"\copy {table} FROM '{path}' (FORMAT csv)"

    def _psql(self, *statements: str) -> Command:
        return _psql(self.url, statements)

    def _administer(self, *statements: str) -> None:
        run(_psql(urlsplit(self.server)._replace(path="/postgres").geturl(), statements))


def _psql(url: str, statements: Sequence[str]) -> Command:
    options = [word for statement in statements for word in ("-c", statement)]
    return (shutil.which("psql") or "psql", url, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *options)


@dataclass(frozen=True, slots=True)
class MariaDB:
    """A database of its own on the server of `server`, a URL; works for MySQL too."""

    server: str
    tool: str = "LOAD DATA LOCAL INFILE"

    @property
    def url(self) -> str:
        return urlsplit(self.server)._replace(path=f"/{NAME}").geturl()

    def recreate(self) -> None:
        run(self._mysql(f"DROP DATABASE IF EXISTS {NAME}; CREATE DATABASE {NAME}", database=""))
        create_tables(self.url)

    def export(self, folder: Path) -> None:
        for table in (*PARENTS, *ENTITIES):
            columns = ", '\\t', ".join(_as_text(column.name) for column in metadata.tables[table].columns)
            with (folder / f"{table}.tsv").open("wb") as file:
                rows = ("--batch", "--raw", "--quick", "--skip-column-names")
                # By its primary key, as InnoDB would give them, they would load faster than any dump's rows can.
                query = f"SELECT concat({columns}) FROM {table} ORDER BY sha1(id)"
                subprocess.run(self._mysql(query, *rows), stdout=file, check=True)

    def load(self, folder: Path) -> Timing:
        for table in PARENTS:
            run(self._load_data(table, folder))
        return run(self._mysql("; ".join(self._statement(table, folder) for table in ENTITIES), "--local-infile=1"))

    def execute(self, statements: Sequence[str]) -> None:
        run(self._mysql("; ".join(statements)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        run(self._mysql(f"DROP DATABASE IF EXISTS {NAME}", database=""))

    def _load_data(self, table: str, folder: Path) -> Command:
        return self._mysql(self._statement(table, folder), "--local-infile=1")

    def _statement(self, table: str, folder: Path) -> str:
        return f"LOAD DATA LOCAL INFILE '{folder / table}.tsv' INTO TABLE {table} CHARACTER SET utf8mb4"

    def _mysql(self, statement: str, *options: str, database: str = NAME) -> Command:
        server = urlsplit(self.server)
        client = shutil.which("mariadb") or shutil.which("mysql") or "mysql"
        named = [database] if database else []
        return (client, *_login(server), "--default-character-set=utf8mb4", *options, *named, "-e", statement)


def _login(server: SplitResult) -> list[str]:
    login = [
        f"--host={server.hostname}",
        f"--port={server.port or 3306}",
        f"--user={unquote(server.username or 'root')}",
    ]
    return [*login, f"--password={unquote(server.password)}"] if server.password else login


def _as_text(column: str) -> str:
    """The column as LOAD DATA wants to read it, made by the server."""
    text = f"convert(`{column}` using utf8mb4) collate utf8mb4_bin"
    for character, escaped in (("\\\\", "\\\\\\\\"), ("\\t", "\\\\t"), ("\\n", "\\\\n")):
        text = f"replace({text}, '{character}', '{escaped}')"
    return f"ifnull({text}, '\\\\N')"


@dataclass(frozen=True, slots=True)
class SQLite:
    """A file in `folder`."""

    folder: Path
    tool: str = "sqlite3 .import"

    @property
    def path(self) -> Path:
        return self.folder / f"{NAME}.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def recreate(self) -> None:
        self._remove()
        create_tables(self.url)

    def export(self, folder: Path) -> None:
        for table in (*PARENTS, *ENTITIES):
            with (folder / f"{table}.csv").open("wb") as file:
                subprocess.run(self._sqlite3("-csv", f"SELECT * FROM {table}"), stdout=file, check=True)

    def load(self, folder: Path) -> Timing:
        run(self._sqlite3(*(self._import(table, folder) for table in PARENTS)))
        return run(self._sqlite3(*(self._import(table, folder) for table in ENTITIES)))

    def execute(self, statements: Sequence[str]) -> None:
        connection = sqlite3.connect(self.path)
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).unlink()

    def _import(self, table: str, folder: Path) -> str:
        return f".import --csv '{folder / table}.csv' {table}"

    def _sqlite3(self, *arguments: str) -> Command:
        return (shutil.which("sqlite3") or "sqlite3", "-bail", self.path, *arguments)
