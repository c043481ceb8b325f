"""What is known of an account's migration as a whole: since when its deletions are remembered; all runs of a pass, and
rejects without their text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

from s3import.schema import triggers
from s3import.tables import LONG_TEXT, WORD, accounts, import_accounts, import_runs

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
    _add_column(import_runs.c.files_per_second)
    _add_index(import_runs, "import_runs_by_request")
    _add_index(accounts, "accounts_by_status")
    triggers.create(connection)


def _keep_all_runs(connection: sa.Connection) -> None:
    """A pass may have several runs, by number; those that are there are the first of theirs."""
    inspector = sa.inspect(connection)
    unique = {constraint["name"] for constraint in inspector.get_unique_constraints("import_runs")}
    present = {column["name"] for column in inspector.get_columns("import_runs")}
    columns = (sa.Column("number", sa.Integer, nullable=False, server_default="1"), sa.Column("again", WORD))
    with _children_kept(connection), op.batch_alter_table("import_runs") as runs:
        for column in columns:
            if column.name not in present:
                runs.add_column(column)
        if "import_runs_of_pass" not in unique:
            runs.create_unique_constraint("import_runs_of_pass", ["account_id", "pass", "number"])
        if "import_runs_by_account" in unique:
            runs.drop_constraint("import_runs_by_account", type_="unique")


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


def _add_column(column: sa.Column[Any]) -> None:
    present = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(column.table.name)}
    if column.name not in present:
        op.add_column(column.table.name, sa.Column(column.name, column.type))


def _add_index(table: sa.Table, name: str) -> None:
    index = next(one for one in table.indexes if one.name == name)
    index.create(op.get_bind(), checkfirst=True)
