"""The files of runs that are over: those that were not to be copied at the time, and those that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.core import history
from s3import.core.accounts import account_status
from s3import.core.errors import AccountNotFound, ConfigurationError, NotImported
from s3import.core.history import Happened
from s3import.core.records import Pass
from s3import.core.tables import import_runs
from s3import.files.adopted import Adoption
from s3import.importing.file_places import FAILED, PENDING, REFERENCED
from s3import.importing.transactions import Transactions
from s3import.readers.sources.source import DumpSource
from s3import.status import Run, State

if TYPE_CHECKING:
    from s3import.files.migrated import FileCopier


@dataclass(slots=True)
class Retried:
    """How many files were copied and how many failed."""

    account_id: str
    copied: int = 0
    failed: int = 0

    def document(self) -> dict[str, Any]:
        """It as a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LaterFiles:
    """Copies files of an account's runs when nobody holds these. `open_sources`: where the files of a run are looked
    for, one place after the other."""

    transactions: Transactions
    copier: FileCopier
    account_id: str
    open_sources: Callable[[Run], Sequence[DumpSource]]
    block_bytes: int
    require_going: Callable[[], None]

    def copy(self, files_to: str | None) -> Retried:
        """Copy what was only referenced, and what an interrupted copy left waiting, to `files_to` or where files of the
        account went before.

        Raises: ConfigurationError without such a place; AccountNotFound, NotImported, RunIsAlive; as `FileCopier.copy`.
        """
        runs = self.transactions.run(self.account_id, self._imported)
        target = files_to or next((run.options.files_to for run in reversed(runs) if run.options.files_to), None)
        if target is None:
            raise ConfigurationError("no place to copy files to: give --files-to URI or set S3IMPORT_FILES_TO")
        runs = [replace(run, options=replace(run.options, files_to=target)) for run in runs]
        self._adopt(runs, (REFERENCED, PENDING))
        self.transactions.run(self.account_id, lambda connection: _remember_place(connection, runs))
        return self._copy(runs, PENDING, Happened.FILES_COPIED)

    def retry(self, files_to: str | None) -> Retried:
        """Copy what failed, to `files_to` or where it was to go.

        Raises: AccountNotFound; RunIsAlive; NotImported where no files were to be copied; as `FileCopier.copy`.
        """
        runs = [
            replace(run, options=replace(run.options, files_to=files_to or run.options.files_to))
            for run in self.transactions.run(self.account_id, self._imported)
            if run.options.files_to or files_to
        ]
        if not runs:
            raise NotImported(
                f"account {self.account_id}: no pass was imported with --files-to; there is no file to try again. "
                f"`s3import files copy --account {self.account_id} --files-to URI` copies files of imported rows"
            )
        self._adopt(runs, (FAILED,))
        return self._copy(runs, FAILED, Happened.FILES_RETRIED)

    def _imported(self, connection: Connection) -> list[Run]:
        """The account's runs, in the order in which passes come. Raises: AccountNotFound, RunIsAlive, NotImported."""
        if account_status(connection, self.account_id) is None:
            raise AccountNotFound(f"account {self.account_id} is not in the database; check --account and --database")
        runs = [run for run in status.idle_runs(connection, self.account_id) if run.attempts]
        if not runs:
            raise NotImported(
                f"account {self.account_id}: nothing is known of its migration, and so not where its files are; run "
                f"`s3import migrate --account {self.account_id}` first"
            )
        return sorted(runs, key=lambda run: list(Pass).index(run.pass_))

    def _adopt(self, runs: Sequence[Run], states: Sequence[str]) -> None:
        adoption = Adoption(self.transactions, self.account_id, states, self.block_bytes, self.require_going)
        for run in runs:
            adoption.adopt(run, self.open_sources(run)[0])
        adoption.adopt_rest(next((run for run in reversed(runs) if run.state is State.SUCCEEDED), runs[-1]))

    def _copy(self, runs: Sequence[Run], state: str, event: Happened) -> Retried:
        in_all = Retried(self.account_id)
        for run in runs:
            copied, failed = self.copier.copy_later(run, state, self.open_sources(run), self.require_going)
            in_all.copied += copied
            in_all.failed += failed
        self.transactions.run(
            self.account_id, lambda connection: history.write(connection, self.account_id, {event: None})
        )
        return in_all


def _remember_place(connection: Connection, runs: Sequence[Run]) -> None:
    """Where no place was chosen it is this one from now on."""
    for run in runs:
        this = sa.and_(import_runs.c.run_id == run.run_id, import_runs.c.files_to.is_(None))
        connection.execute(import_runs.update().where(this).values(files_to=run.options.files_to))
