"""What is known of an account's migration as a whole: since when deletions are remembered, or that it was purged."""

from alembic import op

from s3import.schema import triggers
from s3import.tables import import_accounts

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
    op.execute(  # that an account was purged was a tombstone
        "INSERT INTO import_accounts (account_id, purged_at) SELECT account_id, deleted_at FROM import_tombstones"
        " WHERE entity = 'forgotten' AND account_id NOT IN (SELECT account_id FROM import_accounts)"
    )
    op.execute("DELETE FROM import_tombstones WHERE entity = 'forgotten'")
    triggers.create(connection)
