"""The story of a run: claim it, plan it, import its parts, finish it.

migrate ─► import_pass ─► claim ─► plan ─► import_part (side by side, entity by entity) ─► copy_files ─► finish
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from s3import import status
from s3import.core.accounts import account_status, apply_document, remember_deletions
from s3import.core.errors import (
    AccountNotFound,
    S3ImportError,
    SourceUnavailable,
    as_failure,
)
from s3import.core.events import HowFar, PassEnded, PassStarted
from s3import.core.limits import Counters
from s3import.core.logs import in_context, log_context
from s3import.core.records import Entity, Pass, Plan
from s3import.core.resets import keep_account
from s3import.core.settings import Settings
from s3import.importing import admission, checkpoints, deltas, estimates, file_places, notes, queueing, resolutions
from s3import.importing.checkpoints import Part, PartTotals
from s3import.importing.claims import Claims
from s3import.importing.leases import Lease, Leases
from s3import.importing.parts import ActiveRun, PartImporter, SmallPart
from s3import.importing.requests import Outcome, Request
from s3import.importing.retries import Retries
from s3import.importing.samples import Samples
from s3import.importing.transactions import Transactions
from s3import.readers.dump.account_document import read_account_document
from s3import.readers.dump.inventory import inventory_of
from s3import.readers.sources.location import require_deltas
from s3import.readers.sources.source import DumpSource, SourceOpener
from s3import.reporting import status_document
from s3import.status import Claim, Recorder

log = logging.getLogger(__name__)

LONG_SECONDS = 0.5  # small parts that would take longer one after the other are worth other threads
FULL_BLOCKS = 3  # workers that may each have a batch of the full size; more share what these may hold


@dataclass(frozen=True, slots=True)
class Parts:
    """A run's parts: all together, and one by one only where they are few."""

    totals: PartTotals
    few: list[Part] | None = None


class RunFiles(Protocol):
    """Copies the files behind a run's rows."""

    def copy(self, run: ActiveRun, require_going: Callable[[], None]) -> int:
        """Copy whatever of the run's files still waits, where that was chosen; how many of its files have failed."""

    def close(self) -> None:
        """End the threads."""


class Importer:
    """Moves accounts into the database of `transactions` with `workers` parts at a time, however many accounts are
    under way. Their `stop` set from outside ends every run at its next batch.

    `record` is called in each transaction that changes a run's state. `watched`: whether the observer shows how far
    each run is. Use as a context manager.
    """

    def __init__(
        self,
        transactions: Transactions,
        settings: Settings,
        *,
        open_source: SourceOpener,
        files: RunFiles,
        workers: int,
        record: Recorder = lambda connection, run_id, notes=(): None,
        watched: bool = False,
    ) -> None:
        self.transactions = transactions
        self.database, self.observe, self.stop = transactions.database, transactions.observe, transactions.stop
        self.settings = settings
        self.open_source = open_source
        self.record, self.watched = record, watched
        block_bytes = max(settings.block_bytes * min(workers, FULL_BLOCKS) // workers, 1)
        self.parts = PartImporter(transactions, block_bytes, settings.keep_raw)
        self.claims = Claims(transactions, settings)
        self.take = self.claims.take
        self.leases, self.samples = Leases(self.database, settings), Samples()
        self.place = estimates.place_of(self.database, workers)
        self.small_estimates = estimates.SmallEstimates(self.place)
        self.workers = ThreadPoolExecutor(workers, thread_name_prefix="part")
        self.files = files
        self._slots = threading.BoundedSemaphore(workers)
        self._spare = self._slots if self.database.dialect.independent_inserts else None

    def __enter__(self) -> Importer:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.shutdown(wait=True, cancel_futures=True)
        self.files.close()
        self.leases.close()

    # --- what is asked for ---------------------------------------------------------------------------------------

    def migrate(self, request: Request) -> Outcome:
        """Import whatever of the request's passes is left to do; never raises what ended it, but tells it."""
        imported: list[Pass] = []
        rejected, notes = 0, list[str]()
        try:
            for pass_ in self._passes_to_import(request):
                uri = self._source_of(request, pass_)
                if pass_ is Pass.DELTA:
                    require_deltas(uri)
                source = self.open_source(uri, request.account_id)
                if pass_ is Pass.DELTA and not request.again and self._is_applied(request.account_id, source):
                    continue
                again = admission.why_again(pass_, request.requested) if request.again else None
                claim = self.claims.claim(request.account_id, pass_, source.uri, again)
                if claim is not None:
                    run = ActiveRun(claim, source, Counters(request.limit))
                    rejected, notes = rejected + self.import_pass(run), run.notes
                    imported.append(pass_)
        except S3ImportError as error:
            return Outcome(request.account_id, tuple(imported), rejected, error)
        return Outcome(request.account_id, tuple(imported), rejected, notes=tuple(notes))

    def _passes_to_import(self, request: Request) -> tuple[Pass, ...]:
        if not request.again:
            return request.passes
        left = partial(admission.passes_to_read, account_id=request.account_id, requested=request.passes)
        return self.transactions.run(request.account_id, left)

    def _source_of(self, request: Request, pass_: Pass) -> str:
        """Raises: ConfigurationError, where none was given and nothing of the account was ever read."""
        if request.source is not None:
            return request.source
        known = partial(admission.source_of, account_id=request.account_id, pass_=pass_)
        return self.transactions.run(request.account_id, known)

    def _is_applied(self, account_id: str, source: DumpSource) -> bool:
        """Whether the last delta was this very one."""
        do = partial(self.transactions.run, account_id)
        run_id = do(partial(deltas.applied_run, account_id=account_id, source=source.uri))
        if run_id is None:
            return False
        inventory = inventory_of(source.plan(Pass.DELTA).parts)
        checkpoints.note_known(do, run_id, inventory)
        return inventory.is_known()

    # --- import its pass, from the plan to the finish ------------------------------------------------------------

    def import_pass(self, run: ActiveRun, retries: Retries | None = None) -> int:
        """Import the pass of a claimed run from its plan to its finish; the number of its rejects.

        What ends it early is recorded in the run, which waits for another try where `retries` allow one, and raised.
        """
        claim = run.claim
        try:
            with log_context(account_id=claim.account_id, run_id=claim.run_id), self.keep_run(run):
                failed_files, parts = 0, self.begin(run)
                if parts is not None:
                    run.counters.require_within_limit(claim.account_id)
                    self.import_parts(run, parts)
                    failed_files = self.copy_files(run)
                    self.finish(run)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay behind as running
            failure = as_failure(error)
            self.record_failure(claim, failure, retries)
            raise failure from (None if failure is error else error)
        return run.counters.rejected + failed_files

    def keep_run(self, run: ActiveRun) -> AbstractContextManager[None]:
        """Hold the run's lease, and tell how fast it goes and how far it is, for as long as the block runs."""

        def renew(connection: Connection) -> bool:
            seconds, rates = self.settings.lease_seconds, run.counters.rates()
            mine = status.heartbeat(connection, run.claim, lease_seconds=seconds, rates=rates)
            if mine:
                self.samples.take(connection, run.claim.run_id)
                if self.watched:
                    self._see(connection, run)
            return mine

        return self.leases.keep(Lease(renew, run.ended))

    # --- plan it -------------------------------------------------------------------------------------------------

    def begin(self, run: ActiveRun) -> Parts | None:
        """Find out what the pass consists of, make sure that its account exists, and remember its parts; None where
        they were so small that the pass is imported by now, as a whole."""
        plan = self._read_plan(run)
        return None if self._import_at_once(run, plan) else self._remember(run, plan)

    def _read_plan(self, run: ActiveRun) -> Plan:
        """Find out what the pass consists of, and give its account.json its one chance."""
        claim, account_id = run.claim, run.claim.account_id
        divided = partial(checkpoints.read_window, account_id=account_id)
        plan = run.source.plan(claim.pass_, lambda: self.transactions.run(account_id, divided))
        if not claim.account_checked:
            self._check_account(run)
        return plan

    def _remember(self, run: ActiveRun, plan: Plan) -> Parts:
        claim, account_id = run.claim, run.claim.account_id
        if claim.anew:
            queueing.forget_parts(partial(self.transactions.run, account_id), claim)

        def remember(connection: Connection) -> Parts | None:
            _require_account(connection, run)
            status.note_keys(connection, claim, self.database.writer.keys(connection))
            if checkpoints.is_large(connection, claim, plan):
                return None
            few = checkpoints.remember_plan(connection, claim, plan)
            return self._finish_plan(connection, run, Parts(PartTotals.of(few), few))

        parts = self.transactions.run(account_id, remember) or self._remember_large(run, plan)
        if claim.again:
            queueing.forget_last_reading(partial(self.transactions.run, account_id), claim)
        estimates.keep(partial(self.transactions.run, account_id), claim, plan, parts.totals, self.place)
        if self.watched:
            self.transactions.read(account_id, partial(self._see, run=run))
        self._announce(run, parts.totals)
        return parts

    def _check_account(self, run: ActiveRun) -> None:
        """Give account.json its one chance, in a transaction of its own. Raises: AccountNotFound."""
        claim = run.claim
        document = read_account_document(run.source.companion, claim.account_id)

        def apply(connection: Connection) -> None:
            status.note_account_checked(connection, claim)
            if document is not None:
                apply_document(connection, document)
            else:
                _require_account(connection, run)
            remember_deletions(connection, claim.account_id)

        self.transactions.run(claim.account_id, apply)

    def _remember_large(self, run: ActiveRun, plan: Plan) -> Parts:
        do = partial(self.transactions.run, run.claim.account_id)
        checkpoints.remember_large_plan(do, run.claim, plan)
        parts = Parts(do(partial(checkpoints.read_totals, run_id=run.claim.run_id)))
        return do(partial(self._finish_plan, run=run, parts=parts))

    def _finish_plan(self, connection: Connection, run: ActiveRun, parts: Parts) -> Parts:
        claim, totals = run.claim, parts.totals
        if claim.again and claim.options.files_to and not (totals.parts_done or totals.read):
            file_places.retry_in(connection, claim.account_id, claim.run_id)
        self.record(connection, claim.run_id)
        return parts

    def _see(self, connection: Connection, run: ActiveRun) -> None:
        """See how far the run is."""
        progress = status_document.progress_of(connection, run.claim.run_id)
        if progress is not None:
            told = (progress[name] for name in ("fraction", "eta_seconds", "rows_per_second"))
            run.counters.how_far = HowFar(time.monotonic(), *told)

    def _announce(self, run: ActiveRun, totals: PartTotals) -> None:
        """Begin to count where earlier attempts stopped, and say so."""
        claim = run.claim
        run.counters.start(totals.read, totals.rejected)
        self.observe(
            PassStarted(
                claim.account_id,
                claim.pass_,
                claim.run_id,
                claim.attempts,
                totals.parts,
                totals.parts_done,
                totals.size_bytes,
                totals.bytes_done,
                totals.read,
                totals.rejected,
                run.counters.how_far,
            )
        )

    # --- import it as a whole ------------------------------------------------------------------------------------

    def _import_at_once(self, run: ActiveRun, plan: Plan) -> bool:
        """Import a small pass in one transaction, from its plan to its finish; False, and nothing was done, where it
        has to go part by part: whatever stands in its way shows there again, and is decided there.

        Raises: SourceUnavailable.
        """
        claim, small = run.claim, None
        try:
            small = self.parts.read_small(run, plan)
            if small is None or not self._write_at_once(run, plan, small):
                return False
        except SourceUnavailable:
            raise  # it was tried for as long as it may be
        except S3ImportError as error:
            log.debug(
                "account %s: the %s pass goes part by part: %s",
                claim.account_id,
                claim.pass_,
                error,
                extra={"event": "pass_by_parts"},
            )
            if small is None or not self.transactions.run(claim.account_id, partial(status.was_finished, held=claim)):
                return False
        self._announce(run, PartTotals.of([one.before for one in small]))
        self.parts.tell_small(run, small)
        self.observe(PassEnded(claim.account_id, claim.pass_, None))
        return True

    def _write_at_once(self, run: ActiveRun, plan: Plan, small: Sequence[SmallPart]) -> bool:
        """Write all of a small pass in one transaction; False where its account is gone. Raises: what stands in its
        way."""
        claim, document = run.claim, notes.read_document(run.source, run.claim.account_id)
        with self.database.begin() as connection:
            if not keep_account(connection, claim.account_id):
                return False
            noted = {
                "keys": self.database.writer.keys(connection),
                "estimate": self.small_estimates.of(connection, claim, plan),
                "skipped_objects": list(plan.skipped_objects),
            }
            run.notes[:] = notes.note_on(connection, document)
            self.record(connection, claim.run_id)
            self.parts.load_small(connection, claim, small)
            status.finish(connection, claim, **noted)  # the run before its parts, as others
            self.parts.note_small(connection, claim, small)
            self.record(connection, claim.run_id, run.notes)
        return True

    # --- import its parts ----------------------------------------------------------------------------------------

    def import_parts(self, run: ActiveRun, parts: Parts) -> None:
        """Parents' entities before their children's; the parts of one entity side by side. Raises the first error."""
        do = partial(self.transactions.run, run.claim.account_id)
        for entity in Entity:
            run.counters.begin_stage()
            if parts.few is None:
                for page in checkpoints.take_pages(do, run.claim, entity):
                    self._import_due(run, page)
            else:
                self._import_due(run, [part for part in parts.few if part.planned.entity is entity and not part.done])

    def _import_due(self, run: ActiveRun, due: list[Part]) -> None:
        if any(self.parts.takes_long(part) for part in due):
            self._import_side_by_side(run, due)
        else:
            self._import_small(run, due)

    def _import_small(self, run: ActiveRun, due: list[Part]) -> None:
        """One after the other, which is fastest for few; side by side once it shows that the others would take long."""
        began = time.monotonic()
        for done, part in enumerate(due):
            if done and (time.monotonic() - began) / done * (len(due) - done) > LONG_SECONDS:
                self._import_side_by_side(run, due[done:])
                return
            self._import_part(run, part)

    def _import_side_by_side(self, run: ActiveRun, due: list[Part]) -> None:
        futures = [self.workers.submit(in_context(self._import_part), run, part) for part in due]
        finished, unfinished = wait(futures, return_when=FIRST_EXCEPTION)
        first = next((error for future in finished if (error := _failure(future))), None)
        if first is not None:
            run.ended.set()
            wait([future for future in unfinished if not future.cancel()])
            raise first

    def _import_part(self, run: ActiveRun, part: Part) -> None:
        with self._slots:
            self.parts.import_part(run, part, self._spare)

    # --- finish it -----------------------------------------------------------------------------------------------

    def copy_files(self, run: ActiveRun) -> int:
        """Copy the files of what is in, where that was chosen; how many have failed. Raises: as what copies files."""
        return self.files.copy(run, partial(self.parts.require_going, run))

    def finish(self, run: ActiveRun) -> None:
        """The last step, once every part is done.

        Raises: TooManyRejects, AllRejected, LeaseLost, Interrupted, AccountDeleted, CommitsLost.
        """
        claim = run.claim
        run.counters.require_within_limit(claim.account_id, final=True)
        if run.counters.nothing_came_over(final=True):
            self.parts.require_something(run)

        run.notes[:] = notes.note(self.transactions, claim.account_id, run.source)

        def finish(connection: Connection) -> None:
            if status.finish(connection, claim):
                checkpoints.require_done(connection, claim, tuple(Entity))
                resolutions.tell(connection, claim)
            self.record(connection, claim.run_id, run.notes)

        self.transactions.run(claim.account_id, finish)
        self.observe(PassEnded(claim.account_id, claim.pass_, None))

    def record_failure(self, claim: Claim, error: S3ImportError, retries: Retries | None = None) -> None:
        """Leave word of why the run ended. Where even that fails its lease ends by itself and says it."""
        wait_seconds = retries.wait_seconds(error, claim.tries) if retries else None
        with suppress(S3ImportError), self.database.begin() as connection:
            status.fail(connection, claim, error, retry_in_seconds=wait_seconds)
            self.record(connection, claim.run_id)
        self.observe(PassEnded(claim.account_id, claim.pass_, error.code))


def _require_account(connection: Connection, run: ActiveRun) -> None:
    """Raises: AccountNotFound."""
    if account_status(connection, run.claim.account_id) is None:
        raise no_account(run.claim.account_id, run.source)


def no_account(account_id: str, source: DumpSource) -> AccountNotFound:
    """There is no account, and nothing that would create it."""
    return AccountNotFound(
        f"account {account_id} is not in the database and {source.companion.uri} has no account.json that would create "
        "it (or the account was deleted since its first run); write one (docs/reference/dump-format.md shows it), or "
        "create the account in Re:amaze with its brands and channels, then run the same command again"
    )


def _failure(future: Future[None]) -> BaseException | None:
    """What a part ended with; None for one that succeeded or never began."""
    return None if future.cancelled() else future.exception()
