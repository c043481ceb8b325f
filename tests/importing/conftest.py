"""What most tests of migrations start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.settings import Settings
from tests.importing.moving import settings_for


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """Settings for the folder of the test and an empty SQLite database."""
    return settings_for(tmp_path, sqlite_url)
