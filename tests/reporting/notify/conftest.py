"""Databases with all tables, and receivers of notices on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from s3import.writers import Database, open_database
from tests.reporting.notify.receiver import Receiver


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with all tables, of each kind in turn."""
    yield from _opened(database_url)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """The quickest database with all tables, for what does not depend on its kind."""
    yield from _opened(sqlite_url)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A server for notices, reached without any proxy of this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Receiver() as started:
        yield started


def _opened(url: str) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.close()
