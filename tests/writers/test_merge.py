"""The contract's rules for ids seen before, parents that are missing and rows that a person deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import AccountDeleted, Conflict
from s3import.core.records import ROW_ENTITIES, Written
from s3import.writers import Database, write
from tests.writers.rows import ACCOUNT, HOUR, NOON, arrow, attachment, execute, message, put, stored, thread, tombstone

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES


def codes(written: Written) -> dict[int, list[tuple[str, str | None]]]:
    """The code and field of each reject's reasons."""
    return {row: [(reason.code, reason.field) for reason in reasons] for row, reasons in written.rejected.items()}


def test_new_rows_are_written(database: Database) -> None:
    """Rows that are new go in, and are counted written."""
    assert put(database, THREADS, thread("1"), thread("2")) == Written(2, 0)
    assert stored(database, THREADS, "id") == ["1", "2"]


def test_no_rows_are_no_work(database: Database) -> None:
    """A batch without rows writes nothing."""
    assert put(database, THREADS) == Written(0, 0)


@pytest.mark.parametrize("expect_existing", [False, True])
def test_the_same_rows_again_are_unchanged(database: Database, expect_existing: bool) -> None:
    """What is there already stays, and is counted unchanged."""
    put(database, THREADS, thread("1", subject="first"))
    assert put(database, THREADS, thread("1", subject="again"), expect_existing=expect_existing) == Written(0, 1)
    assert stored(database, THREADS, "subject") == ["first"]


def test_the_next_batch_is_told_what_to_expect(database: Database) -> None:
    """A batch that had to be merged says so, one that went straight in too."""
    rows = arrow(THREADS, [thread("1")])
    with database.begin() as connection:
        outcomes = [write(connection, database.writer, THREADS, ACCOUNT, rows)[1] for _time in range(2)]
    assert outcomes == [False, True]


def test_a_newer_row_replaces_an_older_one(database: Database) -> None:
    """Every column takes the newer row's value, an absent one too."""
    put(database, THREADS, thread("1", subject="old", assignee_id="x"))
    assert put(database, THREADS, thread("1", subject="new", updated_at=NOON + HOUR)) == Written(1, 0)
    assert stored(database, THREADS, "subject", "assignee_id", "updated_at") == [("new", None, NOON + HOUR)]


def test_an_older_row_loses(database: Database) -> None:
    """An older row changes nothing."""
    put(database, THREADS, thread("1", subject="there", updated_at=NOON))
    assert put(database, THREADS, thread("1", subject="older", updated_at=NOON - HOUR)) == Written(0, 1)
    assert stored(database, THREADS, "subject") == ["there"]


def test_an_absent_update_counts_as_the_creation(database: Database) -> None:
    """A row without updated_at is as new as its created_at."""
    put(database, THREADS, thread("1", subject="there", created_at=NOON, updated_at=NOON + HOUR))
    put(database, THREADS, thread("1", subject="older", created_at=NOON))
    put(database, THREADS, thread("1", subject="newer", created_at=NOON + 2 * HOUR))
    assert stored(database, THREADS, "subject") == ["newer"]


def test_the_newest_of_a_batch_wins(database: Database) -> None:
    """Of one id in a batch the newest is written and the others are unchanged."""
    rows = [thread("1", subject=str(hours), updated_at=NOON + hours * HOUR) for hours in (1, 3, 2)]
    assert put(database, THREADS, *rows) == Written(1, 2)
    assert stored(database, THREADS, "subject") == ["3"]


def test_the_first_of_equals_wins(database: Database) -> None:
    """Of rows of one id and one time the first line is written."""
    assert put(database, THREADS, *(thread("1", subject=word) for word in ("first", "second"))) == Written(1, 1)
    assert stored(database, THREADS, "subject") == ["first"]


def test_children_outlive_their_parents_replacement(database: Database) -> None:
    """Replacing a thread keeps its messages."""
    put(database, THREADS, thread("t"))
    put(database, MESSAGES, message("m"))
    put(database, THREADS, thread("t", updated_at=NOON + HOUR))
    assert stored(database, MESSAGES, "id") == ["m"]


def test_new_old_and_newer_rows_share_a_batch(database: Database) -> None:
    """Each row of a mixed batch gets what it deserves."""
    put(database, THREADS, thread("1"), thread("2"))
    assert put(database, THREADS, thread("1"), thread("2", updated_at=NOON + HOUR), thread("3")) == Written(2, 1)
    assert stored(database, THREADS, "id") == ["1", "2", "3"]


def test_ids_that_differ_by_a_space_are_merged_apart(database: Database) -> None:
    """The merge compares ids byte by byte, too."""
    put(database, THREADS, thread("k"), thread("k "))
    assert put(database, THREADS, thread("K"), thread("k ", updated_at=NOON + HOUR), thread("k")) == Written(2, 1)
    assert stored(database, THREADS, "id", "updated_at") == [("K", None), ("k", None), ("k ", NOON + HOUR)]


def test_missing_parents_are_all_named(database: Database) -> None:
    """A thread without its brand and its channel is one reject with both reasons; the others go in."""
    written = put(database, THREADS, thread("1", brand_id="x", channel_id="y"), thread("2"))
    assert written.written == 1
    assert codes(written) == {0: [("unknown_brand", "brand_id"), ("unknown_channel", "channel_id")]}


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_row_that_is_there_needs_the_parents_that_it_names(database: Database, hours: int) -> None:
    """A record is rejected for a parent that is missing, whatever its row in the table hangs on."""
    put(database, THREADS, thread("t"), thread("u"))
    put(database, MESSAGES, message("m", updated_at=NOON))
    again, elsewhere = (message("m", thread_id=thread_id, updated_at=NOON) for thread_id in ("t", "u"))
    astray = message("m", thread_id="nowhere", updated_at=NOON + hours * HOUR)
    written = put(database, MESSAGES, again, astray, elsewhere)
    assert (written.written, written.unchanged) == (0, 2)
    assert codes(written) == {1: [("unknown_thread", "thread_id")]}
    assert stored(database, MESSAGES, "thread_id") == ["t"]


def test_rows_that_are_there_are_asked_about_once(database: Database) -> None:
    """Parents that the table's rows hang on already are there: nobody looks for them."""
    put(database, THREADS, thread("t"))
    put(database, MESSAGES, message("m"))
    said: list[str] = []
    with database.begin() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *event: said.append(event[2]))
        write(connection, database.writer, MESSAGES, ACCOUNT, arrow(MESSAGES, [message("m")]), expect_existing=True)
    assert not [statement for statement in said if "FROM threads" in statement]


def test_messages_and_attachments_need_their_parents(database: Database) -> None:
    """A child names its missing parent by its own code."""
    assert codes(put(database, MESSAGES, message("m"))) == {0: [("unknown_thread", "thread_id")]}
    assert codes(put(database, ATTACHMENTS, attachment("a"))) == {0: [("unknown_message", "message_id")]}


def test_a_reject_does_not_shadow_an_older_row(database: Database) -> None:
    """The newest of the rows that may go in wins, even when a newer one of its id is rejected."""
    rows = [thread("1", subject="right"), thread("1", brand_id="x", updated_at=NOON + HOUR)]
    written = put(database, THREADS, *rows)
    assert (written.written, list(written.rejected)) == (1, [1])
    assert stored(database, THREADS, "subject") == ["right"]


def test_a_deleted_row_stays_deleted(database: Database) -> None:
    """A row that a person deleted is rejected, however new it is."""
    put(database, THREADS, thread("1"), thread("2"))
    execute(database, sa.delete(tables.threads).where(tables.threads.c.id == "1"))
    written = put(database, THREADS, thread("1", updated_at=NOON + HOUR), thread("2"), thread("3"))
    assert (written.written, written.unchanged, codes(written)) == (1, 1, {0: [("deleted_in_target", "id")]})
    assert stored(database, THREADS, "id") == ["2", "3"]


def test_children_of_a_deleted_row_stay_deleted(database: Database) -> None:
    """A deletion weighs more than the missing parent that it causes."""
    execute(database, tombstone("threads", "t"))
    assert codes(put(database, MESSAGES, message("m"))) == {0: [("deleted_in_target", "thread_id")]}


def test_tombstones_of_others_do_not_count(database: Database) -> None:
    """A message may have the id of a deleted thread, and another account's deletions are its own."""
    account = {"id": "other", "status": "migrating", "created_at": NOON, "updated_at": NOON}
    other = tombstone("threads", "1").values(account_id="other")
    execute(database, sa.insert(tables.accounts).values(account), tombstone("messages", "1"), other)
    assert put(database, THREADS, thread("1")) == Written(1, 0)


@pytest.mark.parametrize("expect_existing", [False, True])
def test_a_deleted_account_ends_the_run(database: Database, expect_existing: bool) -> None:
    """When the account is gone nothing of it comes back."""
    execute(database, sa.delete(tables.accounts))
    with pytest.raises(AccountDeleted):
        put(database, THREADS, thread("1"), expect_existing=expect_existing)


def test_a_transaction_may_hold_several_batches(database: Database) -> None:
    """Two merges in one transaction do not see each other's keys."""
    with database.begin() as connection:
        for row_id in ("1", "2", "1"):
            rows = arrow(THREADS, [thread(row_id)])
            write(connection, database.writer, THREADS, ACCOUNT, rows, expect_existing=True)
    assert stored(database, THREADS, "id") == ["1", "2"]


def test_two_connections_write_the_same_rows_once(database: Database) -> None:
    """Of two workers that write the same ids at once, each row is written by one and unchanged for the other."""
    rows = [thread(f"{number:03}") for number in range(200)]
    together = threading.Barrier(2)

    def work() -> Written:
        together.wait()
        return _until_it_holds(lambda: put(database, THREADS, *rows))

    with ThreadPoolExecutor(2) as pool:
        outcomes = [future.result() for future in [pool.submit(work), pool.submit(work)]]
    assert sorted(outcome.written for outcome in outcomes) == [0, 200]
    assert len(stored(database, THREADS, "id")) == 200


def _until_it_holds(work: Callable[[], Written]) -> Written:
    from s3import.core.errors import TemporaryFailure

    for _attempt in range(20):
        try:
            return work()
        except TemporaryFailure:
            continue
    raise AssertionError("it never held")


def test_conflict_is_temporary() -> None:
    """Whoever retries temporary failures retries conflicts."""
    from s3import.core.errors import TemporaryFailure

    assert issubclass(Conflict, TemporaryFailure)
