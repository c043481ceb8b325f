"""Takes back what was imported of an account, so that its migration can begin anew.

As long as the account is `migrating` nobody works in it: all of its threads, messages and attachments go. Afterwards
what people made stays: the dumps are read again, and what they hold goes, with everything that hangs on it.

begin ─► parts, rejects, tombstones of dumps ─► attachments, messages, threads ─► end

The first transaction makes the reset a state of the account, the last one ends it, and until then nothing else goes on.
Checkpoints go before the rows that they stand for. Whatever interrupts it, the same command goes on, in any process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core import history, resets
from s3import.core.accounts import AccountStatus, set_status
from s3import.core.errors import (
    AccountDeleted,
    AccountIsActive,
    AccountNotFound,
    ConfigurationError,
    Interrupted,
    NotImported,
    ResetAtWork,
    S3ImportError,
)
from s3import.core.events import Observer, RowsRemoved, WaitingForReset
from s3import.core.history import Happened
from s3import.core.records import ROW_ENTITIES, Entity, PlannedPart, Window
from s3import.core.resets import Scope
from s3import.core.settings import Settings
from s3import.core.tables import FILES, TARGETS, import_events
from s3import.files import TargetOpener, storage_keys
from s3import.importing import removals
from s3import.importing.bookkeeping import has_parts, remove_bookkeeping
from s3import.importing.checkpoints import read_window
from s3import.importing.leases import Lease, Leases
from s3import.importing.transactions import Transactions
from s3import.operations.composition import on_tables, target_opener
from s3import.operations.foreground import in_thread
from s3import.operations.sources import source_opener
from s3import.readers.reading import read_checked
from s3import.readers.sources.source import DumpSource, SourceOpener
from s3import.reporting import status_document as report
from s3import.status import Run
from s3import.writers.deletions import require_gone

T = TypeVar("T")

PAGE_ROWS = 900  # MariaDB makes a table of a list of a thousand ids
FILES_AT_ONCE = 16
WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Removed:
    """What a reset took away, rows by entity, and what of the account is left because people made it."""

    account_id: str
    rows: Mapping[Entity, int]
    left: Mapping[Entity, int]


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a reset reaches: everything, or what the dumps of `runs` hold, whose source was divided by `window`."""

    scope: Scope
    runs: Sequence[Run]
    window: Window | None = None

    @property
    def readings(self) -> Collection[Run]:
        """The runs, but of those that read the same pass at the same source only one."""
        return {(run.pass_, run.source): run for run in self.runs}.values()


class AccountReset:
    """Takes back one account's import; `open_source` finds the dumps of its runs again."""

    def __init__(
        self,
        transactions: Transactions,
        account_id: str,
        settings: Settings,
        *,
        open_source: SourceOpener,
        open_target: TargetOpener,
    ) -> None:
        self._transactions, self._account_id, self._settings = transactions, account_id, settings
        self._open_source, self._open_target = open_source, open_target
        self._lost = threading.Event()

    def run(self, *, force: bool = False) -> Removed:
        """Take everything back.

        Raises: AccountNotFound; RunIsAlive; AccountIsActive unless forced; ResetAtWork when another process is at it;
        AccountDeleted when the account goes meanwhile; LeaseLost; what reading a dump raises; Interrupted.
        """
        extent = self._transactions.read(self._account_id, partial(self._look, force))
        if self._do(self._forget_gone):
            return Removed(self._account_id, dict.fromkeys(ROW_ENTITIES, 0), dict.fromkeys(ROW_ENTITIES, 0))
        if extent.scope is Scope.DUMPS:
            for run in extent.readings:
                self._plan(run, extent)  # a dump that is not there shows before anything goes
        try:
            held = self._begin(force)
            with self._kept(held):
                return self._take_back(held, self._extent_of(held))
        except AccountDeleted:
            self._do(partial(removals.forget_taken_back, account_id=self._account_id))
            raise

    def count(self) -> dict[Entity, int]:
        """The account's rows as they are, by entity. Raises: AccountNotFound."""

        def look(connection: Connection) -> dict[Entity, int]:
            self._require_known(connection)
            return {
                entity: connection.execute(
                    sa.select(sa.func.count()).where(TARGETS[entity].c.account_id == self._account_id)
                ).scalar_one()
                for entity in ROW_ENTITIES
            }

        return self._transactions.read(self._account_id, look)

    # --- begin -------------------------------------------------------------------------------------------------------

    def _look(self, force: bool, connection: Connection) -> Extent:
        """What is to be taken back, or goes on being taken back. Raises: as `run`."""
        self._require_known(connection)
        reset = resets.find_reset(connection, self._account_id)
        if reset is not None:
            return _extent(connection, reset)
        now = resets.look_at_account(connection, self._account_id)
        runs = status.idle_runs(connection, self._account_id)
        if now.status is AccountStatus.ACTIVE and not force:
            raise AccountIsActive(
                f"account {self._account_id} is active: people have worked in it since, and what they wrote in "
                "imported threads would go with these; give --force to take it back all the same"
            )
        if now.purged_at or (now.status is not AccountStatus.MIGRATING and not runs):
            raise NotImported(
                f"account {self._account_id}: nothing is kept of its migration, so that nobody can tell what was "
                "imported from what people made; nothing was taken back"
            )
        if now.status is AccountStatus.MIGRATING:
            return Extent(Scope.EVERYTHING, runs)
        window = read_window(connection, self._account_id)
        return Extent(Scope.DUMPS, [run for run in runs if has_parts(connection, run.run_id)], window)

    def _require_known(self, connection: Connection) -> None:
        if not report.is_known(connection, self._account_id):
            raise AccountNotFound(
                f"there is no account {self._account_id} in the database, and nothing is known of its migration; check "
                "--account and --database"
            )

    def _forget_gone(self, connection: Connection) -> bool:
        """Whether the account itself is gone: then its runs are all that is left."""
        gone = resets.lock_account(connection, self._account_id) is None
        if gone:
            removals.forget_runs(connection, self._account_id)
            history.forget(connection, import_events.c.account_id == self._account_id)
        return gone

    def _begin(self, force: bool) -> resets.Reset:
        """Make the reset a state of the account, or take one over whose process died, once its lease has ended.

        Raises: as `run`; ResetAtWork as soon as the other process shows a sign of life.
        """
        begun: list[int] = []
        first: resets.Reset | None = None
        while True:
            found = self._do(partial(self._try_begin, force, begun))
            if found.token in begun:
                return found
            if first is None:
                first = found
                self._transactions.observe(WaitingForReset(self._account_id, found.holder, found.lease_left))
            if (found.token, found.until) != (first.token, first.until):
                raise ResetAtWork(
                    f"account {self._account_id}: {found.holder} is taking its import back already; wait for its end"
                )
            if self._transactions.stop.wait(WAIT_SECONDS):
                raise Interrupted(f"account {self._account_id}: interrupted while waiting for another process")

    def _try_begin(self, force: bool, begun: list[int], connection: Connection) -> resets.Reset:
        """The reset that another process holds, or the one that this process holds from now on: then its token is in
        `begun`. So is one of an earlier try: the answer to a commit can get lost."""
        there = resets.lock_account(connection, self._account_id)
        found = resets.find_reset(connection, self._account_id)
        if found is not None and (found.is_alive or found.token in begun):
            return found
        extent = self._look(force, connection)
        if there is None:
            raise AccountDeleted(f"account {self._account_id} was deleted just now, and all of its rows with it")
        if found is None:
            self._end_runs(connection, extent)
        held = resets.hold(
            connection,
            self._account_id,
            extent.scope,
            extent.window,
            holder=self._transactions.database.application_name,
            lease_seconds=self._settings.lease_seconds,
        )
        begun.append(held.token)
        return held

    def _end_runs(self, connection: Connection, extent: Extent) -> None:
        """None of the account's runs writes anything from now on; those that imported nothing are forgotten."""
        for run in extent.runs:
            if run.is_orphaned and run.holder:
                self._transactions.database.evict(connection, run.holder)
        removals.take_back(connection, self._account_id, [run.run_id for run in extent.runs])

    def _extent_of(self, held: resets.Reset) -> Extent:
        return self._transactions.read(self._account_id, lambda connection: _extent(connection, held))

    @contextmanager
    def _kept(self, held: resets.Reset) -> Iterator[None]:
        """Keep the lease for as long as the block runs; where that fails, anybody may go on at once."""
        leases = Leases(self._transactions.database, self._settings)
        lease_seconds = self._settings.lease_seconds
        try:
            with leases.keep(Lease(lambda connection: resets.renew(connection, held, lease_seconds), self._lost)):
                yield
        except S3ImportError:
            with suppress(S3ImportError), self._transactions.database.begin() as connection:
                resets.release(connection, held)
            raise
        finally:
            leases.close()

    # --- take back ---------------------------------------------------------------------------------------------------

    def _take_back(self, held: resets.Reset, extent: Extent) -> Removed:
        before = self.count()
        kept = 0
        run_ids = [run.run_id for run in extent.runs]
        step = partial(self._step, held)
        for count in remove_bookkeeping(step, self._account_id, run_ids, keep_deletions=True):
            kept += count
            self._transactions.observe(RowsRemoved(self._account_id, "rows of bookkeeping", kept))
        for entity in reversed(ROW_ENTITIES):
            self._remove_entity(held, extent, entity, before[entity])
        self._end(held)
        left = self.count()
        return Removed(self._account_id, {entity: before[entity] - left[entity] for entity in left}, left)

    def _remove_entity(self, held: resets.Reset, extent: Extent, entity: Entity, total: int) -> None:
        removed = 0
        for ids in self._pages(entity, extent):
            self._remove_files(entity, ids, extent)
            removed += self._step(held, partial(self._delete, entity, ids))
            self._transactions.observe(RowsRemoved(self._account_id, entity.value, removed, total))

    def _pages(self, entity: Entity, extent: Extent) -> Iterator[list[str]]:
        if extent.scope is Scope.EVERYTHING:
            yield from self._pages_of_all(entity)
            return
        for run in extent.readings:
            ids = self._ids_in_dump(entity, run, extent)
            while page := list(islice(ids, PAGE_ROWS)):
                yield page

    def _pages_of_all(self, entity: Entity) -> Iterator[list[str]]:
        """The ids that are there, in their order; again from the first one until there are none."""
        after = ""
        while True:
            page = self._do(partial(_ids_after, entity, self._account_id, after))
            if not page and not after:
                return
            if page:
                yield page
            after = page[-1] if page else ""

    def _ids_in_dump(self, entity: Entity, run: Run, extent: Extent) -> Iterator[str]:
        source, parts = self._plan(run, extent)
        for planned in parts:
            if planned.entity is entity:
                for read in read_checked(source, planned, self._account_id, block_bytes=self._settings.block_bytes):
                    yield from read.checked.accepted["id"].to_pylist()

    def _plan(self, run: Run, extent: Extent) -> tuple[DumpSource, Sequence[PlannedPart]]:
        source = self._open_source(run.source, self._account_id)
        return source, source.plan(run.pass_, lambda: extent.window).parts

    def _delete(self, entity: Entity, ids: Sequence[str], connection: Connection) -> int:
        self._transactions.database.writer.look_up_by_key(connection)
        table = TARGETS[entity]
        these = sa.and_(table.c.account_id == self._account_id, table.c.id.in_(ids))
        removed = connection.execute(sa.delete(table).where(these)).rowcount
        require_gone(connection, entity, self._account_id, ids)
        return removed

    def _remove_files(self, entity: Entity, ids: Sequence[str], extent: Extent) -> None:
        """Take copies away while the rows still say where they are; what may not be deleted stays."""
        places = {run.options.files_to for run in extent.runs if run.options.files_to}
        if places and entity in FILES:
            keys = self._transactions.read(
                self._account_id, partial(storage_keys, account_id=self._account_id, entity=entity, ids=ids)
            )
            for uri in places:
                target = self._open_target(uri, self._account_id).target
                with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
                    list(pool.map(target.remove, keys))

    def _end(self, held: resets.Reset) -> None:
        """Forget the runs; the account is as it was before its first run, but for what people deleted."""
        tries = 0

        def end(connection: Connection) -> None:
            nonlocal tries
            tries += 1
            if tries > 1 and resets.find_reset(connection, self._account_id) is None:
                return  # the answer to a commit got lost
            resets.require_held(connection, held, self._settings.lease_seconds)
            removals.forget_taken_back(connection, self._account_id)
            resets.end(connection, held)
            history.write(connection, self._account_id, {Happened.RESET: None})
            set_status(connection, self._account_id, AccountStatus.MIGRATING)

        self._do(end)

    def _step(self, held: resets.Reset, work: Callable[[Connection], T]) -> T:
        """Take something away, if nobody else has taken the reset over. Raises: Interrupted; as `require_held`."""
        if self._transactions.stop.is_set():
            raise Interrupted(
                f"account {self._account_id}: interrupted; until the same command has finished it, nothing else of the "
                "account goes on"
            )

        def step(connection: Connection) -> T:
            resets.require_held(connection, held, self._settings.lease_seconds)
            return work(connection)

        return self._do(step)

    def _do(self, work: Callable[[Connection], T]) -> T:
        return self._transactions.run(self._account_id, work)


def _extent(connection: Connection, reset: resets.Reset) -> Extent:
    return Extent(reset.scope, status.runs_of(connection, reset.account_id), reset.window)


def _ids_after(entity: Entity, account_id: str, after: str, connection: Connection) -> list[str]:
    rows = TARGETS[entity].c
    query = sa.select(rows.id).where(rows.account_id == account_id, rows.id > after).order_by(rows.id)
    return list(connection.scalars(query.limit(PAGE_ROWS)))


def reset(
    settings: Settings, account_id: str, *, confirmed: bool, force: bool, observe: Observer, stop: threading.Event
) -> Removed:
    """Take back what was imported of an account.

    Raises: ConfigurationError, telling what would go, unless `confirmed`; and as `AccountReset.run`.
    """
    with on_tables(settings, account_id, observe, stop, patient=True) as transactions:
        opener, target = source_opener(settings, 1), target_opener(settings)
        reset = AccountReset(transactions, account_id, settings, open_source=opener, open_target=target)
        if not confirmed:
            rows = ", ".join(f"{count} {entity}" for entity, count in reset.count().items())
            raise ConfigurationError(f"account {account_id} has {rows}; give --yes to take back what was imported")
        return in_thread(partial(reset.run, force=force))
