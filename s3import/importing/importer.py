"""The story of a run: claim it, plan it, import its parts, finish it.

migrate ─► import_pass ─► claim ─► plan ─► import_part (side by side, entity by entity) ─► copy_files ─► finish
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from s3import import status
from s3import.core.accounts import account_status, apply_document, is_imported, mark_account_checked
from s3import.core.errors import (
    AccountNotFound,
    Interrupted,
    RecentPassFirst,
    RunIsAlive,
    S3ImportError,
    WorkerLost,
    as_failure,
)
from s3import.core.events import PassEnded, PassStarted, Waiting
from s3import.core.limits import Counters
from s3import.core.logs import in_context, log_context
from s3import.core.records import Entity, Pass, Plan
from s3import.core.resets import Standing, open_account
from s3import.core.settings import Settings
from s3import.importing import admission, checkpoints, deltas, estimates, file_places, queueing, resolutions
from s3import.importing.checkpoints import Part, PartTotals
from s3import.importing.leases import Lease, Leases
from s3import.importing.notes import note
from s3import.importing.parts import ActiveRun, PartImporter
from s3import.importing.requests import Outcome, Request
from s3import.importing.retries import Retries
from s3import.importing.samples import Samples
from s3import.importing.transactions import Transactions
from s3import.readers.dump.account_document import read_account_document
from s3import.readers.dump.inventory import inventory_of
from s3import.readers.sources.location import require_deltas
from s3import.readers.sources.source import DumpSource, SourceOpener
from s3import.status import Again, Claim, Recorder, Run, State

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

    `record` is called in each transaction that changes a run's state. Use as a context manager.
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
    ) -> None:
        self.transactions = transactions
        self.database, self.observe, self.stop = transactions.database, transactions.observe, transactions.stop
        self.settings = settings
        self.open_source = open_source
        self.record = record
        block_bytes = max(settings.block_bytes * min(workers, FULL_BLOCKS) // workers, 1)
        self.parts = PartImporter(transactions, block_bytes, settings.keep_raw)
        self.leases, self.samples = Leases(self.database, settings), Samples()
        self.place = estimates.place_of(self.database, workers)
        self.workers = ThreadPoolExecutor(workers, thread_name_prefix="part")
        self.files = files
        self._slots = threading.BoundedSemaphore(workers)

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
                claim = self._claim(request, pass_, source.uri)
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

    def _claim(self, request: Request, pass_: Pass, source: str) -> Claim | None:
        """Take the run, waiting for the lease of a process that may be dead; None when the pass has been imported.

        Raises: RecentPassFirst; AccountPurged; RunIsAlive as soon as its holder shows a sign of life.
        """
        account_id = request.account_id
        again = admission.why_again(pass_, request.requested) if request.again else None
        first: Run | None = None
        tried: Claim | None = None

        def attempt(connection: Connection) -> tuple[Run | None, Claim | None]:
            nonlocal tried
            if tried and status.is_held(connection, tried):
                return None, tried  # its commit went through, only the answer got lost
            if again and first and _has_succeeded(connection, first):
                return None, None  # somebody else has just read the pass again
            run, tried = self._try_claim(connection, account_id, pass_, source, again)
            return run, tried

        while True:
            run, claim = self.transactions.run(account_id, attempt)
            if claim is not None or run is None:
                return claim
            if first is None:
                first = run
                self.observe(Waiting(account_id, pass_, run.holder or "another process", run.lease_left))
            if (run.token, run.lease_until) != (first.token, first.lease_until):
                raise RunIsAlive(
                    f"account {account_id}: the {run.pass_} pass is being imported by {run.holder}; "
                    f"`s3import status --account {account_id} --watch` shows how far it is"
                )
            if self.stop.wait(0.5):
                raise Interrupted(f"account {account_id}: interrupted while waiting for another process")

    def _try_claim(
        self, connection: Connection, account_id: str, pass_: Pass, source: str, again: Again | None
    ) -> tuple[Run | None, Claim | None]:
        standing = open_account(connection, account_id)
        now = standing.status
        if is_imported(pass_, now) and not again:
            return None, None
        require_turn(standing, pass_)
        other = deltas.other_at_work(connection, account_id, pass_, again=again is not None)
        if other and not self._end_orphan(connection, other):
            return other, None
        run, _ = queueing.enqueue(connection, account_id, pass_, source, self.settings.run_options, again)
        if run.state is not State.QUEUED and not run.is_orphaned:
            return run, None
        return run, self._take(connection, run, source)

    def _end_orphan(self, connection: Connection, run: Run) -> bool:
        """End a run whose process died, so that another pass may begin; False when it is alive."""
        if run.is_orphaned:
            message = (
                f"account {run.account_id}: {run.holder} died during the {run.pass_} pass; run it again, it resumes"
            )
            claim = self._take(connection, run, run.source)
            if claim is not None:
                status.fail(connection, claim, WorkerLost(message))
        return run.is_orphaned

    def take(self, account_id: str, find: Callable[[Connection], Run | None]) -> Claim | None:
        """Claim the queued or orphaned run that `find` gives for this process; what a dead or paused holder left open
        is ended first.

        None when somebody else was first or another pass of the account is under way. Raises: ResetAtWork,
        ResetUnfinished; AccountPurged.
        """
        tried: Claim | None = None

        def attempt(connection: Connection) -> Claim | None:
            nonlocal tried
            if tried is None or not status.is_held(connection, tried):  # else only the answer to its commit got lost
                run = find(connection)
                tried = self._take_next(connection, run) if run else None
            return tried

        return self.transactions.run(account_id, attempt)

    def _take_next(self, connection: Connection, run: Run) -> Claim | None:
        open_account(connection, run.account_id).require_remembered()
        if deltas.other_at_work(connection, run.account_id, run.pass_, again=run.again is not None):
            return None
        return self._take(connection, run, run.source)

    def _take(self, connection: Connection, run: Run, source: str) -> Claim | None:
        if run.is_orphaned and run.holder:
            self.database.evict(connection, run.holder)
        return status.claim(
            connection,
            run,
            source=source,
            holder=self.database.application_name,
            lease_seconds=self.settings.lease_seconds,
            options=self.settings.run_options,
        )

    # --- import its pass, from the plan to the finish ------------------------------------------------------------

    def import_pass(self, run: ActiveRun, retries: Retries | None = None) -> int:
        """Import the pass of a claimed run from its plan to its finish; the number of its rejects.

        What ends it early is recorded in the run, which waits for another try where `retries` allow one, and raised.
        """
        claim = run.claim
        try:
            with log_context(account_id=claim.account_id, run_id=claim.run_id), self.keep_run(run):
                parts = self.plan(run)
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
            return mine

        return self.leases.keep(Lease(renew, run.ended))

    # --- plan it -------------------------------------------------------------------------------------------------

    def plan(self, run: ActiveRun) -> Parts:
        """Find out what the pass consists of, make sure that its account exists, and remember the plan."""
        claim, account_id = run.claim, run.claim.account_id
        divided = partial(checkpoints.read_window, account_id=account_id)
        plan = run.source.plan(claim.pass_, lambda: self.transactions.run(account_id, divided))
        if not claim.account_checked:
            self._check_account(run)
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
        self._announce(run, parts.totals)
        return parts

    def _check_account(self, run: ActiveRun) -> None:
        """Give account.json its one chance, in a transaction of its own. Raises: AccountNotFound."""
        claim = run.claim
        document = read_account_document(run.source.companion, claim.account_id)

        def apply(connection: Connection) -> None:
            status.require_held(connection, claim)
            if document is not None:
                apply_document(connection, document)
            _require_account(connection, run)
            mark_account_checked(connection, claim.account_id, claim.run_id)

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
            )
        )

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
            self.parts.import_part(run, part)

    # --- finish it -----------------------------------------------------------------------------------------------

    def copy_files(self, run: ActiveRun) -> int:
        """Copy the files of what is in, where that was chosen; how many have failed. Raises: as what copies files."""
        return self.files.copy(run, partial(self.parts.require_going, run))

    def finish(self, run: ActiveRun) -> None:
        """The last step, once every part is done.

        Raises: TooManyRejects, AllRejected, LeaseLost, Interrupted, AccountDeleted.
        """
        claim = run.claim
        run.counters.require_within_limit(claim.account_id, final=True)
        if run.counters.nothing_came_over(final=True):
            self.parts.require_something(run)

        run.notes[:] = note(self.transactions, claim.account_id, run.source)

        def finish(connection: Connection) -> None:
            if status.finish(connection, claim):
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


def require_turn(standing: Standing, pass_: Pass) -> None:
    """Make sure that the pass may be imported, or read again, as its account stands.

    Raises: RecentPassFirst, AccountPurged.
    """
    if pass_ is not Pass.RECENT and not is_imported(Pass.RECENT, standing.status):
        account = standing.account_id
        raise RecentPassFirst(
            f"account {account}: the {pass_} pass comes after the recent one, which has not been imported; "
            f"run `s3import migrate --account {account} --pass recent` first"
        )
    standing.require_remembered()


def _has_succeeded(connection: Connection, run: Run) -> bool:
    """Whether a run that was at work a moment ago has come to its end."""
    now = status.read_run(connection, run.run_id)
    return now is not None and now.state is State.SUCCEEDED


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
