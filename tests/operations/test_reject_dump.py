"""Rejects are written below a folder as a delta to be mended, and what cannot be mended there is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import AccountNotFound, ConfigurationError, MigrationFailed
from s3import.core.records import HALVES, ROW_ENTITIES, Entity, Pass
from s3import.core.settings import Settings
from s3import.operations.reject_dump import RejectDump, write_rejects
from s3import.reporting.pages import ALL_REJECTS, RejectSelection
from tests.importing.dumps import ACCOUNT, Record, lines, parquet, records, simple_dump, write
from tests.importing.moving import execute, migrate, settings_for

pytestmark = pytest.mark.integration

THREADS, MESSAGES, _ = ROW_ENTITIES
WRONG: Record = {**records(THREADS, 1, prefix="x-")[0], "status": "?"}
WRONG_MESSAGE: Record = {**records(MESSAGES, 1, prefix="recent-")[0], "id": "wrong", "kind": "pigeon"}


def imported(folder: Path, database_url: str, parts: dict[str, bytes], **changes: Any) -> Settings:
    """The settings of an account whose recent pass has these parts besides its own."""
    settings = settings_for(folder, database_url, **changes)
    write({**simple_dump(), **parts}, folder)
    migrate(settings, passes=HALVES[:1])
    return settings


def threads(*part: Record | bytes) -> dict[str, bytes]:
    """A part of threads."""
    return {"recent/threads/wrong.jsonl": lines(part)}


def dumped(settings: Settings, into: Path, selection: RejectSelection = ALL_REJECTS, **limit: int) -> RejectDump:
    return write_rejects(settings, ACCOUNT, str(into), selection, **limit)


def objects(path: Path) -> list[dict[str, Any]]:
    """A file of one JSON object a line."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def whys(into: Path) -> list[tuple[str | None, str]]:
    """The ids of what was not written, and why."""
    return [(one["id"], one["why"]) for one in objects(into / "not-written.jsonl")]


def test_each_line_has_its_reasons_on_the_line_of_its_number(sqlite_url: str, tmp_path: Path) -> None:
    """The text is the record's own, to the byte, and beside it its place and what is wrong with it."""
    broken = b'\t{"id": "b\xc3\xa4r",'
    settings = imported(
        tmp_path, sqlite_url, {**threads(WRONG, broken), "recent/messages/wrong.jsonl": lines([WRONG_MESSAGE])}
    )
    found = dumped(settings, tmp_path / "out")
    assert (found.written, found.without_id) == ({"threads": 2, "messages": 1}, 1)
    delta, reasons = tmp_path / "out/delta", tmp_path / "out/reasons"
    assert (delta / "threads/rejects.jsonl").read_bytes() == orjson.dumps(WRONG) + b"\n" + broken + b"\n"
    assert objects(delta / "messages/rejects.jsonl") == [WRONG_MESSAGE]
    first, second = objects(reasons / "threads.jsonl")
    assert (first["part"], first["line"], first["id"]) == ("threads/wrong.jsonl", 1, "x-t0")
    assert [reason["code"] for reason in first["reasons"] + second["reasons"]] == ["invalid_value", "invalid_json"]
    assert "raw" not in first
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["delta", "reasons"]


def test_a_record_of_parquet_is_written_as_json(sqlite_url: str, tmp_path: Path) -> None:
    """With the names of its columns, as a line of a dump has them."""
    settings = imported(tmp_path, sqlite_url, {"recent/threads/wrong.parquet": parquet(THREADS, [WRONG])})
    dumped(settings, tmp_path / "out")
    [record] = objects(tmp_path / "out/delta/threads/rejects.jsonl")
    assert {name: record[name] for name in WRONG} == WRONG


def test_what_is_not_there_as_it_was_is_only_named(sqlite_url: str, tmp_path: Path) -> None:
    """A text that was cut, one that was not kept, and bytes that are no UTF-8."""
    parts = threads({**WRONG, "subject": "s" * 70_000}, b'{"id": "\xff"}', WRONG)
    settings = imported(tmp_path, sqlite_url, parts, keep_raw=2, block_bytes=100_000)
    found = dumped(settings, tmp_path / "out")
    assert whys(tmp_path / "out") == [("x-t0", "cut"), (None, "invalid_utf8"), ("x-t0", "not_kept")]
    assert (found.written, found.not_written) == ({}, {"cut": 1, "invalid_utf8": 1, "not_kept": 1})
    assert not (tmp_path / "out/delta").exists()


def test_what_no_record_can_mend_is_only_named(sqlite_url: str, tmp_path: Path) -> None:
    """What a person deleted stays deleted, and a file that is missing is missing whatever its record says."""
    settings = imported(tmp_path, sqlite_url, {}, files_to=str(tmp_path / "files"))
    execute(settings, sa.delete(tables.threads).where(tables.threads.c.id == "recent-t0"))
    write({"delta/threads/a.jsonl": lines(records(THREADS, 1, prefix="recent-"))}, tmp_path)
    write({"delta/threads/b.jsonl": lines(records(THREADS, 1, prefix="new-"))}, tmp_path)
    migrate(settings, passes=[Pass.DELTA])
    dumped(settings, tmp_path / "out")
    assert whys(tmp_path / "out") == [
        ("recent-a0", "file"),
        ("recent-a1", "file"),
        ("recent-a2", "file"),
        ("recent-t0", "deleted_in_target"),
    ]


def test_items_of_dynamodb_are_only_named(sqlite_url: str, tmp_path: Path) -> None:
    """Their text is no record that a delta could hold."""
    settings = imported(tmp_path, sqlite_url, threads(WRONG))
    execute(settings, sa.update(tables.import_parts).values(window="recent 2026-01-01T00:00:00+00:00/"))
    dumped(settings, tmp_path / "out")
    assert whys(tmp_path / "out") == [("x-t0", "item")]


def test_of_what_a_delta_rejected_again_its_version_is_written(sqlite_url: str, tmp_path: Path) -> None:
    """Whoever mends in several rounds goes on where the last one ended."""
    settings = imported(tmp_path, sqlite_url, threads(WRONG, {**WRONG, "id": "X-t0"}))
    write({"delta/threads/a.jsonl": lines([{**WRONG, "status": "opn"}, *records(THREADS, 1, prefix="n-")])}, tmp_path)
    migrate(settings, passes=[Pass.DELTA])
    dumped(settings, tmp_path / "out")
    written = objects(tmp_path / "out/delta/threads/rejects.jsonl")
    assert [(one["id"], one["status"]) for one in written] == [("X-t0", "?"), ("x-t0", "opn")]
    assert whys(tmp_path / "out") == [("x-t0", "rejected_again")]


def test_only_what_is_selected_is_written(sqlite_url: str, tmp_path: Path) -> None:
    """By code, entity and pass, and no more than the limit."""
    parts = {**threads(WRONG, b"[]", WRONG, WRONG), "recent/messages/wrong.jsonl": lines([WRONG_MESSAGE])}
    settings = imported(tmp_path, sqlite_url, parts)
    selection = RejectSelection(code="invalid_value", entity=Entity.THREADS)
    assert dumped(settings, tmp_path / "a", selection).written == {"threads": 3}
    assert dumped(settings, tmp_path / "b", selection, limit=2).written == {"threads": 2}
    assert dumped(settings, tmp_path / "c", RejectSelection((Pass.REMAINING,))).written == {}


@pytest.mark.parametrize("name", ["delta", "reasons", "not-written.jsonl"])
def test_nothing_is_overwritten(sqlite_url: str, tmp_path: Path, name: str) -> None:
    """What was mended by hand is not to be lost."""
    settings = imported(tmp_path, sqlite_url, threads(WRONG))
    (tmp_path / "out" / name).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=f"has {name} already"):
        dumped(settings, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_a_folder_that_cannot_be_written_is_told(sqlite_url: str, tmp_path: Path) -> None:
    """By its name and the system's reason; nothing of it is there."""
    settings = imported(tmp_path, sqlite_url, threads(WRONG))
    (tmp_path / "file").touch()
    with pytest.raises(MigrationFailed, match="Not a directory"):
        dumped(settings, tmp_path / "file/out")


def test_of_an_account_that_is_not_there_nothing_is_written(sqlite_url: str, tmp_path: Path) -> None:
    """An account that nobody knows has no rejects."""
    with pytest.raises(AccountNotFound):
        dumped(settings_for(tmp_path, sqlite_url), tmp_path / "new/out")
    assert not (tmp_path / "new").exists()


def test_where_there_is_nothing_to_mend_no_folder_is_made(sqlite_url: str, tmp_path: Path) -> None:
    """A folder that was there before stays, empty as it was."""
    settings = imported(tmp_path, sqlite_url, {})
    (tmp_path / "empty").mkdir()
    for name in ("out", "empty/out", "empty"):
        assert not dumped(settings, tmp_path / name).written
    assert [(tmp_path / name).exists() for name in ("out", "empty/out", "empty")] == [False, False, True]


def test_the_account_has_its_place_in_the_name_of_the_folder(sqlite_url: str, tmp_path: Path) -> None:
    """As in the source that is to be read then."""
    settings = imported(tmp_path, sqlite_url, threads(WRONG))
    assert dumped(settings, tmp_path / "{account}").folder == str(tmp_path / ACCOUNT)
    assert (tmp_path / ACCOUNT / "delta/threads/rejects.jsonl").exists()
