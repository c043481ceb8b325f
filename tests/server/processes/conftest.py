"""What tests of the service start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3import.core.settings import Settings
from tests.importing.dumps import write
from tests.importing.moving import settings_for
from tests.server.processes.processes import Processes, processes
from tests.server.workers.fleets import spread_dump


@pytest.fixture
def started() -> Iterator[Processes]:
    """Processes that do not outlive the test."""
    with processes() as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """A dump in the test's folder, each kind of database in turn, and leases that end soon."""
    return served_settings(tmp_path, database_url)


def served_settings(folder: Path, database_url: str) -> Settings:
    """A dump in the folder, and leases that end soon."""
    write(spread_dump(), folder)
    return settings_for(folder, database_url, lease_seconds=1.5, heartbeat_seconds=0.3)
