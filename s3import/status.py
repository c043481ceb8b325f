"""What was asked for, what is being done and what is done: runs, parts, checkpoints and leases.

The database is the only truth about a run. Its states and the transitions that are allowed:

              (a)          (b)               (c)            (f)
    no run ────────► queued ───────► running ────────► succeeded ─ ─ ► no run
                     ▲ ▲ │ ▲          │ │ │ ▲ │
                     │ │ │ └──────────┘ │ │ └─┘ (b) (h)
                     │ │ │   (d) (g)    │ │
                 (a) │ │ │ (e) (i)      │ │
                     │ │ ▼              │ │
                     │ cancelled ◄──────┘ │ (d)
                     │        (e) (i)     ▼
                     └───────────────── failed

(a) `queueing.enqueue`: the same ``run_id`` where there is a run that can go on, from its parts' beginnings where
nothing came over; (b) `claim`, also of a run whose lease ended because its process died: one more attempt; (c)
`finish`; (d) `fail`, or straight back to queued where a worker is to try again; (e) `cancel`, or `fail` because the
account was deleted; (f) `queueing.enqueue` of another delta, or of a pass that is to be read again: a new run with the
next number begins, and the pass is from then on what that run says. The old one stays as it is.

Among many machines: (g) `offers.offer_run`: a queued run, or one whose process died, is on offer to whoever plans it,
and `offers.withdraw_runs` takes that back; (h) `offers.spread`: the planned run is nobody's, its parts are everybody's,
and `offers.look_after` renews its lease.

(i) `removals.take_back`: a reset takes away what the run imported. Runs end by being forgotten, too:
`removals.forget_taken_back` after the reset, `removals.forget_runs` by a purge, `queueing.enqueue` of an account that
was deleted and begins anew,
`queueing.forget_last_reading` once the pass is read again, `fail` of a run whose account never existed.

Nothing else writes a run's state, token, lease or holder, and nothing else makes or removes one; the other columns are
counters and notes of those who keep them.

Every claim raises the run's fencing token and writes it into the parts that are left. A checkpoint only succeeds for
the holder of that token, inside the transaction that holds the batch's rows: a process that was thought dead and
comes back writes nothing.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core import history
from s3import.core.accounts import STATUS_AFTER, account_exists, account_status, raise_status
from s3import.core.clock import clock
from s3import.core.committed import committed
from s3import.core.errors import (
    AccountDeleted,
    AllRejected,
    CommitsLost,
    Interrupted,
    LeaseLost,
    RunIsAlive,
    S3ImportError,
)
from s3import.core.history import Happened
from s3import.core.limits import Rates
from s3import.core.records import Pass, RunOptions
from s3import.core.resets import look_at_account
from s3import.core.tables import import_events, import_parts, import_runs

UNTAKEN = -1
"""The token of a part that nobody may write a checkpoint of: of a large plan, until its page is taken."""

TAKEN_BACK = "reset"
"""The error code of a run whose rows a reset is taking away."""

Recorder = Callable[..., None]
"""Writes down, in a transaction that changes a run, what became of it: takes connection, run id and, if any, notes."""


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Again(StrEnum):
    """Why a run was asked for that reads a pass again: for the pass alone, or in a round through both halves of the
    dump. The recent pass remembers whether the round has come to its end: whoever goes on with it does not begin anew.
    """

    ALONE = "alone"
    ROUND = "round"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands in the database: the pass's `number`-th. `lease_left`: in seconds, not positive when the lease
    has ended; `account_checked`: some run of the account has been past the point where account.json is applied."""

    run_id: str
    account_id: str
    pass_: Pass
    source: str
    state: State
    token: int = 0
    attempts: int = 0
    tries: int = 0
    progress_at_claim: int = 0
    holder: str | None = None
    spread: bool = False
    lease_until: float = 0.0
    lease_left: float = 0.0
    account_checked: bool = False
    error_code: str | None = None
    options: RunOptions = RunOptions()
    number: int = 1
    again: Again | None = None
    anew: bool = False

    @property
    def is_orphaned(self) -> bool:
        """Whether its holder's lease has ended: the process died or hangs."""
        return self.state is State.RUNNING and self.lease_left <= 0

    @property
    def is_history(self) -> bool:
        """Whether it ended for good."""
        return self.state is State.SUCCEEDED or (
            self.state is State.CANCELLED and self.error_code in (AccountDeleted.code, TAKEN_BACK)
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a run until somebody claims it with a higher token; `anew`: its parts go first."""

    run_id: str
    account_id: str
    pass_: Pass
    token: int
    attempts: int
    tries: int
    account_checked: bool
    options: RunOptions = RunOptions()
    again: Again | None = None
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """Who takes runs, and how long a lease lasts that nobody renews."""

    name: str
    lease_seconds: float


# --- runs ----------------------------------------------------------------------------------------------------------


def find_run(connection: Connection, account_id: str, pass_: Pass) -> Run | None:
    """The newest run of this pass of this account, if there is one."""
    row = connection.execute(_RUN_OF_PASS, {"account_id": account_id, "pass": pass_.value}).first()
    return as_run(row) if row else None


def read_run(connection: Connection, run_id: str) -> Run | None:
    """The run of this id, if there is one."""
    row = connection.execute(run_query().where(import_runs.c.run_id == run_id)).first()
    return as_run(row) if row else None


def runs_of(connection: Connection, account_id: str) -> list[Run]:
    """All runs of the account, the first one asked for first."""
    asked = (import_runs.c.requested_at, import_runs.c.number)
    query = run_query().where(import_runs.c.account_id == account_id).order_by(*asked)
    return [as_run(row) for row in connection.execute(query)]


def idle_runs(connection: Connection, account_id: str) -> list[Run]:
    """All runs of the account. Raises: RunIsAlive, when one is queued or at work; ResetAtWork, ResetUnfinished."""
    look_at_account(connection, account_id)
    runs = runs_of(connection, account_id)
    for run in runs:
        if run.state is State.QUEUED or (run.state is State.RUNNING and not run.is_orphaned):
            raise RunIsAlive(
                f"account {account_id}: the {run.pass_} pass is {run.state}; wait for its end, or stop it by "
                f"`s3import cancel --account {account_id}`, then run the same command again"
            )
    return runs


def run_query() -> sa.Select[Any]:
    """Runs as `as_run` takes them."""
    others = import_runs.alias()
    one = sa.select(others.c.run_id).where(others.c.account_id == import_runs.c.account_id, others.c.account_checked)
    checked = one.limit(1).scalar_subquery().is_not(None)  # EXISTS would have PostgreSQL read the whole table
    lease_left = import_runs.c.lease_until - clock()
    return sa.select(import_runs, lease_left.label("lease_left"), checked.label("checked"))


# Built once: small accounts would notice.
_RUN_OF_PASS = (
    run_query()
    .where(import_runs.c.account_id == sa.bindparam("account_id"), import_runs.c["pass"] == sa.bindparam("pass"))
    .order_by(import_runs.c.number.desc())
    .limit(1)
)


def is_newest() -> sa.ColumnElement[bool]:
    """Of a row of ``import_runs``: whether its pass has no newer run."""
    runs, newer = import_runs.c, import_runs.alias().c
    of_pass = (newer.account_id == runs.account_id, newer["pass"] == runs["pass"])
    return ~sa.exists().where(*of_pass, newer.number > runs.number)


def as_run(row: Any) -> Run:
    """A row of `run_query`."""
    return Run(
        **{name: getattr(row, name) for name in _AS_THEY_ARE},
        pass_=Pass(row._mapping["pass"]),
        state=State(row.state),
        lease_until=row.lease_until or 0.0,
        lease_left=row.lease_left or 0.0,
        account_checked=bool(row.checked),
        options=RunOptions(row.files_to, row.describe_calls),
        again=Again(row.again) if row.again else None,
        anew=bool(row.anew),
    )


_AS_THEY_ARE = (
    *("run_id", "account_id", "number", "source", "holder", "token"),
    *("attempts", "tries", "progress_at_claim", "spread", "error_code"),
)


def claim(
    connection: Connection,
    run: Run,
    *,
    source: str,
    holder: Holder,
    options: RunOptions = RunOptions(),
) -> Claim | None:
    """Take the run, if nobody else holds it; None when somebody does.

    `run` is what was seen a moment ago: its token guards against somebody else's claim in between. `options`: the
    claimant's; where they say nothing the run's stay. Calls that an earlier attempt wrote decide for all of them.
    """
    reached = committed(connection, run.run_id) if run.attempts else 0
    tries = 1 if reached != run.progress_at_claim else run.tries + 1
    is_first = not run.attempts and not run.again
    describe_calls = run.options.describe_calls or (options.describe_calls and is_first)
    chosen = RunOptions(options.files_to or run.options.files_to, describe_calls)
    token = _new_token(run)
    so_far = (token, run.attempts + 1, tries, run.account_checked)
    held = Claim(run.run_id, run.account_id, run.pass_, *so_far, chosen, run.again, run.anew)
    if not _take(connection, run, held, source=source, holder=holder, reached=reached):
        return None
    if run.attempts:  # else it has no parts yet
        fence(connection, run.run_id, token)
    event = Happened.TAKEN_OVER if run.is_orphaned else Happened.RESUMED if run.attempts else Happened.CLAIMED
    note(connection, held, event)
    return held


def begun(run: Run, holder: Holder) -> tuple[Run, dict[str, Any]]:
    """A run that is asked for by who takes it, as it will stand in the database, and what its row has of that: it is
    claimed as it is inserted."""
    taken = replace(run, state=State.RUNNING, token=_new_token(run), attempts=1, tries=1, holder=holder.name)
    columns = {name: getattr(taken, name) for name in ("state", "token", "attempts", "tries", "holder")}
    return taken, {**columns, "lease_until": clock() + holder.lease_seconds, "started_at": _now()}


def claim_of(run: Run) -> Claim:
    """The right to work on a run that `begun` gave, or to end a spread one, which all of its workers share."""
    so_far = (run.token, run.attempts, run.tries, run.account_checked)
    return Claim(run.run_id, run.account_id, run.pass_, *so_far, run.options, run.again, run.anew)


def _new_token(run: Run) -> int:
    return run.token + 1 + secrets.randbits(32)  # no two claims have the same


def note(connection: Connection, run: Claim | Run, *events: Happened, code: str | None = None) -> None:
    """Write into the diary what became of the run, in the transaction in which it did."""
    attempts = {event: None if event is Happened.ASKED_FOR else run.attempts or None for event in events}
    history.write(connection, run.account_id, attempts, run_id=run.run_id, pass_=run.pass_, code=code)


def _take(connection: Connection, run: Run, held: Claim, *, source: str, holder: Holder, reached: int) -> bool:
    """Write the claim into the run, unless somebody else was first."""
    runs = import_runs.c
    free = sa.or_(runs.state == State.QUEUED, sa.and_(runs.state == State.RUNNING, runs.lease_until <= clock()))
    taken = connection.execute(
        import_runs.update()
        .where(runs.run_id == run.run_id, runs.token == run.token, free)
        .values(
            state=State.RUNNING,
            token=held.token,
            attempts=runs.attempts + 1,
            tries=held.tries,
            progress_at_claim=reached,
            source=source,
            holder=holder.name,
            spread=False,
            lease_until=clock() + holder.lease_seconds,
            started_at=sa.func.coalesce(runs.started_at, sa.bindparam("now", _now(), runs.started_at.type)),
            finished_at=None,
            error_code=None,
            error_message=None,
            **asdict(held.options),
        )
    )
    return bool(taken.rowcount)


def fence(connection: Connection, run_id: str, token: int) -> None:
    """From here on only the holder of `token` writes checkpoints of the run's parts. Those that nobody has taken yet
    need no change, however many they are."""
    parts = import_parts.c
    connection.execute(
        import_parts.update()
        .where(parts.run_id == run_id, parts.done.is_(False), parts.token != UNTAKEN)
        .values(token=token, holder=None, lease_until=None)
    )


def heartbeat(connection: Connection, held: Claim, *, lease_seconds: float, rates: Rates = Rates()) -> bool:
    """Renew the lease; False when the run is not this claim's any more."""
    return bool(
        connection.execute(
            import_runs.update().where(_held(held)).values(lease_until=clock() + lease_seconds, **asdict(rates))
        ).rowcount
    )


def finish(connection: Connection, held: Claim, **noted: Any) -> bool:
    """The pass is in: the run succeeds and the account's status follows (but for deltas, and never back), in the
    caller's transaction. False: this claim had finished it before. `noted`: other columns of the run, to be written
    with that.

    Raises: LeaseLost, Interrupted (cancelled) or AccountDeleted, when that is no longer so.
    """
    ended = connection.execute(
        import_runs.update()
        .where(_held(held), account_exists(held.account_id))
        .values(state=State.SUCCEEDED, finished_at=_now(), lease_until=None, holder=None, **noted)
    ).rowcount
    if not ended and not was_finished(connection, held):
        raise why_lost(connection, held)
    if ended:
        note(connection, held, Happened.FINISHED)
    if ended and held.pass_ in STATUS_AFTER:
        raise_status(connection, held.account_id, STATUS_AFTER[held.pass_])
    if ended and held.pass_ is Pass.REMAINING and held.again:
        _end_round(connection, held.account_id)
    return bool(ended)


def _end_round(connection: Connection, account_id: str) -> None:
    runs = import_runs.c
    mine = sa.and_(runs.account_id == account_id, runs["pass"] == Pass.RECENT.value, runs.again == Again.ROUND)
    connection.execute(import_runs.update().where(mine).values(again=Again.ENDED))


def was_finished(connection: Connection, held: Claim) -> bool:
    """Whether this claim finished the run already: the answer to a commit can get lost, and the commit may still be
    under way."""
    runs = import_runs.c
    one = sa.select(runs.state, runs.token).where(runs.run_id == held.run_id).with_for_update()
    row = connection.execute(one).first()
    return row is not None and (row.state, row.token) == (State.SUCCEEDED, held.token)


def fail(connection: Connection, held: Claim, error: S3ImportError, *, retry_in_seconds: float | None = None) -> None:
    """Record why the run ended, unless it is not this claim's any more; the checkpoints are kept.

    With `retry_in_seconds` it waits that long and then for a worker. A run whose account was deleted under it ends
    cancelled. A run that failed and whose account never existed leaves no trace.
    """
    if isinstance(error, AccountDeleted):
        state = State.CANCELLED
    else:
        state = State.FAILED if retry_in_seconds is None else State.QUEUED
    runs = import_runs.c
    ended = connection.execute(
        import_runs.update()
        .where(_held(held))
        .values(
            state=state,
            tries=runs.tries - 1 if retry_in_seconds == 0 else runs.tries,  # who was asked to go did not fail
            finished_at=_now() if state is not State.QUEUED else None,
            not_before=clock() + retry_in_seconds if retry_in_seconds else None,
            lease_until=None,
            holder=None,
            error_code=error.code,
            error_message=error.message,
        )
    ).rowcount
    if not ended:
        return
    fence(connection, held.run_id, held.token + 1)
    note(connection, held, Happened.CANCELLED if state is State.CANCELLED else Happened.FAILED, code=error.code)
    if isinstance(error, AllRejected) and held.pass_ is Pass.RECENT and not held.again:
        # Nothing of the account is there yet: its account.json may be what has to be repaired.
        connection.execute(import_runs.update().where(runs.run_id == held.run_id).values(account_checked=False))
    if state is State.FAILED and account_status(connection, held.account_id) is None:
        never = import_runs.c.account_checked.is_(False)
        if connection.execute(import_runs.delete().where(import_runs.c.run_id == held.run_id, never)).rowcount:
            history.forget(connection, import_events.c.run_id == held.run_id)


def cancel(connection: Connection, run_id: str) -> bool:
    """End a queued or running run at its next batch; False when it is at an end already. Its checkpoints are kept."""
    runs = import_runs.c
    ended = connection.execute(
        import_runs.update()
        .where(runs.run_id == run_id, runs.state.in_([State.QUEUED, State.RUNNING]))
        .values(
            state=State.CANCELLED,
            token=runs.token + 1,
            finished_at=_now(),
            not_before=None,
            lease_until=None,
            holder=None,
            error_code="cancelled",
            error_message="somebody cancelled the run; its checkpoint is kept, and asking for it again resumes it",
        )
    ).rowcount
    run = read_run(connection, run_id) if ended else None
    if run is not None:
        fence(connection, run_id, run.token)
        note(connection, run, Happened.CANCELLED, code=run.error_code)
    return bool(ended)


def lock_runs(connection: Connection, account_id: str) -> None:
    """Have the account's runs stay as they are until the transaction ends."""
    connection.execute(sa.select(import_runs.c.run_id).where(import_runs.c.account_id == account_id).with_for_update())


def why_lost(connection: Connection, held: Claim) -> S3ImportError:
    """Why this claim may not write any more, as the error to raise."""
    now = read_run(connection, held.run_id)
    if now and now.token < held.token:
        return CommitsLost.of(held.account_id, held.pass_)
    if now and now.state is State.CANCELLED:
        return Interrupted(
            f"account {held.account_id}: the run was cancelled; its checkpoint is kept", code="cancelled"
        )
    if account_status(connection, held.account_id) is None:
        return AccountDeleted(
            f"account {held.account_id} was deleted in Re:amaze while its {held.pass_} pass was running: "
            "the run ends here and nothing of the account is left"
        )
    return LeaseLost(
        f"account {held.account_id}: another process took over the {held.pass_} pass because this one showed no sign "
        "of life; this process has stopped writing and nothing was lost"
    )


def require_held(connection: Connection, held: Claim) -> None:
    """Keep the run this claim's until the transaction ends.

    Raises: LeaseLost, Interrupted (cancelled) or AccountDeleted, when it is not this claim's any more.
    """
    mine = sa.select(import_runs.c.run_id).where(_held(held)).with_for_update()
    if connection.execute(mine).first() is None:
        raise why_lost(connection, held)


def note_keys(connection: Connection, held: Claim, keys: str) -> None:
    """Note how the run's foreign keys are checked. Raises: as `require_held`, and holds the run as that does."""
    if not connection.execute(import_runs.update().where(_held(held)).values(keys=keys)).rowcount:
        raise why_lost(connection, held)


def note_account_checked(connection: Connection, held: Claim) -> None:
    """Note that account.json has had its one chance. Raises: as `require_held`, and holds the run as that does."""
    if not connection.execute(import_runs.update().where(_held(held)).values(account_checked=True)).rowcount:
        raise why_lost(connection, held)


def is_held(connection: Connection, held: Claim) -> bool:
    """Whether the run is this claim's: the answer to the commit of a claim can get lost."""
    return bool(connection.execute(sa.select(sa.func.count()).where(_held(held))).scalar())


def _held(held: Claim) -> sa.ColumnElement[bool]:
    runs = import_runs.c
    return sa.and_(runs.run_id == held.run_id, runs.token == held.token, runs.state == State.RUNNING)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
