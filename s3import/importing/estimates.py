"""What a run is expected to take, kept with it from its first plan on."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection

from s3import.core.records import HALVES, Plan
from s3import.core.tables import import_runs
from s3import.importing.checkpoints import Do, PartTotals
from s3import.reporting import timing
from s3import.reporting.timing import Place, Work
from s3import.status import Claim
from s3import.writers import Database


def place_of(database: Database, workers: int) -> Place:
    """Where so many parts at once are imported into that database."""
    return Place.of(database.dialect.name, workers, database.dialect.concurrent_writers)


def keep(do: Do[Any], held: Claim, plan: Plan, totals: PartTotals, place: Place) -> None:
    """Write down how long the run will take, before it has read anything and where anybody can tell, in a transaction
    that `do` runs."""
    work = None if totals.read or totals.parts_done else _work_of(held, plan)
    if work is not None:
        do(partial(_keep, held=held, work=work, place=place))


def estimate(connection: Connection, held: Claim, plan: Plan, place: Place) -> dict[str, Any] | None:
    """How long a run will take that has not begun yet, as it is kept; None where nobody can tell."""
    work = _work_of(held, plan)
    return timing.expect(connection, work, place).document() if work else None


def _work_of(held: Claim, plan: Plan) -> Work | None:
    if held.again or held.pass_ not in HALVES:
        return None
    return timing.work_of(plan.parts, with_files=bool(held.options.files_to))


def _keep(connection: Connection, held: Claim, work: Work, place: Place) -> None:
    expected = timing.expect(connection, work, place)
    mine = import_runs.c.run_id == held.run_id
    connection.execute(import_runs.update().where(mine).values(estimate=expected.document()))
