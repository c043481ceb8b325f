"""Plans of more parts than are handled at once: the same outcome as that of small ones, page by page."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import import status
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.core.tables import import_parts, import_runs
from s3import.importing.checkpoints import Part
from s3import.importing.importer import Importer
from s3import.importing.parts import ActiveRun, PartImporter
from s3import.importing.transactions import Transactions
from s3import.operations.composition import file_copier
from s3import.readers.dump.objects import open_dump
from s3import.writers import open_database
from tests.databases import on_sqlite
from tests.importing.dumps import ACCOUNT, Dump, lines, manifest, records, simple_dump, write
from tests.importing.moving import adds_up, code_of, counts, ignore, migrate, rows, settings_for

pytestmark = pytest.mark.integration

RECENT = (Pass.RECENT,)
PARTS = 7
PAIR = ("messages/part-3.jsonl", "messages/part-4.jsonl")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has more than two parts is large, and a page holds two."""
    for module in ("readers.dump.inventory", "importing.checkpoints"):
        monkeypatch.setattr(f"s3import.{module}.FEW", 2)
    monkeypatch.setattr("s3import.importing.checkpoints.PAGE_PARTS", 2)


def many_parts() -> Dump:
    """A dump whose threads and messages lie in `PARTS` parts each."""
    dump = simple_dump(PARTS)
    for entity in (Entity.THREADS, Entity.MESSAGES):
        del dump[f"recent/{entity}/part-0.jsonl"]
        for number, record in enumerate(records(entity, PARTS, prefix="recent-")):
            dump[f"recent/{entity}/part-{number}.jsonl"] = lines([record])
    return dump


def looked_up(settings: Settings, query: sa.Select[Any]) -> list[Any]:
    """The first column of what the query gives."""
    with closing(open_database(settings.database)) as database, database.read() as connection:
        return list(connection.scalars(query))


@pytest.mark.parametrize("by_manifest", [False, True])
def test_many_parts_come_to_the_same_as_few(tmp_path: Path, database_url: str, by_manifest: bool) -> None:
    """On every database, by a listing or by a manifest that is too large to be read as a whole."""
    settings = settings_for(tmp_path, database_url, workers=2)
    dump = many_parts()
    if by_manifest:
        dump["recent/manifest.json"] = manifest(dump, Pass.RECENT)
    write(dump, tmp_path)
    result = migrate(settings, passes=RECENT)
    assert (code_of(result), adds_up(result)) == (None, True)
    assert counts(result) == dict.fromkeys(("threads", "messages", "attachments"), (PARTS, 0, 0))
    assert result.document["passes"]["recent"]["progress"]["parts_done"] == 2 * PARTS + 1


@on_sqlite
def test_a_large_plan_is_gone_on_with(tmp_path: Path, database_url: str) -> None:
    """A part that is done stays done, one that changed starts again, new ones come in, and nothing comes twice."""
    settings, broken = settings_for(tmp_path, database_url), "recent/messages/part-3.jsonl"
    dump = many_parts()
    write({**dump, broken: b"\x1f\x8b\x08 no lines"}, tmp_path)
    assert code_of(migrate(settings, passes=RECENT)) == "part_unreadable"
    new = lines(records(Entity.THREADS, 1, prefix="new-"))
    write({broken: dump[broken], "recent/threads/part-9.jsonl": new}, tmp_path)
    result = migrate(settings, passes=RECENT)
    assert (code_of(result), adds_up(result)) == (None, True)
    assert counts(result) == {"threads": (PARTS + 1, 0, 0), "messages": (PARTS, 0, 0), "attachments": (PARTS, 0, 0)}


def test_parts_that_nobody_has_taken_are_left_alone(tmp_path: Path, database_url: str) -> None:
    """When a run ends early, and when it is claimed again, only what somebody was at work on is written to."""
    settings = settings_for(tmp_path, database_url)
    write({**many_parts(), "recent/threads/part-3.jsonl": b"\x1f\x8b\x08 no lines"}, tmp_path)
    for _ in range(2):
        assert code_of(migrate(settings, passes=RECENT)) == "part_unreadable"
        left = sa.select(import_parts.c.token).where(import_parts.c.number > 4)
        assert set(looked_up(settings, left)) == {status.UNTAKEN}


def test_who_lost_a_run_takes_no_further_page_of_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cancelled between two pages ends there, and its successor takes them all."""
    write(many_parts(), tmp_path)
    import_part = PartImporter.import_part

    def cancel_behind_first(parts: PartImporter, run: ActiveRun, part: Part, spare: threading.Semaphore | None) -> None:
        import_part(parts, run, part, spare)
        if part.planned.key == "threads/part-1.jsonl":
            parts.transactions.run(ACCOUNT, lambda connection: status.cancel(connection, run.claim.run_id))

    with monkeypatch.context() as patched:
        patched.setattr(PartImporter, "import_part", cancel_behind_first)
        assert code_of(migrate(settings, passes=RECENT)) == "cancelled"
    assert len(rows(settings)["threads"]) == 2
    assert code_of(migrate(settings, passes=RECENT)) is None
    assert len(rows(settings)["messages"]) == PARTS


def test_an_earlier_reading_is_forgotten_page_by_page(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction takes all of its parts away at once."""
    monkeypatch.setattr("s3import.importing.bookkeeping.PAGE_ROWS", 2)
    settings = settings_for(tmp_path, database_url)
    write(many_parts(), tmp_path)
    assert code_of(migrate(settings, passes=RECENT)) is None
    deleted = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM import_parts"):
            deleted.append(cursor.rowcount)

    sa.event.listen(sa.Engine, "after_cursor_execute", note)
    try:
        assert code_of(migrate(settings, passes=RECENT, again=True)) is None
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", note)
    assert (sum(deleted), max(deleted)) == (2 * PARTS + 1, 2)
    assert looked_up(settings, sa.select(import_runs.c.number)) == [2]


def test_a_delta_that_was_applied_is_known_by_pages(tmp_path: Path, postgres_url: str) -> None:
    """Whether a delta is the last one again is found out without all of its parts in memory; one more part is new."""
    settings = settings_for(tmp_path, postgres_url)
    write(many_parts(), tmp_path)
    assert code_of(migrate(settings, passes=RECENT)) is None
    for number, record in enumerate(records(Entity.THREADS, PARTS, prefix="delta-")):
        write({f"delta/threads/part-{number}.jsonl": lines([record])}, tmp_path)
    assert migrate(settings, passes=(Pass.DELTA,)).imported == (Pass.DELTA,)
    most = 0

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal most
        if "FROM import_parts" in statement and "object_key" in statement:
            most = max(most, cursor.rowcount)

    sa.event.listen(sa.Engine, "after_cursor_execute", note)
    try:
        assert migrate(settings, passes=(Pass.DELTA,)).imported == ()
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", note)
    assert 0 < most <= 2
    write({"delta/threads/part-9.jsonl": lines(records(Entity.THREADS, 1, prefix="more-"))}, tmp_path)
    assert migrate(settings, passes=(Pass.DELTA,)).imported == (Pass.DELTA,)


def test_a_part_of_a_large_plan_that_vanished_is_missed(settings: Settings, tmp_path: Path) -> None:
    """Without a manifest that says so, no part may go before it is done."""
    dump = many_parts()
    folder = write({**dump, "recent/threads/part-3.jsonl": b"\x1f\x8b\x08 no lines"}, tmp_path)
    assert code_of(migrate(settings, passes=RECENT)) == "part_unreadable"
    (folder / "recent/threads/part-3.jsonl").unlink()
    assert code_of(migrate(settings, passes=RECENT)) == "part_missing"


def test_a_large_manifest_is_read_in_pieces(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest larger than any document that is read as a whole says the same, whatever is wrong with it."""
    monkeypatch.setattr("s3import.readers.sources.folder.MAX_DOCUMENT_BYTES", 1000)
    monkeypatch.setattr("s3import.readers.formats.documents.CHUNK_BYTES", 7)
    dump = many_parts()
    named = manifest(dump, Pass.RECENT)
    twice, unnamed = named.replace(b'"version"', b'"account_id"'), named.replace(b"parts", b"part", 1)
    for wrong in (named[:-2], named + b"x", twice, unnamed):
        write({**dump, "recent/manifest.json": wrong}, tmp_path)
        assert code_of(migrate(settings, passes=RECENT)) == "invalid_manifest"
    write({**dump, "recent/manifest.json": named}, tmp_path)
    assert code_of(migrate(settings, passes=RECENT)) is None


def test_small_parts_are_read_side_by_side_once_they_take_long(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that each wait for something do not wait one after the other."""
    settings = settings_for(tmp_path, postgres_url, workers=2)
    monkeypatch.setattr("s3import.importing.importer.LONG_SECONDS", 0)
    write(many_parts(), tmp_path)
    both, import_part = threading.Barrier(2), PartImporter.import_part

    def wait_for_another(parts: PartImporter, run: ActiveRun, part: Part, spare: threading.Semaphore | None) -> None:
        if part.planned.entity is Entity.MESSAGES and part.planned.key in PAIR:
            both.wait(60)
        import_part(parts, run, part, spare)

    monkeypatch.setattr(PartImporter, "import_part", wait_for_another)
    monkeypatch.setattr("s3import.importing.checkpoints.PAGE_PARTS", 100)
    assert code_of(migrate(settings, passes=RECENT)) is None


def test_workers_share_what_batches_may_hold(settings: Settings) -> None:
    """Three workers have batches of the full size, more have no more in all than these."""
    with closing(open_database(settings.database)) as database:
        transactions = Transactions(database, 1, ignore, threading.Event())
        for workers, share in ((1, 1), (2, 1), (3, 1), (6, 2), (12, 4)):
            of_size = replace(settings, block_bytes=1 << 20)
            with Importer(
                transactions,
                of_size,
                open_source=open_dump,
                files=file_copier(of_size, transactions),
                workers=workers,
            ) as importer:
                assert importer.parts.block_bytes == (1 << 20) // share
