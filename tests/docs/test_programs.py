"""The `s3import` that pages call here is the installed one, but for the time it takes to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import environment
from tests.docs.programs import forked_programs

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "words", [["--version"], ["status", "--account", "acme"], ["nonsense"], ["schema", "thread"]], ids=" ".join
)
def test_a_forked_program_is_like_the_installed_one(words: list[str], tmp_path: Path) -> None:
    """In what it prints and how it ends, with the caller's environment and folder."""

    def ended(folder: Path) -> tuple[int, str, str]:
        variables = environment(S3IMPORT_DATABASE="sqlite:///none.db", COLUMNS="60")
        done = subprocess.run(
            [folder / "s3import", *words], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    with forked_programs(tmp_path) as forked:
        assert ended(forked) == ended(Path(sys.executable).parent)
