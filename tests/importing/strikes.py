"""Disasters to order: something strikes at the k-th transaction of a migration, at a moment within it."""

from __future__ import annotations

import itertools
import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from s3import.writers import open_database

Strike = Callable[[Any], object]
"""What happens; it gets the driver's connection."""


class Moment(StrEnum):
    """Where in a transaction it strikes."""

    WITHIN = "before its rows are followed by the checkpoint"
    COMMIT = "before the commit"
    ANSWER = "between the commit and its answer"


class Transactions:
    """Counts transactions (or, for `Moment.WITHIN`, the statements that move a checkpoint) and strikes at number `k`.

    `count` is how many there were, heartbeats left out.
    """

    def __init__(self, k: int, moment: Moment, strike: Strike) -> None:
        self._k, self._moment, self._strike = k, moment, strike
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.count = 0

    @contextmanager
    def watched(self) -> Iterator[Transactions]:
        """Watch the engines that are made within the block."""
        sa.event.listen(sa.Engine, "engine_connect", self._connected)
        sa.event.listen(sa.Engine, "before_cursor_execute", self._executing)
        try:
            yield self
        finally:
            sa.event.remove(sa.Engine, "engine_connect", self._connected)
            sa.event.remove(sa.Engine, "before_cursor_execute", self._executing)

    def _connected(self, connection: sa.Connection) -> None:
        dialect: Any = connection.engine.dialect  # who commits asks this one
        if "do_commit" not in vars(dialect):
            dialect.do_commit = self._committing(dialect.do_commit)

    def _committing(self, do_commit: Callable[[Any], None]) -> Callable[[Any], None]:
        def commit(connection: Any) -> None:
            due = self._moment is not Moment.WITHIN and self._is_due()
            if due and self._moment is Moment.COMMIT:
                self._strike(connection.dbapi_connection)
            do_commit(connection)
            if due and self._moment is Moment.ANSWER:
                self._strike(connection.dbapi_connection)
                connection.cursor().execute("SELECT 1")  # the connection is no more: so says the driver

        return commit

    def _executing(self, connection: Any, cursor: Any, statement: str, *_: object) -> None:
        moves = statement.startswith("UPDATE import_parts SET") and "position" in statement
        if self._moment is Moment.WITHIN and moves and self._is_due():
            self._strike(connection.connection.dbapi_connection)

    def _is_due(self) -> bool:
        if threading.current_thread().name == "leases":
            return False
        with self._lock:
            self.count = next(self._numbers)
            return self.count == self._k


def nothing(connection: Any) -> None:
    """No disaster: for counting."""


def kill_process(connection: Any) -> None:
    """This process dies as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def pause_process(connection: Any) -> None:
    """This process stands still until it gets SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.1)  # the signal may take another thread first, and this one must not run on


def linger(connection: Any) -> None:
    """This process takes its time."""
    time.sleep(1)


def end_session(database_url: str) -> Strike:
    """The server ends the connection that is struck, ordered from another one, and is done with it."""
    if database_url.startswith("postgresql"):
        number, end = "info.backend_pid", "SELECT pg_terminate_backend({})"
        look = "SELECT 1 FROM pg_stat_activity WHERE pid = {}"
    else:
        number, end = "thread_id", "KILL {}"
        look = "SELECT 1 FROM information_schema.processlist WHERE id = {}"

    def strike(connection: Any) -> None:
        found = operator.attrgetter(number)(connection)
        session = found() if callable(found) else found
        engine = open_database(database_url).engine
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as side:
            side.exec_driver_sql(end.format(session))
            while side.exec_driver_sql(look.format(session)).first():
                time.sleep(0.002)
        engine.dispose()

    return strike
