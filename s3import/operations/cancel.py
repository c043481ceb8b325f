"""Ends runs that are queued or at work, and leaves word of it, each call in the caller's transaction."""

from __future__ import annotations

import re

from sqlalchemy import Connection

from s3import import status
from s3import.core.errors import AccountNotFound, RunNotFound
from s3import.core.records import Pass
from s3import.status import Recorder, Run, State

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def cancel_run(connection: Connection, run_id: str, record: Recorder) -> Run:
    """The run, which ends at its next batch unless it was at an end already. Raises: RunNotFound."""
    run = _end(connection, run_id, record) if _RUN_ID.fullmatch(run_id) else None
    if run is None:
        raise RunNotFound("there is no run of this id; the answer to POST /migrate and the status document name it")
    return run


def cancel_account(connection: Connection, account_id: str, record: Recorder) -> list[tuple[Run, State]]:
    """End whatever of an account is queued or at work; the runs of its passes as they were, with their states now.
    Raises: AccountNotFound, where it has none."""
    status.lock_runs(connection, account_id)
    found = [status.find_run(connection, account_id, pass_) for pass_ in Pass]
    ended = [(run, _end(connection, run.run_id, record)) for run in found if run is not None]
    if not ended:
        raise AccountNotFound(f"account {account_id} has no run here; check --account and --database")
    return [(before, after.state if after else before.state) for before, after in ended]


def _end(connection: Connection, run_id: str, record: Recorder) -> Run | None:
    """End the run where it can be ended, leave word of that, and read it again."""
    if status.cancel(connection, run_id):
        record(connection, run_id)
    return status.read_run(connection, run_id)
