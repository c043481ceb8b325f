"""The files of runs: copied after a run's parts are in and before it is finished, or when it is long over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core import limits
from s3import.core.errors import NotImported
from s3import.core.events import FilesAdvanced
from s3import.core.records import Pass
from s3import.core.tables import import_runs
from s3import.files import ledger, places
from s3import.files.copier import Copier
from s3import.files.copying import Copying
from s3import.files.download import Downloads, Hosts
from s3import.files.file import Copied, Failed, File
from s3import.files.ledger import Counts
from s3import.files.places import Texts
from s3import.files.target import TargetFolder
from s3import.importing.file_places import PENDING
from s3import.importing.transactions import Transactions
from s3import.readers.sources.source import DumpSource
from s3import.status import Claim, Run

if TYPE_CHECKING:
    from s3import.importing.parts import ActiveRun


TargetOpener = Callable[[str, str], TargetFolder]  # (uri, account_id)


class FileCopier:
    """Copies the files of runs, `in_flight` at a time, however many runs are under way."""

    def __init__(
        self,
        transactions: Transactions,
        open_target: TargetOpener,
        *,
        in_flight: int,
        block_bytes: int,
        keep_raw: int,
        downloads: Downloads | None = None,
    ) -> None:
        self._transactions = transactions
        self._open_target = open_target
        self._in_flight = in_flight
        self._block_bytes, self._keep_raw = block_bytes, keep_raw
        self._downloads = downloads or Downloads()
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="file")

    def copy(self, run: ActiveRun, require_going: Callable[[], None]) -> int:
        """Copy whatever of the run's files still waits, where that was chosen; how many of its files have failed.

        Raises: LeaseLost, Interrupted or AccountDeleted; FilesRefused; SourceUnavailable and what a source may raise
        besides. What was copied until then is settled.
        """
        claim = run.claim
        if claim.options.files_to is None:
            return 0
        states = RunLedger(
            self._transactions, claim.account_id, claim.run_id, claim.pass_, claim=claim, run_counters=run.counters
        )
        place = self._open_target(claim.options.files_to, claim.account_id)
        run.counters.begin_stage()
        self._copy(states, [run.source], place, require_going)
        return self._transactions.read(claim.account_id, partial(ledger.failed_files, run_id=claim.run_id))

    def copy_later(
        self, run: Run, state: str, sources: Sequence[DumpSource], require_going: Callable[[], None]
    ) -> tuple[int, int]:
        """Copy the files of that state of a run that is over, from the first of the sources that has them; how many
        were copied and how many failed. Raises: as `copy`."""
        states = RunLedger(self._transactions, run.account_id, run.run_id, run.pass_, state)
        place = self._open_target(run.options.files_to or "", run.account_id)
        self._copy(states, sources, place, require_going)
        return states.counters.copied, states.counters.failed

    def _copy(
        self, states: RunLedger, sources: Sequence[DumpSource], place: TargetFolder, require_going: Callable[[], None]
    ) -> None:
        if states.begin():
            downloads = replace(self._downloads, hosts=Hosts())
            copiers = [Copier(source.companion, place, downloads, require_going) for source in sources]
            Copying(states, copiers, self._pool, self._in_flight).run()
        if self._transactions.read(states.account_id, partial(ledger.failed_files, run_id=states.run_id)):
            Texts(
                self._transactions,
                states.account_id,
                states.run_id,
                sources[0],
                self._block_bytes,
                self._keep_raw,
                require_going,
            ).fill()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class FileCounters:
    """How many files were copied and how many failed."""

    copied: int = 0
    failed: int = 0


@dataclass(frozen=True)
class RunLedger:
    """The `Ledger` of a run's files of one state. `claim`: by which this process holds the run, None where it is over
    and nobody does; `run_counters`: of the run, where it goes on."""

    transactions: Transactions
    account_id: str
    run_id: str
    pass_: Pass
    state: str = PENDING
    claim: Claim | None = None
    counters: FileCounters = field(default_factory=FileCounters)
    run_counters: limits.Counters | None = None

    def begin(self) -> int:
        """Count what there is to do."""
        return self.transactions.run(self.account_id, self._begin)

    def _begin(self, connection: Connection) -> int:
        self._require_held(connection)
        waiting = ledger.set_total(connection, self.account_id, self.run_id)
        if self.state == PENDING:
            return waiting
        return ledger.count(connection, self.account_id, self.run_id, self.state)

    def pages(self) -> Iterator[list[File]]:
        """The files that wait, some hundred at a time, each once, whatever becomes of them meanwhile."""
        yield from ledger.pages(self.transactions, self.account_id, self.run_id, self.state)

    def settle(self, copied: list[Copied], failed: list[Failed]) -> None:
        """Write down what was copied and what failed, in one transaction."""
        told, done, lost = self.transactions.run(
            self.account_id, lambda connection: self._settle(connection, copied, failed)
        )
        self.counters.copied += done
        self.counters.failed += lost
        if self.run_counters is not None:
            self.run_counters.add_files(done + lost)
            told = replace(told, how_far=self.run_counters.how_far)
        self.transactions.observe(told)

    def _settle(
        self, connection: Connection, copied: list[Copied], failed: list[Failed]
    ) -> tuple[FilesAdvanced, int, int]:
        self._require_held(connection)
        done, lost = ledger.move(connection, self.account_id, self.run_id, copied, failed, self.state)
        places.settle(connection, self.transactions.database, self.account_id, done, lost)
        counts = Counts.of(done, lost)
        ledger.add(connection, self.run_id, counts)
        row = connection.execute(sa.select(import_runs).where(import_runs.c.run_id == self.run_id)).first()
        if row is None:
            raise NotImported(f"account {self.account_id}: what was kept of its migration was purged meanwhile")
        failed_files = row.files_missing + row.files_differ
        told = FilesAdvanced(self.account_id, self.pass_, row.files_total, row.files_copied, failed_files, counts.bytes)
        return told, len(done), len(lost)

    def _require_held(self, connection: Connection) -> None:
        if self.claim is not None:
            ledger.require_held(connection, self.claim)
