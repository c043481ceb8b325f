"""Whatever happened to tables, their exports and windows give what they hold in the end."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import import app, tables
from s3import.migration import Request, Result
from s3import.records import HALVES, Pass
from s3import.settings import Settings
from tests.items.histories import (
    OURS,
    History,
    Rows,
    cut_at,
    histories,
    mapping_text,
    rows_of,
    write_base,
    write_windows,
)

pytestmark = pytest.mark.integration

ROUNDS = int(os.environ.get("S3IMPORT_TEST_HISTORIES", "6"))
TEXTS = {"threads": tables.threads.c.subject, "messages": tables.messages.c.body}
TEXTS["attachments"] = tables.attachments.c.content_type


def check(history: History, step: int, database: str) -> None:
    """Import everything for both accounts, the windows in two deltas, and compare after each."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for account in OURS:
            document = {"id": account, "brands": [{"id": "b1"}], "channels": [{"id": "c1", "brand_id": "b1"}]}
            (root / account).mkdir()
            (root / account / "account.json").write_bytes(orjson.dumps(document))
        (root / "mapping.toml").write_text(mapping_text(history, root))
        write_base(history, root / "exports")
        lease: dict[str, Any] = {"lease_seconds": 0.0, "heartbeat_seconds": 3600.0}
        given = Settings(
            source=f"{root}/exports",
            database=database,
            mapping=str(root / "mapping.toml"),
            block_bytes=2000,
            recent_days=100,
            **lease,
        )
        base = {account: rows_of((i for t in history.base.values() for i in t.values()), account) for account in OURS}
        for result in migrate(given, *HALVES):
            assert result.error is None
            assert rows(database, result.account_id) == base[result.account_id]
        window_count = len(history.cuts) + 1
        for since, until in ((0, step), (step, window_count)):
            if since < until:
                write_windows(history, root / "exports", since, until)
                for result in migrate(given, Pass.DELTA):
                    require_truth(history, result, base, rows(database, result.account_id), cut_at(history, until))
        for account in OURS:
            verified = app.verify(given, account, observe=lambda event: None, stop=threading.Event())
            assert verified.findings.difference_count == 0


def migrate(given: Settings, *passes: Pass) -> list[Result]:
    requests = [Request(account, passes, given.source or "") for account in OURS]
    return app.migrate(given, requests, observe=lambda event: None, stop=threading.Event())


def require_truth(history: History, result: Result, base: dict[str, Rows], found: Rows, until: int) -> None:
    """The rows are those of the tables; one that is not any more stays only where nothing told that, which is said."""
    truth = history.rows(result.account_id, until)
    delta = result.document["passes"]["delta"]
    left = {row: text for row, text in found.items() if row not in truth}
    assert {row: text for row, text in found.items() if row in truth} == truth
    said = [text for text in delta["skipped_objects"] if "do not tell" in text]
    if history.tells_all:
        assert (left, said, result.rejected) == ({}, [], 0)
    assert not left or said or result.rejected
    for count in delta["counts"].values():
        assert count["read"] == count["written"] + count["unchanged"] + count["rejected"]


def rows(database: str, account: str) -> Rows:
    found: Rows = {}
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        for entity, text in TEXTS.items():
            table = text.table
            for row in connection.execute(sa.select(table.c.id, text).where(table.c.account_id == account)):
                found[entity, row[0]] = row[1]
    engine.dispose()
    return found


@settings(max_examples=ROUNDS, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), st.data())
def test_any_history(history: History, data: st.DataObject) -> None:
    """Full exports and windows of any history give the tables' rows, applied at once or in two deltas."""
    step = data.draw(st.integers(0, len(history.cuts) + 1))
    with tempfile.TemporaryDirectory() as name:
        check(history, step, f"sqlite:///{name}/test.db")
