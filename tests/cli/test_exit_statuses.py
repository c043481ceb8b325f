"""Every exit status of the contract, provoked for real."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.writers import open_database
from s3import.writers.schema import HEAD
from s3import.writers.url import shown
from tests.cli.commands import ACCOUNT, Dump, migrate, running, s3import
from tests.objects import CREDENTIALS, Bucket

pytestmark = pytest.mark.integration


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens, and nobody else will."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_0_when_everything_was_imported(dump: Dump, bare_database_url: str) -> None:
    """Done is 0, on an empty database of each kind, and so is doing it again."""
    assert [migrate(dump, bare_database_url).status for _ in range(2)] == [0, 0]


def test_1_when_there_is_no_dump(dump: Dump, sqlite_url: str) -> None:
    """A dump that is not there is 1; the message says where it should be."""
    ended = migrate(dump, sqlite_url, account="nobody")
    assert (ended.status, "[dump_not_found]" in ended.err) == (1, True)
    assert f"{dump.root}/nobody" in ended.err


def test_1_when_there_are_too_many_rejects(dump: Dump, sqlite_url: str) -> None:
    """More rejects than allowed are 1, as many as allowed are 3."""
    dump.fill(bad=2)
    assert migrate(dump, sqlite_url, "--max-rejects", "1").status == 1
    assert migrate(dump, sqlite_url, "--max-rejects", "2").status == 3


def test_a_dry_run_says_where_its_own_rejects_are(dump: Dump, sqlite_url: str) -> None:
    """It keeps none for `s3import rejects` to show."""
    dump.fill(bad=2)
    ended = migrate(dump, sqlite_url, "--dry-run", "--max-rejects", "1")
    assert (ended.status, "s3import rejects" in ended.err, "--json lists the first" in ended.err) == (1, False, True)


def test_1_when_the_account_is_unknown(bare_sqlite_url: str) -> None:
    """`status` and `rejects` of an account that nobody knows are 1, in an empty database too."""
    for name in ("status", "rejects"):
        ended = s3import(name, "--account", ACCOUNT, "--database", bare_sqlite_url)
        assert (ended.status, ended.out) == (1, "")
        assert ended.err.startswith("s3import: account acme is not known here")


@pytest.mark.parametrize("account", ["", ".", "..", "a/b", "a\\b", "{account}", "a\tb", "a\x7f", "x" * 256])
def test_2_for_what_cannot_be_an_account_id(dump: Dump, bare_sqlite_url: str, tmp_path: Path, account: str) -> None:
    """An account id that could not stand in a path is refused before anything is touched."""
    ended = migrate(dump, bare_sqlite_url, "--account", "acme", account=account)
    assert (ended.status, ended.out) == (2, "")
    assert "cannot be an account id" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["dumps"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["migrate"],
        ["migrate", "--account", "acme"],
        ["migrate", "--account", "acme", "--source", "x", "--pass", "old"],
        ["migrate", "--account", "acme", "--source", "x", "--workers", "0"],
        ["migrate", "--account", "acme", "--source", "x", "--max-rejects", "-1"],
        ["migrate", "--account", "acme", "--source", "x", "--max-rejects", "101%"],
        ["migrate", "--account", "acme", "--source", "x", "--max-rejects", "nan%"],
        ["migrate", "--account", "acme", "--source", "ftp://x/{account}"],
        ["migrate", "--account", "acme", "--source", "s3:///{account}"],
        ["migrate", "--account", "acme", "--source", "x", "--database", "oracle://x"],
        ["migrate", "--account", "acme", "--source", "x", "--database", "no url"],
        ["migrate", "--account", "acme", "--account", "b", "--source", "/without/a/place"],
        ["status", "--account", "a/b"],
    ],
    ids=" ".join,
)
def test_2_for_wrong_usage(words: list[str], tmp_path: Path) -> None:
    """Wrong usage is 2, and says on stderr what is wrong."""
    ended = s3import(*words, S3IMPORT_DATABASE=f"sqlite:///{tmp_path}/reamaze.db")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["S3IMPORT_WORKERS", "S3IMPORT_RETRY_SECONDS", "S3IMPORT_PROGRESS_SECONDS"])
def test_2_for_a_variable_that_is_no_number(dump: Dump, sqlite_url: str, name: str) -> None:
    """A setting that makes no sense is 2 and is named."""
    for value in ("many", "-1", "nan"):
        ended = migrate(dump, sqlite_url, **{name: value})
        assert (ended.status, name in ended.err or "--workers" in ended.err) == (2, True)


def test_3_when_some_records_were_rejected(dump: Dump, sqlite_url: str) -> None:
    """Done with rejects is 3, also when another account has none."""
    dump.fill("other")
    dump.fill(bad=1)
    assert migrate(dump, sqlite_url, "--account", "other").status == 3


def test_4_when_another_process_is_at_work(dump: Dump, sqlite_url: str) -> None:
    """While a run is alive, the same command ends with 4 and names who is at work."""
    engine = sa.create_engine(sqlite_url)
    assert migrate(dump, sqlite_url, "--pass", "recent").status == 0
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE import_runs SET state = 'running', holder = 'somebody', lease_until = strftime('%s', 'now') + 1000"
        )
        connection.exec_driver_sql("UPDATE accounts SET status = 'migrating'")
    arguments = ["--account", ACCOUNT, "--source", dump.source, "--database", sqlite_url]
    with running("migrate", *arguments) as waiting:
        assert b"somebody holds the recent pass; waiting up to" in waiting.err.readline()
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE import_runs SET lease_until = lease_until + 1")
        ended = waiting.ended()
    assert ended.status == 4
    assert "imported by somebody" in ended.err


def test_75_when_the_database_is_down(dump: Dump, closed_port: int) -> None:
    """A database that does not answer is tried again, then 75: the message says what to do, not the password."""
    for scheme in ("postgresql", "mysql"):
        url = f"{scheme}://me:hunter2@127.0.0.1:{closed_port}/reamaze"
        ended = migrate(dump, url, S3IMPORT_RETRY_SECONDS="1", S3IMPORT_DEBUG="1")
        assert (ended.status, ended.out.splitlines()[0]) == (75, f"account {ACCOUNT}: unknown")
        assert "run the same command again" in ended.err
        assert "trying again" in ended.err
        assert "hunter2" not in ended.out + ended.err


def test_75_when_s3_is_down(sqlite_url: str, closed_port: int) -> None:
    """An endpoint that does not answer is tried again, then 75; nothing but our own words reaches stderr."""
    where = ["--source", "s3://dumps/{account}", "--database", sqlite_url]
    aws = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port}"}
    ended = s3import("migrate", "--account", ACCOUNT, *where, S3IMPORT_RETRY_SECONDS="1", **aws)
    assert ended.status == 75
    assert ended.err.endswith("[source_unavailable]\n")
    assert all(line.startswith(("s3import: ", "trying again: ")) for line in ended.err.splitlines())


def test_1_when_s3_has_no_such_bucket(sqlite_url: str, s3: Bucket) -> None:
    """A 404 that stays is 1."""
    where = ["--source", "s3://no-such-bucket/{account}", "--database", sqlite_url]
    aws = {**CREDENTIALS, "AWS_ENDPOINT_URL": s3.endpoint_url}
    ended = s3import("migrate", "--account", ACCOUNT, *where, **aws)
    assert (ended.status, ended.err.count("\n")) == (1, 1)


def test_imports_from_s3(sqlite_url: str, s3: Bucket, dump: Dump) -> None:
    """A dump in a bucket is imported like one in a folder."""
    for path in dump.root.rglob("*.*"):
        s3.put(f"some folder/{path.relative_to(dump.root)}", path.read_bytes())
    where = ["--source", f"s3://{s3.bucket}/some folder/{{account}}", "--database", sqlite_url]
    aws = {**CREDENTIALS, "AWS_ENDPOINT_URL": s3.endpoint_url}
    ended = s3import("migrate", "--account", ACCOUNT, *where, **aws)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.count("succeeded, 2 of 2 parts") == 2


# --- the tables -------------------------------------------------------------------------------------------------------


def test_db_init_makes_the_tables(bare_database_url: str) -> None:
    """`db init` makes the tables, and again changes nothing; it says which, where (without the password), what next."""
    place = f"  database {shown(bare_database_url)}\n"
    next_ = "  next: `s3import migrate --account ID --source URI` imports an account\n"
    for said in (f"created, at revision {HEAD}\n{place}{next_}", f"up to date already, at revision {HEAD}\n{place}"):
        ended = s3import("db", "init", "--database", bare_database_url)
        assert (ended.status, ended.out, ended.err) == (0, f"the tables are {said}", "")


def test_migrate_refuses_tables_that_do_not_fit(dump: Dump, bare_database_url: str) -> None:
    """Tables that are not ours are refused before a byte is read; the message names each difference."""
    s3import("db", "init", "--database", bare_database_url)
    _change(
        bare_database_url,
        "ALTER TABLE messages RENAME COLUMN body TO content",
        "ALTER TABLE threads ADD COLUMN mood INTEGER",
    )
    ended = migrate(dump, bare_database_url, account="nobody")
    assert (ended.status, ended.out) == (1, "")
    assert "column messages.body is missing" in ended.err
    assert "mood" not in ended.err
    assert ended.err.endswith("[schema_mismatch]\n")


def test_refuses_tables_of_somebody_else(dump: Dump, bare_database_url: str) -> None:
    """What does not fit in a table that somebody else made is named; `db init` does not pass over it either."""
    _change(bare_database_url, "CREATE TABLE messages (id INTEGER PRIMARY KEY, priority INTEGER NOT NULL)")
    for ended in (migrate(dump, bare_database_url), s3import("db", "init", "--database", bare_database_url)):
        assert (ended.status, ended.out) == (1, "")
        for difference in (
            "column messages.account_id is missing",
            "column messages.id is INTEGER",
            "column messages.priority is NOT NULL without a default",
            "the primary key of messages is not (account_id, id)",
            "the foreign key of messages (account_id, thread_id) to threads ON DELETE CASCADE is missing",
        ):
            assert difference in ended.err


def _change(database_url: str, *statements: str) -> None:
    database = open_database(database_url)
    with database.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    database.close()


def test_leaves_one_file_behind(dump: Dump, tmp_path: Path) -> None:
    """When a command has ended, an SQLite database is one whole file that can be copied."""
    url = f"sqlite:///{tmp_path}/only.db"
    migrate(dump, url)
    s3import("status", "--account", ACCOUNT, "--database", url)
    assert [path.name for path in tmp_path.glob("only.db*")] == ["only.db"]
