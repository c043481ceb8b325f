"""Sends notices in the background, on threads of their own: whatever the other side does, no run waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from s3import.core.errors import S3ImportError
from s3import.reporting.notify.notice import Channel, Sender
from s3import.reporting.notify.outbox import Transactional, deliver_due, forget_old

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0


class Courier:
    """Delivers what is due as soon as it is nudged, and every `poll_seconds`; one thread for each channel.

    Without senders it does nothing at all.
    """

    def __init__(
        self, database: Transactional, senders: Mapping[Channel, Sender], *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._database = database
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._wakes = {channel: threading.Event() for channel in senders}
        self._threads = [
            threading.Thread(target=self._deliver, args=(channel, sender), name=f"courier-{channel}", daemon=True)
            for channel, sender in senders.items()
        ]

    def start(self) -> None:
        """Begin to deliver, first what is left of earlier processes."""
        for thread in self._threads:
            thread.start()

    def nudge(self) -> None:
        """Deliver now; to be called when a transaction that recorded a notice has been committed. Never blocks."""
        for wake in self._wakes.values():
            wake.set()

    def stop(self, *, seconds: float = 3.0) -> None:
        """Deliver once more and end, waiting for at most so long. What is left stays for a later process."""
        self._stopping.set()
        self.nudge()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(deadline - time.monotonic(), 0.0))

    def _deliver(self, channel: Channel, sender: Sender) -> None:
        wake = self._wakes[channel]
        self._attempt(lambda: forget_old(self._database))
        self._attempt(lambda: deliver_due(self._database, {channel: sender}))
        while not self._stopping.is_set():
            wake.wait(self._poll_seconds)
            wake.clear()
            self._attempt(lambda: deliver_due(self._database, {channel: sender}))

    def _attempt(self, work: Callable[[], object]) -> None:
        """Do it, or leave it to the next round where the database cannot be asked."""
        try:
            work()
        except S3ImportError as error:
            log.warning("notices wait: %s", error, extra={"event": "notices_delayed"})
        except Exception:
            log.exception("notices wait because of a fault of s3import", extra={"event": "notices_delayed"})
