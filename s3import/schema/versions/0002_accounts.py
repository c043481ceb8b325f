"""What is known of an account's migration as a whole: since when its deletions are remembered; all runs of a pass, and
rejects without their text."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

from s3import.schema import triggers
from s3import.tables import BIG, LONG_TEXT, WORD, import_accounts

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
    _keep_all_runs(connection)
    _let_rejects_be_without_text(connection)
    _index_parts_that_are_left()
    triggers.create(connection)


def _keep_all_runs(connection: sa.Connection) -> None:
    """A pass may have several runs, by number; those that are there are the first of theirs."""
    inspector = sa.inspect(connection)
    unique = {constraint["name"] for constraint in inspector.get_unique_constraints("import_runs")}
    present = {column["name"] for column in inspector.get_columns("import_runs")}
    columns = (
        sa.Column("number", sa.Integer, nullable=False, server_default="1"),
        sa.Column("again", WORD),
        sa.Column("progress_at_claim", BIG, nullable=False, server_default="0"),
    )
    with _children_kept(connection), op.batch_alter_table("import_runs") as runs:
        for column in columns:
            if column.name not in present:
                runs.add_column(column)
        if "import_runs_of_pass" not in unique:
            runs.create_unique_constraint("import_runs_of_pass", ["account_id", "pass", "number"])
        if "import_runs_by_account" in unique:
            runs.drop_constraint("import_runs_by_account", type_="unique")


def _index_parts_that_are_left() -> None:
    columns = ["run_id", "done", "entity", "number"]
    op.create_index("import_parts_left", "import_parts", columns, if_not_exists=True)


def _let_rejects_be_without_text(connection: sa.Connection) -> None:
    with op.batch_alter_table("import_rejects") as rejects:
        rejects.alter_column("raw", existing_type=LONG_TEXT, existing_nullable=False, nullable=True)


@contextmanager
def _children_kept(connection: sa.Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew, and takes along what refers to the old one: put that back."""
    children = ("import_parts", "import_rejects") if connection.dialect.name == "sqlite" else ()
    for child in children:
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE kept_{child} AS SELECT * FROM {child}")
    yield
    for child in children:
        connection.exec_driver_sql(f"INSERT INTO {child} SELECT * FROM kept_{child}")
        connection.exec_driver_sql(f"DROP TABLE kept_{child}")
