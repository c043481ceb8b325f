"""The files of a run: copied after its parts are in, before it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import checkpoints
from s3import.events import FilesAdvanced
from s3import.files import ledger, places
from s3import.files.copier import Copier
from s3import.files.copying import Copying
from s3import.files.download import Downloads
from s3import.files.file import Copied, Failed, File
from s3import.files.ledger import Counts
from s3import.files.places import PlacedReject, Places
from s3import.files.retried import Retried, RetryLedger
from s3import.files.target import Place
from s3import.parts import ActiveRun
from s3import.readers.source import Source
from s3import.recordings import PENDING
from s3import.status import Run
from s3import.tables import import_runs
from s3import.transactions import Transactions

TargetOpener = Callable[[str, str], Place]  # (uri, account_id)


class FileCopier:
    """Copies the files of runs, `in_flight` at a time, however many runs are under way."""

    def __init__(
        self,
        transactions: Transactions,
        open_target: TargetOpener,
        *,
        in_flight: int,
        block_bytes: int,
        downloads: Downloads | None = None,
    ) -> None:
        self._transactions = transactions
        self._open_target = open_target
        self._in_flight = in_flight
        self._block_bytes = block_bytes
        self._downloads = downloads or Downloads()
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="file")

    def copy(self, run: ActiveRun, require_going: Callable[[], None]) -> int:
        """Copy whatever of the run's files still waits, where that was chosen; how many of its files have failed.

        Raises: LeaseLost, Interrupted or AccountDeleted; FilesRefused; SourceUnavailable and what a source may raise
        besides. What was copied until then is settled.
        """
        if run.claim.choices.files_to is None:
            return 0
        account_id = run.claim.account_id
        waiting = self._transactions.run(account_id, partial(ledger.set_total, held=run.claim))
        if waiting:
            place = self._open_target(run.claim.choices.files_to, account_id)
            copier = Copier(run.source, place, self._downloads, require_going)
            states = RunLedger(self._transactions, run, require_going, self._block_bytes)
            Copying(states, copier, self._pool, self._in_flight).run()
        return self._transactions.read(account_id, partial(ledger.failed_files, run_id=run.claim.run_id))

    def retry(self, account_id: str, run: Run, source: Source, require_going: Callable[[], None]) -> Retried:
        """Try the account's failed files again, from `source` to where those of `run` went. Raises: as `copy`."""
        states = RetryLedger(self._transactions, account_id, run.run_id)
        place = self._open_target(run.choices.files_to or "", account_id)
        Copying(states, Copier(source, place, self._downloads, require_going), self._pool, self._in_flight).run()
        return states.retried

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class RunLedger:
    """The `Ledger` of a run that this process holds: all of its account's files that wait."""

    transactions: Transactions
    run: ActiveRun
    require_going: Callable[[], None]
    block_bytes: int

    def pages(self) -> Iterator[list[File]]:
        """As `Ledger.pages`."""
        yield from ledger.pages(self.transactions, self.run.claim.account_id, PENDING)

    def settle(self, copied: list[Copied], failed: list[Failed]) -> None:
        """As `Ledger.settle`; in one transaction."""
        rejects = self._places.rejects(failed) if failed else []
        account_id = self.run.claim.account_id
        told = self.transactions.run(account_id, lambda connection: self._settle(connection, copied, failed, rejects))
        self.run.tally.add_files(len(copied) + len(failed))
        self.transactions.observe(told)

    def _settle(
        self, connection: Connection, copied: list[Copied], failed: list[Failed], rejects: list[PlacedReject]
    ) -> FilesAdvanced:
        claim = self.run.claim
        ledger.require_held(connection, claim)
        done, lost = ledger.move(connection, claim.account_id, copied, failed, PENDING)
        counts = Counts.of(done, lost)
        ledger.add(connection, claim.run_id, counts)
        ids = {one.file.id for one in lost}
        kept = [(number, reject) for number, reject in rejects if reject.id in ids]
        places.keep(connection, self.transactions.database, claim.run_id, claim.account_id, kept)
        row = connection.execute(sa.select(import_runs).where(import_runs.c.run_id == claim.run_id)).one()
        failed_files = row.files_missing + row.files_differ
        return FilesAdvanced(
            claim.account_id, claim.pass_, row.files_total, row.files_copied, failed_files, counts.bytes
        )

    @cached_property
    def _places(self) -> Places:
        claim = self.run.claim
        parts = self.transactions.read(
            claim.account_id, lambda connection: checkpoints.read_parts(connection, claim.run_id)
        )
        return Places(claim.account_id, self.run.source, parts, self.block_bytes, self.require_going)
