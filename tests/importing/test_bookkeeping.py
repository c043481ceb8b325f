"""Bookkeeping goes in pages, however much there is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core import tables
from s3import.importing import bookkeeping
from s3import.importing.bookkeeping import remove_bookkeeping
from tests import commands as app
from tests.importing.dumps import lines, simple_dump, write
from tests.importing.moving import execute, migrate, settings_for

pytestmark = pytest.mark.integration

PAGE = 3
KEPT = (tables.import_rejects, tables.import_parts, tables.import_tombstones, tables.import_events)


def test_bookkeeping_goes_in_pages(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction removes more than a page of it, and none of another account's."""
    monkeypatch.setattr(bookkeeping, "PAGE_ROWS", PAGE)
    settings = settings_for(tmp_path, database_url)
    wrong = {f"recent/messages/part-{number}.jsonl": lines([{"id": "wrong"}] * 4) for number in range(1, 4)}
    for account in ("acme", "other"):
        write({**simple_dump(8, account), **wrong}, tmp_path, account)
        migrate(settings, account)
    execute(settings, sa.delete(tables.threads))
    with closing(app.connect(settings)) as database:
        before = {account: _kept(database.read, account) for account in ("acme", "other")}
        with database.read() as connection:
            run_ids = list(connection.scalars(sa.select(tables.import_runs.c.run_id).filter_by(account_id="acme")))

        def do(work: Callable[[Connection], int]) -> int:
            with database.begin() as connection:
                return work(connection)

        pages = list(remove_bookkeeping(do, "acme", run_ids))
        assert (max(pages), sum(pages)) == (PAGE, before["acme"])
        assert (_kept(database.read, "acme"), _kept(database.read, "other")) == (0, before["other"])


def _kept(read: Callable[[], object], account: str) -> int:
    """How many rows of bookkeeping an account has."""
    with read() as connection:  # type: ignore[attr-defined]
        counts = [
            connection.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.account_id == account))
            for table in KEPT
        ]
    return sum(counts)
