"""The tables of docs/reference/tables.md, and the bookkeeping, for all three databases.

Ids compare byte by byte on every database. Times are ``timestamptz`` on PostgreSQL and UTC without a zone elsewhere;
in Python they are always aware.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from s3import.core.records import MAX_ID_LENGTH, Entity


class Id(TypeDecorator[str]):
    """Text of 1 to 255 code points that compares byte by byte, trailing spaces included."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.String(MAX_ID_LENGTH, collation="C"))
        if dialect.name in ("mysql", "mariadb"):
            # Only NO PAD collations tell "k1" from "k1 "; the two servers name theirs differently.
            collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
            return dialect.type_descriptor(mysql.VARCHAR(MAX_ID_LENGTH, charset="utf8mb4", collation=collation))
        return dialect.type_descriptor(sa.String(MAX_ID_LENGTH))


class UtcTime(TypeDecorator[dt.datetime]):
    """An instant with microseconds: aware in Python, UTC in the database."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)


LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
JSON_TEXT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
WORD = sa.String(32).with_variant(mysql.VARCHAR(32, charset="utf8mb4"), "mysql", "mariadb")
BIG = sa.BigInteger()

COUNTS = ("read", "written", "unchanged", "rejected", "sanitised")
"""What is counted of every entity's records."""

metadata = sa.MetaData()


def _table(name: str, *columns: Any) -> sa.Table:
    return sa.Table(
        name, metadata, *columns, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_row_format="DYNAMIC"
    )


def _prefix(column: str, length: int) -> dict[str, Any]:
    """Options of an index that MySQL makes over the first `length` characters of a column."""
    return {f"{dialect}_length": {column: length} for dialect in ("mysql", "mariadb")}


def _key(*names: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*names)


def _parent(child: str, parent: str) -> sa.ForeignKeyConstraint:
    columns = ["account_id", child]
    return sa.ForeignKeyConstraint(columns, [f"{parent}.account_id", f"{parent}.id"], ondelete="CASCADE")


accounts = _table(
    "accounts",
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", LONG_TEXT),
    sa.Column("status", WORD, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Index("accounts_by_status", "status", "id"),
)

brands = _table(
    "brands",
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    sa.Column("id", Id, nullable=False),
    sa.Column("name", LONG_TEXT),
    _key("account_id", "id"),
)

channels = _table(
    "channels",
    sa.Column("account_id", Id, nullable=False),
    sa.Column("id", Id, nullable=False),
    sa.Column("brand_id", Id, nullable=False),
    sa.Column("kind", LONG_TEXT),
    sa.Column("name", LONG_TEXT),
    _key("account_id", "id"),
    _parent("brand_id", "brands"),
)

threads = _table(
    "threads",
    sa.Column("account_id", Id, nullable=False),
    sa.Column("id", Id, nullable=False),
    sa.Column("brand_id", Id, nullable=False),
    sa.Column("channel_id", Id, nullable=False),
    sa.Column("subject", LONG_TEXT),
    sa.Column("status", WORD, nullable=False),
    sa.Column("tags", JSON_TEXT, nullable=False),
    sa.Column("custom_fields", JSON_TEXT, nullable=False),
    sa.Column("customer_id", LONG_TEXT),
    sa.Column("customer_name", LONG_TEXT),
    sa.Column("customer_email", LONG_TEXT),
    sa.Column("customer_phone", LONG_TEXT),
    sa.Column("assignee_id", LONG_TEXT),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime),
    _key("account_id", "id"),
    _parent("brand_id", "brands"),
    _parent("channel_id", "channels"),
)

messages = _table(
    "messages",
    sa.Column("account_id", Id, nullable=False),
    sa.Column("id", Id, nullable=False),
    sa.Column("thread_id", Id, nullable=False),
    sa.Column("origin", WORD, nullable=False),
    sa.Column("direction", WORD, nullable=False),
    sa.Column("visibility", WORD, nullable=False),
    sa.Column("author_type", WORD),
    sa.Column("author_id", LONG_TEXT),
    sa.Column("author_name", LONG_TEXT),
    sa.Column("author_email", LONG_TEXT),
    sa.Column("author_phone", LONG_TEXT),
    sa.Column("body", LONG_TEXT),
    sa.Column("body_html", LONG_TEXT),
    sa.Column("call_id", LONG_TEXT),
    sa.Column("call_from", LONG_TEXT),
    sa.Column("call_to", LONG_TEXT),
    sa.Column("call_duration_seconds", BIG),
    sa.Column("call_disposition", LONG_TEXT),
    sa.Column("recording_key", LONG_TEXT),
    sa.Column("transcript", LONG_TEXT),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime),
    _key("account_id", "id"),
    _parent("thread_id", "threads"),
    sa.Index("messages_by_thread", "account_id", "thread_id", "created_at"),
)

attachments = _table(
    "attachments",
    sa.Column("account_id", Id, nullable=False),
    sa.Column("id", Id, nullable=False),
    sa.Column("message_id", Id, nullable=False),
    sa.Column("filename", LONG_TEXT, nullable=False),
    sa.Column("content_type", LONG_TEXT),
    sa.Column("size_bytes", BIG),
    sa.Column("sha256", LONG_TEXT),
    sa.Column("source_key", LONG_TEXT),
    sa.Column("source_url", LONG_TEXT),
    sa.Column("storage_key", LONG_TEXT),
    sa.Column("state", WORD, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime),
    _key("account_id", "id"),
    _parent("message_id", "messages"),
    sa.Index("attachments_by_message", "account_id", "message_id"),
)

TARGETS: dict[Entity, sa.Table] = {
    Entity.THREADS: threads,
    Entity.MESSAGES: messages,
    Entity.ATTACHMENTS: attachments,
}
"""The table that holds an entity's rows."""

PARENTS: dict[Entity, tuple[tuple[str, sa.Table, str], ...]] = {
    Entity.THREADS: (("brand_id", brands, "unknown_brand"), ("channel_id", channels, "unknown_channel")),
    Entity.MESSAGES: (("thread_id", threads, "unknown_thread"),),
    Entity.ATTACHMENTS: (("message_id", messages, "unknown_message"),),
}
"""For each entity: the column that names a parent, the parent's table, and the reject code when it is not there."""

# --- bookkeeping -------------------------------------------------------------------------------------------------

import_runs = _table(
    "import_runs",
    sa.Column("run_id", WORD, primary_key=True),
    sa.Column("account_id", Id, nullable=False),
    sa.Column("pass", WORD, nullable=False),
    sa.Column("number", sa.Integer, nullable=False, default=1),  # of the pass's runs, of which the newest is shown
    sa.Column("again", WORD),  # it reads a pass once more, see status.Again; NULL: it was asked for in the plain way
    sa.Column("source", LONG_TEXT, nullable=False),
    sa.Column("state", WORD, nullable=False),
    sa.Column("requested_at", UtcTime, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("finished_at", UtcTime),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("tries", sa.Integer, nullable=False, default=0),  # since it was asked for, or last committed anything
    sa.Column("progress_at_claim", BIG, nullable=False, default=0),  # see core.committed
    sa.Column("not_before", sa.Double),  # the database's clock: a worker does not try again earlier
    sa.Column("token", BIG, nullable=False, default=0),  # fencing: grows with every claim
    sa.Column("holder", LONG_TEXT),  # host and process, for people
    sa.Column("lease_until", sa.Double),  # the database's clock, in seconds since 1970
    sa.Column("spread", sa.Boolean, nullable=False, default=False),  # its parts are offered to many workers
    sa.Column("account_checked", sa.Boolean, nullable=False, default=False),  # account.json has had its one chance
    sa.Column("skipped_objects", JSON_TEXT, nullable=False),
    sa.Column("rows_per_second", sa.Double),
    sa.Column("bytes_per_second", sa.Double),
    sa.Column("files_per_second", sa.Double),
    sa.Column("error_code", WORD),
    sa.Column("error_message", LONG_TEXT),
    sa.Column("files_to", LONG_TEXT),  # where the bytes of its files go; NULL: nowhere
    sa.Column("describe_calls", sa.Boolean, nullable=False, default=False),
    *(
        sa.Column(f"files_{what}", BIG, nullable=False, default=0)
        for what in ("total", "copied", "missing", "differ", "bytes")
    ),
    sa.Column("verified", JSON_TEXT),  # what came of comparing its dump with the database
    sa.Column("estimate", JSON_TEXT),  # how long it was expected to take, before it began
    sa.Column("texts", BIG),  # its rejects whose text is kept; NULL: none
    sa.Column("resolved", BIG),  # its rejects that deltas have brought in since; NULL: none
    sa.Column("anew", sa.Boolean),  # what is kept of its parts goes before it is planned: nothing of them came over
    sa.Column("keys", WORD),  # how foreign keys were checked: in "sets" or by "rows"; NULL: not known
    sa.UniqueConstraint("account_id", "pass", "number", name="import_runs_of_pass"),
    sa.Index("import_runs_by_state", "state", "requested_at"),
    sa.Index("import_runs_by_request", "requested_at", "run_id"),
    sa.Index("import_runs_by_lease", "lease_until"),
)

import_parts = _table(
    "import_parts",
    sa.Column("run_id", WORD, sa.ForeignKey("import_runs.run_id", ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    # A checkpoint is worth what it stands for: it goes with the account's rows.
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    sa.Column("entity", WORD, nullable=False),
    sa.Column("key", LONG_TEXT, nullable=False),  # relative to the pass's folder
    sa.Column("object_key", LONG_TEXT, nullable=False),  # relative to the source
    sa.Column("etag", LONG_TEXT, nullable=False),
    sa.Column("size_bytes", BIG, nullable=False),
    sa.Column("expected_rows", BIG),
    sa.Column("expected_sha256", LONG_TEXT),
    sa.Column("window", LONG_TEXT),  # of a source that is not divided in passes: what of it belongs to this one
    sa.Column("token", BIG, nullable=False, default=0),  # fencing: that of the claim which may write checkpoints
    sa.Column("holder", LONG_TEXT),  # of a spread run: who had the part last
    sa.Column("lease_until", sa.Double),
    sa.Column("tries", sa.Integer, nullable=False, default=0),  # claims since its last checkpoint
    sa.Column("position", BIG, nullable=False, default=0),
    sa.Column("line", BIG, nullable=False, default=0),
    sa.Column("cursor", LONG_TEXT),  # of a DynamoDB table: the last key that was evaluated
    sa.Column("bytes_done", BIG, nullable=False, default=0),
    sa.Column("done", sa.Boolean, nullable=False, default=False),
    *(sa.Column(f"{what}_count", BIG, nullable=False, default=0) for what in COUNTS),
    sa.Column("rejects_by_code", JSON_TEXT, nullable=False),
    sa.Column("ignored_fields", JSON_TEXT, nullable=False),
    sa.Column("restarted", sa.Boolean),  # another object is in its place than the one whose rows are there
    _key("run_id", "number"),
    sa.Index("import_parts_by_lease", "lease_until"),
    sa.Index("import_parts_left", "run_id", "done", "entity", "number"),
)

import_rejects = _table(
    "import_rejects",
    sa.Column("run_id", WORD, nullable=False),
    sa.Column("part_number", sa.Integer, nullable=False),
    sa.Column("line", BIG, nullable=False),
    # Rejects hold a customer's text: they go when the account goes, by way of their part. A key of their own would have
    # a batch lock the account last and its deletion lock it first, which is a deadlock.
    sa.Column("account_id", Id, nullable=False),
    sa.Column("record_id", LONG_TEXT),
    sa.Column("reasons", JSON_TEXT, nullable=False),
    sa.Column("raw", LONG_TEXT),  # NULL: not kept any more, there are so many
    sa.Column("raw_truncated", sa.Boolean, nullable=False),
    sa.Column("resolved_by", WORD),  # the delta run that brought the record in; NULL: the reject is open
    _key("run_id", "part_number", "line"),
    sa.ForeignKeyConstraint(
        ["run_id", "part_number"], ["import_parts.run_id", "import_parts.number"], ondelete="CASCADE"
    ),
    # The whole id, as at most so many characters of it are kept; MySQL takes none of the text without a length.
    sa.Index("import_rejects_by_record", "account_id", "record_id", **_prefix("record_id", MAX_ID_LENGTH)),
)

import_reread = _table(
    "import_reread",
    sa.Column("run_id", WORD, nullable=False),
    sa.Column("part_number", sa.Integer, nullable=False),
    sa.Column("id", Id, nullable=False),
    _key("run_id", "part_number", "id"),
    sa.ForeignKeyConstraint(
        ["run_id", "part_number"], ["import_parts.run_id", "import_parts.number"], ondelete="CASCADE"
    ),
)
"""The records of a restarted part that were read since: what is there under their ids is not its earlier object's."""

import_samples = _table(
    "import_samples",
    sa.Column("run_id", WORD, sa.ForeignKey("import_runs.run_id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("stage", WORD, nullable=False),
    sa.Column("records", BIG, nullable=False),
    sa.Column("bytes", BIG, nullable=False),
    _key("run_id", "at"),
)
"""How far a run was at some instants: records (or files) and bytes done of the stage that was at work."""

import_events = _table(
    "import_events",
    # An identity, as a sequence of its own would need a grant of its own.
    sa.Column("id", BIG.with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True, autoincrement=True),
    sa.Column("account_id", Id, nullable=False),
    sa.Column("run_id", WORD),  # NULL: it is of the account as a whole
    sa.Column("pass", WORD),
    sa.Column("event", WORD, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("actor", LONG_TEXT),  # the token's name, or the host and the user of a command
    sa.Column("attempt", sa.Integer),
    sa.Column("code", WORD),
    sa.Index("import_events_by_account", "account_id", "id"),
)
"""What happened to an account's runs, in order; rows are added, and go when the migration is forgotten."""

import_accounts = _table(
    "import_accounts",
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("deletions_since", UtcTime),  # what people delete is remembered; NULL: it is not, or not any more
    sa.Column("purged_at", UtcTime),  # what was kept of the migration is forgotten, deletions too
    sa.Column("reset_scope", WORD),  # of a reset that has begun and not ended; NULL: there is none
    sa.Column("reset_window", LONG_TEXT),  # how its source was divided, as of `import_parts`
    sa.Column("reset_token", BIG),  # fencing: that of the process which may take rows away
    sa.Column("reset_holder", LONG_TEXT),
    sa.Column("reset_until", sa.Double),  # the database's clock, as `lease_until`
)
"""What is known of an account's migration as a whole, from its first run on."""

import_tombstones = _table(
    "import_tombstones",
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    sa.Column("entity", WORD, nullable=False),
    sa.Column("id", Id, nullable=False),
    sa.Column("deleted_at", UtcTime, nullable=False),
    sa.Column("from_dump", sa.Boolean, nullable=False, default=False),
    sa.Column("inherited", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    _key("account_id", "entity", "id"),
)
"""Rows that are gone, never while the row is there. What people deleted in Re:amaze (recorded by triggers) never comes
back; what a dump says is deleted (`from_dump`) comes back only by a record that is newer than `deleted_at`; an
attachment that went with its message (`inherited`) also once that one is there again."""

import_recordings = _table(
    "import_recordings",
    sa.Column("account_id", Id, nullable=False),
    sa.Column("message_id", Id, nullable=False),
    sa.Column("source_key", LONG_TEXT, nullable=False),
    sa.Column("storage_key", LONG_TEXT),
    sa.Column("state", WORD, nullable=False),
    _key("account_id", "message_id"),
    sa.ForeignKeyConstraint(["account_id", "message_id"], ["messages.account_id", "messages.id"], ondelete="CASCADE"),
)
"""The recordings of calls on their way, as attachments are: state pending, copied or failed."""

import_files = _table(
    "import_files",
    sa.Column("account_id", Id, nullable=False),
    sa.Column("entity", WORD, nullable=False),
    sa.Column("record_id", Id, nullable=False),
    sa.Column("run_id", WORD, nullable=False),
    sa.Column("part_number", sa.Integer),
    sa.Column("line", BIG),
    _key("account_id", "entity", "record_id"),
    sa.ForeignKeyConstraint(
        ["run_id", "part_number"], ["import_parts.run_id", "import_parts.number"], ondelete="CASCADE"
    ),
    sa.Index("import_files_by_part", "run_id", "part_number"),
)
"""Which run wrote the record that a file belongs to: that run alone copies it, from its own source. `part_number` and
`line` are the record's place there (NULL: not known), where the file's reject stands."""

FILES: dict[Entity, tuple[sa.Table, sa.Column[Any]]] = {
    Entity.ATTACHMENTS: (attachments, attachments.c.id),
    Entity.MESSAGES: (import_recordings, import_recordings.c.message_id),
}
"""For each entity that has files: the table that keeps their states, and the column that names the record."""

import_notices = _table(
    "import_notices",
    sa.Column("id", WORD, primary_key=True),
    sa.Column("channel", WORD, nullable=False),
    sa.Column("payload", JSON_TEXT, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("not_before", sa.Double),  # the database's clock; NULL: delivered or given up
    sa.Column("delivered_at", UtcTime),
    sa.Index("import_notices_due", "not_before"),
)
"""Word of runs on its way out, written with what it tells of. It outlives its run, also when the account is deleted."""
