"""What is asked of PostgreSQL again and again is prepared where a connection has its session for itself."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core.tables import accounts
from s3import.reporting import status_document
from s3import.writers import Database, open_database, postgres_connection, schema
from s3import.writers.postgres_connection import PREPARE_AFTER
from tests.importing.dumps import ACCOUNT
from tests.writers.rows import create_account
from tests.writers.test_pooler import pooled_url  # noqa: F401 - a fixture
from tests.writers.test_sessions import execute, own_database  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration

PREPARED = sa.text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%accounts%'")


@pytest.fixture
def database(own_database: str) -> Iterator[Database]:  # noqa: F811
    """With one connection, and an account."""
    with opened(own_database) as database:
        with database.begin() as connection:
            schema.upgrade(connection)
        create_account(database)
        yield database


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """One connection at a time, which is always the same."""
    with closing(open_database(url, pool_size=1)) as database:
        yield database


def poll(database: Database, times: int = PREPARE_AFTER + 7) -> list[dict[str, Any] | None]:
    """What that many polls are answered; more than PostgreSQL's own five plans for the values at hand."""
    answers = []
    for _ in range(times):
        with database.look() as connection:
            answers.append(status_document.document(connection, ACCOUNT))
    return answers


def prepared(database: Database) -> int:
    """The statements about accounts that the connection's session has prepared."""
    with database.look() as connection:
        return int(connection.execute(PREPARED).scalar_one())


def test_polls_are_prepared(database: Database) -> None:
    """Once they have shown that they come again; they answer as before."""
    first, *others = poll(database)
    assert first is not None
    assert others == [first] * len(others)
    assert prepared(database) == 1


def test_transactions_prepare_nothing(database: Database) -> None:
    """Whether they read or write, also where polls were prepared before: tables of a batch are named anew each time."""
    for way in (database.read, database.begin):
        poll(database)
        for _ in range(2 * PREPARE_AFTER):
            with way() as connection:
                connection.execute(sa.select(accounts.c.name).where(accounts.c.id == ACCOUNT)).one()
    assert prepared(database) == 1


def test_nothing_is_prepared_behind_a_pooler(database: Database, pooled_url: str) -> None:  # noqa: F811
    """Polls by several connections at a time meet one session after the other, and all are answered."""
    with opened(pooled_url) as by_pooler, opened(pooled_url) as another:
        answers = [answer for _ in range(12) for each in (by_pooler, another) for answer in poll(each, 1)]
        assert answers == poll(database, 1) * 24
        assert [prepares(each) for each in (database, by_pooler, another)] == [True, False, False]


def prepares(database: Database) -> bool:
    """Whether a look may prepare anything: which session would have it nobody can see behind a pooler."""
    with database.look() as connection:
        driver: Any = connection.connection.driver_connection
        return driver.prepare_threshold is not None


@contextmanager
def relayed(url: sa.URL) -> Iterator[sa.URL]:
    """The server behind somebody who passes on each byte, its key included."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_relay, args=(listening, (url.host, url.port or 5432)), daemon=True).start()
        yield url.set(host="127.0.0.1", port=listening.getsockname()[1])


def _relay(listening: socket.socket, to: tuple[str | None, int]) -> None:
    with suppress(OSError):
        one, _ = listening.accept()
        with one, socket.create_connection(to) as other:
            while True:
                for ready in select.select([one, other], [], [])[0]:
                    passed = ready.recv(65536)
                    if not passed:
                        return
                    (other if ready is one else one).sendall(passed)


def test_nothing_is_prepared_where_somebody_stands_between(database: Database) -> None:
    """Who passes on the key of the server's session may pass the next statement on to another one."""
    with relayed(database.engine.url) as url, opened(url.render_as_string(hide_password=False)) as by_relay:
        assert poll(by_relay)
        assert prepared(by_relay) == 0


@pytest.mark.parametrize("reset", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_a_session_that_forgot_what_was_prepared_answers(database: Database, reset: str) -> None:
    """Nobody who polls sees that, and it is prepared again."""
    first, *_ = poll(database)
    with database.look() as connection:
        driver: Any = connection.connection.driver_connection
        driver.pgconn.exec_(reset.encode())  # the driver hears nothing of it
    assert poll(database) == [first] * (PREPARE_AFTER + 7)
    assert prepared(database) == 1


def test_a_column_of_another_type_is_no_error(database: Database, own_database: str) -> None:  # noqa: F811
    """As when the tables are upgraded while a server runs: a plan that was kept for the old type is made anew."""
    first, *_ = poll(database)
    execute(own_database, "ALTER TABLE accounts ALTER COLUMN status TYPE varchar(99)")
    assert poll(database) == [first] * (PREPARE_AFTER + 7)
    assert prepared(database) == 1


def test_an_upgrade_beside_polls_is_no_error(database: Database) -> None:
    """Columns come and go in the tables that are looked at."""
    first, *_ = poll(database)
    with closing(open_database(database.engine.url.render_as_string(hide_password=False))) as another:
        for change in (
            "ADD COLUMN later text DEFAULT 'x'",
            "DROP COLUMN later",
            "ALTER COLUMN name TYPE varchar(4000)",
        ):
            with another.begin() as connection:
                connection.exec_driver_sql(f"ALTER TABLE accounts {change}")
            assert poll(database, 2) == [first] * 2


def test_what_a_look_may_not_do_stays_an_error(database: Database) -> None:
    """One that was not prepared is not at fault for what is refused."""
    with pytest.raises(sa.exc.NotSupportedError), database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("SELECT DISTINCT 1 FOR UPDATE")


def test_looks_are_answered_however_seldom(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where plans are forgotten again and again before anything was prepared, and it is prepared later."""
    monkeypatch.setattr(postgres_connection, "PLAN_SECONDS", 0.0)
    first, *others = poll(database, 4 * PREPARE_AFTER)
    assert others == [first] * len(others)
    monkeypatch.undo()
    poll(database)
    assert prepared(database) == 1


def test_a_plan_is_made_anew_after_a_while(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables grow faster than the server learns of it."""
    poll(database)
    monkeypatch.setattr(postgres_connection, "PLAN_SECONDS", 0.0)
    assert prepared(database) == 0
