"""All of the notices in one hand: recorded in the transactions of runs, sent from threads of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from sqlalchemy import Connection

from s3import.core.events import Event, PassEnded, PassStarted
from s3import.reporting.notify.courier import Courier
from s3import.reporting.notify.notice import NoticeChannel, Sender
from s3import.reporting.notify.outbox import Transactional, record


class Notifier:
    """Tells the channels of `senders` what becomes of runs; without any it does nothing. Use as a context manager."""

    def __init__(self, database: Transactional, senders: Mapping[NoticeChannel, Sender]) -> None:
        self._channels = frozenset(senders)
        self._courier = Courier(database, senders)

    def __enter__(self) -> Notifier:
        self._courier.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._courier.stop()

    def record(self, connection: Connection, run_id: str, notes: Sequence[str] = ()) -> None:
        """Write down, in the caller's transaction, what has become of the run, and `notes` beside it."""
        record(connection, self._channels, run_id, notes)

    def observe(self, event: Event) -> None:
        """Send what there is to send once a transaction that recorded something was committed."""
        if isinstance(event, PassStarted | PassEnded):
            self._courier.nudge()
