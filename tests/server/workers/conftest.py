"""What tests of fleets start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.settings import Settings
from tests.importing.dumps import write
from tests.importing.moving import settings_for
from tests.server.workers.fleets import spread_dump


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """Settings for a dump of many parts in the test's folder and an SQLite database."""
    return prepared(tmp_path, sqlite_url)


def prepared(folder: Path, database_url: str) -> Settings:
    """A dump in the folder, and leases that do not end by themselves during a test."""
    write(spread_dump(), folder)
    return settings_for(folder, database_url, lease_seconds=60.0)
