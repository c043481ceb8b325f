"""A database of an older version is brought up to date, whatever is under way in it."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import SchemaMismatch
from s3import.writers import Database, open_database, schema
from tests.databases import KINDS, bare_database

pytestmark = pytest.mark.integration

RUN = """
    INSERT INTO import_runs (
        run_id, account_id, pass, source, state, requested_at, attempts, tries, token, spread, account_checked,
        skipped_objects, describe_calls, files_total, files_copied, files_missing, files_differ, files_bytes{names}
    ) VALUES (
        'run', 'acme', 'recent', 'file:///dumps/acme', 'running', '2026-05-01 00:00:00', 1, 1, 7, false, true,
        '[]', false, 0, 0, 0, 0, 0{values}
    )
"""
RUNS = {
    "0001": RUN.format(names="", values=""),
    "0002": RUN.format(names=", number, progress_at_claim", values=", 1, 0"),
}
PART = """
    INSERT INTO import_parts (
        run_id, number, account_id, entity, {key}, object_key, etag, size_bytes, token, tries, position, line,
        bytes_done, done, read_count, written_count, unchanged_count, rejected_count, sanitised_count, rejects_by_code,
        ignored_fields
    ) VALUES (
        'run', 1, 'acme', 'threads', 'k', 'o', 'e', 9, 7, 0, 5, 1, 5, false, 1, 0, 0, 1, 0, '{{}}', '[]'
    )
"""
REJECT = "INSERT INTO import_rejects VALUES ('run', 1, 1, 'acme', 't', '[]', 'text', false)"
ASKED = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


@pytest.fixture
def old(request: pytest.FixtureRequest, bare_database_url: str) -> Iterator[Database]:
    """A database of each kind as an older revision (0001 unless the test says) made it, with a run under way."""
    with closing(open_database(bare_database_url, pool_size=2)) as database:
        _make(database, getattr(request, "param", "0001"))
        yield database


@pytest.fixture(scope="module", params=itertools.product(KINDS, RUNS), ids="-".join)
def once_old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of each kind and older revision, with a run under way, once it was upgraded."""
    kind, revision = request.param
    with (
        bare_database(kind, request, tmp_path_factory.mktemp(revision)) as url,
        closing(open_database(url, pool_size=2)) as database,
    ):
        _make(database, revision)
        with database.begin() as connection:
            schema.upgrade(connection)
        yield database


@pytest.fixture
def upgraded(once_old: Database) -> Iterator[sa.Connection]:
    """A connection to it; what the test changes is taken back."""
    with once_old.begin() as connection, connection.begin_nested() as changes:
        yield connection
        changes.rollback()


def _make(database: Database, revision: str) -> None:
    """The tables as that revision made them, by its own statements."""
    kind = _kind(database)
    statements = Path(__file__).with_name(f"{revision}.{kind}.sql").read_text(encoding="utf-8").split("-- next")
    with database.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%") if kind != "sqlite" else statement)
        connection.exec_driver_sql(
            "INSERT INTO accounts VALUES ('acme', NULL, 'migrating', '2026-05-01 00:00:00', '2026-05-01 00:00:00')"
        )
        connection.exec_driver_sql(RUNS[revision])
        connection.exec_driver_sql(PART.format(key="`key`" if kind == "mariadb" else "key"))
        connection.exec_driver_sql(REJECT)
        connection.exec_driver_sql("INSERT INTO brands VALUES ('acme', 'b', NULL)")


def _kind(database: Database) -> str:
    return database.dialect.name if database.dialect.name in ("postgresql", "sqlite") else "mariadb"


@pytest.mark.parametrize("old", RUNS, indirect=True)
def test_an_old_database_says_what_to_do(old: Database) -> None:
    """Nothing is read or written before somebody says `db init`."""
    with old.begin() as connection, pytest.raises(SchemaMismatch, match=r"they are at revision 000[12].*db init"):
        schema.require(connection)


def test_an_old_database_is_upgraded(upgraded: sa.Connection) -> None:
    """Its tables then are the ones that this version writes, and a second upgrade finds nothing to do."""
    for _ in range(2):
        schema.require(upgraded)
        assert upgraded.execute(sa.select(tables.import_runs.c.token)).scalar_one() == 7
        schema.upgrade(upgraded)


def test_an_upgrade_remembers_deletions_since_the_first_run(old: Database) -> None:
    """Also of an account that has become active meanwhile."""
    with old.begin() as connection:
        schema.upgrade(connection)
        connection.execute(sa.update(tables.accounts).values(status="active"))
        connection.execute(sa.delete(tables.brands))
        kept = connection.execute(sa.select(tables.import_tombstones.c.id)).scalars().all()
        assert kept == ["b"]
        assert connection.execute(sa.select(tables.import_accounts.c.deletions_since)).scalar_one() == ASKED


def test_an_upgrade_keeps_checkpoints_and_rejects(upgraded: sa.Connection) -> None:
    """Also where the tables they refer to are made anew; the run is the first of its pass."""
    assert upgraded.execute(sa.select(tables.import_runs.c.number)).scalars().all() == [1]
    assert upgraded.execute(sa.select(tables.import_parts.c.position)).scalars().all() == [5]
    assert upgraded.execute(sa.select(tables.import_rejects.c.raw)).scalars().all() == ["text"]
    upgraded.execute(sa.update(tables.import_rejects).values(raw=None, raw_truncated=True))


def test_an_upgraded_database_keeps_several_runs_of_a_pass(upgraded: sa.Connection) -> None:
    """Where one was the most that it took."""
    first = dict(upgraded.execute(sa.select(tables.import_runs)).mappings().one())
    upgraded.execute(tables.import_runs.insert(), {**first, "run_id": "second", "number": 2})
    with pytest.raises(sa.exc.IntegrityError), upgraded.begin_nested():
        upgraded.execute(tables.import_runs.insert(), {**first, "run_id": "third", "number": 2})


def test_an_upgrade_knows_what_was_purged(old: Database) -> None:
    """It was a tombstone for the whole account."""
    with old.begin() as connection:
        connection.exec_driver_sql("DELETE FROM import_runs")
        connection.exec_driver_sql(
            "INSERT INTO import_tombstones VALUES ('acme', 'forgotten', 'acme', '2026-05-01 00:00:00', false)"
        )
        schema.upgrade(connection)
        assert connection.execute(sa.select(tables.import_tombstones)).first() is None
        known = tables.import_accounts.c
        assert connection.execute(sa.select(known.deletions_since, known.purged_at)).one() == (None, ASKED)


def test_an_upgraded_database_keeps_how_a_run_goes_on(upgraded: sa.Connection) -> None:
    """Samples go with their run, what happened stays, and events are numbered in order."""
    at, run = dt.datetime(2026, 5, 1, 0, 1, tzinfo=dt.UTC), tables.import_runs.c.run_id == "run"
    sample = {"run_id": "run", "at": at, "stage": "threads", "records": 1, "bytes": 5}
    upgraded.execute(tables.import_samples.insert(), sample)
    for event in ("claimed", "finished"):
        upgraded.execute(tables.import_events.insert(), {"account_id": "acme", "event": event, "at": at})
    upgraded.execute(sa.update(tables.import_runs).where(run).values({"estimate": {"low": 1}, "keys": "sets"}))
    assert upgraded.execute(sa.select(tables.import_samples)).mappings().one() == sample
    upgraded.execute(sa.delete(tables.import_runs).where(run))
    assert upgraded.execute(sa.select(tables.import_samples)).first() is None
    events = tables.import_events.c
    assert upgraded.execute(sa.select(events.event).order_by(events.id)).scalars().all() == ["claimed", "finished"]


def test_an_upgraded_database_has_all_columns_and_indexes(upgraded: sa.Connection) -> None:
    """And none that this version does not know."""
    inspector = sa.inspect(upgraded)
    for name, table in tables.metadata.tables.items():
        assert {column["name"] for column in inspector.get_columns(name)} == set(table.columns.keys())
        assert {index["name"] for index in inspector.get_indexes(name)} >= {index.name for index in table.indexes}


def test_an_upgrade_gives_files_to_the_runs_they_belong_to(old: Database) -> None:
    """Those that failed with the place of their rejects; those that wait to the run that is still to copy them."""
    with old.begin() as connection:
        for statement in FILES.split(";"):
            connection.exec_driver_sql(statement)
        connection.execute(sa.insert(tables.import_rejects).values(**FILE_REJECT))
        schema.upgrade(connection)
        noted = tables.import_files.c
        found = connection.execute(sa.select(noted.record_id, noted.run_id, noted.part_number, noted.line))
        assert sorted(tuple(row) for row in found) == [("broken", "run", 1, 7), ("waiting", "run", None, None)]


AT = "'2026-05-01 00:00:00'"
ATTACHMENT = "INSERT INTO attachments (account_id, id, message_id, filename, state, created_at) VALUES ('acme',"
FILES = f"""
    INSERT INTO channels VALUES ('acme', 'c', 'b', NULL, NULL);
    INSERT INTO threads (account_id, id, brand_id, channel_id, status, tags, custom_fields, created_at)
        VALUES ('acme', 't', 'b', 'c', 'spam', '[]', '[]', {AT});
    INSERT INTO messages (account_id, id, thread_id, origin, direction, visibility, created_at)
        VALUES ('acme', 'm', 't', 'email', 'inbound', 'regular', {AT});
    {ATTACHMENT} 'broken', 'm', 'f', 'failed', {AT});
    {ATTACHMENT} 'waiting', 'm', 'f', 'pending', {AT});
    {ATTACHMENT} 'done', 'm', 'f', 'copied', {AT});
    UPDATE import_parts SET entity = 'attachments';
    UPDATE import_runs SET files_to = '/files'
"""
FILE_REJECT = {
    "run_id": "run",
    "part_number": 1,
    "line": 7,
    "account_id": "acme",
    "record_id": "broken",
    "reasons": [{"code": "file_missing", "field": "key", "message": "gone"}],
    "raw": "",
    "raw_truncated": False,
}
