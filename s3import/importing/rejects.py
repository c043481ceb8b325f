"""Rejects as rows of their table."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pyarrow as pa

from s3import.core.records import Reject

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


def _json(reject: Reject) -> str:
    reasons = [{"code": reason.code, "field": reason.field, "message": reason.message} for reason in reject.reasons]
    return orjson.dumps(reasons).decode()
