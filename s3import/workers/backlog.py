"""Runs that wait for somebody to take them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.accounts import AccountStatus
from s3import.clock import clock
from s3import.records import Pass
from s3import.status import Run, State, as_run, run_query
from s3import.tables import accounts, import_runs


def due(connection: Connection, limit: int) -> list[Run]:
    """At most `limit` runs that a worker should take now, the longest waiting first: running ones whose process died,
    then queued ones whose time has come and whose account is ready for their pass."""
    runs, others = import_runs.c, import_runs.alias().c
    busy = sa.exists().where(others.account_id == runs.account_id, others.state == State.RUNNING)
    comes_next = sa.exists().where(
        accounts.c.id == runs.account_id, accounts.c.status == AccountStatus.ACTIVE_RECENT_ONLY
    )
    after_recent = sa.and_(~busy, sa.or_(runs["pass"] == Pass.DELTA.value, comes_next))
    ready = sa.or_(runs["pass"] == Pass.RECENT.value, after_recent)
    come = sa.or_(runs.not_before.is_(None), runs.not_before <= clock())
    orphaned = sa.and_(runs.state == State.RUNNING, runs.lease_until <= clock())
    found: list[Run] = []
    for wanted in (orphaned, sa.and_(runs.state == State.QUEUED, come, ready)):  # apart: each walks along an index
        query = run_query().where(wanted).order_by(runs.requested_at).limit(limit - len(found))
        found += [as_run(row) for row in connection.execute(query)]
    return found
