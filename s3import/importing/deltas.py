"""What is different about a delta and about a pass that is read again: others came before it, and may be under way."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.records import Pass
from s3import.core.resets import purged_at
from s3import.core.tables import import_runs
from s3import.status import Run, State, find_run

# Built once: small accounts would notice.
_RUNNING: sa.Select[str] = sa.select(import_runs.c["pass"]).where(
    import_runs.c.account_id == sa.bindparam("account_id"),
    import_runs.c["pass"] != sa.bindparam("pass"),
    import_runs.c.state == State.RUNNING,
)


def other_at_work(connection: Connection, account_id: str, pass_: Pass, *, again: bool) -> Run | None:
    """The running run of another pass of the account, also one whose process died; None where there is none.

    The caller has locked the account, and nobody else gets an answer until its transaction ends: two passes never begin
    side by side. That is what lets a tombstone of a dump trust that no batch is under way which has not seen it.
    """
    if pass_ is Pass.RECENT and not again:  # the others come after it
        return None
    other = connection.execute(_RUNNING, {"account_id": account_id, "pass": pass_.value}).scalar()
    return find_run(connection, account_id, Pass(other)) if other else None


def applied_run(connection: Connection, account_id: str, source: str) -> str | None:
    """The id of the account's last delta; None unless it succeeded, and came from that source, and while the account is
    being purged."""
    run = find_run(connection, account_id, Pass.DELTA)
    if run is None or run.state is not State.SUCCEEDED or run.source != source:
        return None
    return None if purged_at(connection, account_id) else run.run_id
