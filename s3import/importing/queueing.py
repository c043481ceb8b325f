"""Asking for a pass: the run that goes on, or the new one that begins."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core import history
from s3import.core.accounts import account_status, account_was_checked, is_imported, remember_deletions
from s3import.core.errors import AllRejected
from s3import.core.history import Happened
from s3import.core.records import Pass, RunOptions
from s3import.core.tables import import_events, import_runs
from s3import.importing.bookkeeping import remove_parts
from s3import.importing.checkpoints import Do
from s3import.status import Again, Claim, Holder, Run, State, begun, find_run, note, require_held


def enqueue(
    connection: Connection,
    account_id: str,
    pass_: Pass,
    source: str,
    options: RunOptions = RunOptions(),
    again: Again | None = None,
    holder: Holder | None = None,
) -> tuple[Run, bool]:
    """Ask for a pass: its run, and whether this call made it wait for a worker (False: it did, or ran, already). A new
    one is taken at once by the `holder` who asks for it.

    A failed or cancelled run goes on as the same run. After one that succeeded comes a new one, where it was a delta or
    the pass is to be read `again`. What belongs to an account that was deleted is forgotten: its migration begins anew.
    Raises: Conflict when another process asks for the same run in the same moment; ask again then.
    """
    run = find_run(connection, account_id, pass_)
    if run is None or run.is_history:
        succeeded = run is not None and run.state is State.SUCCEEDED and not again
        if run and succeeded and is_imported(pass_, account_status(connection, account_id)):
            return run, False  # it ended after the caller looked
        requested = Run("", account_id, pass_, source, State.QUEUED, options=options, again=again)
        return _begin(connection, run, requested, holder)
    if run.state not in (State.FAILED, State.CANCELLED) or not _queue_again(connection, run, source, again):
        return run, False
    return replace(run, state=State.QUEUED, source=source, tries=0, again=again or run.again, anew=_is_anew(run)), True


def _begin(connection: Connection, last: Run | None, requested: Run, holder: Holder | None) -> tuple[Run, bool]:
    """Insert the run that is `requested` after the pass's `last` one."""
    account_id, pass_ = requested.account_id, requested.pass_
    # account.json brings nothing back, whatever became of the run that applied it
    checked = account_was_checked(connection, account_id)
    if last and not (last.state is State.SUCCEEDED and (requested.again or pass_ is Pass.DELTA)):
        _forget_history(connection, last)
    remember_deletions(connection, account_id)
    number, options = (last.number + 1, _lasting(last, requested)) if last else (1, requested.options)
    run = replace(requested, run_id=uuid.uuid4().hex, number=number, account_checked=checked, options=options)
    if holder is None:
        _insert_run(connection, run)
        note(connection, run, Happened.ASKED_FOR)
        return run, True
    run, as_taken = begun(run, holder)
    _insert_run(connection, run, as_taken)
    note(connection, run, Happened.ASKED_FOR, Happened.CLAIMED)
    return run, True


def _lasting(last: Run, requested: Run) -> RunOptions:
    """What a run does besides importing, as the run before it did: calls are described as they were."""
    if not requested.again:
        return requested.options
    return RunOptions(requested.options.files_to or last.options.files_to, last.options.describe_calls)


def _forget_history(connection: Connection, last: Run) -> None:
    """Forget a run of an account that is no more; with the first pass of its successor all of them."""
    mine = import_runs.c.run_id == last.run_id
    if last.pass_ is Pass.RECENT:
        over = import_runs.c.state.in_([State.SUCCEEDED, State.CANCELLED])
        mine = sa.or_(mine, sa.and_(import_runs.c.account_id == last.account_id, over))
        history.forget(connection, import_events.c.account_id == last.account_id)
    connection.execute(import_runs.delete().where(mine))


def forget_last_reading(do: Do[Any], held: Claim) -> None:
    """Replace what was kept of the pass's reading from the same source by this one, whose plan is made: until then its
    parts tell how a source that is not divided in passes was divided. All deltas are kept.

    Page by page, each in a transaction that `do` runs. Raises: as `require_held`.
    """
    for run_id in do(partial(_last_readings, held=held)):
        for _ in remove_parts(lambda work: do(partial(_if_held, held=held, work=work)), run_id):
            pass
        do(partial(_if_held, held=held, work=partial(_forget_run, run_id=run_id)))


def forget_parts(do: Do[Any], held: Claim) -> None:
    """Remove what is kept of the parts of a run that begins anew, and their rejects: page by page, each in a
    transaction that `do` runs; cut off, the next attempt goes on with it. Raises: as `require_held`."""
    for _ in remove_parts(lambda work: do(partial(_if_held, held=held, work=work)), held.run_id):
        pass
    do(partial(_if_held, held=held, work=partial(_begin_anew, run_id=held.run_id)))


def _begin_anew(connection: Connection, run_id: str) -> int:
    mine = import_runs.c.run_id == run_id
    return connection.execute(import_runs.update().where(mine).values(anew=None, texts=None, resolved=None)).rowcount


def _last_readings(connection: Connection, held: Claim) -> Sequence[str]:
    mine, others = import_runs.alias().c, import_runs.c
    number, source = (
        sa.select(column).where(mine.run_id == held.run_id).scalar_subquery() for column in (mine.number, mine.source)
    )
    same = (others.account_id == held.account_id, others["pass"] == held.pass_.value)
    run_ids = sa.select(others.run_id).where(*same, others.number < number, others.source == source)
    return connection.scalars(run_ids).all() if held.pass_ is not Pass.DELTA else ()


def _if_held(connection: Connection, held: Claim, work: Callable[[Connection], int]) -> int:
    require_held(connection, held)
    return work(connection)


def _forget_run(connection: Connection, run_id: str) -> int:
    return connection.execute(import_runs.delete().where(import_runs.c.run_id == run_id)).rowcount


def _insert_run(connection: Connection, run: Run, as_taken: Mapping[str, Any] = MappingProxyType({})) -> None:
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "account_id": run.account_id,
        "pass": run.pass_.value,
        "number": run.number,
        "again": run.again,
        "source": run.source,
        "state": State.QUEUED,
        "requested_at": as_taken.get("started_at", dt.datetime.now(dt.UTC)),
        "account_checked": run.account_checked,
        "skipped_objects": [],
        **asdict(run.options),
        **as_taken,
    }
    connection.execute(import_runs.insert().values(row))


def _is_anew(run: Run) -> bool:
    """Whether the run begins anew: nothing came over, and what is kept of that attempt stays until the next one."""
    return run.anew or run.error_code == AllRejected.code


def _queue_again(connection: Connection, run: Run, source: str, again: Again | None) -> bool:
    runs = import_runs.c
    queued = (
        import_runs.update()
        .where(runs.run_id == run.run_id, runs.state.in_([State.FAILED, State.CANCELLED]))
        .values(
            state=State.QUEUED,
            source=source,
            tries=0,
            again=again or run.again,
            not_before=None,
            finished_at=None,
            error_code=None,
            error_message=None,
            anew=_is_anew(run) or None,
        )
    )
    if not connection.execute(queued).rowcount:
        return False
    note(connection, run, Happened.ASKED_FOR)
    return True


def known_source(connection: Connection, account_id: str, pass_: Pass) -> str | None:
    """Where the pass was read last; where it was never read, what else was read of the account last."""
    runs = import_runs.c
    this_first = sa.case((runs["pass"] == pass_.value, 0), else_=1)
    mine = sa.select(runs.source).where(runs.account_id == account_id)
    return connection.execute(mine.order_by(this_first, runs.number.desc(), runs.requested_at.desc()).limit(1)).scalar()
