"""What is known of an account's migration as a whole: since when its deletions are remembered."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from s3import.schema import triggers
from s3import.tables import accounts, import_accounts, import_runs

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what is new, then have the triggers follow. A database may have some of it: DDL is not always undone."""
    connection = op.get_bind()
    import_accounts.create(connection, checkfirst=True)
    op.execute(
        "INSERT INTO import_accounts (account_id, deletions_since)"
        " SELECT account_id, MIN(requested_at) FROM import_runs"
        " WHERE account_id IN (SELECT id FROM accounts) AND account_id NOT IN (SELECT account_id FROM import_accounts)"
        " GROUP BY account_id"
    )
    _add_column(import_runs.c.files_per_second)
    _add_index(import_runs, "import_runs_by_request")
    _add_index(accounts, "accounts_by_status")
    triggers.create(connection)


def _add_column(column: sa.Column[Any]) -> None:
    present = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(column.table.name)}
    if column.name not in present:
        op.add_column(column.table.name, sa.Column(column.name, column.type))


def _add_index(table: sa.Table, name: str) -> None:
    index = next(one for one in table.indexes if one.name == name)
    index.create(op.get_bind(), checkfirst=True)
