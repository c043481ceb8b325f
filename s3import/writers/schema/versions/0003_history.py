"""How a run went: samples of its progress, a diary, what was estimated, and how its keys were checked. How many of its
rejects keep their text, which of them a delta has resolved, and whether it begins anew."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from s3import.core.tables import import_events, import_rejects, import_runs, import_samples

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what is new. A database may have some of it: DDL is not always undone."""
    connection = op.get_bind()
    import_samples.create(connection, checkfirst=True)
    import_events.create(connection, checkfirst=True)
    _add_column(import_runs.c["estimate"])
    _add_column(import_runs.c["keys"])
    _add_column(import_runs.c["texts"])
    _add_column(import_runs.c["anew"])
    _add_column(import_runs.c["resolved"])
    _add_column(import_rejects.c["resolved_by"])
    for index in import_rejects.indexes:
        index.create(connection, checkfirst=True)


def _add_column(column: sa.Column[Any]) -> None:
    present = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(column.table.name)}
    if column.name not in present:
        op.add_column(column.table.name, sa.Column(column.name, column.type))
