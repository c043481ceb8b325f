"""Triggers and rules of the database's own that swallow or change rows are found out, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from s3import.core.errors import Conflict, DatabaseRefused
from s3import.core.records import ROW_ENTITIES, Entity
from s3import.writers import Database
from tests.writers.conftest import KINDS
from tests.writers.rows import HOUR, NOON, delete, message, put, stored, thread

THREADS, MESSAGES, _ = ROW_ENTITIES

# What a trigger named `theirs` does to rows on their way in: the statement that creates it, by dialect.
_SWALLOWS = {
    "postgresql": "BEGIN IF NEW.id = 'm2' THEN RETURN NULL; END IF; RETURN NEW; END",
    "sqlite": "CREATE TRIGGER theirs BEFORE {event} ON messages WHEN NEW.id = 'm2' BEGIN SELECT RAISE(IGNORE); END",
}
_CHANGES = {
    "postgresql": "BEGIN NEW.body = upper(NEW.body); RETURN NEW; END",
    "mysql": "CREATE TRIGGER theirs BEFORE {event} ON messages FOR EACH ROW SET NEW.body = UPPER(NEW.body)",
    "sqlite": "CREATE TRIGGER theirs AFTER {event} ON messages WHEN NEW.body <> upper(NEW.body)"
    " BEGIN UPDATE messages SET body = upper(body) WHERE id = NEW.id; END",
}
_TAGS = {
    "postgresql": "BEGIN NEW.tags = '[\"x\"]'; RETURN NEW; END",
    "mysql": "CREATE TRIGGER theirs BEFORE {event} ON threads FOR EACH ROW SET NEW.tags = '[\"x\"]'",
    "sqlite": "CREATE TRIGGER theirs AFTER {event} ON threads BEGIN UPDATE threads SET tags = '[\"x\"]'; END",
}
_KEEPS = {
    "postgresql": "BEGIN RETURN NULL; END",
    "sqlite": "CREATE TRIGGER theirs BEFORE {event} ON messages BEGIN SELECT RAISE(IGNORE); END",
}
_HARMLESS = {
    "postgresql": "BEGIN NEW.author_id = NEW.author_id; RETURN NEW; END",
    "mysql": "CREATE TRIGGER theirs BEFORE {event} ON messages FOR EACH ROW SET NEW.author_id = NEW.author_id",
    "sqlite": "CREATE TRIGGER theirs BEFORE {event} ON messages BEGIN SELECT 1; END",
}


# Each database with what can be done to rows there: a trigger of MariaDB cannot swallow one.
FOUND_OUT = pytest.mark.parametrize(
    ("database", "bodies"),
    [
        pytest.param(kind, bodies, id=f"{kind}-{name}")
        for kind in KINDS
        for name, bodies in (("swallows", _SWALLOWS), ("changes", _CHANGES))
        if kind.partition("-")[0].replace("mariadb", "mysql") in bodies
    ],
    indirect=["database"],
)


@contextmanager
def trigger(database: Database, bodies: dict[str, str], event: str, table: str = "messages") -> Iterator[None]:
    """A trigger of somebody else's on a table, for as long as the block runs."""
    name = database.engine.dialect.name
    create, drop = [bodies[name].format(event=event)], ["DROP TRIGGER theirs"]
    if name == "postgresql":
        on = f"CREATE TRIGGER theirs BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION their_doing()"
        create = [f"CREATE FUNCTION their_doing() RETURNS trigger LANGUAGE plpgsql AS $$ {create[0]} $$", on]
        drop = ["DROP FUNCTION their_doing() CASCADE"]
    _run(database, create)
    try:
        yield
    finally:
        _run(database, drop)


def _run(database: Database, statements: list[str]) -> None:
    with database.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def with_thread(database: Database) -> Database:
    """A database with a thread for messages."""
    put(database, THREADS, thread("t"))
    return database


def insert(database: Database) -> None:
    """New rows, the short way."""
    put(database, MESSAGES, message("m1", body="a"), message("m2", body="b"))


def merge(database: Database) -> None:
    """New rows among others; tried again where the trigger is so new that it is met unawares."""
    for _ in range(2):
        with suppress(Conflict):
            put(database, MESSAGES, message("m1", body="a"), message("m2", body="b"), expect_existing=True)


@FOUND_OUT
@pytest.mark.parametrize("write", [insert, merge])
def test_what_happens_to_new_rows_is_found_out(
    with_thread: Database, bodies: dict[str, str], write: Callable[[Database], None]
) -> None:
    """Nothing is written of the batch, and the message names the table and the trigger."""
    with trigger(with_thread, bodies, "INSERT"), pytest.raises(DatabaseRefused, match=r"messages.*\btheirs\b"):
        write(with_thread)
    assert stored(with_thread, MESSAGES, "id") == []


@FOUND_OUT
def test_what_happens_to_newer_rows_is_found_out(with_thread: Database, bodies: dict[str, str]) -> None:
    """A version that does not get in, or not as it is, is no conflict that passes."""
    insert(with_thread)
    newer = message("m2", body="newer", updated_at=NOON + HOUR)
    with trigger(with_thread, bodies, "UPDATE"), pytest.raises(DatabaseRefused, match=r"messages.*\btheirs\b"):
        put(with_thread, MESSAGES, newer, expect_existing=True)
    assert stored(with_thread, MESSAGES, "body") == ["a", "b"]


def test_other_documents_are_found_out(database: Database) -> None:
    """JSON is compared by its values."""
    with trigger(database, _TAGS, "INSERT", "threads"), pytest.raises(DatabaseRefused, match=r"threads.*\btheirs\b"):
        put(database, THREADS, thread("t", tags='["a"]'))


def test_a_trigger_that_changes_nothing_is_in_nobodys_way(with_thread: Database) -> None:
    """Rows with every kind of value count as what they are."""
    with trigger(with_thread, _HARMLESS, "INSERT"):
        row = message("m", body="Grüße\n\\", updated_at=NOON, call_duration_seconds=7)
        assert put(with_thread, MESSAGES, row).written == 1
        put(with_thread, THREADS, thread("u", tags='[ "ä" ]', custom_fields='[{"value":null,"name":"x"}]'))


@pytest.mark.parametrize(
    ("database", "deletion"),
    [("postgresql", (MESSAGES, "m1")), ("sqlite", (MESSAGES, "m1")), ("postgresql", (THREADS, "t"))],
    indirect=["database"],
)
def test_rows_that_are_not_let_go_are_found_out(with_thread: Database, deletion: tuple[Entity, str]) -> None:
    """Those that are named as well as those below them; nothing of the batch is deleted."""
    insert(with_thread)
    with trigger(with_thread, _KEEPS, "DELETE"), pytest.raises(DatabaseRefused, match=r"messages.*\btheirs\b"):
        delete(with_thread, (*deletion, NOON + HOUR))
    assert stored(with_thread, THREADS, "id") == ["t"]
    assert stored(with_thread, MESSAGES, "id") == ["m1", "m2"]
