"""Tells the quick tests from those that need a real part: whoever asks for a database or a server is an integration
test.

A test that starts processes itself says so with ``pytestmark = pytest.mark.integration``.
"""

from __future__ import annotations

import pytest

DATABASES = {"database_url", "postgres_url", "mariadb_url", "sqlite_url"}
REAL_PARTS = {*DATABASES, *(f"bare_{name}" for name in DATABASES), "sqlite_file", "s3", "bucket", "aws"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make unit` leaves out."""
    for item in items:
        if REAL_PARTS & _asked_for(item):
            item.add_marker(pytest.mark.integration)


def _asked_for(item: pytest.Item) -> set[str]:
    """The names of the test's fixtures, and the parameters by which a fixture chooses another one."""
    chosen = getattr(item, "callspec", None)
    parameters = chosen.params.values() if chosen else ()
    return {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
