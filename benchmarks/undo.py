"""What remembered deletions, `reset` and `purge` cost: `python -m benchmarks.undo URL…`, empty databases of any kind.

Half of an account's messages are deleted while deletions are remembered and half while they are not, in turns; then the
account is filled again and taken back, with as many rejects as messages.
"""

from __future__ import annotations

import datetime as dt
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from s3import.core import tables
from s3import.core.settings import Settings
from s3import.operations.composition import connect
from s3import.operations.purge import purge
from s3import.operations.reset import reset
from s3import.writers import Database, schema

T = TypeVar("T")

ACCOUNT = "acme"
THREADS, MESSAGES, STEPS = 400, 4_000, 4
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def main() -> None:
    """Measure each database that is named."""
    for url in sys.argv[1:]:
        settings = Settings(database=url)
        with closing(connect(settings)) as database:
            with database.begin() as connection:
                schema.upgrade(connection)
            measure(settings, database)


def measure(settings: Settings, database: Database) -> None:
    """Print a line for each thing that was measured."""
    kind = database.dialect.name
    insert(database, tables.accounts, [{"id": ACCOUNT, "status": "migrating", "created_at": NOW, "updated_at": NOW}])
    fill(database)
    known = tables.import_accounts
    insert(database, known, [{"account_id": ACCOUNT}])
    seconds = {True: 0.0, False: 0.0}
    for step, ids in enumerate(batched((f"m{number}" for number in range(MESSAGES)), MESSAGES // STEPS)):
        remembered = bool(step % 2)
        execute(database, sa.update(known).values(deletions_since=NOW if remembered else None))
        seconds[remembered] += timed(partial(delete, database, ids))
    for remembered, taken in seconds.items():
        say(f"{kind}: messages deleted one by one, remembered: {remembered}", MESSAGES // 2, taken)
    execute(database, sa.delete(tables.threads), sa.delete(known))
    fill(database)
    fill_bookkeeping(database)
    stop = threading.Event()
    taken = timed(lambda: reset(settings, ACCOUNT, confirmed=True, force=False, observe=lambda _: None, stop=stop))
    say(f"{kind}: reset, rows and rejects", THREADS + 2 * MESSAGES, taken)
    fill_bookkeeping(database)
    execute(database, sa.update(tables.accounts).values(status="active"))
    taken = timed(lambda: purge(settings, ACCOUNT, confirmed=True, observe=lambda _: None, stop=stop))
    say(f"{kind}: purge, rejects", MESSAGES, taken)


def delete(database: Database, ids: tuple[str, ...]) -> None:
    """Delete messages as Re:amaze would, by their keys, in one transaction."""
    mine = sa.and_(tables.messages.c.account_id == ACCOUNT, tables.messages.c.id == sa.bindparam("this_id"))
    with database.begin() as connection:
        connection.execute(sa.delete(tables.messages).where(mine), [{"this_id": one} for one in ids])


def fill(database: Database) -> None:
    """Threads, with ten messages each."""
    execute(database, sa.delete(tables.brands))
    mine: dict[str, Any] = {"account_id": ACCOUNT, "created_at": NOW}
    insert(database, tables.brands, [{"account_id": ACCOUNT, "id": "b"}])
    insert(database, tables.channels, [{"account_id": ACCOUNT, "id": "c", "brand_id": "b"}])
    thread = {**mine, "brand_id": "b", "channel_id": "c", "status": "resolved", "tags": [], "custom_fields": []}
    insert(database, tables.threads, ({**thread, "id": f"t{number}"} for number in range(THREADS)))
    message = {**mine, "origin": "email", "direction": "inbound", "visibility": "regular", "body": "x" * 500}
    rows = ({**message, "id": f"m{number}", "thread_id": f"t{number % THREADS}"} for number in range(MESSAGES))
    insert(database, tables.messages, rows)


def fill_bookkeeping(database: Database) -> None:
    """A run with one part and as many rejects as messages."""
    run = {"run_id": "run", "account_id": ACCOUNT, "pass": "recent", "source": "/nowhere", "state": "failed"}
    insert(database, tables.import_runs, [{**run, "requested_at": NOW, "skipped_objects": []}])
    part: dict[str, Any] = {"run_id": "run", "number": 1, "account_id": ACCOUNT, "entity": "messages"}
    plan = {name: "part" for name in ("key", "object_key", "etag") if name in tables.import_parts.c}
    insert(
        database,
        tables.import_parts,
        [{**part, **plan, "size_bytes": 1, "rejects_by_code": {}, "ignored_fields": []}],
    )
    reject = {"run_id": "run", "part_number": 1, "account_id": ACCOUNT, "reasons": [], "raw": "x" * 500}
    rows = ({**reject, "line": line, "raw_truncated": False} for line in range(MESSAGES))
    insert(database, tables.import_rejects, rows)


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """The items in tuples of that size; the last may be shorter."""
    left = iter(items)
    while some := tuple(islice(left, size)):
        yield some


def insert(database: Database, table: sa.Table, rows: Any) -> None:
    """Insert rows, a thousand at a time."""
    for page in batched(rows, 1000):
        with database.begin() as connection:
            connection.execute(sa.insert(table), list(page))


def execute(database: Database, *statements: sa.Executable) -> None:
    """Each in a transaction of its own."""
    for statement in statements:
        with database.begin() as connection:
            connection.execute(statement)


def timed(work: Callable[[], object]) -> float:
    """The seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def say(what: str, rows: int, seconds: float) -> None:
    """Print a rate."""
    print(f"{what}: {rows / seconds:,.0f} rows/s, {seconds / rows * 1e6:,.0f} us a row", flush=True)


if __name__ == "__main__":
    main()
