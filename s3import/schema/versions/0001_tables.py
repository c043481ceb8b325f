"""The tables of Re:amaze that s3import fills (where they are not there yet), its bookkeeping and its triggers."""

from alembic import op

from s3import.schema import triggers
from s3import.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=True)
    triggers.create(op.get_bind())
