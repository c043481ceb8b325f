"""Keeps leases alive, from one thread with one connection at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from s3import.errors import S3ImportError
from s3import.settings import Settings
from s3import.writers import Conflict, Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """`prolong` makes it last `lease_seconds` from now, False when it is somebody else's; then `ended` is set."""

    prolong: Callable[[Connection], bool]
    ended: threading.Event


class Leases:
    """Prolongs every kept lease each `heartbeat_seconds`.

    A database that does not answer is no reason to stop: the fencing token in every checkpoint is what protects, the
    heartbeat only tells others that this process is alive.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._kept: set[Lease] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[None]:
        """Hold the lease for as long as the block runs."""
        with self._lock:
            self._kept.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._kept.discard(lease)

    def close(self) -> None:
        """Stop the thread. Kept leases end by themselves."""
        self._closed.set()

    def _beat(self) -> None:
        while not self._closed.wait(self._settings.heartbeat_seconds):
            with self._lock:
                kept = list(self._kept)
            for lease in kept:
                self._prolong(lease)

    def _prolong(self, lease: Lease) -> None:
        try:
            with self._database.begin() as connection:
                mine = lease.prolong(connection)
        except (S3ImportError, Conflict) as error:
            log.warning("heartbeat failed: %s", error)
            return
        with self._lock:
            if not mine and lease in self._kept:  # a run that just ended is no longer kept
                lease.ended.set()
