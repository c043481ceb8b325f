"""Idle connections are asked whether they still work before they are used again."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

IDLE_SECONDS = 1.0
PING_SECONDS = 5.0  # where a connection is silent for so long a new one is tried
_IDLE_SINCE = "s3import_idle_since"


def check_idle_connections(engine: sa.Engine) -> None:
    """Have the pool replace its connections when one that nobody used for a second does not answer.

    Its connections have a method `limit`: how long they wait for an answer.

    A pool's own check asks at every use: a round trip for each look and each batch, and an answer a moment old.
    """

    def note(_connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    def check(connection: Any, record: Any, _proxy: Any) -> None:
        idle_seconds = time.monotonic() - record.info.get(_IDLE_SINCE, time.monotonic())
        if idle_seconds > IDLE_SECONDS and not _answers(engine, connection):
            raise sa.exc.InvalidatePoolError

    sa.event.listen(engine, "checkin", note)
    sa.event.listen(engine, "checkout", check)


def _answers(engine: sa.Engine, connection: Any) -> bool:
    connection.limit(PING_SECONDS)
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False
