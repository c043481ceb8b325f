"""Fixtures of the page's tests: a browser's side of the application over a real database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from s3import.operations.operations import Operations
from s3import.server.api.application import create_app
from tests.server.api.services import TOKEN, open_service

OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def service(sqlite_url: str) -> Iterator[Operations]:
    """A service over an SQLite file."""
    opened = open_service(sqlite_url)
    yield opened
    opened.database.close()


@pytest.fixture
def stranger(service: Operations) -> Iterator[TestClient]:
    """A browser that is not logged in."""
    with TestClient(create_app(service, tokens=[TOKEN]), headers=OURS, follow_redirects=False) as opened:
        yield opened


@pytest.fixture
def viewer(stranger: TestClient) -> TestClient:
    """A browser that is logged in."""
    answer = stranger.post("/ui/login", data={"token": TOKEN})
    assert answer.status_code == 303
    return stranger
