"""Leases of different runs do not depend on each other."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from sqlalchemy import Connection

from s3import.core.settings import Settings
from s3import.importing.leases import Lease, Leases
from s3import.writers import open_database

pytestmark = pytest.mark.integration


def test_a_heartbeat_that_hangs_stops_no_other(postgres_url: str) -> None:
    """What waits for its database delays nobody else's sign of life."""
    hanging, over, beaten = threading.Event(), threading.Event(), threading.Event()

    def hang(_: Connection) -> bool:
        hanging.set()
        return over.wait(60)

    def beat(_: Connection) -> bool:
        beaten.set()
        return True

    with closing(open_database(postgres_url)) as database:
        leases = Leases(database, Settings(heartbeat_seconds=0.01))
        with leases.keep(Lease(hang, threading.Event())):
            assert hanging.wait(60)
            with leases.keep(Lease(beat, threading.Event())):
                assert beaten.wait(60)
        over.set()
        leases.close()


def test_a_lease_that_is_somebody_elses_is_at_an_end(postgres_url: str) -> None:
    """Whoever holds it hears of it."""
    ended = threading.Event()
    with closing(open_database(postgres_url)) as database:
        leases = Leases(database, Settings(heartbeat_seconds=0.01))
        with leases.keep(Lease(lambda _: False, ended)):
            assert ended.wait(60)
