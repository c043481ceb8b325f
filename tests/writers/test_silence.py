"""A database that says nothing is not waited for without end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import sqlalchemy as sa

from s3import.core.errors import DatabaseUnavailable
from s3import.importing.transactions import Transactions
from s3import.writers import Database, idle, mysql, open_database, postgres
from tests.server.workers.cable import Cable

SERVERS = ["postgres_url", "mariadb_url"]
SILENCE_SECONDS = 0.5


@pytest.fixture(autouse=True)
def _little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (postgres, mysql):
        monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)


@pytest.fixture
def cable(request: pytest.FixtureRequest) -> Iterator[Cable]:
    """A cable to a server's port."""
    url = sa.make_url(request.getfixturevalue(request.param))
    with Cable((url.host or "127.0.0.1", url.port or 5432)) as cable:
        yield cable


def behind(cable: Cable, url: str, silence_seconds: float = SILENCE_SECONDS) -> Database:
    """The database at that URL, by the cable."""
    by_cable = sa.make_url(url).set(host="127.0.0.1", port=cable.port)
    return open_database(by_cable.render_as_string(hide_password=False), silence_seconds=silence_seconds)


@pytest.mark.parametrize(("cable", "server"), [(one, one) for one in SERVERS], indirect=["cable"])
def test_a_network_that_swallows_everything_is_temporary(
    request: pytest.FixtureRequest, cable: Cable, server: str
) -> None:
    """A statement that gets no answer fails, and so does the next connection; the retries come to their end."""
    with closing(behind(cable, request.getfixturevalue(server))) as database:
        transactions = Transactions(database, 1.0, lambda _: None, threading.Event())
        with pytest.raises(DatabaseUnavailable), database.begin() as connection:
            _ask_twice(connection, cable)
        cable.cut()
        with pytest.raises(DatabaseUnavailable):
            transactions.run("acme", lambda connection: connection.execute(sa.select(1)))


@pytest.mark.parametrize(("cable", "server"), [(one, one) for one in SERVERS], indirect=["cable"])
def test_a_look_is_not_kept_waiting(request: pytest.FixtureRequest, cable: Cable, server: str) -> None:
    """What needs no transaction has an end, too."""
    opened = behind(cable, request.getfixturevalue(server))
    with closing(opened) as database, pytest.raises(DatabaseUnavailable), database.look() as connection:
        _ask_twice(connection, cable)


def _ask_twice(connection: sa.Connection, cable: Cable) -> None:
    """Once before the cable goes mute, once after."""
    connection.execute(sa.select(1))
    cable.mute()
    connection.execute(sa.select(1))


@pytest.mark.integration
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_accepts_and_never_speaks_is_temporary(scheme: str) -> None:
    """It is given up after the time for a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        url = f"{scheme}://u@127.0.0.1:{port}/name?connect_timeout=2"
        with closing(open_database(url)) as database, pytest.raises(DatabaseUnavailable), database.begin():
            pass
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("server", "sleep"), [("postgres_url", "pg_sleep(30)"), ("mariadb_url", "sleep(30)")])
def test_a_statement_has_a_limit_of_its_own(request: pytest.FixtureRequest, server: str, sleep: str) -> None:
    """The server ends it, and keeps no locks for somebody who has gone; the message names the setting."""
    opened = open_database(request.getfixturevalue(server), silence_seconds=1.0)
    limited = pytest.raises(DatabaseUnavailable, match="S3IMPORT_DATABASE_SECONDS")
    with closing(opened) as database, limited, database.begin() as connection:
        connection.exec_driver_sql(f"SELECT {sleep}")


@pytest.mark.parametrize(("cable", "server"), [(one, one) for one in SERVERS], indirect=["cable"])
def test_a_silent_connection_in_the_pool_is_asked_for_seconds_only(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, cable: Cable, server: str
) -> None:
    """It does not take the time of a statement to find out that it is no good."""
    monkeypatch.setattr(idle, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(idle, "PING_SECONDS", 0.5)
    with closing(behind(cable, request.getfixturevalue(server), silence_seconds=3600)) as database:
        with database.begin() as connection:
            connection.execute(sa.select(1))
        cable.mute()
        cable.refuse()
        with pytest.raises(DatabaseUnavailable), database.begin():
            pass
