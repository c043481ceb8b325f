"""What a dump says is deleted goes, with everything below it, and stays away unless something newer comes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.accounts import remember_deletions
from s3import.core.errors import AccountDeleted
from s3import.core.records import ROW_ENTITIES, Entity, Written
from s3import.writers import Database, open_database
from tests.writers.rows import (
    ACCOUNT,
    HOUR,
    NOON,
    attachment,
    create_account,
    delete,
    execute,
    message,
    put,
    stored,
    thread,
)

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES


@pytest.fixture
def place(database_url: str) -> Iterator[Database]:
    """A database of each kind, with triggers, and a thread of noon with a message and its attachment."""
    database = open_database(database_url, pool_size=2)
    create_account(database)
    with database.begin() as connection:
        remember_deletions(connection, ACCOUNT)
    put(database, THREADS, thread("t"))
    put(database, MESSAGES, message("m"))
    put(database, ATTACHMENTS, attachment("a"))
    yield database
    database.close()


def everything(database: Database) -> list[list[str]]:
    """The ids of threads, messages and attachments."""
    return [stored(database, entity, "id") for entity in ROW_ENTITIES]


def tombstones(database: Database) -> set[tuple[str, str, dt.datetime, bool]]:
    """All of them."""
    kept = tables.import_tombstones.c
    with database.read() as connection:
        return {
            tuple(row) for row in connection.execute(sa.select(kept.entity, kept.id, kept.deleted_at, kept.from_dump))
        }


def remove(database: Database, table: sa.Table, row_id: str) -> None:
    """What a person does."""
    execute(database, sa.delete(table).where(table.c.id == row_id))


def test_a_deletion_takes_the_row_and_all_below_it(place: Database) -> None:
    """The whole thread goes, and no person is blamed for it."""
    assert delete(place, (THREADS, "t", NOON)) == Written(1, 0)
    assert everything(place) == [[], [], []]
    assert tombstones(place) == {
        (entity, row_id, NOON, True) for entity, row_id in [("threads", "t"), ("messages", "m"), ("attachments", "a")]
    }


def test_a_newer_row_outlives_its_deletion(place: Database) -> None:
    """It was there again by then: nothing happens."""
    assert delete(place, (THREADS, "t", NOON - HOUR)) == Written(0, 1)
    assert (everything(place), tombstones(place)) == ([["t"], ["m"], ["a"]], set())


def test_the_row_decides_not_its_children(place: Database) -> None:
    """A message that is newer than the deletion of its thread goes with it."""
    put(place, MESSAGES, message("m", updated_at=NOON + HOUR))
    delete(place, (THREADS, "t", NOON))
    assert everything(place) == [[], [], []]


def test_the_newest_of_a_batch_counts_once(place: Database) -> None:
    """Twice the same row: the later deletion is written, and of equals the first."""
    assert delete(place, *((ATTACHMENTS, "a", NOON + hours * HOUR) for hours in (0, 2, 2, 1))) == Written(1, 3)
    assert tombstones(place) == {("attachments", "a", NOON + 2 * HOUR, True)}


def test_a_deletion_again_says_nothing_new(place: Database) -> None:
    """The same or an earlier one is unchanged, a later one is written."""
    delete(place, (MESSAGES, "m", NOON))
    assert delete(place, (MESSAGES, "m", NOON)) == delete(place, (MESSAGES, "m", NOON - HOUR)) == Written(0, 1)
    assert delete(place, (MESSAGES, "m", NOON + HOUR)) == Written(1, 0)


def test_a_deletion_holds_for_rows_that_come_later(place: Database) -> None:
    """Of a row that is not there yet: what is not newer is unchanged, what is newer comes in and lifts it."""
    delete(place, (THREADS, "u", NOON))
    assert put(place, THREADS, thread("u"), thread("v")) == Written(1, 1)
    assert put(place, THREADS, thread("u", updated_at=NOON + HOUR)) == Written(1, 0)
    assert (stored(place, THREADS, "id"), tombstones(place)) == (["t", "u", "v"], set())


def test_children_of_a_deleted_row_are_held_back(place: Database) -> None:
    """Also those that were never there, and their children in turn, however new."""
    delete(place, (THREADS, "t", NOON))
    assert put(place, MESSAGES, message("n", updated_at=NOON + HOUR)) == Written(0, 1)
    assert put(place, ATTACHMENTS, attachment("b", message_id="n")) == Written(0, 1)
    assert everything(place) == [[], [], []]


def test_a_thread_that_is_back_takes_newer_messages(place: Database) -> None:
    """What the deletion took stays away, what came after it belongs to the new thread."""
    delete(place, (THREADS, "t", NOON))
    later = NOON + HOUR
    put(place, THREADS, thread("t", updated_at=later))
    assert put(place, MESSAGES, message("m"), message("n", created_at=later), message("o")) == Written(2, 1)
    assert stored(place, MESSAGES, "id") == ["n", "o"]


@pytest.mark.parametrize("deleted", [(MESSAGES, "m"), (THREADS, "t")], ids=["message", "thread"])
def test_an_attachment_comes_back_with_its_message(place: Database, deleted: tuple[Entity, str]) -> None:
    """Unchanged as it is: it went only because its message did, or its message's thread."""
    delete(place, (*deleted, NOON))
    later = NOON + HOUR
    put(place, THREADS, thread("t", updated_at=later))
    assert put(place, ATTACHMENTS, attachment("a")) == Written(0, 1)
    put(place, MESSAGES, message("m", updated_at=later))
    assert put(place, ATTACHMENTS, attachment("a")) == Written(1, 0)
    assert (stored(place, ATTACHMENTS, "id"), tombstones(place)) == (["a"], set())


@pytest.mark.parametrize("is_first", [True, False])
def test_an_attachment_that_was_deleted_itself_stays_away(place: Database, is_first: bool) -> None:
    """Also where its message was deleted, too, and is back: before that or after."""
    of_attachment, of_message = (ATTACHMENTS, "a", NOON + HOUR / 2), (MESSAGES, "m", NOON + HOUR)
    for one in (of_attachment, of_message) if is_first else (of_message, of_attachment):
        delete(place, one)
    put(place, MESSAGES, message("m", updated_at=NOON + 2 * HOUR))
    assert put(place, ATTACHMENTS, attachment("a")) == Written(0, 1)
    assert put(place, ATTACHMENTS, attachment("a", updated_at=NOON + HOUR)) == Written(1, 0)


def test_what_a_person_deleted_stays_a_persons(place: Database) -> None:
    """A dump's deletion of it is unchanged, and its records stay rejects."""
    remove(place, tables.threads, "t")
    assert delete(place, (THREADS, "t", NOON + HOUR)) == Written(0, 1)
    newer = put(place, THREADS, thread("t", updated_at=NOON + 2 * HOUR))
    assert [reason.code for reason in newer.rejected[0]] == ["deleted_in_target"]


def test_a_person_may_delete_what_came_back(place: Database) -> None:
    """Then it is theirs, and for good."""
    delete(place, (THREADS, "t", NOON))
    put(place, THREADS, thread("t", updated_at=NOON + HOUR))
    remove(place, tables.threads, "t")
    assert list(put(place, THREADS, thread("t", updated_at=NOON + 2 * HOUR)).rejected) == [0]


def test_grandchildren_of_what_a_person_deleted_are_rejects(place: Database) -> None:
    """A new message of a deleted thread, and an attachment of that message: both were deleted, neither is an orphan."""
    remove(place, tables.threads, "t")
    rejects = [put(place, MESSAGES, message("n")), put(place, ATTACHMENTS, attachment("b", message_id="n"))]
    assert [written.rejected[0][0].code for written in rejects] == ["deleted_in_target"] * 2


def test_a_deleted_account_ends_the_run(place: Database) -> None:
    """There is nothing to keep a tombstone for."""
    remove(place, tables.accounts, ACCOUNT)
    with pytest.raises(AccountDeleted):
        delete(place, (THREADS, "t", NOON))


def test_deletions_of_a_large_thread_stay_one_batch(place: Database) -> None:
    """More children than one statement names."""
    numbers = [f"{number:04}" for number in range(1200)]
    put(place, MESSAGES, *(message(number) for number in numbers))
    put(place, ATTACHMENTS, *(attachment(number, message_id=number) for number in numbers))
    assert delete(place, (THREADS, "t", NOON)) == Written(1, 0)
    assert (everything(place), len(tombstones(place))) == ([[], [], []], 2403)
