"""A validation foretells what an import does, whatever the dump holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from s3import.core.records import HALVES
from tests import commands as app
from tests.importing.dumps import ACCOUNT, seeded_dump
from tests.importing.moving import migrate, settings_for
from tests.operations.validate.validating import Found, rejects, validated, words

FILE_CODES = {"file_missing", "file_differs"}


@pytest.mark.parametrize("seed", range(12))
def test_what_is_rejected_is_what_an_import_rejects(seed: int, sqlite_url: str, tmp_path: Path) -> None:
    """The same records, for the same reasons, as by an import with files into an empty database. Of files an import
    only copies those of the newest versions; a validation looks for all of them."""
    report = validated(seeded_dump(seed, threads=8), tmp_path)
    settings = settings_for(tmp_path, sqlite_url, files_to=str(tmp_path / "files"))
    passes = migrate(settings).document["passes"]
    files_found, found = _divided(rejects(report))
    files_kept, kept = _divided(map(words, app.rejects(settings, ACCOUNT, HALVES)))
    assert found == kept
    assert files_found >= files_kept
    for name, shown in report.document()["passes"].items():
        for entity, count in shown["counts"].items():
            assert (count["read"], count["rejected"]) == _numbers(passes[name]["counts"][entity])
        for also in ("ignored_fields", "skipped_objects"):
            assert shown[also] == passes[name][also]


def _divided(found: Iterable[Found]) -> tuple[set[Found], set[Found]]:
    """What concerns files, and all else."""
    every = set(found)
    files = {one for one in every if {code for code, _ in one[-1]} & FILE_CODES}
    return files, every - files


def _numbers(count: dict[str, Any]) -> tuple[int, int]:
    return count["read"], count["rejected"]
