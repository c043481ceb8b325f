"""How runs end by a reset or a purge: they are taken back, or forgotten. See the diagram of `status`."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.tables import import_runs
from s3import.status import TAKEN_BACK, State, idle_runs


def take_back(connection: Connection, account_id: str, run_ids: Sequence[str]) -> None:
    """None of these runs goes on: a reset takes away what they imported. The account's others are forgotten."""
    runs = import_runs.c
    mine = runs.account_id == account_id
    connection.execute(import_runs.delete().where(mine, runs.run_id.not_in(run_ids)))
    connection.execute(
        import_runs.update()
        .where(mine)
        .values(
            state=State.CANCELLED,
            token=runs.token + 1,
            spread=False,
            not_before=None,
            lease_until=None,
            holder=None,
            error_code=TAKEN_BACK,
            error_message="the account's import is being taken back; `s3import reset` finishes that",
        )
    )


def forget_runs(connection: Connection, account_id: str) -> None:
    """Remove the account's runs, of which nothing else is left. Raises: as `idle_runs`."""
    idle_runs(connection, account_id)
    connection.execute(import_runs.delete().where(import_runs.c.account_id == account_id))


def forget_taken_back(connection: Connection, account_id: str) -> None:
    """Remove the runs that a reset was taking back, once nothing of them is left."""
    runs = import_runs.c
    over = sa.and_(runs.account_id == account_id, runs.state == State.CANCELLED, runs.error_code == TAKEN_BACK)
    connection.execute(import_runs.delete().where(over))
