"""The work of one machine among many: the calls that a queue carries, and the sweep that makes up for a queue that
loses, repeats or reorders them. Every call may come twice, late or never: the database says what is left to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from s3import import status
from s3import.core.committed import committed
from s3import.core.errors import Interrupted, LeaseLost, S3ImportError, TooManyRejects, WorkerLost, as_failure
from s3import.core.limits import Counters, RejectLimit
from s3import.importing import offers
from s3import.importing import part_claims as dispatch
from s3import.importing.checkpoints import PartTotals
from s3import.importing.importer import Importer
from s3import.importing.leases import Lease
from s3import.importing.part_claims import Bundle, Capacity, TakenParts
from s3import.importing.part_totals import Totals
from s3import.importing.parts import ActiveRun
from s3import.importing.retries import Retries
from s3import.readers.dump.inventory import FEW
from s3import.status import Claim, Run, State

log = logging.getLogger(__name__)

T = TypeVar("T")


class Queue(Protocol):
    """What carries calls to workers. It may lose, repeat and reorder them; it must not block for long, nor raise.

    False: it surely takes nothing at the moment.
    """

    def send_plan(self, run_id: str) -> bool:
        """Have some worker call `FleetWorker.plan`."""
        ...

    def send_parts(self, run_id: str, bundle: Bundle) -> bool:
        """Have some worker call `FleetWorker.import_parts`."""
        ...


class FleetWorker:
    """Plans runs and imports parts that the queue brings, and sends on what follows from them."""

    def __init__(
        self, importer: Importer, queue: Queue, *, limit: RejectLimit, retries: Retries, capacity: Capacity
    ) -> None:
        self._importer = importer
        self._queue = queue
        self._limit = limit
        self._retries = retries
        self._capacity = capacity
        self._totals = Totals(importer.database)

    # --- the three calls ---------------------------------------------------------------------------------------------

    def plan(self, run_id: str) -> None:
        """Claim a run on offer and plan it; import it right here where it is small, else offer its parts to all."""
        found: list[Run] = []
        claim = self._importer.take("", partial(self._on_offer, run_id=run_id, found=found))
        if claim is None:
            return
        run = found[-1]
        try:
            spread = self._plan(claim, run)
        except Exception as error:  # noqa: BLE001 - recorded in the run, which is what its owner looks at
            self._fail(claim, error)
            return
        self._advance(run_id) if spread else self._offer_more()

    def import_parts(self, run_id: str, bundle: Bundle) -> None:
        """Import the parts of a bundle of a spread run, unless somebody else has it; then see what follows."""
        token = dispatch.new_token()  # of all tries to take it: the answer to a commit can get lost
        take = partial(self._take_parts, run_id=run_id, bundle=bundle, token=token)
        taken = self._importer.transactions.run("", take)
        if taken is None:
            return
        run, claim = taken.run, status.claim_of(taken.run)
        try:
            self._require_few_tries(taken)
            self._import_bundle(claim, taken)
        except LeaseLost as error:  # of one of them: others may be its own still
            log.info("account %s: %s", run.account_id, error, extra={"event": "part_lost"})
            self._give_back(taken)
        except Interrupted as error:
            self._hand_over(taken, error)
        except TooManyRejects as error:
            self._decide(claim, taken, error)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(claim, error)
        self._advance(run_id)

    def sweep(self) -> None:
        """Send whatever is due and not on its way: call it every few seconds, from any number of machines."""
        database, settings = self._importer.database, self._importer.settings
        with database.begin() as connection:
            spread = offers.look_after(connection, settings.lease_seconds, self._capacity.in_all)
            for run_id in spread:
                self._importer.samples.take(connection, run_id, is_spread=True)
        for run_id in spread:
            self._advance(run_id)
        self._offer_due()

    # --- their steps -----------------------------------------------------------------------------------------------

    def _on_offer(self, connection: Connection, run_id: str, found: list[Run]) -> Run | None:
        """The run, if its planning is on offer; `found` takes it down."""
        run = status.read_run(connection, run_id)
        if run is None or run.state is not State.QUEUED or run.lease_left <= 0:
            return None
        found.append(run)
        return run

    def _plan(self, claim: Claim, run: Run) -> bool:
        """Plan the run; False when it was so small that it is imported by now, True when its parts are everybody's."""
        importer = self._importer
        source = importer.open_source(run.source, run.account_id)
        active = ActiveRun(claim, source, Counters(self._limit))
        with importer.keep_run(active):
            parts = importer.begin(active)
            if parts is None:
                return False
            active.counters.require_within_limit(run.account_id)
            if self._is_small(parts.totals):
                importer.import_parts(active, parts)
                importer.copy_files(active)
                importer.finish(active)
                return False
            importer.transactions.run(run.account_id, lambda connection: offers.spread(connection, claim))
            return True

    def _is_small(self, totals: PartTotals) -> bool:
        """Whether sharing the parts out would take longer than importing them."""
        few = totals.parts - totals.parts_done <= FEW
        return few and totals.bytes_left <= self._importer.settings.block_bytes

    def _take_parts(self, connection: Connection, run_id: str, bundle: Bundle, token: int) -> TakenParts | None:
        database, settings = self._importer.database, self._importer.settings
        taken = dispatch.claim_parts(
            connection,
            run_id,
            bundle,
            token=token,
            holder=database.application_name,
            lease_seconds=settings.lease_seconds,
        )
        for holder in taken.lost_by if taken else ():
            database.evict(connection, holder)
        return taken

    def _import_bundle(self, claim: Claim, taken: TakenParts) -> None:
        importer, run = self._importer, taken.run
        active = ActiveRun(claim, importer.open_source(run.source, run.account_id), self._counters(run))

        def renew(connection: Connection) -> bool:
            return dispatch.renew_parts(connection, taken, importer.settings.lease_seconds)

        with importer.leases.keep(Lease(renew, active.ended)):
            for part in taken.parts:
                importer.parts.import_part(active, part)

    def _counters(self, run: Run, *, final: bool = False) -> Counters:
        """What all machines have read and rejected by now, or (unless `final`) a short while ago."""
        counters = Counters(self._limit)
        counters.start(*self._totals.of(run, fresh=final))
        return counters

    def _advance(self, run_id: str) -> None:
        """Offer what comes next of a spread run, or finish it. What fails here is made up for by the next sweep."""
        try:
            with self._importer.database.begin() as connection:
                bundles = dispatch.offer_parts(connection, run_id, self._capacity)
                run = status.read_run(connection, run_id)
                finished = not bundles and run is not None and run.spread and dispatch.all_done(connection, run_id)
        except S3ImportError as error:
            log.warning("run %s: cannot offer its parts yet: %s", run_id, error, extra={"event": "offer_failed"})
            return
        self._send(
            partial(self._queue.send_parts, run_id),
            bundles,
            lambda connection, unsent: dispatch.withdraw_parts(connection, run_id, unsent),
        )
        if run is not None and finished and run.state is State.RUNNING:
            self._offer_files(run) if run.options.files_to else self._finish(run)

    def _offer_files(self, run: Run) -> None:
        """Have one worker hold the run again, who finds nothing left of it but its files to copy."""
        with suppress(S3ImportError):
            with self._importer.database.begin() as connection:
                offered = offers.offer_run(connection, run)
            self._send(self._queue.send_plan, [run.run_id] if offered else [], offers.withdraw_runs)

    def _finish(self, run: Run) -> None:
        claim = status.claim_of(run)
        try:
            source = self._importer.open_source(run.source, run.account_id)
            self._importer.finish(ActiveRun(claim, source, self._counters(run, final=True)))
        except LeaseLost:
            log.info(
                "account %s: somebody else finished the %s pass",
                run.account_id,
                run.pass_,
                extra={"event": "finish_lost"},
            )
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(claim, error)
        self._offer_more()

    def _offer_more(self) -> None:
        """Offer due runs where much of the capacity lies idle: for each that ends, one look would cost too much."""
        self._offer_due(least_room=max(self._capacity.in_all // 4, 1))

    def _offer_due(self, least_room: int = 1) -> None:
        """Offer the planning of runs whose time has come. What fails here is made up for by the next sweep."""
        try:
            with self._importer.database.begin() as connection:
                due = dispatch.due_runs(connection, self._capacity, least_room)
                offered = [run.run_id for run in due if self._offer(connection, run)]
        except S3ImportError as error:
            log.warning("cannot look for due runs: %s", error, extra={"event": "poll_failed"})
            return
        self._send(self._queue.send_plan, offered, offers.withdraw_runs)

    def _send(
        self, send: Callable[[T], bool], items: Sequence[T], withdraw: Callable[[Connection, Sequence[T]], None]
    ) -> None:
        """Send the items, and withdraw those that the queue does not take: they will be offered again."""
        unsent = items[len(list(takewhile(send, items))) :]
        if unsent:
            with suppress(S3ImportError), self._importer.database.begin() as connection:
                withdraw(connection, unsent)

    def _offer(self, connection: Connection, run: Run) -> bool:
        """Offer a due run for planning; one that took too many workers' lives ends failed."""
        many = run.is_orphaned and run.tries >= self._retries.limit
        if many and committed(connection, run.run_id) == run.progress_at_claim:
            status.fail(connection, status.claim_of(run), _lost(run, "planning it"))
            self._importer.record(connection, run.run_id)
            return False
        return offers.offer_run(connection, run)

    def _require_few_tries(self, taken: TakenParts) -> None:
        """Raises: WorkerLost, when a part took one worker after the other without getting on."""
        if taken.tries > self._retries.limit:
            raise _lost(taken.run, f"importing {taken.parts[0].planned.key}")

    def _decide(self, claim: Claim, taken: TakenParts, error: TooManyRejects) -> None:
        """End the run where rejects are too many of all that was read by now; this machine may know of less."""
        try:
            self._counters(taken.run, final=True).require_within_limit(claim.account_id)
        except TooManyRejects as sure:
            self._fail(claim, sure)
        else:
            self._hand_over(taken, error)

    def _hand_over(self, taken: TakenParts, error: S3ImportError) -> None:
        log.info("account %s: parts given back: %s", taken.run.account_id, error, extra={"event": "part_released"})
        self._give_back(taken)

    def _give_back(self, taken: TakenParts) -> None:
        """What is left of a bundle. Where the database does not answer, its lease ends by itself."""
        with suppress(S3ImportError), self._importer.database.begin() as connection:
            dispatch.release_parts(connection, taken)

    def _fail(self, claim: Claim, error: Exception) -> None:
        failure = as_failure(error)
        log.warning(
            "account %s: the %s pass ended: %s", claim.account_id, claim.pass_, failure, extra={"event": "pass_failed"}
        )
        self._importer.record_failure(claim, failure, self._retries)


def _lost(run: Run, doing: str) -> WorkerLost:
    return WorkerLost(
        f"account {run.account_id}: one worker after the other died or hung while {doing}; look at their logs and "
        "memory, then ask for the migration again: it resumes at the last checkpoint"
    )
