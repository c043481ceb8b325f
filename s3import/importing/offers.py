"""Runs among many machines: offered to whoever plans them, then given out of hand, part by part.

What is here are transitions of runs, (g) and (h) in the diagram of `s3import.status`; what becomes of parts is in
`part_claims`.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.clock import clock
from s3import.core.history import Happened
from s3import.core.tables import import_runs
from s3import.status import Claim, Run, State, fence, note

OFFER_SECONDS = 15.0  # as long as a call may be lost for, when a worker dies with it before it has begun
LOOK_SHARE = 0.2  # of a lease that may pass before somebody looks after a spread run again


def offer_run(connection: Connection, run: Run) -> bool:
    """Offer the planning of a due run to the workers: False when it has changed in between.

    A run whose process died is queued again first.
    """
    runs = import_runs.c
    offered = connection.execute(
        import_runs.update()
        .where(runs.run_id == run.run_id, runs.token == run.token, runs.state == run.state)
        .values(
            state=State.QUEUED,
            token=run.token + 1,
            holder=None,
            spread=False,
            lease_until=clock() + OFFER_SECONDS,
            not_before=clock() + OFFER_SECONDS,
        )
    ).rowcount
    if offered and run.attempts:  # else it has no parts yet
        fence(connection, run.run_id, run.token + 1)
    if offered and run.is_orphaned:
        note(connection, run, Happened.TAKEN_OVER)
    return bool(offered)


def withdraw_runs(connection: Connection, run_ids: Sequence[str]) -> None:
    """Take back offers that did not get out: the runs are due again."""
    runs = import_runs.c
    on_offer = sa.and_(runs.run_id.in_(run_ids), runs.state == State.QUEUED, runs.lease_until.is_not(None))
    connection.execute(import_runs.update().where(on_offer).values(lease_until=None, not_before=None))


def spread(connection: Connection, held: Claim) -> None:
    """Give the planned run out of hand: from now on its parts belong to whoever claims them."""
    runs = import_runs.c
    connection.execute(
        import_runs.update()
        .where(runs.run_id == held.run_id, runs.token == held.token, runs.state == State.RUNNING)
        .values(spread=True, holder="workers")
    )


def look_after(connection: Connection, lease_seconds: float, limit: int) -> list[str]:
    """The ids of at most `limit` spread runs, the longest waiting first, that nobody has looked after lately: from now
    on this process has. However many processes look, each run is seen to about once in `LOOK_SHARE` of a lease."""
    runs = import_runs.c
    mine = (
        sa.select(runs.run_id)
        .where(runs.state == State.RUNNING, runs.spread.is_(True))
        .where(runs.lease_until <= clock() + lease_seconds * (1 - LOOK_SHARE))
        .order_by(runs.requested_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    run_ids = list(connection.scalars(mine))
    connection.execute(import_runs.update().where(runs.run_id.in_(run_ids)).values(lease_until=clock() + lease_seconds))
    return run_ids
