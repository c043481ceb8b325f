"""All that was imported is expected: by every delta, and by every reading of a pass."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.operations.verify.findings import FindingKind
from tests.databases import on_sqlite
from tests.importing.dumps import ACCOUNT, Record, lines, records, simple_dump, write
from tests.importing.moving import code_of, execute, migrate, settings_for
from tests.operations.verify.verifying import differences, verify

pytestmark = pytest.mark.integration

MESSAGES = Entity.MESSAGES
LATER = "2024-07-01T00:00:00Z"


def delta(settings: Settings, tmp_path: Path, name: str, *found: Record) -> None:
    """Import these messages as a delta of their own, from a place of its own."""
    write({f"delta/messages/{name}.jsonl": lines(found)}, tmp_path / name)
    result = migrate(dataclasses.replace(settings, source=f"{tmp_path / name}/{{account}}"), passes=[Pass.DELTA])
    assert code_of(result) is None


def reply(row_id: str, body: str = "", **fields: str) -> Record:
    """A message of the first thread."""
    return {**records(MESSAGES, 1)[0], "id": row_id, "thread_id": "recent-t0", "body": body, **fields}


@pytest.fixture
def moved(database_url: str, tmp_path: Path) -> Settings:
    """The settings of an account that has both passes behind it, which come from where they were."""
    write(simple_dump(), tmp_path)
    settings = settings_for(tmp_path, database_url)
    migrate(settings)
    return dataclasses.replace(settings, source=None)


def test_all_deltas_are_expected(moved: Settings, tmp_path: Path) -> None:
    """Not only the last one."""
    for name in ("first", "second", "third"):
        delta(moved, tmp_path, name, reply(f"of-{name}"))
    verified = verify(moved)
    assert (differences(verified), verified.changed_parts) == (set(), ())
    assert verified.findings.expected[MESSAGES] == 9


@on_sqlite
def test_a_row_that_no_delta_brought_is_not(moved: Settings, tmp_path: Path) -> None:
    """As one of before the import."""
    delta(moved, tmp_path, "first", reply("of-first"))
    delta(moved, tmp_path, "second", reply("of-second"))
    other = sa.update(tables.messages).where(tables.messages.c.id == "of-first").values(id="other")
    execute(moved, other)
    assert differences(verify(moved)) == {("messages", "of-first", "missing"), ("messages", "other", "unexpected")}


@on_sqlite
def test_the_earlier_delta_wins_a_tie(moved: Settings, tmp_path: Path) -> None:
    """Of equal instants the row stays that was imported first, whatever its pass or its place is called."""
    delta(moved, tmp_path, "z", reply("tied", "of the first", updated_at=LATER))
    delta(moved, tmp_path, "a", reply("tied", "of the second", updated_at=LATER))
    assert differences(verify(moved)) == set()
    wrong = sa.update(tables.messages).where(tables.messages.c.id == "tied").values(body="of the second")
    execute(moved, wrong)
    assert differences(verify(moved)) == {("messages", "tied", "different", "body")}


@on_sqlite
def test_a_delta_before_the_remaining_pass_wins_a_tie(database_url: str, tmp_path: Path) -> None:
    """The order of imports counts, not that of passes."""
    settings = settings_for(tmp_path, database_url)
    dump = simple_dump()
    dump["remaining/messages/tied.jsonl"] = lines([reply("tied", "of the pass", updated_at=LATER)])
    write(dump, tmp_path)
    migrate(settings, passes=[Pass.RECENT])
    nowhere = dataclasses.replace(settings, source=None)
    delta(nowhere, tmp_path, "first", reply("tied", "of the delta", updated_at=LATER))
    migrate(settings)
    assert differences(verify(nowhere)) == set()


@on_sqlite
def test_deltas_that_come_into_one_folder(moved: Settings, tmp_path: Path) -> None:
    """The later ones beside the first, or in its place: what is not there any more is told of."""
    place = dataclasses.replace(moved, source=f"{tmp_path / 'all'}/{{account}}")
    for name in ("1", "2"):
        write({f"delta/messages/{name}.jsonl": lines([reply(f"of-{name}")])}, tmp_path / "all")
        migrate(place, passes=[Pass.DELTA])
    assert differences(verify(moved)) == set()
    (tmp_path / "all" / ACCOUNT / "delta/messages/1.jsonl").unlink()
    assert verify(moved).changed_parts == ("delta/messages/1.jsonl",)


@on_sqlite
def test_a_pass_that_was_read_again_is_compared_once(moved: Settings, tmp_path: Path) -> None:
    """What people made between the readings is theirs."""
    execute(moved, _persons_message())
    write({"recent/messages/part-1.jsonl": lines([reply("repaired")])}, tmp_path)
    migrate(moved, again=True)
    verified = verify(moved)
    created = verified.findings.kinds[MESSAGES, FindingKind.CREATED_SINCE]
    assert (differences(verified), created) == (set(), 1)
    assert verified.findings.expected[MESSAGES] == 7


@on_sqlite
def test_readings_from_two_places_are_both_expected(moved: Settings, tmp_path: Path) -> None:
    """What the first had, and the second has not, was imported all the same."""
    second = simple_dump()
    second["recent/messages/part-0.jsonl"] = lines([reply("repaired")])
    write(second, tmp_path / "second")
    elsewhere = dataclasses.replace(moved, source=f"{tmp_path / 'second'}/{{account}}")
    migrate(elsewhere, passes=[Pass.RECENT], again=True)
    verified = verify(moved)
    assert (differences(verified), verified.findings.expected[MESSAGES]) == (set(), 7)


def _persons_message() -> sa.Executable:
    """One that is made now."""
    row = {"account_id": ACCOUNT, "id": "person", "thread_id": "recent-t0", "origin": "email"}
    now = dt.datetime.now(dt.UTC)
    return sa.insert(tables.messages).values(**row, direction="inbound", visibility="regular", created_at=now)
