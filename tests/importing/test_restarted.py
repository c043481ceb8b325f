"""A part whose object was replaced between two attempts ends as the rows of one version."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from tests.importing.dumps import Record, lines, records, simple_dump, write
from tests.importing.moving import adds_up, code_of, migrate, rows, settings_for

pytestmark = pytest.mark.integration

THREADS = Entity.THREADS
PART = "recent/threads/part-0.jsonl"
BAD = b"{"


def version(subject: str, *numbers: int, **fields: Any) -> list[Record | bytes]:
    """The threads of these numbers, under the same ids and instants whatever their subject."""
    made = records(THREADS, 9, prefix="recent-")
    return [{**made[number], "subject": subject, **fields} for number in numbers]


def subjects(settings: Settings) -> dict[str, str | None]:
    """Of the recent pass's threads, by number."""
    return {
        row["id"].removeprefix("recent-t"): row["subject"]
        for row in rows(settings)["threads"]
        if row["id"].startswith("recent-")
    }


def put(folder: Path, *part: Record | bytes, key: str = PART) -> None:
    write({key: lines(part)}, folder)


@pytest.fixture
def half(database_url: str, tmp_path: Path) -> Settings:
    """The settings of a dump whose first part was imported up to its third record, each in a batch of its own."""
    settings = settings_for(tmp_path, database_url, block_bytes=1)
    write(simple_dump(), tmp_path)
    put(tmp_path, *version("first", 0, 1), BAD, *version("first", 2, 3))
    assert code_of(migrate(settings, max_rejects="0")) == "too_many_rejects"
    assert subjects(settings) == {"0": "first", "1": "first"}
    return settings


def test_the_object_that_is_there_now_wins(half: Settings, tmp_path: Path) -> None:
    """Over what its predecessor left under the same ids and instants."""
    put(tmp_path, *version("second", 0, 1, 2, 3))
    result = migrate(half, passes=[Pass.RECENT])
    assert (code_of(result), adds_up(result)) == (None, True)
    assert subjects(half) == dict.fromkeys("0123", "second")


def test_no_thread_outlives_a_part_that_failed(half: Settings) -> None:
    """Who keeps the error keeps no thread that reads ahead: it would be waited for wherever garbage is collected."""
    gc.disable()
    try:
        failed = migrate(half, max_rejects="0")
        assert code_of(failed) == "too_many_rejects"
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]
    finally:
        gc.enable()


def test_its_own_first_line_stays(half: Settings, tmp_path: Path) -> None:
    """Also after another failure, by which it goes on where it was."""
    put(tmp_path, *version("second", 0, 4), BAD, *version("again", 0, 4), *version("second", 1))
    assert code_of(migrate(half, max_rejects="0")) == "too_many_rejects"
    migrate(half, passes=[Pass.RECENT])
    assert subjects(half) == {"0": "second", "1": "second", "4": "second"}


def test_it_is_replaced_once_more(half: Settings, tmp_path: Path) -> None:
    """Then what the second object wrote loses as well."""
    put(tmp_path, *version("second", 0, 1), BAD)
    assert code_of(migrate(half, max_rejects="0")) == "too_many_rejects"
    put(tmp_path, *version("third", 1, 0))
    migrate(half, passes=[Pass.RECENT])
    assert subjects(half) == {"0": "third", "1": "third"}


def test_what_was_not_its_own_stays(settings: Settings, tmp_path: Path) -> None:
    """Where it met rows of an earlier pass the usual rule holds: what is there stays."""
    write(simple_dump(), tmp_path)
    one_by_one = settings_for(tmp_path, settings.database, block_bytes=1)
    migrate(one_by_one, passes=[Pass.RECENT])
    key = "remaining/threads/part-0.jsonl"
    put(tmp_path, *version("first", 0, 5), BAD, key=key)
    assert code_of(migrate(one_by_one, max_rejects="0")) == "too_many_rejects"
    put(tmp_path, *version("second", 0, 5), key=key)
    migrate(one_by_one)
    assert subjects(one_by_one)["0"] != "second"
