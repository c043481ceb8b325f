"""An account with a run of its recent pass, in whatever state a test needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core import tables
from s3import.core.accounts import create_account
from s3import.core.records import Entity, Pass, Plan, PlannedPart, StoredObject
from s3import.importing import queueing
from s3import.importing.checkpoints import Progress, checkpoint, remember_plan
from s3import.status import Claim
from s3import.writers import Database

ACCOUNT = "acme"
SECRET = "whsec_" + 8 * "abcd"
SOURCE = "/dumps/acme"


def claim_run(connection: Connection, account_id: str = ACCOUNT, *, lease_seconds: float = 15) -> Claim:
    """A run of an account that is created if need be, just claimed."""
    create_account(connection, account_id, "Acme")
    run, _ = queueing.enqueue(connection, account_id, Pass.RECENT, SOURCE)
    claim = status.claim(connection, run, source=SOURCE, holder=status.Holder("a test", lease_seconds))
    assert claim is not None
    return claim


def add_part(connection: Connection, claim: Claim, **codes: int) -> None:
    """A part of ten threads, of which so many were rejected with these codes."""
    rejected = sum(codes.values())
    planned = PlannedPart(Entity.THREADS, "threads/1.jsonl", StoredObject("recent/threads/1.jsonl", 10, "1"))
    (part,) = remember_plan(connection, claim, Plan((planned,), (), from_manifest=False))
    progress = Progress(bytes_done=10, read=10, written=10 - rejected, rejected=rejected, rejects_by_code=codes)
    checkpoint(connection, claim, part, replace(part, progress=progress, done=True))


def notices(database: Database) -> list[Any]:
    """All rows of the outbox, oldest first."""
    table = tables.import_notices
    with database.read() as connection:
        return list(connection.execute(sa.select(table).order_by(table.c.created_at, table.c.channel)))


def make_due(database: Database) -> None:
    """Let the time pass until every waiting notice is due."""
    table = tables.import_notices
    with database.begin() as connection:
        connection.execute(table.update().where(table.c.not_before.is_not(None)).values(not_before=0.0))
