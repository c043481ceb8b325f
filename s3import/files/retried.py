"""Files that failed, tried again when their run is long over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.accounts import account_status
from s3import.errors import AccountNotFound, NotImported, RejectCode
from s3import.files import ledger
from s3import.files.file import Copied, Failed, File
from s3import.files.ledger import Counts, Name
from s3import.recordings import FAILED
from s3import.records import Entity, Pass
from s3import.status import Run
from s3import.tables import import_parts, import_rejects
from s3import.transactions import Transactions

FILE_CODES = (RejectCode.FILE_MISSING, RejectCode.FILE_DIFFERS)
_COUNTED_AS = {RejectCode.FILE_MISSING: Counts(missing=-1), RejectCode.FILE_DIFFERS: Counts(differ=-1)}


@dataclass(slots=True)
class Retried:
    """How many files were copied and how many failed again."""

    account_id: str
    copied: int = 0
    failed: int = 0

    def document(self) -> dict[str, Any]:
        """It as a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A reject of a file: where it is kept, and what it is counted as."""

    run_id: str
    part_number: int
    line: int
    code: str

    @property
    def row(self) -> sa.ColumnElement[bool]:
        kept = import_rejects.c
        return sa.and_(kept.run_id == self.run_id, kept.part_number == self.part_number, kept.line == self.line)


@dataclass(frozen=True)
class RetryLedger:
    """The `Ledger` of an account's failed files, whichever run they belong to. `run_id`: with which those are counted
    that no run knows of. What is copied is taken from the rejects; what fails again stays there with its new reason."""

    transactions: Transactions
    account_id: str
    run_id: str
    retried: Retried = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "retried", Retried(self.account_id))

    def pages(self) -> Iterator[list[File]]:
        """As `Ledger.pages`."""
        yield from ledger.pages(self.transactions, self.account_id, FAILED)

    def settle(self, copied: list[Copied], failed: list[Failed]) -> None:
        """As `Ledger.settle`."""
        done, again = self.transactions.run(
            self.account_id, lambda connection: self._settle(connection, copied, failed)
        )
        self.retried.copied += done
        self.retried.failed += again

    def _settle(self, connection: Connection, copied: list[Copied], failed: list[Failed]) -> tuple[int, int]:
        done, again = ledger.move(connection, self.account_id, copied, failed, FAILED)
        kept = _rejects_of(connection, self.account_id, [*(one.file for one in done), *(one.file for one in again)])
        for copy in done:
            self._clear(connection, copy, kept[copy.file.entity, copy.file.id])
        for failure in again:
            for reject in kept[failure.file.entity, failure.file.id]:
                _renew(connection, reject, failure)
        return len(done), len(again)

    def _clear(self, connection: Connection, copied: Copied, rejects: Sequence[_Kept]) -> None:
        for reject in rejects:
            connection.execute(import_rejects.delete().where(reject.row))
            ledger.add(connection, reject.run_id, _COUNTED_AS[reject.code])
        run_id = rejects[0].run_id if rejects else self.run_id
        ledger.add(connection, run_id, Counts(copied=1, bytes=copied.stored.size_bytes))


def _rejects_of(connection: Connection, account_id: str, files: Sequence[File]) -> dict[Name, list[_Kept]]:
    """The rejects of these files, but not those of their records."""
    kept, parts = import_rejects.c, import_parts.c
    query = (
        sa.select(kept.run_id, kept.part_number, kept.line, kept.record_id, kept.reasons, parts.entity)
        .join_from(import_rejects, import_parts, sa.and_(parts.run_id == kept.run_id, parts.number == kept.part_number))
        .where(kept.account_id == account_id, kept.record_id.in_([file.id for file in files]))
    )
    found: defaultdict[Name, list[_Kept]] = defaultdict(list)
    for row in connection.execute(query):
        code = row.reasons[0]["code"]
        if code in FILE_CODES:
            found[Entity(row.entity), row.record_id].append(_Kept(row.run_id, row.part_number, row.line, code))
    return found


def _renew(connection: Connection, reject: _Kept, failed: Failed) -> None:
    """Have the reject say why the file failed this time."""
    reason = {"code": failed.error.code, "field": failed.file.field, "message": failed.error.message}
    connection.execute(import_rejects.update().where(reject.row).values(reasons=[reason]))
    if failed.error.code != reject.code:
        ledger.add(connection, reject.run_id, _COUNTED_AS[reject.code])
        ledger.add(connection, reject.run_id, Counts.of([], [failed]))


def last_copied(connection: Connection, account_id: str, files_to: str | None) -> Run:
    """The account's last run whose files were to be copied, to `files_to` where that is given.

    Raises: AccountNotFound; RunIsAlive while a pass is queued or being imported; NotImported where no files were to be
    copied.
    """
    if account_status(connection, account_id) is None:
        raise AccountNotFound(f"account {account_id} is not in the database; check --account and --database")
    runs = sorted(status.idle_runs(connection, account_id), key=lambda run: list(Pass).index(run.pass_))
    copied = [run for run in runs if run.choices.files_to or files_to]
    if not copied:
        raise NotImported(f"account {account_id}: no pass was imported with --files-to; there is no file to try again")
    choices = replace(copied[-1].choices, files_to=files_to or copied[-1].choices.files_to)
    return replace(copied[-1], choices=choices)
