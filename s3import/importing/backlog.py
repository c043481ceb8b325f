"""Runs that wait for somebody to take them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.accounts import AccountStatus
from s3import.core.clock import clock
from s3import.core.records import Pass
from s3import.core.tables import accounts, import_runs
from s3import.status import Run, State, as_run, run_query


def is_left_alone(connection: Connection, account_id: str) -> bool:
    """Whether a run of the account waits for a worker, and no worker at all shows a sign of life."""
    runs, others = import_runs.c, import_runs.alias().c
    come = sa.or_(runs.not_before.is_(None), runs.not_before <= clock(), runs.lease_until.is_not(None))  # or on offer
    lost = sa.and_(runs.state == State.RUNNING, runs.lease_until <= clock())
    waits = sa.or_(sa.and_(runs.state == State.QUEUED, come), lost)
    anybody = sa.exists().where(others.state == State.RUNNING, others.lease_until > clock())
    mine = sa.select(runs.run_id).where(runs.account_id == account_id, waits, ~anybody)
    return connection.execute(mine.limit(1)).first() is not None


def due(connection: Connection, limit: int) -> list[Run]:
    """At most `limit` runs that a worker should take now, the longest waiting first: running ones whose process died,
    then queued ones whose time has come and whose account is ready for their pass."""
    runs, others = import_runs.c, import_runs.alias().c
    recent, delta = runs["pass"] == Pass.RECENT.value, runs["pass"] == Pass.DELTA.value
    mine = others.account_id == runs.account_id
    busy = sa.exists().where(mine, others.state == State.RUNNING)
    recent_first = sa.exists().where(mine, others["pass"] == Pass.RECENT.value, others.state == State.QUEUED)
    has_recent = sa.exists().where(accounts.c.id == runs.account_id, accounts.c.status != AccountStatus.MIGRATING)
    comes_next = sa.or_(recent, delta, sa.and_(has_recent, ~recent_first))
    ready = sa.or_(sa.and_(recent, runs.again.is_(None)), sa.and_(~busy, comes_next))
    come = sa.or_(runs.not_before.is_(None), runs.not_before <= clock())
    orphaned = sa.and_(runs.state == State.RUNNING, runs.lease_until <= clock())
    found: list[Run] = []
    for such in (orphaned, sa.and_(runs.state == State.QUEUED, come, ready)):  # apart: each walks along an index
        query = run_query().where(such).order_by(runs.requested_at).limit(limit - len(found))
        found += [as_run(row) for row in connection.execute(query)]
    return found
