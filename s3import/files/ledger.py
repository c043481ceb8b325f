"""What of a run's files is still to be copied, and what became of the others.

The rows themselves are the ledger: ``attachments.state``, and ``import_recordings.state`` for messages; whose they are
says ``import_files``. A state changes together with the run's counts and the rejects, in one transaction. A row that
somebody deleted or replaced meanwhile is found by nobody, and comes back through nothing here.
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
from s3import.core.accounts import account_status
from s3import.core.errors import RejectCode
from s3import.core.records import Entity
from s3import.core.tables import FILES, import_runs
from s3import.files.file import Copied, Failed, File
from s3import.importing.file_places import COPIED, FAILED, PENDING, owner
from s3import.importing.transactions import Transactions
from s3import.status import Claim

ROWS_AT_ONCE = 500


# --- what there is to do ---------------------------------------------------------------------------------------------


def _of_run(entity: Entity, account_id: str, run_id: str, state: str) -> sa.ColumnElement[bool]:
    """Rows of the account whose files are of that state and belong to that run."""
    table, row_id = FILES[entity]
    mine = owner(account_id, entity, row_id) == run_id
    return sa.and_(table.c.account_id == account_id, table.c.state == state, mine)


def count(connection: Connection, account_id: str, run_id: str, state: str) -> int:
    """How many files of the run are of that state."""
    return sum(
        connection.execute(
            sa.select(sa.func.count()).select_from(table).where(_of_run(entity, account_id, run_id, state))
        ).scalar_one()
        for entity, (table, _) in FILES.items()
    )


def pages(transactions: Transactions, account_id: str, run_id: str, state: str) -> Iterator[list[File]]:
    """The run's files of that state, some hundred at a time, each once, whatever becomes of them meanwhile."""
    for entity in FILES:
        after = ""
        while page := transactions.read(account_id, partial(_page, account_id, run_id, entity, state, after)):
            yield page
            after = page[-1].id


def _page(account_id: str, run_id: str, entity: Entity, state: str, after: str, connection: Connection) -> list[File]:
    """The next files in the order of ids, behind the id `after`."""
    table, row_id = FILES[entity]
    selected = sa.and_(_of_run(entity, account_id, run_id, state), row_id > after)
    rows = connection.execute(sa.select(table).where(selected).order_by(row_id).limit(ROWS_AT_ONCE))
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
    table, row_id = FILES[entity]
    mine = sa.and_(table.c.account_id == account_id, row_id.in_(ids), table.c.state == COPIED)
    return connection.scalars(sa.select(table.c.storage_key).where(mine)).all()


# --- what became of it -----------------------------------------------------------------------------------------------


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


def set_total(connection: Connection, account_id: str, run_id: str) -> int:
    """Count the run's files anew, those dealt with and those that wait; how many wait."""
    waiting = count(connection, account_id, run_id, PENDING)
    runs = import_runs.c
    total = runs.files_copied + runs.files_missing + runs.files_differ + waiting
    connection.execute(import_runs.update().where(runs.run_id == run_id).values(files_total=total))
    return waiting


def failed_files(connection: Connection, run_id: str) -> int:
    """How many files of the run have failed."""
    runs = import_runs.c
    failed = sa.select(runs.files_missing + runs.files_differ).where(runs.run_id == run_id)
    return int(connection.execute(failed).scalar_one())


def move(
    connection: Connection,
    account_id: str,
    run_id: str,
    copied: Sequence[Copied],
    failed: Sequence[Failed],
    state: str,
) -> tuple[list[Copied], list[Failed]]:
    """Write down what became of files; those of them that still were the run's, and in that state."""
    files = [*(one.file for one in copied), *(one.file for one in failed)]
    still = {file for entity in FILES for file in _still(connection, entity, account_id, run_id, files, state)}
    done = [one for one in copied if one.file in still]
    lost = [one for one in failed if one.file in still]
    for entity in FILES:
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


def _still(
    connection: Connection, entity: Entity, account_id: str, run_id: str, files: Sequence[File], state: str
) -> list[File]:
    """Which of the files are as they were when they were listed, from now until the transaction ends."""
    table, row_id = FILES[entity]
    ids = [file.id for file in files if file.entity is entity]
    if not ids:
        return []
    mine = sa.and_(_of_run(entity, account_id, run_id, state), row_id.in_(ids))
    rows = connection.execute(sa.select(table).where(mine).order_by(row_id).with_for_update())
    return [_as_file(entity, row) for row in rows]


def _write(
    connection: Connection, account_id: str, entity: Entity, state: str, storage_keys: Mapping[str, str | None]
) -> None:
    if not storage_keys:
        return
    table, row_id = FILES[entity]
    mine = sa.and_(table.c.account_id == account_id, row_id == sa.bindparam("this_id"))
    update = table.update().where(mine).values(state=state, storage_key=sa.bindparam("this_key"))
    connection.execute(update, [{"this_id": one, "this_key": key} for one, key in storage_keys.items()])
