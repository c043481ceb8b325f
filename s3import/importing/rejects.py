"""Rejects as rows of their table, and how many of a run keep their texts."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.records import Reject
from s3import.core.tables import import_rejects, import_runs

SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("part_number", pa.int64()),
        ("line", pa.int64()),
        ("account_id", pa.string()),
        ("record_id", pa.string()),
        ("reasons", pa.string()),
        ("raw", pa.string()),
        ("raw_truncated", pa.bool_()),
    ]
)


def as_rows(
    rejects: Sequence[Reject], *, run_id: str, part_number: int, account_id: str, texts: int | None = None
) -> pa.Table:
    """The rejects of one part as rows of ``import_rejects``; `reasons` as JSON text. The first `texts` of them keep
    their own text (None: all)."""
    count = len(rejects)
    kept = count if texts is None else min(texts, count)
    columns = [
        [run_id] * count,
        [part_number] * count,
        [reject.line for reject in rejects],
        [account_id] * count,
        [reject.id for reject in rejects],
        [_json(reject) for reject in rejects],
        [reject.raw for reject in rejects[:kept]] + [None] * (count - kept),
        [reject.raw_truncated for reject in rejects[:kept]] + [True] * (count - kept),
    ]
    return pa.table(columns, schema=SCHEMA)


def take_texts(connection: Connection, run_id: str, further: int, most: int) -> int:
    """How many of `further` rejects keep their texts, of the `most` of the run: they are counted as kept.

    Until there are so many, the run is this transaction's from then on, so that others count on from there.
    """
    runs = import_runs.c
    kept = sa.select(sa.func.coalesce(runs.texts, 0)).where(runs.run_id == run_id)
    if not further or (connection.execute(kept).scalar() or 0) >= most:
        return 0
    before = int(connection.execute(kept.with_for_update()).scalar() or 0)
    taken = min(further, max(most - before, 0))
    connection.execute(import_runs.update().where(runs.run_id == run_id).values(texts=before + taken))
    return taken


def remove_rejects(connection: Connection, run_id: str, part_numbers: Sequence[int]) -> None:
    """Remove the rejects of these parts (at most a thousand); others may have texts in place of theirs."""
    kept, runs = import_rejects.c, import_runs.c
    mine = sa.and_(kept.run_id == run_id, kept.part_number.in_(part_numbers))
    counts = sa.select(sa.func.count(kept.raw), sa.func.count(kept.resolved_by)).where(mine)
    texts, resolved = connection.execute(counts).one()
    connection.execute(import_rejects.delete().where(mine))
    if texts or resolved:
        left = sa.case((runs.texts >= texts, runs.texts - texts), else_=runs.texts)  # older versions counted none
        fewer = {"texts": left, "resolved": runs.resolved - resolved}
        connection.execute(import_runs.update().where(runs.run_id == run_id).values(fewer))


def _json(reject: Reject) -> str:
    reasons = [{"code": reason.code, "field": reason.field, "message": reason.message} for reason in reject.reasons]
    return orjson.dumps(reasons).decode()
