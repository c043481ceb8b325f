"""What a run is expected to take, kept with it from its first plan on."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection

from s3import.core.http import is_loopback
from s3import.core.records import HALVES, Plan
from s3import.core.tables import import_runs
from s3import.importing.checkpoints import Do, PartTotals
from s3import.reporting import timing
from s3import.reporting.timing import Place, Work
from s3import.status import Claim
from s3import.writers import Database


def place_of(database: Database, workers: int) -> Place:
    """Where so many parts at once are imported into that database."""
    kind, host = database.dialect, database.engine.url.host
    is_here = kind.in_process or not host or is_loopback(host)
    return Place.of(kind.name, workers, concurrent_writers=kind.concurrent_writers, is_here=is_here)


def keep(do: Do[Any], held: Claim, plan: Plan, totals: PartTotals, place: Place) -> None:
    """Write down how long the run will take, before it has read anything and where anybody can tell, in a transaction
    that `do` runs."""
    if not totals.read and not totals.parts_done and not held.again and held.pass_ in HALVES:
        work = timing.work_of(plan.parts, held.options.files_to)
        if work is not None:
            do(partial(_keep, held=held, work=work, place=place))


def _keep(connection: Connection, held: Claim, work: Work, place: Place) -> None:
    expected = timing.expect(connection, work, place)
    mine = import_runs.c.run_id == held.run_id
    connection.execute(import_runs.update().where(mine).values(estimate=expected.document()))
