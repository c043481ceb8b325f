"""The recordings of calls: noted when their messages are written, to be copied as files are."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.tables import attachments, import_recordings, messages

PENDING, FAILED = "pending", "failed"
NOTED_AT_ONCE = 500


def note(connection: Connection, account_id: str, rows: pa.Table) -> None:
    """Have the recordings of these rows of ``messages`` copied, as far as they were written; one that was noted before
    with the same key stays as it is."""
    ids = rows.filter(pc.is_valid(rows["recording_key"]))["id"].to_pylist()
    for start in range(0, len(ids), NOTED_AT_ONCE):
        _note(connection, account_id, ids[start : start + NOTED_AT_ONCE])


def try_failed_again(connection: Connection, account_id: str) -> None:
    """Have the account's files that could not be copied wait once more."""
    for table in (attachments, import_recordings):
        failed = sa.and_(table.c.account_id == account_id, table.c.state == FAILED)
        connection.execute(table.update().where(failed).values(state=PENDING))


def _note(connection: Connection, account_id: str, ids: list[str]) -> None:
    noted, source = import_recordings.c, messages.c
    mine = sa.and_(noted.account_id == account_id, noted.message_id.in_(ids))
    known = _pairs(connection, sa.select(noted.message_id, noted.source_key).where(mine))
    written = sa.and_(source.account_id == account_id, source.id.in_(ids), source.recording_key.is_not(None))
    now = _pairs(connection, sa.select(source.id, source.recording_key).where(written))
    fresh = {row_id: key for row_id, key in now.items() if known.get(row_id) != key}
    if fresh:
        connection.execute(sa.delete(import_recordings).where(mine, noted.message_id.in_(fresh)))
        rows = [
            {"account_id": account_id, "message_id": row_id, "source_key": key, "state": PENDING}
            for row_id, key in fresh.items()
        ]
        connection.execute(sa.insert(import_recordings), rows)


def _pairs(connection: Connection, query: sa.Select[str, str]) -> dict[str, str]:
    return dict(connection.execute(query).all())
