"""A person deletes while a batch is being written: what is deleted does not come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import Conflict
from s3import.core.records import ROW_ENTITIES
from s3import.core.settings import Keys
from s3import.writers import Database, write
from tests.writers.rows import ACCOUNT, HOUR, NOON, arrow, execute, message, put, stored, thread

pytestmark = pytest.mark.integration

THREADS, MESSAGES, _ = ROW_ENTITIES


class Interrupting:
    """A writer beside which something happens: before the load of the given number (from 1)."""

    def __init__(self, database: Database, number: int, happening: Callable[[], None]) -> None:
        self.writer = database.writer
        self.left = number
        self.happening = happening

    def load(self, connection: sa.Connection, table: sa.Table, rows: object) -> None:
        self.left -= 1
        if self.left == 0:
            self.happening()
        self.writer.load(connection, table, rows)

    def keys(self, connection: sa.Connection) -> Keys:
        return self.writer.keys(connection)

    def look_up_by_key(self, connection: sa.Connection) -> None:
        self.writer.look_up_by_key(connection)

    def evict(self, connection: sa.Connection, application_name: str) -> None:
        self.writer.evict(connection, application_name)


def _delete_thread(database: Database) -> Callable[[], None]:
    deletion = sa.delete(tables.threads).where(tables.threads.c.id == "t")
    return lambda: execute(database, deletion)


def test_a_deletion_before_the_direct_load_holds(shared: Database) -> None:
    """Deleted after the batch began and before it is loaded: the row is rejected."""
    put(shared, THREADS, thread("t"))
    writer = Interrupting(shared, 1, _delete_thread(shared))
    with shared.begin() as connection:
        written, _next = write(connection, writer, THREADS, ACCOUNT, arrow(THREADS, [thread("t"), thread("u")]))
    assert (written.written, list(written.rejected)) == (1, [0])
    assert stored(shared, THREADS, "id") == ["u"]


def test_a_parent_deleted_during_a_merge_is_a_conflict(shared: Database) -> None:
    """Deleted between the question and the load: the transaction is tried again and then sees it."""
    put(shared, THREADS, thread("t"))
    writer = Interrupting(shared, 2, _delete_thread(shared))
    rows = arrow(MESSAGES, [message("m")])
    with pytest.raises(Conflict), shared.begin() as connection:
        write(connection, writer, MESSAGES, ACCOUNT, rows, expect_existing=True)
    assert [reason.code for reason in put(shared, MESSAGES, message("m")).rejected[0]] == ["deleted_in_target"]


def test_a_row_deleted_while_it_is_replaced_is_a_conflict(shared: Database) -> None:
    """Deleted between the comparison and the update: the transaction is tried again and then sees it."""
    put(shared, THREADS, thread("t"))
    writer = Interrupting(shared, 2, _delete_thread(shared))
    rows = arrow(THREADS, [thread("t", updated_at=NOON + HOUR)])
    with pytest.raises(Conflict), shared.begin() as connection:
        write(connection, writer, THREADS, ACCOUNT, rows, expect_existing=True)
    assert stored(shared, THREADS, "id") == []


def test_a_row_that_arrives_during_a_merge_is_a_conflict(shared: Database) -> None:
    """Written by another worker between the question and the load: tried again, it is there already."""
    writer = Interrupting(shared, 2, lambda: _put_thread(shared))
    with pytest.raises(Conflict), shared.begin() as connection:
        write(connection, writer, THREADS, ACCOUNT, arrow(THREADS, [thread("t")]), expect_existing=True)
    assert put(shared, THREADS, thread("t")).unchanged == 1


def _put_thread(database: Database) -> None:
    put(database, THREADS, thread("t"))
