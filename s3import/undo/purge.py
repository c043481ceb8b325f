"""Forgets what was kept of migrations that are over: runs, parts, rejects with their raw text, tombstones."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.accounts import AccountStatus, account_status
from s3import.errors import AccountNotFound, MigrationFailed, NotImported, RunIsAlive, S3ImportError
from s3import.status import Run
from s3import.tables import FORGOTTEN, accounts, import_accounts, import_files, import_runs, import_tombstones
from s3import.writers import Conflict, Database

log = logging.getLogger(__name__)

LOOK_SECONDS = 3600.0


def purge(connection: Connection, account_id: str) -> None:
    """Forget an account's migration. Its rows stay.

    Raises: AccountNotFound when nothing is known of it; RunIsAlive; NotImported while a pass is still to be imported.
    """
    now = account_status(connection, account_id)
    runs = status.idle_runs(connection, account_id)
    if now is None and not runs:
        raise AccountNotFound(f"account {account_id} is not in the database, and nothing is kept of it")
    if now not in (None, AccountStatus.ACTIVE):
        raise NotImported(
            f"account {account_id} is {now}: its bookkeeping is needed until both passes are imported; purge it then"
        )
    forget(connection, account_id, runs)
    if now is not None:
        row = {"account_id": account_id, "entity": FORGOTTEN, "id": account_id, "deleted_at": dt.datetime.now(dt.UTC)}
        connection.execute(import_tombstones.insert().values(row))


def purge_expired(database: Database, days: float) -> list[str]:
    """Forget the accounts that `expired` names, each in a transaction of its own; those that were forgotten."""
    with database.read() as connection:
        account_ids = expired(connection, days)
    return [account_id for account_id in account_ids if _purged(database, account_id)]


def _purged(database: Database, account_id: str) -> bool:
    """Whether it could be: not where somebody has just begun another run."""
    with suppress(MigrationFailed, RunIsAlive), database.begin() as connection:
        purge(connection, account_id)
        return True
    return False


class Retention:
    """Forgets expired accounts once an hour, in the background, for as long as the block runs. `days` None: never."""

    def __init__(self, database: Database, days: float | None) -> None:
        self._database = database
        self._days = days
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._work, name="retention", daemon=True)

    def __enter__(self) -> Retention:
        if self._days is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def _work(self) -> None:
        while not self._left.is_set():
            try:
                for account_id in purge_expired(self._database, self._days or 0.0):
                    log.info("account %s: purged, as its migration is long over", account_id)
            except (S3ImportError, Conflict) as error:
                log.warning("cannot purge what has expired: %s", error)
            self._left.wait(LOOK_SECONDS)


def forget(connection: Connection, account_id: str, runs: Sequence[Run]) -> None:
    """Remove the runs, their parts and rejects, and what people deleted; from now on nothing is remembered."""
    run_ids = [run.run_id for run in runs]
    connection.execute(import_runs.delete().where(import_runs.c.run_id.in_(run_ids)))
    for table in (import_accounts, import_tombstones, import_files):  # in this order: nothing is remembered in between
        connection.execute(table.delete().where(table.c.account_id == account_id))


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
