"""The databases that the contract suite of writers runs on: three kinds, and MySQL without LOAD DATA LOCAL. Where
several connections write, also PostgreSQL that checks its keys row by row."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from s3import.core.settings import Keys
from s3import.writers import Database, Writer, open_database
from tests.writers.rows import create_account

KINDS = {
    "postgresql": "postgres_url",
    "mariadb": "mariadb_url",
    "mariadb-inserts": "mariadb_url",
    "sqlite": "sqlite_url",
}
SHARED = {"postgresql": "postgres_url", "postgresql-rows": "postgres_url", "mariadb": "mariadb_url"}


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with all tables and one account, of each kind in turn."""
    with _opened(request.param, request.getfixturevalue(KINDS[request.param])) as database:
        yield database


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The same, of each kind in which two connections can write at once."""
    with _opened(request.param, request.getfixturevalue(SHARED[request.param])) as database:
        yield database


@contextmanager
def _opened(kind: str, url: str) -> Iterator[Database]:
    opened = open_database(url, pool_size=2, keys=Keys.ROWS if kind == "postgresql-rows" else Keys.AUTO)
    if kind == "mariadb-inserts":
        opened = dataclasses.replace(opened, writer=_without_local_files())
    create_account(opened)
    yield opened
    opened.close()


def _without_local_files() -> Writer:
    from s3import.writers.mysql import MysqlWriter

    writer: Any = MysqlWriter(local_infile=False)
    return writer  # type: ignore[no-any-return]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Servers are looked up by name here, where the tiers cannot see it."""
    for item in items:
        if {"database", "shared"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
