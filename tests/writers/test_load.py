"""What every writer's bulk loading promises, on every database."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3import.core import tables
from s3import.core.errors import Conflict, DatabaseRefused
from s3import.core.records import MAX_LINE_BYTES, Entity
from s3import.writers import Database
from tests.writers.conftest import ON_SERVERS
from tests.writers.rows import ACCOUNT, NOON, Row, arrow, execute, message, stored, thread

pytestmark = pytest.mark.integration

NASTY = [
    "",
    r"\N",
    "NULL",
    "\\",
    "\\\\n",
    "tab\tand\nline\r\nend\r",
    "'single' \"double\" `back`",
    "100%s %(x)s {0} ?",
    "\x01\x1a\x7f",
    "\ufffd \U0001f600 \u2028",
    "trailing \t",
    "\t",
    "\n",
    ",;|",
]


def load(database: Database, entity: Entity, *rows: Row) -> None:
    with database.begin() as connection:
        database.writer.load(connection, tables.TARGETS[entity], arrow(entity, list(rows)))


def test_text_arrives_as_it_was(database: Database) -> None:
    """Whatever a text holds is what the database gives back."""
    load(database, Entity.THREADS, *(thread(f"{number:02}", subject=text) for number, text in enumerate(NASTY)))
    assert stored(database, Entity.THREADS, "subject") == NASTY


def test_null_is_no_empty_string(database: Database) -> None:
    """An absent text stays absent and an empty one empty."""
    load(database, Entity.THREADS, thread("1", subject=None), thread("2", subject=""))
    assert stored(database, Entity.THREADS, "subject") == [None, ""]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))))
def test_any_text_arrives_as_it_was(database: Database, texts: list[str]) -> None:
    """Any Unicode text without NUL makes the round trip."""
    execute(database, sa.delete(tables.threads))
    load(database, Entity.THREADS, *(thread(f"{number:04}", subject=text) for number, text in enumerate(texts)))
    assert stored(database, Entity.THREADS, "subject") == texts


def test_json_arrives_as_a_document(database: Database) -> None:
    """JSON text becomes JSON, escapes and all."""
    load(
        database,
        Entity.THREADS,
        thread("1", tags=r'["a\"b","\\N\t\u00e9","😀"]', custom_fields='[{"name":"n","value":null}]'),
    )
    expected = (['a"b', "\\N\té", "😀"], [{"name": "n", "value": None}])
    assert stored(database, Entity.THREADS, "tags", "custom_fields") == [expected]


@pytest.mark.parametrize("year", [1970, 2024, 2199])
def test_instants_keep_their_microseconds(database: Database, year: int) -> None:
    """A timestamp comes back in UTC, to the microsecond."""
    instant = dt.datetime(year, 1, 1, 0, 0, 0, 123456, tzinfo=dt.UTC)
    load(database, Entity.THREADS, thread("1", created_at=instant))
    assert stored(database, Entity.THREADS, "created_at", "updated_at") == [(instant, None)]


def test_integers_keep_their_range(database: Database) -> None:
    """The largest duration and its absence make the round trip."""
    load(database, Entity.THREADS, thread("t"))
    load(database, Entity.MESSAGES, message("1", call_duration_seconds=2**31 - 1), message("2"))
    assert stored(database, Entity.MESSAGES, "call_duration_seconds") == [2**31 - 1, None]


def test_ids_differ_byte_by_byte(database: Database) -> None:
    """Case, a space at the end and an accent make another id."""
    ids = ["K1", "k1", "k1 ", "ká", "ka", "kA", "k" * 255, "é" * 255, "😀" * 255]
    load(database, Entity.THREADS, *map(thread, ids))
    assert set(stored(database, Entity.THREADS, "id")) == set(ids)


def test_a_large_text_arrives_whole(database: Database) -> None:
    """A text of several megabytes is neither cut nor refused."""
    body = "é\t\\" * (2 * 1024 * 1024)
    load(database, Entity.THREADS, thread("t"))
    load(database, Entity.MESSAGES, message("1", body=body), message("2"))
    assert stored(database, Entity.MESSAGES, "body") == [body, None]


@pytest.mark.parametrize("database", ["postgresql", "sqlite"], indirect=True)
def test_a_text_of_the_largest_line_arrives_whole(database: Database) -> None:
    """A text of 16 MiB makes the round trip; on MariaDB max_allowed_packet is just that by default."""
    body = "x" * MAX_LINE_BYTES
    load(database, Entity.THREADS, thread("t"))
    load(database, Entity.MESSAGES, message("1", body=body))
    assert stored(database, Entity.MESSAGES, "body") == [body]


def test_many_rows_arrive(database: Database) -> None:
    """A batch of many chunks loses none of its rows."""
    load(database, Entity.THREADS, *(thread(f"{number:05}", subject="x" * 1000) for number in range(9000)))
    assert len(stored(database, Entity.THREADS, "id")) == 9000


def test_columns_that_are_empty_for_long_arrive_as_they_are(database: Database) -> None:
    """A column may be NULL in all rows, or filled for the first time far behind the first row."""
    load(database, Entity.THREADS, thread("t"))
    bodies = [None] * 2500 + ["late"]
    load(database, Entity.MESSAGES, *(message(f"{number:05}", body=body) for number, body in enumerate(bodies)))
    assert stored(database, Entity.MESSAGES, "body", "transcript") == [(body, None) for body in bodies]


def test_an_id_that_is_there_is_a_conflict(database: Database) -> None:
    """A key that exists fails the load, and the transaction leaves nothing."""
    load(database, Entity.THREADS, thread("1"))
    with pytest.raises(Conflict):
        load(database, Entity.THREADS, thread("2"), thread("1"))
    assert stored(database, Entity.THREADS, "id") == ["1"]


def test_an_id_twice_in_a_batch_is_a_conflict(database: Database) -> None:
    """A key given twice fails the load."""
    with pytest.raises(Conflict):
        load(database, Entity.THREADS, thread("1"), thread("1"))


def test_a_parent_that_is_missing_is_a_conflict(database: Database) -> None:
    """Foreign keys are enforced while loading."""
    with pytest.raises(Conflict):
        load(database, Entity.THREADS, thread("1", channel_id="nowhere"))
    assert stored(database, Entity.THREADS, "id") == []


@ON_SERVERS
def test_a_word_that_is_too_long_is_refused(database: Database) -> None:
    """A value that the column does not take is an error about the database, not a conflict, and quotes no text."""
    with pytest.raises(DatabaseRefused) as refusal:
        load(database, Entity.THREADS, thread("1", status="secret" * 10))
    assert "secret" not in str(refusal.value)


def test_deleting_a_parent_deletes_its_children(database: Database) -> None:
    """Foreign keys cascade on every database."""
    load(database, Entity.THREADS, thread("t"))
    load(database, Entity.MESSAGES, message("1"))
    execute(database, sa.delete(tables.brands).where(tables.brands.c.account_id == ACCOUNT))
    assert stored(database, Entity.MESSAGES, "id") == []


def test_a_rolled_back_load_leaves_nothing(database: Database) -> None:
    """The rows belong to the caller's transaction."""
    with suppress(LookupError), database.begin() as connection:
        database.writer.load(connection, tables.threads, arrow(Entity.THREADS, [thread("1", created_at=NOON)]))
        raise LookupError
    assert stored(database, Entity.THREADS, "id") == []
