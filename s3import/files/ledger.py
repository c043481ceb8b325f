"""What of an account's files is still to be copied, and what became of the others.

The rows themselves are the ledger: ``attachments.state``, and ``import_recordings.state`` for messages. A state only
changes in a transaction that confirms that the run is still held, together with the run's counts and the rejects; a
row that somebody deleted meanwhile is found by nobody, and comes back through nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.accounts import account_status
from s3import.errors import RejectCode
from s3import.files.file import Copied, Failed, File
from s3import.recordings import FAILED, PENDING
from s3import.records import Entity
from s3import.status import Claim
from s3import.tables import attachments, import_recordings, import_runs
from s3import.transactions import Transactions

COPIED = "copied"
ROWS_AT_ONCE = 500
LEDGERS = {
    Entity.ATTACHMENTS: (attachments, attachments.c.id),
    Entity.MESSAGES: (import_recordings, import_recordings.c.message_id),
}
"""For each entity that has files: the table that keeps their states, and the column that names the record."""


# --- what there is to do ---------------------------------------------------------------------------------------------


def count_pending(connection: Connection, account_id: str) -> int:
    """How many files of the account wait."""
    return sum(
        connection.execute(
            sa.select(sa.func.count()).where(table.c.account_id == account_id, table.c.state == PENDING)
        ).scalar_one()
        for table, _ in LEDGERS.values()
    )


def pages(transactions: Transactions, account_id: str, state: str) -> Iterator[list[File]]:
    """The account's files of that state, some hundred at a time, each once, whatever becomes of them meanwhile."""
    for entity in LEDGERS:
        after = ""
        while page := transactions.read(account_id, partial(_page, account_id, entity, state, after)):
            yield page
            after = page[-1].id


def _page(account_id: str, entity: Entity, state: str, after: str, connection: Connection) -> list[File]:
    """The next files in the order of ids, behind the id `after`."""
    table, row_id = LEDGERS[entity]
    wanted = sa.and_(table.c.account_id == account_id, table.c.state == state, row_id > after)
    rows = connection.execute(sa.select(table).where(wanted).order_by(row_id).limit(ROWS_AT_ONCE))
    return [_as_file(entity, row) for row in rows]


def _as_file(entity: Entity, row: Any) -> File:
    if entity is Entity.MESSAGES:
        return File(entity, row.message_id, row.source_key, row.source_key)
    return File(
        entity,
        row.id,
        row.filename,
        row.source_key,
        row.source_url,
        row.content_type,
        row.size_bytes,
        row.sha256.lower() if row.sha256 else None,
    )


def storage_keys(connection: Connection, account_id: str, entity: Entity, ids: Sequence[str]) -> Sequence[str]:
    """Where the files of these records were copied to."""
    table, row_id = LEDGERS[entity]
    mine = sa.and_(table.c.account_id == account_id, row_id.in_(ids), table.c.state == COPIED)
    return connection.scalars(sa.select(table.c.storage_key).where(mine)).all()


# --- what became of it -----------------------------------------------------------------------------------------------


Name = tuple[Entity, str]  # of a file: the entity and the id of its record


@dataclass(frozen=True, slots=True)
class Counts:
    """What is to be added to what a run's files come to."""

    copied: int = 0
    missing: int = 0
    differ: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, copied: Sequence[Copied], failed: Sequence[Failed]) -> Counts:
        codes = Counter(one.error.code for one in failed)
        size_bytes = sum(one.stored.size_bytes for one in copied)
        return cls(len(copied), codes[RejectCode.FILE_MISSING], codes[RejectCode.FILE_DIFFERS], size_bytes)


def require_held(connection: Connection, held: Claim) -> None:
    """Keep the run this claim's until the transaction ends.

    Raises: LeaseLost, Interrupted (cancelled) or AccountDeleted, when it is not this claim's any more.
    """
    status.require_held(connection, held)
    if account_status(connection, held.account_id) is None:
        raise status.why_lost(connection, held)


def set_total(connection: Connection, held: Claim) -> int:
    """Count the run's files anew, those dealt with and those that wait; how many wait. Raises: as `require_held`."""
    require_held(connection, held)
    waiting = count_pending(connection, held.account_id)
    runs = import_runs.c
    total = runs.files_copied + runs.files_missing + runs.files_differ + waiting
    connection.execute(import_runs.update().where(runs.run_id == held.run_id).values(files_total=total))
    return waiting


def failed_files(connection: Connection, run_id: str) -> int:
    """How many files of the run have failed."""
    runs = import_runs.c
    failed = sa.select(runs.files_missing + runs.files_differ).where(runs.run_id == run_id)
    return int(connection.execute(failed).scalar_one())


def move(
    connection: Connection, account_id: str, copied: Sequence[Copied], failed: Sequence[Failed], state: str
) -> tuple[list[Copied], list[Failed]]:
    """Write down what became of files; those of them that still were in that state."""
    still = _still(connection, account_id, [*(one.file for one in copied), *(one.file for one in failed)], state)
    done = [one for one in copied if _name(one.file) in still]
    lost = [one for one in failed if _name(one.file) in still]
    for entity in LEDGERS:
        stored = {one.file.id: one.storage_key for one in done if one.file.entity is entity}
        _write(connection, account_id, entity, COPIED, stored)
        _write(connection, account_id, entity, FAILED, {one.file.id: None for one in lost if one.file.entity is entity})
    return done, lost


def add(connection: Connection, run_id: str, counts: Counts) -> None:
    """Add to what the run's files come to."""
    runs = import_runs.c
    columns = {f"files_{name}": number for name, number in asdict(counts).items()}
    sums = {name: runs[name] + number for name, number in columns.items()}
    connection.execute(import_runs.update().where(runs.run_id == run_id).values(sums))


def _name(file: File) -> Name:
    return file.entity, file.id


def _still(connection: Connection, account_id: str, files: Sequence[File], state: str) -> set[Name]:
    """Which of the files are in that state, from now until the transaction ends."""
    found: set[Name] = set()
    for entity, (table, row_id) in LEDGERS.items():
        ids = [file.id for file in files if file.entity is entity]
        if ids:
            mine = sa.and_(table.c.account_id == account_id, row_id.in_(ids), table.c.state == state)
            rows = connection.scalars(sa.select(row_id).where(mine).order_by(row_id).with_for_update())
            found.update((entity, one) for one in rows)
    return found


def _write(
    connection: Connection, account_id: str, entity: Entity, state: str, storage_keys: Mapping[str, str | None]
) -> None:
    if not storage_keys:
        return
    table, row_id = LEDGERS[entity]
    mine = sa.and_(table.c.account_id == account_id, row_id == sa.bindparam("this_id"))
    update = table.update().where(mine).values(state=state, storage_key=sa.bindparam("this_key"))
    connection.execute(update, [{"this_id": one, "this_key": key} for one, key in storage_keys.items()])
