"""What a request for a migration starts: the table of docs/reference/http.md."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from s3import.core.accounts import AccountStatus, is_imported, no_account
from s3import.core.errors import ConfigurationError, RecentPassFirst
from s3import.core.records import HALVES, Pass, RunOptions
from s3import.core.resets import open_account
from s3import.importing.queueing import enqueue, known_source
from s3import.status import Again, Run, State, find_run

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
    requested: Pass | None,
    source: str | None,
    *,
    again: bool = False,
    options: RunOptions = RunOptions(),
    may_be_new: bool = False,
) -> Admission:
    """Queue the passes asked for (`requested` None: whatever is left), each at most once, however often it is asked.

    `source` is the account's own, ``{account}`` filled in; None: each pass's own. With `again` passes that were
    imported are read once more. `options` go with new runs; with `may_be_new` its account.json may create the account.
    Raises: AccountNotFound; RecentPassFirst; AccountPurged; ResetAtWork, ResetUnfinished; ConfigurationError where no
    source is known; Conflict when others ask in the same moment (ask again: they were first).
    """
    standing = open_account(connection, account_id)
    status = standing.status
    if status is None and may_be_new:
        status = AccountStatus.MIGRATING
    if status is None:
        raise no_account(account_id)
    if requested not in (None, Pass.RECENT) and status is AccountStatus.MIGRATING:
        what = "any delta" if requested is Pass.DELTA else "the remaining one"
        raise RecentPassFirst(f"account {account_id}: the recent pass has to be imported before {what}")
    if requested is Pass.DELTA or (again and is_imported(Pass.RECENT, status)):
        standing.require_remembered()
    left: tuple[Pass, ...] = (requested,) if requested else HALVES
    if again:
        left = passes_to_read(connection, account_id, left)
    elif requested is not Pass.DELTA:
        if not PASSES_LEFT[status]:
            return Admission(ignored="already-active")
        left = tuple(pass_ for pass_ in left if pass_ in PASSES_LEFT[status])
    if not left:
        return Admission(ignored="already-imported")

    def ask(pass_: Pass) -> tuple[Run, bool]:
        where = source or source_of(connection, account_id, pass_)
        return enqueue(connection, account_id, pass_, where, options, why_again(pass_, requested) if again else None)

    (run, started), *_ = [ask(pass_) for pass_ in left]
    return Admission(run, started)


# --- once more -------------------------------------------------------------------------------------------------------


def passes_to_read(connection: Connection, account_id: str, requested: tuple[Pass, ...]) -> tuple[Pass, ...]:
    """Of the passes that are to be read again those that are left: a round through both halves of the dump that was
    interrupted after the recent one goes on with the remaining one."""
    recent = find_run(connection, account_id, Pass.RECENT) if len(requested) > 1 else None
    halfway = recent is not None and recent.again is Again.ROUND and recent.state is State.SUCCEEDED
    return requested[1:] if halfway else requested


def why_again(pass_: Pass, requested: Pass | None) -> Again:
    """What a run of this pass says of the round it belongs to, where `requested` was asked for (None: both halves)."""
    return Again.ROUND if requested is None and pass_ is Pass.RECENT else Again.ALONE


def source_of(connection: Connection, account_id: str, pass_: Pass) -> str:
    """Where the pass was read last. Raises: ConfigurationError where nothing of the account was ever read."""
    source = known_source(connection, account_id, pass_)
    if source is None:
        raise ConfigurationError(
            f"account {account_id}: no source is known of it; give --source URI or set S3IMPORT_SOURCE"
        )
    return source
