"""The databases that the contract suite of writers runs on: three kinds, and MySQL without LOAD DATA LOCAL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from s3import.writers import Database, Writer, open_database
from tests.writers.rows import create_account

KINDS = {
    "postgresql": "postgres_url",
    "mariadb": "mariadb_url",
    "mariadb-inserts": "mariadb_url",
    "sqlite": "sqlite_url",
}
ON_SERVERS = pytest.mark.parametrize("database", [kind for kind in KINDS if kind != "sqlite"], indirect=True)
"""For what SQLite does not have: limits of its columns, and two connections that write at once."""


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with all tables and one account, of each kind in turn."""
    opened = open_database(request.getfixturevalue(KINDS[request.param]), pool_size=2)
    if request.param == "mariadb-inserts":
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
        if "database" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)
