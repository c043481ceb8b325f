"""Takes back what was imported of an account, so that its migration can begin anew.

As long as the account is `migrating` nobody works in it: all of its threads, messages and attachments go. Afterwards
what people made stays: the dumps are read again, and what they hold goes, with everything that hangs on it. Children go
before their parents, a page at a time, the bookkeeping last: whatever interrupts it, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from s3import import status
from s3import.accounts import AccountStatus, account_status, set_status
from s3import.checkpoints import read_parts, read_window
from s3import.errors import AccountIsActive, AccountNotFound, Interrupted, NotImported
from s3import.files import TargetOpener, storage_keys
from s3import.migration import SourceOpener
from s3import.readers import read_part
from s3import.readers.dump import plan_pass
from s3import.readers.source import Source
from s3import.records import ROW_ENTITIES, Entity, PlannedPart, Position
from s3import.status import Run
from s3import.tables import FILES, TARGETS
from s3import.transactions import Transactions
from s3import.undo.purge import forget
from s3import.validators import check
from s3import.writers import delete_rows

T = TypeVar("T")

PAGE_ROWS = 1000
FILES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Removed:
    """What a reset took away, rows by entity, and what of the account is left because people made it."""

    account_id: str
    rows: Mapping[Entity, int]
    left: Mapping[Entity, int]


class Reset:
    """Takes back one account's import; `open_source` finds the dumps of its runs again."""

    def __init__(
        self,
        transactions: Transactions,
        account_id: str,
        *,
        open_source: SourceOpener,
        open_target: TargetOpener,
        block_bytes: int,
    ) -> None:
        self._transactions, self._account_id = transactions, account_id
        self._open_source, self._open_target = open_source, open_target
        self._files_to: set[str] = set()
        self._block_bytes = block_bytes

    def run(self, *, force: bool = False) -> Removed:
        """Take everything back.

        Raises: AccountNotFound; RunIsAlive; AccountIsActive unless forced; what reading a dump raises; Interrupted.
        """
        runs = self._do(lambda connection: self._begin(connection, force))
        for run in runs or ():
            self._plan(run)  # a dump that is not there shows before anything goes
        before = self.count()
        for entity in reversed(ROW_ENTITIES):
            for ids in self._pages(entity, runs):
                self._remove(entity, ids)
        self._do(self._end)
        left = self.count()
        return Removed(self._account_id, {entity: before[entity] - left[entity] for entity in left}, left)

    def count(self) -> dict[Entity, int]:
        """The account's rows as they are, by entity."""

        def look(connection: Connection) -> dict[Entity, int]:
            return {
                entity: connection.execute(
                    sa.select(sa.func.count()).where(TARGETS[entity].c.account_id == self._account_id)
                ).scalar_one()
                for entity in ROW_ENTITIES
            }

        return self._transactions.read(self._account_id, look)

    def _begin(self, connection: Connection, force: bool) -> Sequence[Run] | None:
        """The runs that imported something; none of them writes anything from now on. None: all rows of the account go,
        as nobody has worked in it."""
        now = account_status(connection, self._account_id)
        runs = status.idle_runs(connection, self._account_id)
        if now is None and not runs:
            raise AccountNotFound(f"account {self._account_id} is not in the database, and nothing is known of it")
        if now is AccountStatus.ACTIVE and not force:
            raise AccountIsActive(
                f"account {self._account_id} is active: people have worked in it since, and what they wrote in "
                "imported threads would go with these; give --force to take it back all the same"
            )
        if now is not AccountStatus.MIGRATING and not runs:
            raise NotImported(
                f"account {self._account_id}: nothing is kept of its migration, so that nobody can tell what was "
                "imported from what people made; nothing was taken back"
            )
        self._files_to = {run.choices.files_to for run in runs if run.choices.files_to}
        for run in runs:
            status.cancel(connection, run.run_id)
        if now is AccountStatus.MIGRATING:
            return None
        return [run for run in runs if read_parts(connection, run.run_id)]

    def _pages(self, entity: Entity, runs: Sequence[Run] | None) -> Iterator[list[str]]:
        if runs is None:
            while page := self._do(lambda connection: _first_ids(connection, entity, self._account_id)):
                yield page
        for run in runs or ():
            ids = self._ids_in_dump(entity, run)
            while page := list(islice(ids, PAGE_ROWS)):
                yield page

    def _ids_in_dump(self, entity: Entity, run: Run) -> Iterator[str]:
        source, parts = self._plan(run)
        for planned in parts:
            if planned.entity is entity:
                for batch in read_part(source, planned, Position(), block_bytes=self._block_bytes):
                    yield from check(batch, entity, self._account_id).accepted["id"].to_pylist()

    def _plan(self, run: Run) -> tuple[Source, Sequence[PlannedPart]]:
        source = self._open_source(run.source, self._account_id)
        divided = partial(read_window, account_id=self._account_id)
        return source, plan_pass(source, self._account_id, run.pass_, lambda: self._do(divided)).parts

    def _remove(self, entity: Entity, ids: list[str]) -> None:
        if self._transactions.stop.is_set():
            raise Interrupted(f"account {self._account_id}: interrupted; run the same command again, it goes on")
        self._remove_files(entity, ids)
        self._do(lambda connection: delete_rows(connection, entity, self._account_id, ids))

    def _remove_files(self, entity: Entity, ids: Sequence[str]) -> None:
        """Take copies away while the rows still say where they are; what may not be deleted stays."""
        if self._files_to and entity in FILES:
            keys = self._transactions.read(
                self._account_id, partial(storage_keys, account_id=self._account_id, entity=entity, ids=ids)
            )
            for uri in self._files_to:
                target = self._open_target(uri, self._account_id).target
                with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
                    list(pool.map(target.remove, keys))

    def _end(self, connection: Connection) -> None:
        """Forget everything; the account is as it was before its first run. Raises: RunIsAlive."""
        forget(connection, self._account_id, status.idle_runs(connection, self._account_id))
        set_status(connection, self._account_id, AccountStatus.MIGRATING)

    def _do(self, work: Callable[[Connection], T]) -> T:
        return self._transactions.run(self._account_id, work)


def _first_ids(connection: Connection, entity: Entity, account_id: str) -> list[str]:
    rows = TARGETS[entity].c
    query = sa.select(rows.id).where(rows.account_id == account_id).order_by(rows.id).limit(PAGE_ROWS)
    return list(connection.scalars(query))
