"""All of the notices in one hand: recorded in the transactions of runs, sent from threads of their own.

Whatever the other side does, no run waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType

from sqlalchemy import Connection

from s3import.core.errors import S3ImportError
from s3import.core.events import Event, PassEnded, PassStarted
from s3import.core.timers import Ticker
from s3import.reporting.notify.notice import NoticeChannel, Sender
from s3import.reporting.notify.outbox import Transactional, deliver_due, forget_old, record

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0


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

    def record(self, connection: Connection, run_id: str) -> None:
        """Write down, in the caller's transaction, what has become of the run."""
        record(connection, self._channels, run_id)

    def observe(self, event: Event) -> None:
        """Send what there is to send once a transaction that recorded something was committed."""
        if isinstance(event, PassStarted | PassEnded):
            self._courier.nudge()


class Courier:
    """Delivers what is due as soon as it is nudged, and every `poll_seconds`; one thread for each channel.

    Without senders it does nothing at all.
    """

    def __init__(
        self, database: Transactional, senders: Mapping[NoticeChannel, Sender], *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._database = database
        self._begun: set[NoticeChannel] = set()
        self._tickers = [
            Ticker(f"courier-{channel}", partial(self._deliver, channel, sender), poll_seconds, once_more=True)
            for channel, sender in senders.items()
        ]

    def start(self) -> None:
        """Begin to deliver, first what is left of earlier processes."""
        for ticker in self._tickers:
            ticker.start()

    def nudge(self) -> None:
        """Deliver now; to be called when a transaction that recorded a notice has been committed. Never blocks."""
        for ticker in self._tickers:
            ticker.wake()

    def stop(self, *, seconds: float = 3.0) -> None:
        """Deliver once more and end, waiting for at most so long. What is left stays for a later process."""
        for ticker in self._tickers:
            ticker.stop()
        deadline = time.monotonic() + seconds
        for ticker in self._tickers:
            ticker.join(max(deadline - time.monotonic(), 0.0))

    def _deliver(self, channel: NoticeChannel, sender: Sender) -> None:
        if channel not in self._begun:
            self._begun.add(channel)
            self._attempt(lambda: forget_old(self._database))
        self._attempt(lambda: deliver_due(self._database, {channel: sender}))

    def _attempt(self, work: Callable[[], object]) -> None:
        """Do it, or leave it to the next round where the database cannot be asked."""
        try:
            work()
        except S3ImportError as error:
            log.warning("notices wait: %s", error, extra={"event": "notices_delayed"})
        except Exception:
            log.exception("notices wait because of a fault of s3import", extra={"event": "notices_delayed"})
