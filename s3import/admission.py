"""What a request for a migration starts: the table of the contract's section 6."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from s3import.accounts import AccountStatus
from s3import.errors import AccountNotFound, RecentPassFirst
from s3import.records import Choices, Pass
from s3import.resets import open_account
from s3import.status import Run, enqueue

PASSES_LEFT: dict[AccountStatus, tuple[Pass, ...]] = {
    AccountStatus.MIGRATING: (Pass.RECENT, Pass.REMAINING),
    AccountStatus.ACTIVE_RECENT_ONLY: (Pass.REMAINING,),
    AccountStatus.ACTIVE: (),
}
"""The passes an account has still to go through, in their order."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a request: the run that it is about, and whether this request started it; or (`ignored`) why there
    is nothing to do."""

    run: Run | None = None
    started: bool = False
    ignored: str | None = None


def admit(
    connection: Connection,
    account_id: str,
    wanted: Pass | None,
    source: str,
    *,
    choices: Choices = Choices(),
    may_be_new: bool = False,
) -> Admission:
    """Queue the passes asked for (`wanted` None: whatever is left), each at most once, however often it is asked.

    `source` is the account's own, ``{account}`` filled in; `choices` go with new runs; with `may_be_new` its
    account.json may create the account.
    Raises: AccountNotFound; RecentPassFirst; AccountPurged; ResetAtWork, ResetUnfinished; Conflict when others
    ask in the same moment (ask again: they were first).
    """
    standing = open_account(connection, account_id)
    status = standing.status
    if status is None and may_be_new:
        status = AccountStatus.MIGRATING
    if status is None:
        raise AccountNotFound(f"there is no account {account_id}; create it first (POST /accounts)")
    left = PASSES_LEFT[status]
    if wanted is Pass.DELTA:
        standing.require_remembered()
        return _admit_delta(connection, account_id, status, source, choices)
    if not left:
        return Admission(ignored="already-active")
    if wanted is not None and wanted not in left:
        return Admission(ignored="already-imported")
    if wanted is Pass.REMAINING and wanted is not left[0]:
        raise RecentPassFirst(f"account {account_id}: the recent pass has to be imported before the remaining one")
    queued = [enqueue(connection, account_id, pass_, source, choices) for pass_ in left if wanted in (None, pass_)]
    run, started = queued[0]
    return Admission(run, started)


def _admit_delta(
    connection: Connection, account_id: str, status: AccountStatus, source: str, choices: Choices
) -> Admission:
    if status is AccountStatus.MIGRATING:
        raise RecentPassFirst(f"account {account_id}: the recent pass has to be imported before any delta")
    return Admission(*enqueue(connection, account_id, Pass.DELTA, source, choices))
