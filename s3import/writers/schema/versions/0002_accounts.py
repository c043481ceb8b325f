"""What is known of an account's migration as a whole: since when deletions are remembered, or that it was purged; all
runs of a pass, rejects without their text, and whose files are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

from s3import.core.tables import (
    BIG,
    FILES,
    LONG_TEXT,
    WORD,
    accounts,
    import_accounts,
    import_files,
    import_parts,
    import_rejects,
    import_reread,
    import_runs,
)
from s3import.writers.schema import triggers

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
    _keep_all_runs(connection)
    _let_rejects_be_without_text(connection)
    _add_column(import_runs.c.files_per_second)
    _add_column(import_parts.c.restarted)
    import_reread.create(connection, checkfirst=True)
    _add_index(import_runs, "import_runs_by_request")
    _add_index(import_parts, "import_parts_left")
    _add_index(accounts, "accounts_by_status")
    _give_files_to_their_runs(connection)
    _tell_inherited_tombstones(connection)
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


def _let_rejects_be_without_text(connection: sa.Connection) -> None:
    with op.batch_alter_table("import_rejects") as rejects:
        rejects.alter_column("raw", existing_type=LONG_TEXT, existing_nullable=False, nullable=True)


def _give_files_to_their_runs(connection: sa.Connection) -> None:
    """Files that wait belong to the run that is not over; those that failed to the run, and the place, of their
    rejects."""
    if sa.inspect(connection).has_table(import_files.name):
        return
    import_files.create(connection)
    runs, names = import_runs.c, [column.name for column in import_files.columns]
    for entity, (table, row_id) in FILES.items():
        waiting = sa.and_(runs.account_id == table.c.account_id, runs.files_to.is_not(None), runs.state != "succeeded")
        run_id = sa.select(sa.func.max(runs.run_id)).where(waiting).scalar_subquery()
        nowhere = (sa.cast(sa.null(), sa.Integer), sa.cast(sa.null(), sa.Integer))
        some = sa.select(table.c.account_id, sa.literal(entity.value), row_id, run_id, *nowhere)
        pending = some.where(table.c.state == "pending", run_id.is_not(None))
        connection.execute(sa.insert(import_files).from_select(names, pending))
        _give_failed_files(connection, entity, table, row_id)


def _give_failed_files(connection: sa.Connection, entity: str, table: sa.Table, row_id: sa.Column[str]) -> None:
    kept, parts = import_rejects.c, import_parts.c
    part = sa.and_(parts.run_id == kept.run_id, parts.number == kept.part_number, parts.entity == entity)
    failed = sa.and_(row_id == kept.record_id, table.c.account_id == kept.account_id, table.c.state == "failed")
    columns = (kept.account_id, kept.record_id, kept.run_id, kept.part_number, kept.line, kept.reasons)
    query = sa.select(*columns).join_from(import_rejects, import_parts, part).join(table, failed)
    places = {
        (row.account_id, row.record_id): (row.run_id, row.part_number, row.line)
        for row in connection.execute(query)
        if row.reasons[0]["code"].startswith("file_")
    }
    for (account_id, record_id), (run_id, number, line) in places.items():
        values = (account_id, entity, record_id, run_id, number, line)
        connection.execute(sa.insert(import_files).values(values))


def _tell_inherited_tombstones(connection: sa.Connection) -> None:
    """What went with its parent is told from what a dump names; of tombstones that are there nobody knows."""
    present = {column["name"] for column in sa.inspect(connection).get_columns("import_tombstones")}
    if "inherited" not in present:
        column = sa.Column("inherited", sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column("import_tombstones", column)


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
