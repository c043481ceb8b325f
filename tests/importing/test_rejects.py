"""Rejects can be looked at for as long as somebody likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.records import HALVES
from s3import.core.settings import Settings
from s3import.operations.composition import opened
from s3import.reporting.pages import RejectSelection
from tests.importing.dumps import ACCOUNT, simple_dump, write
from tests.importing.moving import migrate, settings_for

pytestmark = pytest.mark.integration


def test_nobody_waits_in_a_transaction_while_rejects_are_shown(database_url: str, tmp_path: Path) -> None:
    """A pager may stand open for an hour: no connection is held meanwhile, and all are shown in the end."""
    lines = b"".join(b'{"id": "x%d", "account_id": "acme"}\n' % number for number in range(5))
    write({**simple_dump(), "recent/messages/broken.jsonl": lines}, tmp_path)
    settings = settings_for(tmp_path, database_url)
    migrate(settings, passes=HALVES[:1])
    shown = []
    with opened(settings) as operations:
        for reject in operations.each_reject(ACCOUNT, RejectSelection(HALVES), at_once=2):
            shown.append(reject["line"])
            assert operations.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert shown == [1, 2, 3, 4, 5]


def test_settings_know_how_long_a_statement_may_take() -> None:
    """S3IMPORT_DATABASE_SECONDS is a setting like the others."""
    assert Settings.from_environment({"S3IMPORT_DATABASE_SECONDS": "90"}).database_seconds == 90
