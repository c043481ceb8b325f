"""The outbox: a notice is written with what it tells of and sent later, so that neither is ever without the other.

Sending is at least once: a process that dies between sending and writing that down has the notice sent again, under
the same id.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.clock import clock
from s3import.core.tables import import_notices, import_runs
from s3import.reporting import status_document as report
from s3import.reporting.notify.notice import NotDelivered, Notice, NoticeChannel, Refused, Sender, kind_of, payload

log = logging.getLogger(__name__)

CLAIM_SECONDS = 60.0  # longer than any attempt takes; after that its process is thought dead
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 3600.0
MAX_ATTEMPTS = 20  # with the waits above about eleven hours: longer than a night
MAX_REFUSALS = 3
REST_SECONDS = 5.0  # a channel that failed is left alone for so long
KEEP_DAYS = 30

_NAMES = uuid.UUID("0b9d6a3c-6f0e-4a39-9d4c-8f6a4f5e2c11")  # makes ids of our own; any constant would do


class Transactional(Protocol):
    """What the outbox needs of a database: transactions that write, and such that only read."""

    def begin(self) -> AbstractContextManager[Connection]: ...

    def read(self) -> AbstractContextManager[Connection]: ...


# --- in ---------------------------------------------------------------------------------------------------------------


def record(connection: Connection, channels: Collection[NoticeChannel], run_id: str, notes: Sequence[str] = ()) -> None:
    """Write down, in the caller's transaction, what has become of the run: one notice for each channel.

    To be called after every change of the run's state; the state itself says what there is to tell, so that a process
    which lost its run cannot tell anything wrong. Called again for the same state of the same attempt it changes
    nothing. A run that only waits, or left no trace, has nothing to tell.
    """
    if not channels:
        return
    run = connection.execute(
        sa.select(import_runs.c.account_id, import_runs.c["pass"]).where(import_runs.c.run_id == run_id)
    ).first()
    if run is None:
        return
    account_id, pass_ = run
    document = report.document(connection, account_id) or {}
    shown = document["passes"][pass_]
    kind = kind_of(shown)
    if kind is not None:
        told = payload(kind, account_id, pass_, shown, dt.datetime.now(dt.UTC))
        _insert(connection, channels, {**told, "notes": list(notes)})


def _insert(connection: Connection, channels: Collection[NoticeChannel], told: Mapping[str, Any]) -> None:
    now = dt.datetime.now(dt.UTC)
    rows = [_row(channel, told, now) for channel in channels]
    ids = import_notices.c.id
    known = set(connection.execute(sa.select(ids).where(ids.in_([row["id"] for row in rows]))).scalars())
    for row in rows:
        if row["id"] not in known:
            connection.execute(import_notices.insert().values(**row, not_before=clock()))


def _notice_id(told: Mapping[str, Any], channel: NoticeChannel) -> str:
    """The same for the same thing, so that a transaction that is tried again tells it once."""
    return uuid.uuid5(_NAMES, f"{told['run_id']} {told['attempts']} {told['kind']} {channel}").hex


def _row(channel: NoticeChannel, told: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    id_ = _notice_id(told, channel)
    return {"id": id_, "channel": channel.value, "payload": dict(told), "attempts": 0, "created_at": now}


# --- out --------------------------------------------------------------------------------------------------------------


def deliver_due(database: Transactional, senders: Mapping[NoticeChannel, Sender]) -> int:
    """Send what is due on these channels, the oldest first, until nothing is; how many notices were delivered.

    Safe to call from several processes at once: they rarely send the same notice. A channel that fails rests for a
    while. Raises: what `database` raises.
    """
    delivered = 0
    while (due := _oldest_due(database, senders.keys())) is not None:
        notice = _claim(database, due)
        if notice is not None:
            delivered += _send(database, senders[notice.channel], notice)
    return delivered


def _oldest_due(database: Transactional, channels: Collection[NoticeChannel]) -> Any:
    notices = import_notices.c
    query = (
        sa.select(notices.id, notices.channel, notices.payload, notices.attempts)
        .where(notices.not_before <= clock(), notices.channel.in_([channel.value for channel in channels]))
        .order_by(notices.created_at)
        .limit(1)
    )
    with database.read() as connection:
        return connection.execute(query).first()


def _claim(database: Transactional, due: Any) -> Notice | None:
    """Take the notice for as long as an attempt may last; None when another process was there first."""
    notices = import_notices.c
    taken = (
        import_notices.update()
        .where(notices.id == due.id, notices.attempts == due.attempts, notices.not_before <= clock())
        .values(attempts=due.attempts + 1, not_before=clock() + CLAIM_SECONDS)
    )
    with database.begin() as connection:
        if not connection.execute(taken).rowcount:
            return None
    return Notice(due.id, NoticeChannel(due.channel), due.payload, due.attempts + 1)


def _send(database: Transactional, sender: Sender, notice: Notice) -> bool:
    """One attempt; whether it succeeded."""
    try:
        sender(notice)
    except NotDelivered as error:
        _put_off(database, notice, error)
        return False
    except Exception as error:  # noqa: BLE001 - no fault of a sender may end the sending of all others
        _put_off(database, notice, NotDelivered(f"an unexpected {type(error).__name__}"))
        return False
    _write_down(database, notice, not_before=None, delivered_at=dt.datetime.now(dt.UTC))
    return True


def _put_off(database: Transactional, notice: Notice, error: NotDelivered) -> None:
    """Plan the next attempt, or give up."""
    most = MAX_REFUSALS if isinstance(error, Refused) else MAX_ATTEMPTS
    about = f"notice {notice.id} ({notice.channel}, run {notice.payload['run_id']}, {notice.payload['kind']})"
    if notice.attempts >= most:
        log.error(
            "%s is given up after %d attempts: %s", about, notice.attempts, error, extra={"event": "notice_abandoned"}
        )
        _write_down(database, notice, not_before=None)
        return
    wait = _wait_seconds(notice.attempts, error.retry_after)
    log.warning(
        "%s was not delivered: %s; next attempt in %.0f s", about, error, wait, extra={"event": "notice_retried"}
    )
    _write_down(database, notice, not_before=clock() + wait)
    if not isinstance(error, Refused):
        _rest(database, notice.channel, min(wait, error.retry_after or REST_SECONDS))


def _wait_seconds(attempts: int, retry_after: float | None) -> float:
    """Doubling, with jitter so that notices which failed together do not come back together."""
    doubled = FIRST_WAIT_SECONDS * 2.0 ** (attempts - 1) * random.uniform(0.8, 1.2)  # noqa: S311
    return min(max(doubled, retry_after or 0.0), LONGEST_WAIT_SECONDS)


def _write_down(database: Transactional, notice: Notice, **values: Any) -> None:
    """Unless another process took the notice meanwhile because this attempt lasted so long."""
    mine = (import_notices.c.id == notice.id, import_notices.c.attempts == notice.attempts)
    with database.begin() as connection:
        connection.execute(import_notices.update().where(*mine).values(**values))


def _rest(database: Transactional, channel: NoticeChannel, seconds: float) -> None:
    """Leave a channel alone that does not answer, or wants less of us, rather than fail with each notice in turn."""
    due = (import_notices.c.channel == channel.value, import_notices.c.not_before <= clock())
    with database.begin() as connection:
        connection.execute(import_notices.update().where(*due).values(not_before=clock() + seconds))


def forget_old(database: Transactional) -> None:
    """Remove what was delivered or given up `KEEP_DAYS` ago."""
    notices = import_notices.c
    limit = dt.datetime.now(dt.UTC) - dt.timedelta(days=KEEP_DAYS)
    with database.begin() as connection:
        connection.execute(import_notices.delete().where(notices.not_before.is_(None), notices.created_at < limit))
