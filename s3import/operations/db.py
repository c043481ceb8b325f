"""Creates the tables, or brings them up to this version."""

from __future__ import annotations

from contextlib import closing

from s3import.core.settings import Settings
from s3import.operations.composition import connect
from s3import.writers import schema


def create_tables(settings: Settings) -> schema.Upgrade:
    """Create or upgrade the tables of the settings' database; what that came to.

    Raises: SchemaMismatch, if they still do not fit.
    """
    with closing(connect(settings, patient=True)) as database, database.begin() as connection:
        done = schema.upgrade(connection)
        schema.require(connection)
    return done
