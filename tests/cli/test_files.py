"""`s3import files`: what is copied when the passes are over, as a shell sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import ACCOUNT, NOON, Dump, Ended, json_lines, migrate, s3import

pytestmark = pytest.mark.integration


@pytest.fixture
def dump(tmp_path: Path, sqlite_url: str) -> Dump:
    """Imported without a place for files: one is there, one is missing."""
    dump = Dump(tmp_path / "dumps")
    dump.fill()
    known = {"account_id": ACCOUNT, "message_id": "m0", "filename": "note.txt", "created_at": NOON}
    records = [{"id": f"a{number}", "key": f"files/{number}", **known} for number in range(2)]
    dump.put("recent/attachments/a.jsonl", json_lines(*records))
    dump.put("files/0", b"hello")
    assert migrate(dump, sqlite_url).status == 0
    return dump


def files(verb: str, database_url: str, *words: str) -> Ended:
    mine = ("--account", ACCOUNT, "--database", database_url)
    return s3import("files", verb, *mine, *words, S3IMPORT_PROGRESS_SECONDS="0")


def test_files_are_copied_after_the_passes(dump: Dump, tmp_path: Path, sqlite_url: str) -> None:
    """With progress on stderr and a document on stdout; then tried again; then there is nothing left to do."""
    first = files("copy", sqlite_url, "--files-to", str(tmp_path / "files"), "--json")
    assert (first.status, first.document) == (3, {"account_id": ACCOUNT, "copied": 1, "failed": 1})
    assert "acme recent: 1 of 2 files copied, 1 failed" in first.err
    assert (tmp_path / "files" / ACCOUNT / "attachments" / "a0" / "note.txt").read_bytes() == b"hello"
    dump.put("files/1", b"there now")
    again = files("retry", sqlite_url, "--json")
    assert (again.status, again.document) == (0, {"account_id": ACCOUNT, "copied": 1, "failed": 0})
    for verb in ("copy", "retry"):
        assert files(verb, sqlite_url).out.startswith("account acme: 0 files copied, 0 failed\n")


def test_what_failed_says_how_to_go_on(dump: Dump, tmp_path: Path, sqlite_url: str) -> None:
    """The commands that list it, and that try it again."""
    shown = files("copy", sqlite_url, "--files-to", str(tmp_path / "files"))
    assert shown.status == 3
    assert "`s3import rejects --account acme`" in shown.out
    assert "`s3import files retry --account acme`" in shown.out


def test_files_need_a_place(dump: Dump, sqlite_url: str) -> None:
    """Without one the command is wrong; where nothing was ever copied nothing can be tried again."""
    copied, retried = files("copy", sqlite_url), files("retry", sqlite_url)
    assert (copied.status, retried.status) == (2, 1)
    assert "--files-to" in copied.err
    assert "files copy" in retried.err
