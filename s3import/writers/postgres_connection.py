"""A connection to PostgreSQL: it notices a silent server, and prepares what is asked again and again where it may.

A prepared statement belongs to a session. Behind a pooler the next statement may reach another session, where the name
is unknown or stands for somebody else's statement, so statements are prepared only where nobody stands between.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import errors

from s3import.writers.writer import GRACE_SECONDS, STATEMENT_SECONDS

PREPARE_AFTER = 5  # times that a statement was looked up
PLAN_SECONDS = 10.0  # that a plan is kept: tables grow faster than the server's statistics, by which it plans anew

_STALE = (errors.FeatureNotSupported, errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


class Connection(psycopg.Connection[Any]):
    """A connection that is broken once the server has said nothing for `silence_seconds` while it should."""

    silence_seconds = STATEMENT_SECONDS + GRACE_SECONDS
    _is_direct: bool | None = None
    _planned_at = 0.0

    def limit(self, seconds: float) -> None:
        self.silence_seconds = seconds

    def prepare_nothing(self) -> None:
        """For the statements to come, until something else is said."""
        self.prepare_threshold = None

    def prepare_what_repeats(self) -> None:
        """Prepare statements that come again and again, where nobody stands between this process and the session: only
        for statements outside of transactions that read, since one that cannot be used any more is executed again."""
        now = time.monotonic()
        if self._is_direct is None:
            self._is_direct, self._planned_at = _is_direct(self), now
        if self._is_direct:
            self.prepare_threshold = PREPARE_AFTER
            if now - self._planned_at > PLAN_SECONDS:
                self._planned_at = now
                self.forget_prepared()

    def forget_prepared(self) -> None:
        """Have the driver and the session forget what is prepared. psycopg does that with a transaction that is rolled
        back; a `DEALLOCATE ALL` of ours it would count, and prepare, as a statement that comes again and again."""
        with self.transaction(force_rollback=True):
            pass

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._unless_silent(gen), *args, **kwargs)

    def _unless_silent(self, gen: Any) -> Generator[Any, Any, Any]:
        try:
            awaited = next(gen)
            last_sign = time.monotonic()
            while True:
                ready = yield awaited
                now = time.monotonic()
                if ready:
                    last_sign = now
                elif now - last_sign > self.silence_seconds:
                    self.close()
                    raise psycopg.OperationalError("silent")
                awaited = gen.send(ready)
        except StopIteration as end:
            return end.value


def _is_direct(connection: Connection) -> bool:
    """Whether the session at the other end is this connection's own, and nobody else's ever.

    A pooler tells its clients a key of its own, or that of a session that it had at hand; and the session's client is
    then the pooler, at another port. False where that cannot be seen: by a socket of the file system.
    """
    pid, port = connection.execute("SELECT pg_backend_pid(), inet_client_port()").fetchone() or (None, None)
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        name = own.getsockname()
    return pid == connection.info.backend_pid and isinstance(name, tuple) and port == name[1]


class Cursor(psycopg.Cursor[Any]):
    """Executes a statement again where what was prepared of it is of no use any more: the type of a column was changed,
    or something has forgotten it."""

    def execute(self, query: Any, params: Any = None, **how: Any) -> Cursor:
        try:
            return super().execute(query, params, **how)
        except _STALE:
            connection: Any = self.connection
            if connection.prepare_threshold is None:
                raise
            connection.forget_prepared()
            return super().execute(query, params, prepare=False)
