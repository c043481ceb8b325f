"""What a run is expected to take, kept with it from its first plan on."""

from __future__ import annotations

import time
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

FRESH_SECONDS = 2.0


def place_of(database: Database, workers: int) -> Place:
    """Where so many parts at once are imported into that database."""
    kind, host = database.dialect, database.engine.url.host
    is_here = kind.in_process or not host or is_loopback(host)
    return Place.of(kind.name, workers, concurrent_writers=kind.concurrent_writers, is_here=is_here)


def keep(do: Do[Any], held: Claim, plan: Plan, totals: PartTotals, place: Place) -> None:
    """Write down how long the run will take, before it has read anything and where anybody can tell, in a transaction
    that `do` runs."""
    work = None if totals.read or totals.parts_done else _work_of(held, plan)
    if work is not None:
        do(partial(_keep, held=held, work=work, place=place))


class SmallEstimates:
    """Estimates of many small passes, one soon after the other: what other runs took is looked up anew only after
    `FRESH_SECONDS`. Safe to use from several threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._known: tuple[float, timing.FinishedRuns] = (-FRESH_SECONDS, [])

    def of(self, connection: Connection, held: Claim, plan: Plan) -> dict[str, Any] | None:
        """How long a run will take that has not begun yet, as it is kept; None where nobody can tell."""
        work, (looked_at, finished) = _work_of(held, plan), self._known
        if work is None:
            return None
        if time.monotonic() - looked_at >= FRESH_SECONDS:
            finished = timing.finished_runs(connection)
            self._known = time.monotonic(), finished
        return timing.expect_by(finished, work, self._place).document()


def _work_of(held: Claim, plan: Plan) -> Work | None:
    if held.again or held.pass_ not in HALVES:
        return None
    return timing.work_of(plan.parts, held.options.files_to)


def _keep(connection: Connection, held: Claim, work: Work, place: Place) -> None:
    expected = timing.expect(connection, work, place)
    mine = import_runs.c.run_id == held.run_id
    connection.execute(import_runs.update().where(mine).values(estimate=expected.document()))
