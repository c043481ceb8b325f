"""Rejects can be looked at for as long as somebody likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.records import HALVES
from s3import.core.settings import Settings
from s3import.operations import composition as app
from s3import.writers import Database
from tests.importing.dumps import ACCOUNT, simple_dump, write
from tests.importing.moving import migrate, settings_for

pytestmark = pytest.mark.integration


def test_nobody_waits_in_a_transaction_while_rejects_are_shown(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pager may stand open for an hour: no connection is held meanwhile, and all are shown in the end."""
    lines = b"".join(b'{"id": "x%d", "account_id": "acme"}\n' % number for number in range(5))
    write({**simple_dump(), "recent/messages/broken.jsonl": lines}, tmp_path)
    settings = settings_for(tmp_path, database_url)
    migrate(settings, passes=HALVES[:1])
    opened: list[Database] = []
    monkeypatch.setattr(app, "REJECTS_AT_ONCE", 2)
    monkeypatch.setattr(app, "connect", lambda settings, connect=app.connect: _remember(connect(settings), opened))
    shown = []
    for reject in app.rejects(settings, ACCOUNT, HALVES):
        shown.append(reject["line"])
        assert opened[0].engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert shown == [1, 2, 3, 4, 5]


def _remember(database: Database, opened: list[Database]) -> Database:
    opened.append(database)
    return database


def test_settings_know_how_long_a_statement_may_take() -> None:
    """S3IMPORT_DATABASE_SECONDS is a setting like the others."""
    assert Settings.from_environment({"S3IMPORT_DATABASE_SECONDS": "90"}).database_seconds == 90
