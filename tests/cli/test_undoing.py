"""What cannot be undone is asked for twice, and every command says what it did."""

from __future__ import annotations

import sqlite3

import pytest

from tests.cli.commands import ACCOUNT, Dump, Ended, migrate, s3import

pytestmark = pytest.mark.integration


@pytest.fixture
def moved(dump: Dump, sqlite_url: str) -> str:
    """The URL of a database with an account that is active."""
    assert migrate(dump, sqlite_url).status == 0
    return sqlite_url


def run(word: str, database_url: str, *words: str, account: str = ACCOUNT, **variables: str) -> Ended:
    return s3import(word, "--account", account, "--database", database_url, *words, **variables)


@pytest.mark.parametrize("word", ["reset", "purge"])
def test_a_yes_does_not_come_from_the_environment(moved: str, word: str) -> None:
    """Without one it only tells what there is: 2."""
    ended = run(word, moved, S3IMPORT_YES="1")
    assert (ended.status, ended.out, "give --yes" in ended.err) == (2, "", True)


@pytest.mark.parametrize("word", ["reset", "purge"])
@pytest.mark.parametrize("confirmed", [[], ["--yes"]], ids=["asked", "confirmed"])
def test_an_account_that_is_not_there_is_named(moved: str, word: str, confirmed: list[str]) -> None:
    """Whether or not a yes was given: 1."""
    ended = run(word, moved, *confirmed, account="typo")
    assert (ended.status, ended.out) == (1, "")
    assert "there is no account typo" in ended.err


@pytest.mark.parametrize(("word", "words"), [("reset", ["--yes", "--force"]), ("purge", ["--yes"])])
def test_progress_is_shown(moved: str, word: str, words: list[str]) -> None:
    """On stderr, a line now and then; on stdout what was done."""
    ended = run(word, moved, *words, S3IMPORT_PROGRESS_SECONDS="0")
    assert (ended.status, ended.out.startswith(f"account {ACCOUNT}: ")) == (0, True)
    assert "rows of bookkeeping removed" in ended.err


def test_a_verification_after_a_purge_says_so(moved: str) -> None:
    """It is no question of migrating first: 1."""
    assert run("purge", moved, "--yes").status == 0
    ended = run("verify", moved)
    assert (ended.status, "[account_purged]" in ended.err, "migrate" in ended.err) == (1, True, False)


def test_a_purged_migration_is_not_offered_to_be_read_again(moved: str, dump: Dump) -> None:
    """Reading it once more would be refused: neither `migrate` nor `migrate --detach` names that then."""
    assert "with --again it is read once more" in migrate(dump, moved).out
    assert run("purge", moved, "--yes").status == 0
    for words in ([], ["--detach"]):
        idle = migrate(dump, moved, *words)
        assert (idle.status, "--again" in idle.out) == (0, False)
        assert "nothing to do: what was asked for had been imported before; it cannot be read once more" in idle.out
    refused = migrate(dump, moved, "--again")
    assert (refused.status, "[account_purged]" in refused.err) == (1, True)


def test_what_people_deleted_needs_no_repair(moved: str, dump: Dump) -> None:
    """It stays deleted: nobody is told to repair the dump for it. After a purge no pass looks as if it had to start."""
    with sqlite3.connect(moved.removeprefix("sqlite:///")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM messages WHERE id = 'm0'")
    again = migrate(dump, moved, "--again")
    assert (again.status, "deleted_in_target 1" in again.out, "once the dump is repaired" in again.out) == (
        3,
        True,
        False,
    )
    assert "stays deleted, and nothing is to be done about it" in run("rejects", moved).err
    assert run("purge", moved, "--yes").status == 0
    assert "  recent: imported; nothing is kept of it\n" in run("status", moved).out


def test_a_cancellation_says_what_it_did(dump: Dump, sqlite_url: str) -> None:
    """Each pass with its state before, and where."""
    assert migrate(dump, sqlite_url, "--pass", "recent").status == 0
    assert migrate(dump, sqlite_url, "--detach").status == 0
    assert run("cancel", sqlite_url).out.splitlines() == [
        "account acme: the recent pass is succeeded, as it was; there was nothing to cancel",
        "account acme: the remaining pass was queued and is cancelled",
        f"  database {sqlite_url}",
        f"  source {dump.root}/acme",
    ]
