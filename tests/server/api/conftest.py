"""Fixtures of the API's tests: the application over a real database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from s3import.operations.operations import Operations
from s3import.server.api.application import create_app
from tests.server.api.services import TOKEN, open_service


@pytest.fixture
def service(sqlite_url: str) -> Iterator[Operations]:
    """A service over an SQLite file."""
    opened = open_service(sqlite_url)
    yield opened
    opened.database.close()


@pytest.fixture
def each_service(database_url: str) -> Iterator[Operations]:
    """A service over each kind of database in turn."""
    opened = open_service(database_url)
    yield opened
    opened.database.close()


@pytest.fixture
def client(service: Operations) -> Iterator[TestClient]:
    """A client with a right token."""
    with TestClient(create_app(service, tokens=["another-token", TOKEN]), headers=bearer(TOKEN)) as opened:
        yield opened


@pytest.fixture
def each_client(each_service: Operations) -> Iterator[TestClient]:
    """As `client`, over each kind of database in turn."""
    with TestClient(create_app(each_service, tokens=[TOKEN]), headers=bearer(TOKEN)) as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
