"""Accounts on the move: one call from a folder into a database, and all that can be seen afterwards."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.events import Event, Observer
from s3import.core.limits import RejectLimit
from s3import.core.records import HALVES, Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Request, Result
from s3import.writers import Database, open_database
from tests import commands as app
from tests.importing.dumps import ACCOUNT, seeded_dump, write

BOTH = HALVES
IMPORTED = (tables.brands, tables.channels, tables.threads, tables.messages, tables.attachments)


def settings_for(folder: Path | str, database_url: str, **changes: Any) -> Settings:
    """Small batches, one worker, no heartbeat, and a lease that is over as soon as its holder is gone."""
    defaults: dict[str, Any] = {
        "workers": 1,
        "block_bytes": 700,
        "lease_seconds": 0.0,
        "heartbeat_seconds": 3600.0,
        "retry_seconds": 120.0,
    }
    return Settings(source=f"{folder}/{{account}}", database=database_url, **{**defaults, **changes})


def ignore(event: Event) -> None:
    """Watch nothing."""


def migrate(
    settings: Settings,
    account: str = ACCOUNT,
    *,
    passes: Sequence[Pass] = BOTH,
    max_rejects: str | None = None,
    again: bool = False,
    observe: Observer = ignore,
    stop: threading.Event | None = None,
) -> Result:
    """What `s3import migrate` does for one account, in this process."""
    limit = RejectLimit.parse(max_rejects) if max_rejects else RejectLimit()
    request = Request(account, tuple(passes), settings.source, limit, again)
    return app.migrate(settings, [request], observe=observe, stop=stop or threading.Event())[0]


def code_of(result: Result) -> str | None:
    """The code of the error that ended it; None when none did."""
    return result.error.code if result.error else None


# --- what can be seen afterwards ---------------------------------------------------------------------------------


def snapshot(settings: Settings, account: str = ACCOUNT) -> dict[str, Any]:
    """The account's rows, rejects and status, without times and run ids, and under the name ``ACCOUNT``."""
    document = app.status_document(settings, account)
    passes = {name: _lasting(shown) for name, shown in document["passes"].items()}
    seen = {
        "status": document["account_status"],
        "passes": passes,
        "rejects": list(app.rejects(settings, account, tuple(Pass))),
        **rows(settings, account),
    }
    named: dict[str, Any] = orjson.loads(orjson.dumps(seen).replace(account.encode(), b"ACCOUNT"))
    return named


def undisturbed(settings: Settings, seed: int) -> dict[str, Any]:
    """The `snapshot` that an import of that `seeded_dump` leaves when nothing happens to it.

    It is made once for each kind of database, in the database of the test that asks first.
    """
    key = settings.database.partition(":")[0], settings.block_bytes, seed
    if key not in _UNDISTURBED:
        account = "undisturbed"  # as long as the names of the others, so that batches are cut alike
        with tempfile.TemporaryDirectory() as folder:
            write(seeded_dump(seed, account), Path(folder), account)
            alone = settings_for(folder, settings.database, block_bytes=settings.block_bytes)
            assert code_of(migrate(alone, account)) is None
            _UNDISTURBED[key] = snapshot(alone, account)
    return _UNDISTURBED[key]


_UNDISTURBED: dict[tuple[str, int, int], dict[str, Any]] = {}


def rows(settings: Settings, account: str = ACCOUNT) -> dict[str, list[dict[str, Any]]]:
    """Every row of the account's brands, channels, threads, messages and attachments, by table, in the order of ids."""
    with closing(open_database(settings.database)) as database, database.read() as connection:
        return {
            str(table.name): [
                {str(name): value for name, value in row.items()}
                for row in connection.execute(
                    sa.select(table).where(table.c.account_id == account).order_by(table.c.id)
                ).mappings()
            ]
            for table in IMPORTED
        }


def ids(settings: Settings, table: sa.Table, account: str = ACCOUNT) -> list[str]:
    """The ids in one of the tables, in order."""
    return [row["id"] for row in rows(settings, account)[table.name]]


def counts(result: Result, pass_: Pass = Pass.RECENT) -> dict[str, tuple[int, int, int]]:
    """What was written, unchanged and rejected of each entity."""
    shown = result.document["passes"][pass_.value]["counts"]
    return {entity: (count["written"], count["unchanged"], count["rejected"]) for entity, count in shown.items()}


def adds_up(result: Result) -> bool:
    """Whether read = written + unchanged + rejected, everywhere."""
    passes = [shown for shown in result.document["passes"].values() if shown]
    every = [count for shown in passes for count in shown["counts"].values()]
    return all(count["read"] == count["written"] + count["unchanged"] + count["rejected"] for count in every)


def execute(settings: Settings, *statements: sa.Executable) -> None:
    """What somebody else does to the database, in a transaction."""
    database: Database = open_database(settings.database)
    with database.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    database.close()


def is_waiting(settings: Settings) -> bool:
    """Whether somebody waits for a lock. MariaDB looks anew only when nobody has asked for a tenth of a second."""
    time.sleep(0.2)
    look = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    if settings.database.startswith("postgresql"):
        look = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(app.connect(settings)) as database, database.read() as connection:
        return bool(connection.exec_driver_sql(look).scalar_one())


def _lasting(shown: dict[str, Any] | None) -> dict[str, Any] | None:
    if shown is None:
        return None
    kept = ("state", "counts", "rejects", "ignored_fields", "skipped_objects", "error")
    return {**{name: shown[name] for name in kept}, "parts_done": shown["progress"]["parts_done"]}
