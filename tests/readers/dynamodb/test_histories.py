"""Whatever happened to tables, their exports and windows give what they hold in the end."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core.records import EARLIEST, HALVES, Entity, Pass, Plan, Position
from s3import.core.settings import Settings
from s3import.core.tables import TARGETS
from s3import.importing.requests import Request, Result
from s3import.readers.dynamodb.export import ExportSource
from s3import.readers.dynamodb.mapping import read_mapping
from s3import.readers.dynamodb.shared import Sharing
from s3import.readers.sources.folder import FolderSource
from s3import.transform.validators import check
from s3import.writers import Database
from tests import commands as app
from tests.databases import empty, url_of
from tests.readers.dynamodb.histories import (
    FULL,
    HOUR,
    History,
    Rows,
    Table,
    Write,
    cut_at,
    histories,
    mapping_text,
    write_base,
    write_windows,
)

pytestmark = pytest.mark.integration

ROUNDS = int(os.environ.get("S3IMPORT_TEST_HISTORIES", "0"))  # else a few
TEXTS = {Entity.THREADS: "subject", Entity.MESSAGES: "body", Entity.ATTACHMENTS: "content_type"}


@dataclass
class Target:
    """A database as the contract describes it, without one: newer replaces older, and what is deleted stays so."""

    rows: dict[tuple[str, str], tuple[dt.datetime, str | None]] = field(default_factory=dict)
    removal: dict[tuple[str, str], dt.datetime] = field(default_factory=dict)

    def write(self, row: tuple[str, str], at: dt.datetime, text: str | None) -> None:
        known = max(self.rows.get(row, (EARLIEST, None))[0], self.removal.get(row, EARLIEST))
        if at > known:
            self.rows[row] = (at, text)

    def delete(self, row: tuple[str, str], at: dt.datetime) -> None:
        self.removal[row] = max(at, self.removal.get(row, at))
        if row in self.rows and self.rows[row][0] <= at:
            del self.rows[row]

    @property
    def texts(self) -> Rows:
        return {row: text for row, (_, text) in self.rows.items()}


def prepare(history: History, root: Path) -> None:
    """Write the mapping, what lies beside the items and the full exports."""
    for account in history.ours:
        document = {"id": account, "brands": [{"id": "b1"}], "channels": [{"id": "c1", "brand_id": "b1"}]}
        (root / account).mkdir()
        (root / account / "account.json").write_bytes(orjson.dumps(document))
    (root / "mapping.toml").write_text(mapping_text(history, root))
    write_base(history, root / "exports")


def in_steps(history: History, step: int, root: Path) -> Iterator[int]:
    """Write the windows in two steps; after each the instant that they reach."""
    window_count = len(history.cuts) + 1
    for since, until in ((0, step), (step, window_count)):
        if since < until:
            write_windows(history, root / history.folder, since, until)
            yield cut_at(history, until)


def require_truth(
    history: History, account: str, until: int, found: Rows, skipped: Iterable[str], rejected: int
) -> None:
    """The rows are those of the tables; one that is not any more stays only where nothing tells that, which is said."""
    truth = history.rows(account, until)
    left = {row for row in found if row not in truth}
    said = [text for text in skipped if "may have been another row" in text]
    assert {row: text for row, text in found.items() if row in truth} == truth
    assert not left or said or rejected
    if history.tells_all:
        assert (left, said, rejected) == (set(), [], 0)


# --- the readers alone ------------------------------------------------------------------------------------------


@settings(max_examples=ROUNDS or 10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), st.data())
def test_what_is_read_of_any_history(history: History, data: st.DataObject) -> None:
    """What is read of full exports and windows makes the tables' rows, whatever is read together."""
    step = data.draw(st.integers(0, len(history.cuts) + 1))
    shared, block_bytes = data.draw(st.booleans()), data.draw(st.sampled_from((1, 500, 1 << 20)))
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as folder:
        root = Path(name)
        prepare(history, root)
        sharing = Sharing(folder, frozenset(history.ours)) if shared else None
        mapping = read_mapping(str(root / "mapping.toml"))
        (root / history.folder).mkdir(exist_ok=True)
        stored, windows = (FolderSource(f"{root}/{folder}") for folder in ("exports", history.folder))
        targets = {account: Target() for account in history.ours}
        for account, target in targets.items():
            source = ExportSource(stored, mapping, account, recent_days=100, sharing=sharing)
            divided = partial(lambda window: window, source.window())
            for pass_ in HALVES:
                read(source.plan(pass_, divided), source, account, target, block_bytes)
            assert target.texts == history.rows(account, 0)
        for until in in_steps(history, step, root):
            for account, target in targets.items():
                source = ExportSource(windows, mapping, account, recent_days=100, sharing=sharing)
                plan = source.plan(Pass.DELTA)
                rejected = read(plan, source, account, target, block_bytes)
                require_truth(history, account, until, target.texts, plan.skipped_objects, rejected)


def read(plan: Plan, source: ExportSource, account: str, target: Target, block_bytes: int) -> int:
    """Apply what a plan's parts hold, which is the same from a place between two batches on; how many are rejects."""
    rejected = 0
    for part in plan.parts:
        batches = list(source.read_part(part, Position(), block_bytes))
        half = len(batches) // 2
        again = source.read_part(part, batches[half - 1].end if half else Position(), block_bytes)
        assert [batch.records for batch in again] == [batch.records for batch in batches[half:]]
        for batch in batches:
            checked = check(batch, part.entity, account)
            rejected += len(checked.rejects)
            for record in checked.accepted.to_pylist():
                if part.entity is Entity.DELETIONS:
                    target.delete((record["entity"], record["id"]), record["deleted_at"])
                else:
                    at = record["updated_at"] or record["created_at"]
                    target.write((part.entity.value, record["id"]), at, record[TEXTS[part.entity]])
    return rejected


# --- whole commands ---------------------------------------------------------------------------------------------


@settings(max_examples=ROUNDS or 2, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), st.data())
def test_any_history(history: History, data: st.DataObject) -> None:
    """Full exports and windows of any history give the tables' rows in a database, applied at once or in two deltas."""
    step = data.draw(st.integers(0, len(history.cuts) + 1))
    with tempfile.TemporaryDirectory() as name:
        import_all(history, step, f"sqlite:///{name}/test.db")


def test_a_deletion_that_nobody_can_place_is_all_there_is(tmp_path: Path) -> None:
    """Without images, and the id in no key: a reject and nothing else, which fails the delta and is listed."""
    item = {"account": {"S": "A#acme"}, "uid": {"S": "0"}, "sort": {"S": "T#1"}, "created": {"N": "1585000000000"}}
    key, root = (("S", "A#acme"), ("S", "0")), {"text": {"S": "root"}, "parent": {"S": "0"}, "name": {"S": "a.txt"}}
    base: Table = {key: {**item, **root}}
    base[("S", "A#other"), ("S", "1")] = {**item, **root, "account": {"S": "A#other"}, "uid": {"S": "1"}}
    history = History(
        design="half",
        is_single=True,
        overlaps=False,
        numbers=False,
        uid="S",
        tells_old=False,
        nets=True,
        is_apart=True,
        base={"all": base},
        writes={"all": (Write(key, FULL + HOUR // 7, None, base[key]),)},
        cuts=(),
        luck=Random(1),
    )
    import_all(history, 1, f"sqlite:///{tmp_path}/test.db")


@settings(max_examples=ROUNDS or 1, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), st.data())
def test_any_history_in_postgresql(postgres_tables: Database, history: History, data: st.DataObject) -> None:
    """The same in PostgreSQL."""
    step = data.draw(st.integers(0, len(history.cuts) + 1))
    try:
        import_all(history, step, url_of(postgres_tables))
    finally:
        empty(postgres_tables)


def import_all(history: History, step: int, database: str) -> None:
    """Import everything for both accounts, the windows in two deltas, and compare after each."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        prepare(history, root)
        known = Settings(
            source=f"{root}/exports",
            database=database,
            mapping=str(root / "mapping.toml"),
            block_bytes=2000,
            recent_days=100,
            lease_seconds=0.0,
            heartbeat_seconds=3600.0,
        )
        for result in migrate(history, known, *HALVES):
            assert result.error is None
            assert rows(database, result.account_id) == history.rows(result.account_id, 0)
        deltas = replace(known, source=f"{root}/{history.folder}")
        for until in in_steps(history, step, root):
            for result in migrate(history, deltas, Pass.DELTA):
                delta = result.document["passes"]["delta"]
                found = rows(database, result.account_id)
                rejected = delta["rejects"]["total"]  # also where there was nothing else, and the run failed by that
                require_truth(history, result.account_id, until, found, delta["skipped_objects"], rejected)
                for count in delta["counts"].values():
                    assert count["read"] == count["written"] + count["unchanged"] + count["rejected"]
        verified = app.verify(
            replace(known, source=None), history.ours[step % 2], observe=lambda event: None, stop=threading.Event()
        )
        assert verified.findings.difference_count == 0


def migrate(history: History, known: Settings, *passes: Pass) -> list[Result]:
    requests = [Request(account, passes, known.source or "") for account in history.ours]
    return app.migrate(known, requests, observe=lambda event: None, stop=threading.Event())


def rows(database: str, account: str) -> Rows:
    found: Rows = {}
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        for entity, text in TEXTS.items():
            table = TARGETS[entity]
            query = sa.select(table.c.id, table.c[text]).where(table.c.account_id == account)
            found |= {(entity.value, row[0]): row[1] for row in connection.execute(query)}
    engine.dispose()
    return found
