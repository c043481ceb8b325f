"""A server is replaced by one that lacks the last commits, or comes back without them, and the import outlives it.

That is what a failover to an asynchronous replica does, and a crash of a server that does not wait for its disk.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.settings import Settings
from tests.importing.dumps import seeded_dump, write
from tests.importing.moving import code_of, migrate, settings_for, snapshot, undisturbed
from tests.importing.strikes import Moment, Transactions, nothing

pytestmark = pytest.mark.integration

SEED = 5
ROUNDS = int(os.environ.get("S3IMPORT_TEST_ROUNDS", "2"))
END_TRANSACTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""
Remember = Callable[[], Callable[[], None]]
"""Remembers a database as it is; what it returns puts the database back to that."""


class Failover(Transactions):
    """The `k`-th commit is confirmed, and is then gone with as many before it as `lost` says but one."""

    def __init__(self, k: int, lost: int, remember: Remember) -> None:
        super().__init__(k, Moment.COMMIT, nothing)
        self._before, self._remember, self._turn = max(k - lost, 0), remember, threading.Lock()
        self._put_back = remember()

    def _committing(self, do_commit: Callable[[Any], None]) -> Callable[[Any], None]:
        def commit(connection: Any) -> None:
            do_commit(connection)
            with self._turn:
                last = self._is_due()
                if self.count == self._before:
                    self._put_back = self._remember()
                if last:
                    self._put_back()

        return commit


def _remember_sqlite(settings: Settings) -> Callable[[], None]:
    path = Path(str(sa.make_url(settings.database).database))
    kept = sqlite3.connect(":memory:", check_same_thread=False)
    with closing(sqlite3.connect(path)) as now:
        now.backup(kept)

    def put_back() -> None:
        with closing(sqlite3.connect(path)) as now:
            kept.backup(now)

    return put_back


def _remember_postgres(settings: Settings) -> Callable[[], None]:
    address = sa.make_url(settings.database).set(drivername="postgresql").render_as_string(hide_password=False)
    names = [table.name for table in tables.metadata.sorted_tables]
    kept = dict[str, bytes]()
    with psycopg.connect(address) as now:
        now.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # all tables at one moment
        for name in names:
            with now.cursor().copy(f"COPY {name} TO STDOUT") as copy:
                kept[name] = b"".join(copy)

    def put_back() -> None:
        with psycopg.connect(address) as now:
            now.execute(END_TRANSACTIONS)  # no server takes over what is under way
            now.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
            now.execute("SET LOCAL session_replication_role = replica")  # no trigger takes part
            for name, rows in kept.items():
                now.execute(f"DELETE FROM {name}")
                with now.cursor().copy(f"COPY {name} FROM STDIN") as copy:
                    copy.write(rows)

    return put_back


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("url", "remember"), [("sqlite_url", _remember_sqlite), ("postgres_url", _remember_postgres)])
def test_what_a_failover_loses_is_imported_again(
    url: str,
    remember: Callable[[Settings], Callable[[], None]],
    workers: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """Whatever was confirmed and lost, the same command run again gives what an undisturbed import does."""
    settings = settings_for(tmp_path, request.getfixturevalue(url), workers=workers, retry_seconds=3.0)
    expected = _lasting(deepcopy(undisturbed(settings, SEED)))
    with Transactions(0, Moment.COMMIT, nothing).watched() as transactions:
        _import(settings, tmp_path, "counted-one")
    for number in range(ROUNDS):
        chosen = random.Random(f"{url} {workers} {number}")
        account, k, lost = f"rewound-{number:03}", chosen.randint(2, transactions.count), chosen.randint(1, 4)
        with Failover(k, lost, partial(remember, settings)).watched():
            codes = _import(settings, tmp_path, account)
        assert _lasting(snapshot(settings, account)) == expected, (k, lost, codes)


def _import(settings: Settings, folder: Path, account: str) -> Sequence[str | None]:
    """Import an account of its own with the same command, some times over; how each call ended."""
    write(seeded_dump(SEED, account), folder, account)
    codes = [code_of(migrate(settings, account)) for _ in range(4)]
    assert codes[-1] is None
    return codes


def _lasting(seen: dict[str, Any]) -> dict[str, Any]:
    """What was seen, but not which of a record's versions came first: the parts come in another order."""
    for shown in seen["passes"].values():
        for counts in shown["counts"].values() if shown else ():
            counts["in"] = counts.pop("written") + counts.pop("unchanged")
    return seen
