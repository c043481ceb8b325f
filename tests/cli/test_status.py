"""`status` of one account and of many, and what every command says of the place where it works."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core.tables import import_runs
from tests.cli.commands import ACCOUNT, Dump, account_document, migrate, s3import
from tests.cli.test_verify import change

pytestmark = pytest.mark.integration

AWAY = "postgresql://me:secret@127.0.0.1:1/reamaze?connect_timeout=1"


@pytest.fixture
def three(dump: Dump, sqlite_url: str) -> str:
    """The URL of a database in which `acme` succeeded, then `beta` failed, and `gamma` is queued."""
    dump.fill("beta")
    dump.put("remaining/messages/b.jsonl.gz", account="beta").write_bytes(b"no gzip at all")
    dump.fill("gamma")
    migrate(dump, sqlite_url)
    migrate(dump, sqlite_url, account="beta")
    migrate(dump, sqlite_url, "--detach", account="gamma")
    return sqlite_url


def test_lists_the_accounts_at_work_and_those_done_last(three: str) -> None:
    """A line each, its cells between tabs: who is at work first, then who was done last."""
    rows = [line.split("\t") for line in s3import("status", "--database", three).out.splitlines()]
    assert [row[:2] for row in rows] == [
        ["gamma", "not in the database"],
        ["beta", "active-recent-only"],
        ["acme", "active"],
    ]
    assert rows[0][2:6] == ["queued, 0 of 0 parts", "queued, 0 of 0 parts", "-", "0"]
    assert rows[1][3] == "failed, 2 of 3 parts, stopped at messages"
    assert {row[-1] for row in rows} == {three}


def test_gives_a_status_document_a_line(three: str) -> None:
    """With --json each line is what `--account` would give."""
    listed = s3import("status", "--database", three, "--json").lines
    assert [document["account_id"] for document in listed] == ["gamma", "beta", "acme"]
    assert listed == [
        s3import("status", "--database", three, "--json", "--account", one["account_id"]).document for one in listed
    ]


@pytest.mark.parametrize(("state", "accounts"), [("failed", ["beta"]), ("queued", ["gamma"]), ("running", [])])
def test_lists_accounts_in_a_state(three: str, state: str, accounts: list[str]) -> None:
    """`--state` leaves the others out."""
    ended = s3import("status", "--database", three, "--state", state, "--json")
    assert (ended.status, [document["account_id"] for document in ended.lines]) == (0, accounts)


def test_a_database_without_tables_lists_nothing(bare_sqlite_url: str) -> None:
    """And says so where a person reads it; none is made."""
    ended = s3import("status", "--database", bare_sqlite_url)
    said = f"s3import: {bare_sqlite_url}: no migration is recorded here\n"
    assert (ended.status, ended.out, ended.err) == (0, "", said)


def test_what_was_purged_is_not_called_never_migrated(dump: Dump, sqlite_url: str) -> None:
    """The account is active; only what was kept of its migration is gone."""
    migrate(dump, sqlite_url)
    assert s3import("purge", "--account", ACCOUNT, "--yes", "--database", sqlite_url).status == 0
    ended = s3import("status", "--database", sqlite_url)
    assert ended.err == f"s3import: {sqlite_url}: no migration is recorded here\n"


def test_says_that_no_account_is_in_a_state(three: str) -> None:
    """Other accounts there are."""
    ended = s3import("status", "--database", three, "--state", "running")
    said = f"s3import: {three}: no account has a pass whose state is running\n"
    assert (ended.status, ended.out, ended.err) == (0, "", said)


def test_a_state_is_no_matter_of_one_account(sqlite_url: str) -> None:
    """Together they make no sense."""
    assert s3import("status", "--account", ACCOUNT, "--state", "failed", "--database", sqlite_url).status == 2


def test_where_the_database_does_not_answer_a_status_is_unknown() -> None:
    """Never 'not in the database': nobody knows. The password is not shown."""
    ended = s3import("status", "--account", ACCOUNT, "--database", AWAY)
    assert ended.status == 75
    assert ended.out.startswith(f"account {ACCOUNT}: unknown\n  database postgresql://me@127.0.0.1:1/reamaze\n")
    assert "secret" not in ended.out + ended.err
    shown = s3import("status", "--account", ACCOUNT, "--database", AWAY, "--json")
    assert (shown.status, shown.document["account_status"]) == (75, "unknown")


@pytest.mark.parametrize("command", ["status", "rejects", "verify", "purge", "cancel", "reset"])
def test_an_account_is_named_once_where_one_counts(command: str, sqlite_url: str) -> None:
    """The last one would win, and the first be taken for done."""
    ended = s3import(command, "--account", "acme", "--account", "other", "--database", sqlite_url)
    assert ended.status == 2
    assert "--account was given 2 times; give it once" in ended.err


def test_an_option_is_given_once(dump: Dump, sqlite_url: str) -> None:
    """Two sources are one too many; accounts may be many."""
    ended = migrate(dump, sqlite_url, "--source", "/elsewhere/{account}")
    assert (ended.status, "--source was given 2 times" in ended.err) == (2, True)
    assert migrate(dump, sqlite_url, "--account", "acme").status == 0


def test_a_dry_run_cannot_be_left_to_others(dump: Dump, sqlite_url: str) -> None:
    """It would have been run at once, and nothing queued."""
    ended = migrate(dump, sqlite_url, "--dry-run", "--detach")
    assert (ended.status, "give one of them" in ended.err) == (2, True)


def test_progress_begins_with_its_place(dump: Dump, sqlite_url: str) -> None:
    """The first line of progress names source and database."""
    ended = migrate(dump, sqlite_url, S3IMPORT_PROGRESS_SECONDS="0")
    assert ended.err.splitlines()[0] == f"from {dump.root}/acme into {sqlite_url}"


def test_passes_from_several_places_name_theirs(dump: Dump, sqlite_url: str) -> None:
    """Where the passes have one source in common it is said once, else for each."""
    migrate(dump, sqlite_url)
    moved = sa.update(import_runs).where(import_runs.c["pass"] == "remaining").values(source="/old/acme")
    change(sqlite_url, moved)
    out = s3import("status", "--account", ACCOUNT, "--database", sqlite_url).out
    assert f"\n    source {dump.root}/acme\n" in out
    assert "\n    source /old/acme\n" in out


def test_says_what_of_account_json_nobody_knows(dump: Dump, sqlite_url: str) -> None:
    """A channel of an unknown kind is kept, and the summary names the words there are."""
    dump.put("account.json", account_document().replace(b'"email"', b'"fax"'))
    out = migrate(dump, sqlite_url).out
    assert "account.json: the channel kind 'fax' is none of email, chat, sms," in out


def test_says_what_of_a_later_account_json_has_no_effect(dump: Dump, sqlite_url: str) -> None:
    """It is applied once: what was edited since is named, in text and JSON."""
    migrate(dump, sqlite_url, "--pass", "recent")
    dump.put("account.json", account_document().replace(b'"Post"', b'"Other"').replace(b'"Acme"', b'"New"'))
    noted = migrate(dump, sqlite_url, "--json").document["notes"]
    assert len(noted) == 1
    assert "it differs from the database in its name, channel 'c': change that" in noted[0]
    dump.put("delta/messages/a.jsonl", b"")
    assert noted[0] in migrate(dump, sqlite_url, "--pass", "delta").out


def test_nothing_is_at_work_behind_a_pass_that_failed(dump: Dump, sqlite_url: str) -> None:
    """The remaining pass is queued until the recent one is asked for again: nobody watches that."""
    assert migrate(dump, sqlite_url, "--detach").status == 0
    change(sqlite_url, sa.update(import_runs).where(import_runs.c["pass"] == "recent").values(state="failed"))
    ended = s3import("status", "--account", ACCOUNT, "--database", sqlite_url, "--watch", "--json")
    assert (ended.status, len(ended.lines)) == (0, 1)
    assert ended.document["passes"]["remaining"]["state"] == "queued"


def test_every_account_of_the_list_names_its_source(three: str, dump: Dump) -> None:
    """Uncut, before the database."""
    lines = s3import("status", "--database", three).out.splitlines()
    assert [line.split("\t")[6] for line in lines] == [f"{dump.root}/{one}" for one in ("gamma", "beta", "acme")]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["verify"], []),
        (["cancel"], []),
        (["files", "copy"], ["--files-to", "copies"]),
        (["purge"], ["--yes"]),
        (["reset"], ["--yes", "--force"]),
    ],
)
def test_what_was_done_is_said_with_its_place(
    dump: Dump, sqlite_url: str, tmp_path: Path, command: list[str], words: list[str]
) -> None:
    """Every command that works on what was imported names the database and where that came from."""
    migrate(dump, sqlite_url)
    words = [str(tmp_path / word) if word == "copies" else word for word in words]
    out = s3import(*command, "--account", ACCOUNT, "--database", sqlite_url, *words).out
    assert f"  database {sqlite_url}\n  source {dump.root}/acme\n" in out


@pytest.mark.parametrize("words", [[], ["--detach"]], ids=["now", "later"])
def test_an_account_that_cannot_be_looked_up_is_unknown_to_migrate(dump: Dump, words: list[str]) -> None:
    """Its summary says so, and the message is said once, however many accounts there are."""
    many = (*words, "--account", "beta", "--json")
    ended = migrate(dump, AWAY, *many, S3IMPORT_RETRY_SECONDS="0")
    documents = ended.document["accounts"]
    assert (ended.status, [one["account_status"] for one in documents]) == (75, ["unknown", "unknown"])
    assert {one["error"]["code"] for one in documents} == {"database_unavailable"}
    assert ended.err.count("[database_unavailable]") == 1
