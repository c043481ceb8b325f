"""Taking runs: the claim of a pass that somebody asks for here, and of a run that waits or was left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core.accounts import is_imported
from s3import.core.clock import clock
from s3import.core.errors import Interrupted, RecentPassFirst, RunIsAlive, WorkerLost
from s3import.core.events import Waiting
from s3import.core.records import Pass
from s3import.core.resets import Standing, open_account
from s3import.core.settings import Settings
from s3import.core.tables import import_runs
from s3import.importing import deltas, queueing
from s3import.importing.transactions import Transactions
from s3import.status import Again, Claim, Holder, Run, State

# Built once: small accounts would notice.
_DEAD_HOLDERS: sa.Select[str] = sa.select(import_runs.c.holder).where(
    import_runs.c.account_id == sa.bindparam("account_id"),
    import_runs.c.state == State.RUNNING,
    import_runs.c.holder.is_not(None),
    import_runs.c.lease_until <= clock(),
)


@dataclass(frozen=True, slots=True)
class Claims:
    """Takes runs for this process."""

    transactions: Transactions
    settings: Settings

    def claim(self, account_id: str, pass_: Pass, source: str, again: Again | None) -> Claim | None:
        """Take the run, waiting for the lease of a process that may be dead; None when the pass has been imported.

        Raises: RecentPassFirst; AccountPurged; RunIsAlive as soon as its holder shows a sign of life.
        """
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
                self.transactions.observe(Waiting(account_id, pass_, run.holder or "another process", run.lease_left))
            if (run.token, run.lease_until) != (first.token, first.lease_until):
                raise RunIsAlive(
                    f"account {account_id}: the {run.pass_} pass is being imported by {run.holder}; "
                    f"`s3import status --account {account_id} --watch` shows how far it is"
                )
            if self.transactions.stop.wait(0.5):
                raise Interrupted(f"account {account_id}: interrupted while waiting for another process")

    def _try_claim(
        self, connection: Connection, account_id: str, pass_: Pass, source: str, again: Again | None
    ) -> tuple[Run | None, Claim | None]:
        standing = self._open(connection, account_id)
        now = standing.status
        if is_imported(pass_, now) and not again:
            return None, None
        require_turn(standing, pass_)
        other = deltas.other_at_work(connection, account_id, pass_, again=again is not None)
        if other and not self._end_orphan(connection, other):
            return other, None
        run, is_new = queueing.enqueue(
            connection, account_id, pass_, source, self.settings.run_options, again, holder=self._holder
        )
        if is_new and run.state is State.RUNNING:
            return run, status.claim_of(run)
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
        self._open(connection, run.account_id).require_remembered()
        if deltas.other_at_work(connection, run.account_id, run.pass_, again=run.again is not None):
            return None
        return self._take(connection, run, run.source)

    def _open(self, connection: Connection, account_id: str) -> Standing:
        """Lock the account; a dead or paused holder of one of its runs, which may have it locked, loses its locks."""
        for holder in connection.execute(_DEAD_HOLDERS, {"account_id": account_id}).scalars().all():
            self.transactions.database.evict(connection, holder)
        return open_account(connection, account_id)

    @property
    def _holder(self) -> Holder:
        return Holder(self.transactions.database.application_name, self.settings.lease_seconds)

    def _take(self, connection: Connection, run: Run, source: str) -> Claim | None:
        if run.is_orphaned and run.holder:  # its lease may have ended since the account was locked
            self.transactions.database.evict(connection, run.holder)
        return status.claim(
            connection,
            run,
            source=source,
            holder=self._holder,
            options=self.settings.run_options,
        )


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
