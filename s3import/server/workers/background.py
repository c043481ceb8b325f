"""A worker that works through queued runs by itself: the one inside ``s3import serve``.

It needs nothing but the database. Runs are found there, also those whose process died, and every claim is exclusive:
any number of such workers can look at one database.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from s3import.core.errors import S3ImportError, WorkerLost, as_failure
from s3import.core.limits import Counters, RejectLimit
from s3import.core.timers import Ticker
from s3import.importing import backlog
from s3import.importing.importer import Importer
from s3import.importing.parts import ActiveRun
from s3import.importing.retries import Retries
from s3import.status import Claim, Run

log = logging.getLogger(__name__)


class BackgroundWorker:
    """Imports due runs, at most `at_once` accounts side by side, looking every `poll_seconds` or when woken.

    Use as a context manager: leaving it sets the importer's `stop`, and what was under way waits, queued, for the next
    worker.
    """

    def __init__(
        self,
        importer: Importer,
        *,
        limit: RejectLimit,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        at_once: int = 8,
        poll_seconds: float = 1.0,
    ) -> None:
        self._importer = importer
        self._limit = limit
        self._retries = retries
        self._at_once = at_once
        self._under_way: set[str] = set()
        self._accounts = ThreadPoolExecutor(at_once, thread_name_prefix="account")
        self._ticker = Ticker("background worker", self._begin_due, poll_seconds, stop=importer.stop)

    def __enter__(self) -> BackgroundWorker:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.stop()
        self._ticker.join()
        self._accounts.shutdown(wait=True)

    def wake(self) -> None:
        """Look for due runs now."""
        self._ticker.wake()

    def _begin_due(self) -> None:
        for run in self._due():
            self._under_way.add(run.run_id)
            self._accounts.submit(self._import, run)

    def _due(self) -> list[Run]:
        room = self._at_once - len(self._under_way)
        if room <= 0:
            return []
        with self._importer.database.read() as connection:
            due = backlog.due(connection, self._at_once + room)
        return [run for run in due if run.run_id not in self._under_way][:room]

    def _import(self, run: Run) -> None:
        try:
            claim = self._claim(run)
            if claim is not None:
                self._import_pass(claim, run)
        except Exception as error:  # noqa: BLE001 - said here or nowhere
            failure = as_failure(error)
            log.warning(
                "account %s: the %s pass ended: %s [%s]",
                run.account_id,
                run.pass_,
                failure,
                failure.code,
                extra={"event": "pass_failed"},
            )
        finally:
            self._under_way.discard(run.run_id)
            self.wake()

    def _import_pass(self, claim: Claim, run: Run) -> None:
        try:
            source = self._importer.open_source(run.source, run.account_id)
        except S3ImportError as error:
            self._importer.record_failure(claim, error, self._retries)
            raise
        self._importer.import_pass(ActiveRun(claim, source, Counters(self._limit)), self._retries)

    def _claim(self, run: Run) -> Claim | None:
        """Take the run; one that took too many workers' lives is left alone, failed."""
        importer = self._importer
        claim = importer.take(run.account_id, lambda _: run)
        if claim is not None and run.is_orphaned and claim.tries > self._retries.limit:
            message = (
                f"account {run.account_id}: {run.tries} workers in a row died or hung during the {run.pass_} pass; "
                "look at their logs and memory, then ask for the migration again: it resumes at the last checkpoint"
            )
            importer.record_failure(claim, WorkerLost(message))
            return None
        return claim
