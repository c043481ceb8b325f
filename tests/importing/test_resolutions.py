"""What a pass rejected of a record is open until a delta brings that record in."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from s3import.console.exits import exit_status
from s3import.core import tables
from s3import.core.records import HALVES, ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Result
from s3import.operations.composition import opened
from s3import.operations.reject_dump import write_rejects
from s3import.reporting.pages import ALL_REJECTS
from tests import commands as app
from tests.importing.dumps import ACCOUNT, Record, deletion, lines, records, simple_dump, write
from tests.importing.moving import code_of, counts, ids, ignore, migrate, settings_for

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
DELTA = [Pass.DELTA]
RECENT = HALVES[:1]


def put(folder: Path, key: str, part: Sequence[Record | bytes]) -> None:
    """Lay down a part, in the place of what is there."""
    write({key: lines(part)}, folder)


def wrong(**changes: Any) -> Record:
    """A thread without a right status."""
    return {**records(THREADS, 1, prefix="x-")[0], "status": "?", **changes}


def right(**changes: Any) -> Record:
    """The same thread, mended."""
    return wrong(status="open", **changes)


def imported(folder: Path, database_url: str, wrongs: Sequence[Record | bytes], **changes: Any) -> Settings:
    """The settings of an account that has its recent pass behind it, with these threads among its own."""
    settings = settings_for(folder, database_url, **changes)
    write(simple_dump(), folder)
    put(folder, "recent/threads/wrong.jsonl", wrongs)
    migrate(settings, passes=RECENT)
    return settings


def bring(settings: Settings, folder: Path, **parts: Sequence[Record]) -> Result:
    """Import a delta of these parts, by entity."""
    for entity, part in parts.items():
        put(folder, f"delta/{entity}/new.jsonl", part)
    return migrate(settings, passes=DELTA)


def listed(settings: Settings, *passes: Pass) -> list[str | None]:
    """The ids of the open rejects."""
    return [reject["id"] for reject in app.rejects(settings, ACCOUNT, passes or tuple(Pass))]


def told(settings: Settings, pass_: Pass = Pass.RECENT) -> dict[str, Any]:
    """What the status says of a pass's rejects."""
    rejects: dict[str, Any] = app.status_document(settings, ACCOUNT)["passes"][pass_.value]["rejects"]
    return rejects


def diary(settings: Settings) -> list[tuple[str, str]]:
    """Pass and event."""
    with opened(settings) as operations:
        return [(event["pass"], event["event"]) for event in operations.each_event(ACCOUNT)]


# --- there and back --------------------------------------------------------------------------------------------------


def broken_dump() -> dict[str, bytes]:
    """A dump of one pass with something wrong in every entity, and children of what is wrong."""
    threads, messages, attachments = (records(entity, 3, prefix="p-") for entity in ROW_ENTITIES)
    return {
        **simple_dump(),
        "recent/threads/wrong.jsonl": lines([{**threads[0], "status": "?"}, threads[1], threads[2]]),
        "recent/messages/wrong.jsonl": lines([messages[0], {**messages[1], "kind": "pigeon"}, messages[2]]),
        "recent/attachments/wrong.jsonl": lines([*attachments[:2], {**attachments[2], "size_bytes": -1}]),
        "recent/deletions/wrong.jsonl": lines([deletion(THREADS, "recent-t0", "yesterday")]),
    }


def mend(part: Path) -> None:
    """Correct what `broken_dump` has wrong."""
    text = part.read_text()
    for fault, repair in (("?", "open"), ("pigeon", "email"), ("-1", "1"), ("yesterday", "2024-06-01T00:00:00Z")):
        text = text.replace(fault, repair)
    part.write_text(text)


def test_rejects_go_out_as_a_delta_and_come_back_mended(database_url: str, tmp_path: Path) -> None:
    """Written down, mended line by line and imported as a delta, nothing is left open, and the diary tells it."""
    settings = settings_for(tmp_path, database_url)
    write(broken_dump(), tmp_path)
    first = migrate(settings, passes=RECENT)
    assert (exit_status(first), len(listed(settings))) == (3, 7)
    before = told(settings)
    out = tmp_path / "mended"
    found = write_rejects(settings, ACCOUNT, str(out), ALL_REJECTS)
    assert found.written == {"threads": 1, "messages": 2, "attachments": 3, "deletions": 1}
    for part in out.rglob("delta/*/*.jsonl"):
        mend(part)
    result = migrate(replace(settings, source=str(out)), passes=DELTA)
    assert exit_status(result) == 0
    assert listed(settings) == []
    assert told(settings) == {**before, "resolved": 7}
    assert {"p-t0", "p-t1"} <= set(ids(settings, tables.threads))
    assert "recent-t0" not in ids(settings, tables.threads)
    assert {"p-a0", "p-a1", "p-a2"} <= set(ids(settings, tables.attachments))
    assert diary(settings)[-2:] == [("delta", "finished"), ("delta", "resolved")]
    verified = app.verify(replace(settings, source=None), ACCOUNT, observe=ignore, stop=threading.Event())
    assert (verified.findings.difference_count, verified.rejected) == (0, 0)


def test_what_stays_wrong_stays_open(sqlite_url: str, tmp_path: Path) -> None:
    """Of both passes: that the delta rejected it too resolves nothing, and no event says so."""
    settings = imported(tmp_path, sqlite_url, [wrong()])
    bring(settings, tmp_path, threads=[wrong(), *records(THREADS, 1, prefix="new-")])
    assert (listed(settings, Pass.RECENT), listed(settings, Pass.DELTA)) == (["x-t0"], ["x-t0"])
    assert "resolved" not in told(settings)
    assert ("delta", "resolved") not in diary(settings)


def test_what_another_delta_brings_resolves_what_the_first_one_rejected(sqlite_url: str, tmp_path: Path) -> None:
    """The record is in, whichever pass had rejected it."""
    settings = imported(tmp_path, sqlite_url, [wrong()])
    bring(settings, tmp_path, threads=[wrong(), *records(THREADS, 1, prefix="new-")])
    bring(settings, tmp_path, threads=[right()])
    assert listed(settings) == []
    assert told(settings)["resolved"] == 1


def test_a_record_that_is_there_already_resolves_its_reject(sqlite_url: str, tmp_path: Path) -> None:
    """An older version was rejected; the delta finds a row that is newer, and changes nothing."""
    newer = right(updated_at="2025-01-01T00:00:00Z")
    settings = imported(tmp_path, sqlite_url, [wrong(), newer])
    assert listed(settings) == ["x-t0"]
    assert counts(bring(settings, tmp_path, threads=[right()]), Pass.DELTA)["threads"] == (0, 1, 0)
    assert listed(settings) == []


# --- whose is whose --------------------------------------------------------------------------------------------------


def test_ids_are_told_apart_byte_by_byte(database_url: str, tmp_path: Path) -> None:
    """Also where a database compares texts otherwise."""
    odd = ["k1", "K1", "k1 ", "ḱ1"]
    settings = imported(tmp_path, database_url, [wrong(id=one) for one in odd])
    bring(settings, tmp_path, threads=[right(id="K1")])
    assert listed(settings) == ["k1", "k1 ", "ḱ1"]
    assert told(settings)["resolved"] == 1


def test_the_same_id_of_another_entity_is_another_record(sqlite_url: str, tmp_path: Path) -> None:
    """Threads and messages may have the same ids."""
    settings = imported(tmp_path, sqlite_url, [wrong(id="7")])
    bring(settings, tmp_path, messages=[{**records(MESSAGES, 1, prefix="recent-")[0], "id": "7"}])
    assert listed(settings) == ["7"]


def test_a_reject_whose_id_is_at_fault_stays_open(sqlite_url: str, tmp_path: Path) -> None:
    """What is shown of an id that is too long may be all of another one; where there is none, nobody knows."""
    long = "i" * 255
    settings = imported(tmp_path, sqlite_url, [right(id=long + "i"), b'{"id": "x-t0", broken', wrong(id=None)])
    bring(settings, tmp_path, threads=[right(id=long), right()])
    assert listed(settings) == [long, None, None]


def test_deletions_are_told_by_entity_and_id(sqlite_url: str, tmp_path: Path) -> None:
    """One that names no entity cannot be told from others."""
    settings = settings_for(tmp_path, sqlite_url)
    write(simple_dump(), tmp_path)
    wrongs = [deletion(entity, "7", "yesterday") for entity in (THREADS, MESSAGES)]
    put(tmp_path, "recent/deletions/a.jsonl", [*wrongs, {**deletion(THREADS, "7"), "entity": ["?"]}])
    migrate(settings, passes=RECENT)
    bring(settings, tmp_path, deletions=[deletion(MESSAGES, "7")])
    assert [reject["line"] for reject in app.rejects(settings, ACCOUNT, RECENT)] == [1, 3]


def test_a_file_that_is_missing_is_no_record_that_is_missing(sqlite_url: str, tmp_path: Path) -> None:
    """Its row is there; that the same row comes again copies nothing."""
    settings = settings_for(tmp_path, sqlite_url, files_to=str(tmp_path / "files"))
    write(simple_dump(), tmp_path)
    migrate(settings, passes=RECENT)
    assert listed(settings) == ["recent-a0", "recent-a1", "recent-a2"]
    put(tmp_path, "delta/attachments/a.jsonl", records(ATTACHMENTS, 1, prefix="recent-"))
    assert code_of(migrate(settings, passes=DELTA)) is None
    assert len(listed(settings)) == 3


# --- counts ----------------------------------------------------------------------------------------------------------


def test_a_reject_is_resolved_once(database_url: str, tmp_path: Path) -> None:
    """However many workers bring its record at one moment, and however many rejects it has."""
    settings = imported(tmp_path, database_url, [wrong(), wrong()], workers=4)
    for number in range(4):
        put(tmp_path, f"delta/threads/{number}.jsonl", [right(), *records(THREADS, 30, prefix=f"{number}-")])
    assert code_of(migrate(settings, passes=DELTA)) is None
    assert told(settings) == {"total": 2, "by_code": {"invalid_value": 2}, "resolved": 2}


def test_a_part_that_is_replaced_takes_its_resolved_rejects_along(sqlite_url: str, tmp_path: Path) -> None:
    """The counts of a pass that is resumed are those of the parts that it has now."""
    settings = imported(tmp_path, sqlite_url, [])
    part = "remaining/threads/part-0.jsonl"
    put(tmp_path, part, [wrong(), wrong(id="other")])
    write({"remaining/threads/part-1.jsonl.gz": b"no gzip"}, tmp_path)
    assert code_of(migrate(settings)) == "part_unreadable"
    bring(settings, tmp_path, threads=[right()])
    assert told(settings, Pass.REMAINING)["resolved"] == 1
    put(tmp_path, part, [wrong(id="another")])
    assert code_of(migrate(settings)) == "part_unreadable"
    assert told(settings, Pass.REMAINING) == {"total": 1, "by_code": {"invalid_value": 1}}


def test_a_part_that_is_gone_takes_its_resolved_rejects_along(sqlite_url: str, tmp_path: Path) -> None:
    """Where a manifest says that it may be."""
    settings = imported(tmp_path, sqlite_url, [])
    put(tmp_path, "remaining/threads/part-1.jsonl", [wrong(), *records(THREADS, 40, prefix="many-"), b"\n" * 2000])
    name = ["threads/part-0.jsonl", "threads/part-1.jsonl"]
    write({"remaining/manifest.json": _manifest(name, rows=[3, 40])}, tmp_path)
    assert code_of(migrate(settings)) == "part_differs"  # it has a row more, which shows at its end
    bring(settings, tmp_path, threads=[right()])
    assert told(settings, Pass.REMAINING)["resolved"] == 1
    write({"remaining/manifest.json": _manifest(name[:1], rows=[3])}, tmp_path)
    assert code_of(migrate(settings)) is None
    assert told(settings, Pass.REMAINING) == {"total": 0, "by_code": {}}


def _manifest(keys: Sequence[str], rows: Sequence[int]) -> bytes:
    parts = [{"entity": "threads", "key": key, "rows": count} for key, count in zip(keys, rows, strict=True)]
    return orjson.dumps({"version": 1, "account_id": ACCOUNT, "pass": "remaining", "parts": parts})


def test_a_pass_that_is_read_again_lists_what_is_wrong_with_its_dump(sqlite_url: str, tmp_path: Path) -> None:
    """Its rejects are those of this reading; the delta read again resolves them again."""
    settings = imported(tmp_path, sqlite_url, [wrong()])
    bring(settings, tmp_path, threads=[right()])
    migrate(settings, passes=RECENT, again=True)
    assert (listed(settings), "resolved" in told(settings)) == (["x-t0"], False)
    migrate(settings, passes=DELTA, again=True)
    assert (listed(settings), told(settings)["resolved"]) == ([], 1)


def test_what_is_resolved_is_kept(sqlite_url: str, tmp_path: Path) -> None:
    """Place, reasons and text stay until the migration is forgotten, with the run that brought the record in."""
    settings = imported(tmp_path, sqlite_url, [wrong()])
    run_id = bring(settings, tmp_path, threads=[right()]).document["passes"]["delta"]["run_id"]
    kept = tables.import_rejects.c
    with opened(settings) as operations, operations.database.read() as connection:
        assert connection.execute(sa.select(kept.record_id, kept.resolved_by)).all() == [("x-t0", run_id)]


def test_only_deltas_resolve(sqlite_url: str, tmp_path: Path) -> None:
    """The remaining pass has what is older: what it brings is no later word on a record."""
    settings = imported(tmp_path, sqlite_url, [wrong()])
    put(tmp_path, "remaining/threads/right.jsonl", [right()])
    migrate(settings)
    assert listed(settings) == ["x-t0"]
