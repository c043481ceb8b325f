"""Whether an account's migration may go on: not while its import is being taken back, nor where that was left half-way.

A reset is a state of the account from its first transaction to its last, whatever becomes of the process: see
``import_accounts``. Whoever begins a run and whoever begins a reset locks the account's row first, so that one of them
sees the other. A reset is held by a lease and a fencing token of its own, as a run is.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.accounts import AccountStatus, account_status
from s3import.core.clock import clock
from s3import.core.errors import (
    AccountDeleted,
    AccountPurged,
    LeaseLost,
    ResetAtWork,
    ResetUnfinished,
    S3ImportError,
)
from s3import.core.records import Window
from s3import.core.tables import accounts, import_accounts


class Scope(StrEnum):
    """What a reset takes away: everything in the account, or what its dumps hold."""

    EVERYTHING = "everything"
    DUMPS = "dumps"


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset that has begun. `window`: how the account's source was divided; `lease_left` is in seconds."""

    account_id: str
    scope: Scope
    window: Window | None
    token: int
    holder: str
    until: float
    lease_left: float

    @property
    def is_alive(self) -> bool:
        """Whether its holder shows signs of life."""
        return self.lease_left > 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stands: its status (None: no account), and since when its migration is forgotten, if it is."""

    account_id: str
    status: AccountStatus | None
    purged_at: dt.datetime | None

    def require_remembered(self) -> None:
        """Raises: AccountPurged, when it is forgotten what was imported and what people deleted."""
        if self.purged_at is not None:
            raise AccountPurged(
                f"account {self.account_id}: what was kept of its migration was purged on {self.purged_at:%Y-%m-%d}, "
                "and with it what people deleted and which rows were imported: nothing can be verified any more, and "
                "another reading, with --again or as a delta, could bring deleted rows back and is refused"
            )


# Built once: small accounts would notice.
_ACCOUNT: sa.BindParameter[str] = sa.bindparam("account_id")
_LOCK = sa.select(accounts.c.status).where(accounts.c.id == _ACCOUNT).with_for_update(key_share=True)
_KEEP = sa.select(accounts.c.status).where(accounts.c.id == _ACCOUNT).with_for_update(read=True, key_share=True)
_KNOWN = sa.select(import_accounts, (import_accounts.c.reset_until - clock()).label("lease_left")).where(
    import_accounts.c.account_id == _ACCOUNT
)


def lock_account(connection: Connection, account_id: str) -> AccountStatus | None:
    """The account's status (None: no account). Nobody else begins a run, a reset or a purge until the transaction
    ends."""
    status = connection.execute(_LOCK, {"account_id": account_id}).scalar()
    return AccountStatus(status) if status is not None else None


def open_account(connection: Connection, account_id: str) -> Standing:
    """Lock the account, for whoever is about to begin something. Raises: ResetAtWork, ResetUnfinished."""
    return _standing(connection, account_id, lock_account(connection, account_id))


def keep_account(connection: Connection, account_id: str) -> bool:
    """Whether the account is there; it stays until the transaction ends. To be asked before anything of the account is
    locked, as its deletion takes the account first."""
    # MySQL's weaker lock could not become stronger, for a new status, past a deletion that waits for it: a deadlock.
    lock = _LOCK if connection.dialect.name == "mysql" else _KEEP
    return connection.execute(lock, {"account_id": account_id}).first() is not None


def look_at_account(connection: Connection, account_id: str) -> Standing:
    """The account's status without locking anything. Raises: what `open_account` raises."""
    return _standing(connection, account_id, account_status(connection, account_id))


def purged_at(connection: Connection, account_id: str) -> dt.datetime | None:
    """Since when what was kept of the account's migration is forgotten; None where it is not."""
    row = _known(connection, account_id)
    return row.purged_at if row else None


def _standing(connection: Connection, account_id: str, status: AccountStatus | None) -> Standing:
    row = _known(connection, account_id)
    reset = _as_reset(row)
    if reset is not None:
        raise why_not(reset)
    return Standing(account_id, status, row.purged_at if row else None)


def why_not(reset: Reset) -> S3ImportError:
    """Why nothing else of the account goes on, as the error to raise."""
    if reset.is_alive:
        return ResetAtWork(
            f"account {reset.account_id}: its import is being taken back by {reset.holder}; wait for the end of that "
            "reset, then run the same command again"
        )
    return ResetUnfinished(
        f"account {reset.account_id}: a reset of its import was not finished; finish it by "
        f"`s3import reset --account {reset.account_id} --yes`, then run the same command again"
    )


# --- a reset's own steps ---------------------------------------------------------------------------------------------


def find_reset(connection: Connection, account_id: str) -> Reset | None:
    """The account's reset, if one has begun and not ended."""
    return _as_reset(_known(connection, account_id))


def _known(connection: Connection, account_id: str) -> Any:
    return connection.execute(_KNOWN, {"account_id": account_id}).first()


def _as_reset(row: Any) -> Reset | None:
    if row is None or row.reset_scope is None:
        return None
    window = Window.parse(row.reset_window) if row.reset_window else None
    held = (row.reset_token, row.reset_holder, row.reset_until, row.lease_left)
    return Reset(row.account_id, Scope(row.reset_scope), window, *held)


def hold(
    connection: Connection, account_id: str, scope: Scope, window: Window | None, *, holder: str, lease_seconds: float
) -> Reset:
    """Begin a reset, or take one over, in a transaction that has locked the account: from now on only the holder of its
    token takes anything away, and nothing that goes is taken for a person's deletion."""
    values = {
        "deletions_since": None,
        "reset_scope": scope.value,
        "reset_window": window and str(window),
        "reset_token": 1 + secrets.randbits(62),  # fencing only asks whether it is still the same
        "reset_holder": holder,
        "reset_until": clock() + lease_seconds,
    }
    update = import_accounts.update().where(import_accounts.c.account_id == account_id)
    if not connection.execute(update.values(values)).rowcount:
        connection.execute(import_accounts.insert().values(account_id=account_id, **values))
    held = find_reset(connection, account_id)
    assert held is not None  # noqa: S101 - it was written a moment ago
    return held


def renew(connection: Connection, held: Reset, lease_seconds: float) -> bool:
    """Renew the lease; False when the reset is not this process's any more."""
    return bool(connection.execute(_mine(held).values(reset_until=clock() + lease_seconds)).rowcount)


def require_held(connection: Connection, held: Reset, lease_seconds: float) -> None:
    """Keep the reset this process's, and the account where it is, until the transaction ends.

    Raises: AccountDeleted; LeaseLost, when another process has taken it over.
    """
    if not keep_account(connection, held.account_id) or not renew(connection, held, lease_seconds):
        raise _why_lost(connection, held)


def release(connection: Connection, held: Reset) -> None:
    """Let any process finish the reset from now on."""
    connection.execute(_mine(held).values(reset_until=clock()))


def end(connection: Connection, held: Reset) -> None:
    """The account's migration can begin anew; what people delete is remembered from now on again."""
    nothing = dict.fromkeys(("reset_scope", "reset_window", "reset_token", "reset_holder", "reset_until"))
    connection.execute(_mine(held).values(deletions_since=dt.datetime.now(dt.UTC), **nothing))


def _mine(held: Reset) -> sa.Update:
    known = import_accounts.c
    return import_accounts.update().where(known.account_id == held.account_id, known.reset_token == held.token)


def _why_lost(connection: Connection, held: Reset) -> S3ImportError:
    if account_status(connection, held.account_id) is None:
        return AccountDeleted(
            f"account {held.account_id} was deleted in Re:amaze while its import was being taken back: the reset ends "
            "here and nothing of the account is left"
        )
    return LeaseLost(
        f"account {held.account_id}: another process has taken over this reset because this one showed no sign of "
        "life; this process has stopped removing anything, and `s3import status` tells where the account stands"
    )
