"""Alembic's entry: runs the migrations on the connection it is given, inside that connection's transaction."""

from alembic import context

from s3import.writers.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, transactional_ddl=False
)
context.run_migrations()
