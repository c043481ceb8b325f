"""How much a run has committed."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.tables import import_parts, import_runs


def committed(connection: Connection, run_id: str) -> int:
    """A number that is another one whenever the run has committed something."""
    parts, runs = import_parts.c, import_runs.c
    of_parts = sa.select(sa.func.sum(parts.read_count + sa.case((parts.done, 1), else_=0))).where(
        parts.run_id == run_id
    )
    of_files = sa.select(runs.files_copied + runs.files_missing + runs.files_differ).where(runs.run_id == run_id)
    sums = [connection.execute(one).scalar() for one in (of_parts, of_files)]
    return sum(int(one or 0) for one in sums)
