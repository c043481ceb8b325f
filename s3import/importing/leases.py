"""Keeps leases alive, each from a thread of its own with one connection at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from s3import.core.errors import S3ImportError
from s3import.core.settings import Settings

if TYPE_CHECKING:
    from s3import.writers import Database


log = logging.getLogger(__name__)

LEAST_SECONDS = 5.0  # that a heartbeat waits for its database


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """`renew` makes it last `lease_seconds` from now, False when it is somebody else's; then `ended` is set."""

    renew: Callable[[Connection], bool]
    ended: threading.Event


class Leases:
    """Renews every kept lease each `heartbeat_seconds`, from a thread of its own: one that the database keeps waiting
    is no reason for another to end.

    A database that does not answer is no reason to stop: the fencing token in every checkpoint is what protects, the
    heartbeat only tells others that this process is alive.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._kept: set[threading.Event] = set()

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[None]:
        """Hold the lease for as long as the block runs."""
        over = threading.Event()
        self._kept.add(over)
        threading.Thread(target=self._beat, args=(lease, over), name="lease", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            self._kept.discard(over)

    def close(self) -> None:
        """Stop the threads. Kept leases end by themselves."""
        for over in tuple(self._kept):
            over.set()

    def _beat(self, lease: Lease, over: threading.Event) -> None:
        while not over.wait(self._settings.heartbeat_seconds):
            self._renew(lease, over)

    def _renew(self, lease: Lease, over: threading.Event) -> None:
        try:
            seconds = max(self._settings.lease_seconds / 2, LEAST_SECONDS)
            with self._database.begin(silence_seconds=seconds) as connection:
                mine = lease.renew(connection)
        except S3ImportError as error:
            log.warning("heartbeat failed: %s", error, extra={"event": "heartbeat_failed"})
            return
        if not mine and not over.is_set():  # a run that just ended is no longer kept
            lease.ended.set()
