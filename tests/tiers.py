"""Tells the quick tests from those that need a real part: whoever asks for a database or a server is an integration
test.

A test that starts processes itself, reads the whole program or makes dumps of megabytes says so with
``pytestmark = pytest.mark.integration``. A module that says so is not even imported for the quick tests.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATABASES = {"database_url", "postgres_url", "mariadb_url", "sqlite_url"}
REAL_PARTS = {*DATABASES, *(f"bare_{name}" for name in DATABASES), "sqlite_file", "s3", "bucket", "aws", "receiver"}


QUICK = "not integration"
_WITHOUT_QUICK_TESTS = "\npytestmark = pytest.mark.integration\n"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes a core: tests wait for databases and processes; but quick ones only compute."""
    cores = os.cpu_count() or 1
    return cores if config.option.markexpr == QUICK else 2 * cores


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what has no quick tests, where only they are asked for."""
    if config.option.markexpr != QUICK or collection_path.suffix != ".py":
        return None
    return _WITHOUT_QUICK_TESTS in collection_path.read_text() or None


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
