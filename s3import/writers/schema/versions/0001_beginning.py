"""Where histories begin. A new database is made whole and stamped with the newest revision, without this one."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: whatever was made by this revision has its tables already."""
