"""What the page costs those who do not look at it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.importing.dumps import ACCOUNT, simple_dump, write

PAGE = {"jinja2", "itsdangerous", "starlette", "fastapi", "s3import.server.page"}
RUN = """
import sys
from s3import.cli import run
status = run(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""


def _imported(*arguments: str) -> set[str]:
    """The modules that a command has imported at its end; it must succeed."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.integration
def test_a_migration_imports_none_of_the_page(tmp_path: Path, sqlite_url: str) -> None:
    source = str(write(simple_dump(), tmp_path).parent / "{account}")
    imported = _imported("migrate", "--account", ACCOUNT, "--source", source, "--database", sqlite_url)
    assert "s3import.importing.importer" in imported  # it did import
    assert not PAGE & imported


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]])
def test_help_imports_none_of_the_page(arguments: list[str]) -> None:
    imported = _imported(*arguments)
    assert "s3import.cli" in imported
    assert not PAGE & imported
