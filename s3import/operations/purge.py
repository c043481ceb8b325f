"""Forgets what was kept of migrations that are over: runs, parts, rejects with their raw text, tombstones."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from contextlib import closing, suppress
from functools import partial

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core import history, resets
from s3import.core.accounts import AccountStatus
from s3import.core.errors import (
    AccountNotFound,
    ConfigurationError,
    Interrupted,
    MigrationFailed,
    NotImported,
    RunIsAlive,
)
from s3import.core.events import Observer, RowsRemoved
from s3import.core.history import Happened
from s3import.core.settings import Settings
from s3import.core.tables import accounts, import_accounts, import_events, import_runs
from s3import.core.timers import Ticker
from s3import.importing import removals
from s3import.importing.bookkeeping import remove_bookkeeping
from s3import.importing.transactions import Transactions
from s3import.operations.composition import connect, on_tables
from s3import.operations.foreground import in_thread
from s3import.status import Run, State
from s3import.writers import Database, schema

log = logging.getLogger(__name__)

LOOK_SECONDS = 3600.0
PATIENCE_SECONDS = 120.0


def purge(settings: Settings, account_id: str, *, confirmed: bool, observe: Observer, stop: threading.Event) -> int:
    """Forget what was kept of an account's migration; how many rows of bookkeeping that was.

    Raises: ConfigurationError, telling what would be forgotten, unless `confirmed`; and as `forget`.
    """
    with on_tables(settings, account_id, observe, stop, patient=True) as transactions:
        if not confirmed:
            runs = transactions.read(account_id, partial(look, account_id=account_id))
            raise ConfigurationError(
                f"account {account_id}: {runs} runs are kept with their rejects, and what people deleted; give --yes "
                "to forget that for good"
            )
        return in_thread(partial(forget, transactions, account_id))


def purge_expired(settings: Settings, *, observe: Observer, stop: threading.Event) -> list[str]:
    """Forget what was kept of accounts for longer than the settings say; their ids. Raises: ConfigurationError."""
    if settings.retention_days is None:
        raise ConfigurationError("nothing expires: set S3IMPORT_RETENTION_DAYS to the days that bookkeeping is kept")
    with closing(connect(settings, patient=True)) as database:
        transactions = Transactions(database, settings.retry_seconds, observe, stop)
        if not (database.is_there and transactions.read("", schema.exists)):
            return []
        return in_thread(partial(forget_expired, transactions, settings.retention_days))


# --- how it is forgotten ----------------------------------------------------------------------------------------------


def forget(transactions: Transactions, account_id: str) -> int:
    """Forget an account's migration; the number of rows of bookkeeping that went. The account's own rows stay.

    From the first transaction on nothing is remembered, and so nothing is imported any more that could bring back what
    people deleted; whatever interrupts the rest, the same command goes on.
    Raises: AccountNotFound when nothing is known of it; RunIsAlive; ResetAtWork, ResetUnfinished; NotImported while a
    pass is still to be imported; Interrupted.
    """
    run_ids = transactions.run(account_id, partial(begin, account_id))
    removed = 0
    for count in remove_bookkeeping(partial(transactions.run, account_id), account_id, run_ids):
        removed += count
        transactions.observe(RowsRemoved(account_id, "rows of bookkeeping", removed))
        if transactions.stop.is_set():
            raise Interrupted(f"account {account_id}: interrupted; the same command goes on where it was")
    transactions.run(account_id, partial(_end, account_id))
    return removed


def look(connection: Connection, account_id: str) -> int:
    """How many runs there are to forget. Raises: as `forget`."""
    return len(_runs(connection, account_id, resets.look_at_account(connection, account_id)))


def begin(account_id: str, connection: Connection) -> list[str]:
    """Have nothing be remembered of the account from now on; the ids of the runs to forget. Raises: as `forget`."""
    standing = resets.open_account(connection, account_id)
    runs = _runs(connection, account_id, standing)
    for run in runs:
        if run.state is State.RUNNING and not status.cancel(connection, run.run_id):  # its holder was only paused
            raise RunIsAlive(f"account {account_id}: the {run.pass_} pass has just ended; run the same command again")
    if standing.status is not None and standing.purged_at is None:
        known = import_accounts.update().where(import_accounts.c.account_id == account_id)
        values = {"deletions_since": None, "purged_at": dt.datetime.now(dt.UTC)}
        if not connection.execute(known.values(values)).rowcount:
            connection.execute(import_accounts.insert().values(account_id=account_id, **values))
    return [run.run_id for run in runs]


def _runs(connection: Connection, account_id: str, standing: resets.Standing) -> list[Run]:
    runs = status.idle_runs(connection, account_id)
    if standing.status is None and not runs:
        raise AccountNotFound(
            f"there is no account {account_id} in the database, and nothing is kept of its migration; check --account "
            "and --database"
        )
    if standing.status not in (None, AccountStatus.ACTIVE):
        raise NotImported(
            f"account {account_id} is {standing.status}: its bookkeeping is needed until both passes are imported; "
            "purge it then"
        )
    return runs


def _end(account_id: str, connection: Connection) -> None:
    there = resets.lock_account(connection, account_id) is not None
    removals.forget_runs(connection, account_id)
    history.forget(connection, import_events.c.account_id == account_id)
    if there:
        history.write(connection, account_id, {Happened.PURGED: None})


def forget_expired(transactions: Transactions, days: float) -> list[str]:
    """Forget the accounts that `expired` names, one after the other; those that were forgotten."""
    with transactions.database.read() as connection:
        account_ids = expired(connection, days)
    return [account_id for account_id in account_ids if _purged(transactions, account_id)]


def _purged(transactions: Transactions, account_id: str) -> bool:
    """Whether it could be: not where somebody has just begun another run."""
    with suppress(MigrationFailed, RunIsAlive):
        forget(transactions, account_id)
        return True
    return False


class Retention:
    """Forgets expired accounts once an hour, in the background, for as long as the block runs. `days` None: never."""

    def __init__(self, database: Database, days: float | None) -> None:
        self._days = days
        self._left = threading.Event()
        self._transactions = Transactions(database, PATIENCE_SECONDS, lambda _: None, self._left)
        self._ticker = Ticker("retention", self._work, LOOK_SECONDS, stop=self._left)

    def __enter__(self) -> Retention:
        if self._days is not None:
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ticker.stop()

    def _work(self) -> None:
        for account_id in forget_expired(self._transactions, self._days or 0.0):
            log.info("account %s: purged, as its migration is long over", account_id, extra={"event": "account_purged"})


def expired(connection: Connection, days: float) -> list[str]:
    """The accounts that are active, or gone, and of which nothing was imported for so many days."""
    runs = import_runs.c
    over = sa.func.coalesce(sa.func.max(accounts.c.status), AccountStatus.ACTIVE.value) == AccountStatus.ACTIVE.value
    limit = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    query = (
        sa.select(runs.account_id)
        .outerjoin_from(import_runs, accounts, accounts.c.id == runs.account_id)
        .group_by(runs.account_id)
        .having(over, sa.func.max(sa.func.coalesce(runs.finished_at, runs.requested_at)) < limit)
    )
    return list(connection.scalars(query))
