"""Foreign keys in sets: as exact as a trigger for each row, and only where nothing else would be skipped."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import ConfigurationError, Conflict, DatabaseMisconfigured, DatabaseRefused
from s3import.core.records import ROW_ENTITIES
from s3import.core.settings import Keys
from s3import.writers import Database, open_database, write
from s3import.writers.postgres import PostgresWriter
from s3import.writers.postgres_keys import PostgresKeys
from tests.importing.dumps import simple_dump
from tests.importing.dumps import write as write_dump
from tests.importing.moving import code_of, migrate, settings_for
from tests.writers.rows import ACCOUNT, arrow, attachment, create_account, execute, message, put, stored, thread

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES
WAIT_SECONDS = 10
DOCUMENTED = (Path(__file__).parents[2] / "docs/guides/security.md").read_text()
GRANT = next(line.strip() for line in DOCUMENTED.splitlines() if "ON PARAMETER" in line).removesuffix(" importer;")


@contextmanager
def opened(url: str, keys: Keys) -> Iterator[Database]:
    """The database at the URL, whose keys are checked so."""
    with closing(open_database(url, pool_size=3, keys=keys)) as database:
        yield database


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """A database with an account, its keys checked in sets or not at all."""
    with opened(postgres_url, Keys.SETS) as database:
        create_account(database)
        yield database


@pytest.fixture
def bare(bare_postgres_url: str) -> str:
    """The URL of a database with an account, whose tables may be changed."""
    from s3import.writers import schema

    with opened(bare_postgres_url, Keys.ROWS) as database:
        with database.begin() as connection:
            schema.upgrade(connection)
        create_account(database)
    return bare_postgres_url


def way(database: Database) -> Keys:
    """How keys are checked there."""
    with database.begin() as connection:
        return database.writer.keys(connection)


def run_sql(database: Database, *statements: str) -> None:
    execute(database, *map(sa.text, statements))


# --- the same outcome as with triggers -------------------------------------------------------------------------------


def test_rows_with_their_parents_go_in(database: Database) -> None:
    """All three entities, with two kinds of parents, one parent many times among them."""
    put(database, THREADS, thread("t"), thread("u"))
    put(database, MESSAGES, message("m"), message("n"), message("o", thread_id="u"))
    assert put(database, ATTACHMENTS, attachment("a"), attachment("b", message_id="n")).written == 2


def test_a_row_without_its_parent_is_a_reject_and_the_others_go_in(database: Database) -> None:
    """As ever: the way of the merge decides."""
    put(database, THREADS, thread("t"))
    written = put(database, MESSAGES, message("m"), message("n", thread_id="nowhere"))
    assert (written.written, [reason.code for reason in written.rejected[1]]) == (1, ["unknown_thread"])
    assert stored(database, MESSAGES, "id") == ["m"]


def test_a_parent_of_another_account_is_none(database: Database) -> None:
    """Ids are looked up within the account of the rows."""
    account = sa.select(sa.literal("other"), *[c for c in tables.accounts.c if c.name != "id"])
    names = [column.name for column in tables.accounts.c]
    execute(database, sa.insert(tables.accounts).from_select(names, account))
    execute(database, sa.insert(tables.brands).values(account_id="other", id="theirs"))
    written = put(database, THREADS, thread("t", brand_id="theirs"))
    assert [reason.code for reason in written.rejected[0]] == ["unknown_brand"]


def test_triggers_are_skipped_for_the_rows_alone(database: Database) -> None:
    """What follows in the same transaction fires triggers and checks keys again."""
    with database.begin() as connection:
        write(connection, database.writer, THREADS, ACCOUNT, arrow(THREADS, [thread("t")]))
        assert connection.exec_driver_sql("SHOW session_replication_role").scalar_one() == "origin"
        connection.execute(sa.delete(tables.threads))
        buried = connection.execute(sa.select(tables.import_tombstones.c.id)).scalars().all()
    assert buried == ["t"]


def test_rows_that_are_there_leave_nothing_skipped_behind(database: Database) -> None:
    """The savepoint that takes back a try brings the role back with it."""
    put(database, THREADS, thread("t"))
    with database.begin() as connection:
        write(connection, database.writer, THREADS, ACCOUNT, arrow(THREADS, [thread("t")]))
        assert connection.exec_driver_sql("SHOW session_replication_role").scalar_one() == "origin"


def test_a_check_of_the_table_still_holds(bare: str) -> None:
    """Replica mode skips no CHECK."""
    with opened(bare, Keys.SETS) as database:
        run_sql(database, "ALTER TABLE threads ADD CHECK (subject <> 'no')")
        with pytest.raises(DatabaseRefused):
            put(database, THREADS, thread("t", subject="no"))


# --- while somebody deletes ------------------------------------------------------------------------------------------


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch, happening: Callable[[], None]) -> Iterator[None]:
    """Have something happen once parents are locked, and before their rows go in."""
    lock = PostgresKeys._lock_parents

    def lock_then(self: PostgresKeys, *args: Any) -> None:
        lock(self, *args)
        happening()

    with monkeypatch.context() as patched:
        patched.setattr(PostgresKeys, "_lock_parents", lock_then)
        yield


@pytest.mark.parametrize(
    "deletion",
    [
        sa.delete(tables.threads),
        sa.delete(tables.brands),
        sa.delete(tables.accounts),
        sa.update(tables.threads).values(id="elsewhere"),
    ],
    ids=["thread", "brand", "account", "key"],
)
def test_who_takes_a_parent_away_waits_and_takes_the_rows_along(
    monkeypatch: pytest.MonkeyPatch, database: Database, deletion: sa.Executable
) -> None:
    """A deletion between the lock and the rows is held up until the commit, and then leaves no orphan."""
    put(database, THREADS, thread("t"))
    failed: list[Exception] = []

    def delete() -> None:
        try:
            execute(database, deletion)
        except Exception as error:  # noqa: BLE001 - a changed key is refused, as rows refer to it by then
            failed.append(error)

    deleter = threading.Thread(target=delete)

    def start() -> None:
        deleter.start()
        _until_somebody_waits(database)

    with database.begin() as connection:
        with between(monkeypatch, start):
            write(connection, database.writer, MESSAGES, ACCOUNT, arrow(MESSAGES, [message("m")]))
        assert deleter.is_alive()
    deleter.join(WAIT_SECONDS)
    orphans = "SELECT count(*) FROM messages WHERE thread_id NOT IN (SELECT id FROM threads)"
    with database.read() as connection:
        assert connection.exec_driver_sql(orphans).scalar_one() == 0
    assert bool(failed) == (stored(database, MESSAGES, "id") == ["m"])


def _until_somebody_waits(database: Database) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        with database.look() as connection:
            if connection.exec_driver_sql(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")


def test_a_parent_that_goes_while_it_is_waited_for_is_none(database: Database) -> None:
    """Somebody has deleted the parent and not yet committed: the lock waits for that, then the row is a reject."""
    put(database, THREADS, thread("t"))
    outcome: list[Any] = []
    importer = threading.Thread(target=lambda: outcome.append(put(database, MESSAGES, message("m"))))
    with database.begin() as connection:
        connection.execute(sa.delete(tables.threads))
        importer.start()
        _until_somebody_waits(database)
    importer.join(WAIT_SECONDS)
    assert [reason.code for reason in outcome[0].rejected[0]] == ["deleted_in_target"]
    assert stored(database, MESSAGES, "id") == []


# --- where sets are not safe -----------------------------------------------------------------------------------------

FUNCTION = (
    "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO seen VALUES (1); RETURN NEW; END $$"
)
TRIGGER = "CREATE TRIGGER theirs BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION theirs()"
OBSTACLES = {
    "trigger": ("CREATE TABLE seen (n int)", FUNCTION, TRIGGER),
    "replica trigger": (
        "CREATE TABLE seen (n int)",
        FUNCTION,
        TRIGGER,
        "ALTER TABLE messages ENABLE REPLICA TRIGGER theirs",
    ),
    "rule": (
        "CREATE TABLE seen (n int)",
        "CREATE RULE theirs AS ON INSERT TO messages DO ALSO INSERT INTO seen VALUES (1)",
    ),
    "foreign key": (
        "CREATE TABLE staff (id text PRIMARY KEY)",
        "ALTER TABLE messages ADD CONSTRAINT theirs FOREIGN KEY (author_id) REFERENCES staff (id)",
    ),
    "key to another column": (
        "ALTER TABLE threads ADD CONSTRAINT theirs_by_number UNIQUE (assignee_id)",
        "ALTER TABLE messages ADD CONSTRAINT theirs FOREIGN KEY (thread_id) REFERENCES threads (assignee_id)",
    ),
    "deferrable unique key": ("ALTER TABLE messages ADD CONSTRAINT theirs UNIQUE (author_id) DEFERRABLE",),
    "missing key": ("ALTER TABLE messages DROP CONSTRAINT messages_account_id_thread_id_fkey",),
}
HARMLESS = {
    "trigger for updates": (
        "CREATE TABLE seen (n int)",
        FUNCTION,
        TRIGGER.replace("INSERT ON", "UPDATE ON"),
    ),
    "trigger that is off": (
        "CREATE TABLE seen (n int)",
        FUNCTION,
        TRIGGER,
        "ALTER TABLE messages DISABLE TRIGGER theirs",
    ),
    "key of another table": (
        "CREATE TABLE notes (account_id text, id text)",
        "ALTER TABLE notes ADD FOREIGN KEY (account_id, id) REFERENCES messages (account_id, id)",
    ),
    "key that is deferred": (
        "ALTER TABLE messages ALTER CONSTRAINT messages_account_id_thread_id_fkey DEFERRABLE INITIALLY DEFERRED",
    ),
}


@pytest.mark.parametrize("obstacle", OBSTACLES.values(), ids=OBSTACLES)
def test_what_would_be_skipped_too_has_keys_checked_by_rows(bare: str, obstacle: tuple[str, ...]) -> None:
    """Nothing of the database's own is left out for the sake of speed."""
    with opened(bare, Keys.AUTO) as database:
        run_sql(database, *obstacle)
        assert way(database) is Keys.ROWS


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_an_insert_does_not_fire_is_in_nobodys_way(bare: str, change: tuple[str, ...]) -> None:
    """Triggers for other statements, keys of other tables."""
    with opened(bare, Keys.AUTO) as database:
        run_sql(database, *change)
        assert way(database) is Keys.SETS


@pytest.mark.parametrize("expect_existing", [False, True], ids=["direct", "merge"])
def test_a_trigger_that_comes_later_is_not_skipped(bare: str, expect_existing: bool) -> None:
    """Made after the process has looked: the batch that meets it takes another way, and so do all that follow."""
    with opened(bare, Keys.AUTO) as database:
        put(database, THREADS, thread("t"))
        assert way(database) is Keys.SETS
        run_sql(database, *OBSTACLES["trigger"])
        with pytest.raises(Conflict) if expect_existing else _nothing():
            put(database, MESSAGES, message("m"), expect_existing=expect_existing)
        put(database, MESSAGES, message("m"), message("n"))
        assert way(database) is Keys.ROWS
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM seen").scalar_one() >= 2


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@pytest.mark.parametrize("taken", ["UPDATE ON threads", "SET ON PARAMETER session_replication_role"])
def test_a_right_that_is_taken_away_later_is_no_failure(bare: str, taken: str) -> None:
    """The batch goes in row by row."""
    with importer_of(bare, may_skip=True) as (admin, database, role):
        put(database, THREADS, thread("t"))
        assert way(database) is Keys.SETS
        _run_until_it_works(admin, f"REVOKE {taken} FROM {role}")
        assert put(database, MESSAGES, message("m")).written == 1
        assert way(database) is Keys.ROWS


@contextmanager
def importer_of(url: str, *, may_skip: bool = False) -> Iterator[tuple[Database, Database, str]]:
    """The database as its owner sees it and as a role with the documented grants does, and the role's name."""
    role = f"s3import_test_{uuid.uuid4().hex[:12]}"
    with opened(url, Keys.ROWS) as admin:
        schema = sa.make_url(url).query["options"].removeprefix("-csearch_path=")  # type: ignore[union-attr]
        all_of_them = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
        usual = (f"GRANT USAGE ON SCHEMA {schema} TO {role}", all_of_them)
        run_sql(admin, f"CREATE ROLE {role} LOGIN", *usual)
        try:
            if may_skip:
                _run_until_it_works(admin, f"{GRANT} {role}")
            as_role = sa.make_url(url).set(username=role).render_as_string(hide_password=False)
            with opened(as_role, Keys.AUTO) as database:
                yield admin, database, role
        finally:
            _run_until_it_works(admin, f"DROP OWNED BY {role}")
            run_sql(admin, f"DROP ROLE {role}")


def _run_until_it_works(database: Database, statement: str) -> None:
    """The whole server has one list of who may set a parameter, which refuses two changes at the same moment."""
    for _ in range(50):
        try:
            return run_sql(database, statement)
        except DatabaseRefused:
            continue
    raise AssertionError(statement)


def test_a_role_without_the_right_checks_by_rows(bare: str) -> None:
    """It imports as ever."""
    with importer_of(bare) as (_admin, database, _role):
        assert way(database) is Keys.ROWS
        assert put(database, THREADS, thread("t")).written == 1


def test_the_documented_grant_is_enough(bare: str) -> None:
    """A plain role that was granted the parameter checks keys in sets."""
    with importer_of(bare, may_skip=True) as (_admin, database, _role):
        assert way(database) is Keys.SETS
        put(database, THREADS, thread("t"))
        assert put(database, MESSAGES, message("m"), message("n", thread_id="x")).written == 1


def test_parents_behind_row_level_security_are_checked_by_rows(bare: str) -> None:
    """A trigger sees all of them, the role does not."""
    with importer_of(bare, may_skip=True) as (admin, database, _role):
        run_sql(admin, "ALTER TABLE brands ENABLE ROW LEVEL SECURITY")
        assert way(database) is Keys.ROWS
        assert put(database, THREADS, thread("t")).written == 1


def test_sets_that_cannot_be_end_the_run_and_say_why(bare: str) -> None:
    """Who asks for sets alone is told what is in the way."""
    with opened(bare, Keys.SETS) as database:
        run_sql(database, *OBSTACLES["trigger"])
        with pytest.raises(ConfigurationError, match=r"messages has .*theirs"):
            put(database, THREADS, thread("t"))


@pytest.mark.parametrize("keys", [Keys.AUTO, Keys.ROWS])
def test_a_session_that_skips_keys_is_refused(postgres_url: str, keys: Keys) -> None:
    """Whatever way was asked for: a role for which somebody has turned keys off would write orphans."""
    url = sa.make_url(postgres_url)
    options = f"{url.query['options']} -csession_replication_role=replica"
    off = url.update_query_dict({"options": options}).render_as_string(hide_password=False)
    with opened(off, keys) as database, pytest.raises(DatabaseMisconfigured, match="session_replication_role"):
        way(database)


@pytest.mark.parametrize(("keys", "event"), [(Keys.AUTO, "keys_in_sets"), (Keys.ROWS, None)])
def test_the_log_says_once_how_keys_are_checked(
    postgres_url: str, caplog: pytest.LogCaptureFixture, keys: Keys, event: str | None
) -> None:
    """What was found out is told once a process."""
    with caplog.at_level(logging.INFO), opened(postgres_url, keys) as database:
        assert (way(database), way(database))[0] is (Keys.ROWS if keys is Keys.ROWS else Keys.SETS)
    assert [record.event for record in caplog.records if hasattr(record, "event")] == [event] * bool(event)


@pytest.mark.parametrize("keys", [Keys.ROWS, Keys.SETS])
def test_the_status_says_how_keys_are_checked(tmp_path: Any, postgres_url: str, keys: Keys) -> None:
    """Both ways import the same dump, and the run says which it was."""
    write_dump(simple_dump(), tmp_path)
    result = migrate(dataclasses.replace(settings_for(tmp_path, postgres_url), keys=keys))
    assert code_of(result) is None
    assert {run["keys"] for run in result.document["passes"].values()} == {keys}


def test_rows_of_two_accounts_are_checked_one_by_one(database: Database) -> None:
    """A load that is nobody's batch is as exact."""
    writer: Any = database.writer
    assert isinstance(writer, PostgresWriter)
    rows = [thread("t"), {**thread("u"), "account_id": "nobody"}]
    with pytest.raises(Conflict), database.begin() as connection:
        writer.load(connection, tables.threads, arrow(THREADS, rows))


def test_a_second_account_is_read_by_key_although_statistics_do_not_know_it(
    tmp_path: Any, bare_postgres_url: str
) -> None:
    """They know the first alone, so that any index of the tables seems as good as the key's for the second: that by
    thread or by message would be read for all of the account, for each row.
    Sessions tell what they read at their end."""
    settings = settings_for(tmp_path, bare_postgres_url, block_bytes=50_000)
    for account in ("first", "second"):
        write_dump(simple_dump(300, account), tmp_path, account)
    assert code_of(migrate(settings, "first")) is None
    with opened(bare_postgres_url, Keys.ROWS) as database:
        run_sql(database, "ANALYZE threads, messages, attachments")
        before = _read_by_parent(database)
        for again in (False, True):
            assert code_of(migrate(settings, "second", again=again)) is None
        assert _read_by_parent(database) - before < 10_000


def _read_by_parent(database: Database) -> int:
    """How many entries of the indexes by thread and by message were read, as far as sessions have told."""
    with database.read() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
                " WHERE indexrelname IN ('messages_by_thread', 'attachments_by_message')"
            ).scalar_one()
        )
