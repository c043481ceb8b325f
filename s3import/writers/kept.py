"""Whether a table holds what it was sent: triggers and rules of the database's own may change rows on their way in.

How many rows went in costs nothing to know, and every load compares it. What is in them is read back only where the
table has triggers or rules that are not s3import's.
"""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import sqlalchemy as sa

from s3import.core.records import Entity
from s3import.core.tables import BIG, TARGETS, Id
from s3import.transform.fingerprints import fingerprint, fingerprints_over
from s3import.writers.schema import triggers
from s3import.writers.temporary import fill, temporary_table
from s3import.writers.writer import Writer

_SENT = temporary_table(
    "import_sent",
    sa.Column("id", Id, nullable=False),
    sa.Column("fingerprint", BIG, nullable=False, autoincrement=False),
    key=["id"],
)


def require_kept(connection: sa.Connection, table: sa.Table, sent: int, kept: int) -> None:
    """Raises: DatabaseRefused, where the database kept another number of rows than it was sent."""
    if kept != sent:
        raise triggers.interference(connection, table, f"keeps {kept} of {sent} rows that it was sent")


def require_as_sent(connection: sa.Connection, writer: Writer, entity: Entity, account_id: str, rows: pa.Table) -> None:
    """Make sure that the table holds these rows of the account as they are. Raises: DatabaseRefused."""
    target = TARGETS[entity]
    if not triggers.foreign(connection, target.name):
        return
    writer.look_up_by_key(connection)
    columns = [column for column in target.columns if column.name in rows.column_names]
    plain = [column for column in columns if not isinstance(column.type, sa.JSON)]
    sent = fingerprints_over([column.name for column in plain], rows)
    fill(connection, writer, _SENT, pa.table({"id": rows["id"], "fingerprint": sent}))
    differing = connection.execute(_count_of_others(target, account_id, plain)).scalar_one()
    differing = differing or _other_documents(connection, target, account_id, rows)
    if differing:
        what = f"does not hold {differing} of {rows.num_rows} rows as they were sent"
        raise triggers.interference(connection, target, what)


def _count_of_others(target: sa.Table, account_id: str, columns: list[sa.Column[Any]]) -> sa.Select[Any]:
    mine = (target.c.account_id == account_id, target.c.id == _SENT.c.id)
    there, stored = (sa.select(what).where(*mine).scalar_subquery() for what in (target.c.id, fingerprint(*columns)))
    return sa.select(sa.func.count()).select_from(_SENT).where(there.is_(None) | (stored != _SENT.c.fingerprint))


def _other_documents(connection: sa.Connection, target: sa.Table, account_id: str, rows: pa.Table) -> int:
    """How many rows hold other JSON than was sent: it can be written in many ways, so its values are compared."""
    names = [column.name for column in target.columns if isinstance(column.type, sa.JSON)]
    if not names:
        return 0
    texts = zip(*(rows[name].to_pylist() for name in names), strict=True)
    sent = {row_id: tuple(map(orjson.loads, row)) for row_id, row in zip(rows["id"].to_pylist(), texts, strict=True)}
    columns = [target.c.id, *(target.c[name] for name in names)]
    mine = sa.exists().where(_SENT.c.id == target.c.id)
    stored = connection.execute(sa.select(*columns).where(target.c.account_id == account_id, mine))
    return sum(tuple(documents) != sent[row_id] for row_id, *documents in stored)
