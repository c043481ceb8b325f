"""A dump that is not the one that was imported any more."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from s3import.core.records import Entity
from s3import.core.settings import Settings
from tests.importing.dumps import ACCOUNT, lines, records, simple_dump, write
from tests.importing.moving import code_of, migrate
from tests.operations.verify.verifying import differences, verify

pytestmark = pytest.mark.integration

PART = "recent/messages/part-0.jsonl"
MESSAGES = records(Entity.MESSAGES, 3, prefix="recent-")
ORPHAN = {**MESSAGES[0], "id": "orphan", "thread_id": "nowhere"}


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    """The dump of an imported account, one of whose messages was rejected."""
    folder = write({**simple_dump(), PART: lines([ORPHAN, *MESSAGES])}, tmp_path)
    assert code_of(migrate(settings)) is None
    return folder


def test_the_same_records_written_anew_are_equal(settings: Settings, folder: Path) -> None:
    """Other lines, another order, another object: what counts is what the records say."""
    (folder / PART).write_bytes(lines([b"", *reversed(MESSAGES), b"", ORPHAN]))
    found = verify(settings)
    assert (differences(found), found.changed_parts) == (set(), (PART,))


def test_records_that_changed_are_differences(settings: Settings, folder: Path) -> None:
    """What the dump says now, and the database does not."""
    changed, new = {**MESSAGES[0], "body": "other"}, {**MESSAGES[0], "id": "new"}
    (folder / PART).write_bytes(lines([changed, *MESSAGES[1:], new]))
    assert differences(verify(settings)) == {
        ("messages", "recent-m0", "different", "body"),
        ("messages", "new", "missing"),
    }


def test_parts_that_came_and_went_are_named(settings: Settings, folder: Path) -> None:
    """The rows of a part that is gone are unexpected; a new part is compared like any other."""
    (folder / PART).unlink()
    (folder / f"{PART}.gz").write_bytes(gzip.compress(lines(MESSAGES[:2])))
    found = verify(settings)
    assert differences(found) == {("messages", "recent-m2", "unexpected")}
    assert found.changed_parts == (PART, f"{PART}.gz")


def test_a_later_version_in_the_other_pass_counts(settings: Settings, folder: Path, tmp_path: Path) -> None:
    """Both passes are one whole: the newest version of a record is what the database should hold."""
    newer = {**MESSAGES[1], "body": "newer", "updated_at": "2025-01-01T00:00:00Z"}
    write({"remaining/messages/part-1.jsonl": lines([newer])}, tmp_path, ACCOUNT)
    assert differences(verify(settings)) == {("messages", "recent-m1", "different", "body", "updated_at")}
