"""A small dump for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Dump


@pytest.fixture
def dump(tmp_path: Path) -> Dump:
    """A dump of account `acme`, both passes, nothing wrong with it."""
    dump = Dump(tmp_path / "dumps")
    dump.fill()
    return dump
