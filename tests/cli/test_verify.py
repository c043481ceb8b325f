"""`s3import verify`, to the letter."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core.tables import attachments, messages, threads
from s3import.writers import open_database
from tests.cli.commands import ACCOUNT, Dump, Ended, json_lines, message, migrate, s3import

pytestmark = pytest.mark.integration

SECRET = "the customer's own words"


def verify(database_url: str, *words: str, **variables: str) -> Ended:
    return s3import("verify", "--account", ACCOUNT, "--database", database_url, *words, **variables)


def change(database_url: str, *statements: sa.Executable) -> None:
    database = open_database(database_url)
    with database.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    database.close()


@pytest.fixture
def changed(dump: Dump, sqlite_url: str) -> str:
    """The URL of a database with an imported account, in which somebody changed a body and deleted a message."""
    dump.put("recent/messages/b.jsonl", json_lines(message(7, body=SECRET)))
    migrate(dump, sqlite_url)
    other = sa.update(messages).where(messages.c.id == "m7").values(body=f"{SECRET}!", direction="outbound")
    change(sqlite_url, other, sa.delete(messages).where(messages.c.id == "m2"), sa.delete(attachments))
    return sqlite_url


def test_says_that_all_is_there(dump: Dump, sqlite_url: str) -> None:
    """Exit status 0; the dump is looked for where it was imported from."""
    migrate(dump, sqlite_url)
    ended = verify(sqlite_url)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == (
        "account acme: the database holds what the dump says\n"
        f"  database {sqlite_url}\n"
        f"  source {dump.root}/acme\n"
        "  threads: 2 expected, 2 found\n"
        "  messages: 3 expected, 3 found\n"
    )


def test_lists_what_differs(dump: Dump, changed: str) -> None:
    """Exit status 1; each difference by entity, id, kind, fields and place, never a value."""
    ended = verify(changed)
    assert (ended.status, ended.err) == (1, "")
    assert ended.out == (
        "account acme: 1 difference\n"
        f"  database {changed}\n"
        f"  source {dump.root}/acme\n"
        "  threads: 2 expected, 2 found\n"
        "  messages: 4 expected, 3 found, 1 different, 1 deleted_since\n"
        "  messages m7: different (direction, body)  recent/messages/b.jsonl:1\n"
        "  messages m2: deleted_since  remaining/messages/a.jsonl:1\n"
    )


def test_gives_a_document(changed: str) -> None:
    """With --json everything is one document, for machines; `status` then shows the verdict."""
    ended = verify(changed, "--json")
    document: dict[str, Any] = ended.document
    assert ended.status == 1
    assert SECRET not in ended.out
    assert list(document) == [
        "account_id", "passes", "verified_at", "differences", "rejected", "counts", "digests", "sources",
        "changed_parts", "listed"
    ]  # fmt: skip
    assert (document["differences"], document["passes"]) == (1, ["recent", "remaining"])
    (different,) = document["listed"]["differences"]
    assert different == {
        "entity": "messages",
        "id": "m7",
        "kind": "different",
        "fields": ["direction", "body"],
        "part": "recent/messages/b.jsonl",
        "line": 1,
    }
    shown = s3import("status", "--account", ACCOUNT, "--database", changed).out
    assert len(re.findall(r"verified 20\S+Z: 1 difference\n", shown)) == 2


def test_changes_by_people_are_no_failure(dump: Dump, sqlite_url: str) -> None:
    """They are listed, and the exit status is 0."""
    migrate(dump, sqlite_url)
    change(sqlite_url, sa.update(threads).where(threads.c.id == "t0").values(subject="x", updated_at=sa.func.now()))
    ended = verify(sqlite_url, "--source", dump.source)
    assert ended.status == 0
    assert "threads t0: changed_since (subject, updated_at)  recent/threads/a.jsonl:1\n" in ended.out


def test_fails_like_any_command(dump: Dump, sqlite_url: str) -> None:
    """An unknown account, a dump that is gone, an account that cannot be one."""
    unknown = verify(sqlite_url)
    migrate(dump, sqlite_url)
    gone = verify(sqlite_url, "--source", "/nowhere/{account}")
    impossible = s3import("verify", "--account", "a/b", "--database", sqlite_url)
    assert [ended.status for ended in (unknown, gone, impossible)] == [1, 1, 2]
    assert unknown.err.endswith("[account_not_found]\n")
    assert "/nowhere/acme" in gone.err


def test_says_how_many_were_rejected(dump: Dump, sqlite_url: str) -> None:
    """What was rejected is no difference, and is said all the same, here and in the status."""
    dump.fill(bad=1)
    migrate(dump, sqlite_url)
    ended = verify(sqlite_url)
    verdict = "the database holds what the dump says, but for 1 rejected record"
    assert (ended.status, ended.out.splitlines()[0]) == (0, f"account acme: {verdict}")
    assert f"Z: {verdict}\n" in s3import("status", "--account", ACCOUNT, "--database", sqlite_url).out


def test_an_account_with_nothing_in_it_is_no_success(dump: Dump, sqlite_url: str) -> None:
    """Where everything was rejected there is nothing to compare, and that is said."""
    dump.put("account.json", b'{"id":"acme","name":"Acme","brands":[],"channels":[]}')
    assert migrate(dump, sqlite_url, "--max-rejects", "100%").status == 3
    assert verify(sqlite_url).out.startswith("account acme: nothing is there to compare: 5 records were rejected")
