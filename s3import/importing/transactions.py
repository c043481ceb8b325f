"""Transactions that outlast a database's passing failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import stamina
from sqlalchemy import Connection

from s3import.core.errors import Conflict, DatabaseUnavailable
from s3import.core.events import Observer, Retrying

if TYPE_CHECKING:
    from s3import.writers import Database


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transactions:
    """Runs work in transactions of `database`; tells `observe` of every retry, gives up early once `stop` is set."""

    database: Database
    retry_seconds: float
    observe: Observer
    stop: threading.Event

    def run(self, account_id: str, work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction, again from the start while the database fails in passing.

        The work may run several times, also after a commit whose answer was lost: it must notice that by itself.
        Raises: DatabaseUnavailable or Conflict after `retry_seconds`, DatabaseRefused, and whatever the work raises.
        """

        return self._keep_trying(account_id, self.database.begin, work)

    def read(self, account_id: str, work: Callable[[Connection], T]) -> T:
        """What `work` returns in a transaction that only reads, and waits for no writer; tried again as in `run`."""
        return self._keep_trying(account_id, self.database.read, work)

    def _keep_trying(
        self, account_id: str, begin: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]
    ) -> T:
        def again(error: Exception) -> bool:
            if not isinstance(error, DatabaseUnavailable | Conflict) or self.stop.is_set():
                return False
            self.observe(Retrying(account_id, str(error)))
            return True

        retries = stamina.retry_context(
            on=again,
            attempts=None if self.retry_seconds else 1,
            timeout=self.retry_seconds or None,
            wait_initial=0.05,
            wait_jitter=0.1,
        )
        for attempt in retries:
            with attempt, self._own_conflicts(), begin() as connection:
                return work(connection)
        raise AssertionError("a retry loop ends by returning or raising")

    @contextmanager
    def _own_conflicts(self) -> Iterator[None]:
        """Raises: DatabaseRefused in place of a conflict with a key of somebody else's, which stays however often it is
        tried."""
        try:
            yield
        except Conflict as conflict:
            self.database.require_own_key(conflict)
            raise
