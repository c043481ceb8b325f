"""Services over real databases, and the states that accounts and runs get into."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from s3import import status
from s3import.core.accounts import AccountStatus
from s3import.core.errors import MigrationFailed
from s3import.core.records import Brand, Channel, Pass
from s3import.core.settings import Settings
from s3import.core.tables import accounts, import_parts, import_rejects
from s3import.importing import queueing
from s3import.operations.composition import operations_for_clients
from s3import.operations.operations import Operations
from s3import.status import Claim, State
from s3import.writers import open_database

TOKEN = "right-token"
SOURCE = "s3://dumps/conversations/{account}"
ACCOUNT = "acme"


def open_service(url: str, **settings: Any) -> Operations:
    """A service over the database at `url`."""
    return operations_for_clients(
        Settings(**{"database": url, "source": SOURCE, **settings}), open_database(url, pool_size=16)
    )


def put_account(service: Operations, account_status: str = "migrating", account_id: str = ACCOUNT) -> None:
    """An account of that status with a brand and a channel."""
    service.create_account(account_id, "Acme")
    service.create_brand(account_id, Brand("b1", "One"))
    service.create_channel(account_id, Channel("c1", "b1", "email", "Mail"))
    with service.database.begin() as connection:
        mine = accounts.update().where(accounts.c.id == account_id)
        connection.execute(mine.values(status=AccountStatus(account_status)))


def put_run(service: Operations, pass_: Pass, state: State, account_id: str = ACCOUNT) -> str:
    """A run of the account that got to that state in the usual way; its id."""
    with service.database.begin() as connection:
        run, _ = queueing.enqueue(connection, account_id, pass_, "s3://dumps/conversations/acme")
        if state is not State.QUEUED and state is not State.CANCELLED:
            claim = status.claim(connection, run, source=run.source, holder=status.Holder("a worker", 60))
            assert claim is not None
            _end(connection, claim, state)
    if state is State.CANCELLED:
        service.cancel(run.run_id)
    return run.run_id


def _end(connection: sa.Connection, claim: Claim, state: State) -> None:
    if state is State.FAILED:
        status.fail(connection, claim, MigrationFailed("broken on purpose"))
    if state is State.SUCCEEDED:
        status.finish(connection, claim)


def put_rejects(service: Operations, run_id: str, lines: dict[int, list[int]], account_id: str = ACCOUNT) -> None:
    """Rejects of the run: for each part's number their lines."""
    with service.database.begin() as connection:
        for number, kept in lines.items():
            connection.execute(import_parts.insert().values(_part(run_id, account_id, number, len(kept))))
            rows = [_reject(run_id, account_id, number, line) for line in kept]
            connection.execute(import_rejects.insert(), rows)


def _part(run_id: str, account_id: str, number: int, rejected: int) -> dict[str, Any]:
    key = f"threads/part-{number}.jsonl"
    return {
        "run_id": run_id,
        "account_id": account_id,
        "number": number,
        "entity": "threads",
        "key": key,
        "object_key": f"recent/{key}",
        "etag": "e",
        "size_bytes": 100,
        "read_count": rejected,
        "rejected_count": rejected,
        "rejects_by_code": {"invalid_id": rejected},
        "ignored_fields": ["threads.foo"],
    }


def _reject(run_id: str, account_id: str, number: int, line: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "part_number": number,
        "line": line,
        "account_id": account_id,
        "record_id": f"t{line}",
        "reasons": [{"code": "invalid_id", "field": "id", "message": "wrong"}],
        "raw": "{}",
        "raw_truncated": False,
    }
