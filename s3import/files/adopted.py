"""Files that belong to no run yet, because their run was not to copy files: whose records they are is found out."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import MigrationFailed
from s3import.core.records import Entity, PlannedPart
from s3import.core.tables import FILES, TARGETS, attachments, import_recordings, messages
from s3import.importing import checkpoints, file_places
from s3import.importing.file_places import PENDING, REFERENCED, FilePlace, in_chunks, owner
from s3import.importing.transactions import Transactions
from s3import.readers.reading import CheckedBatch, read_checked
from s3import.readers.sources.source import DumpSource
from s3import.status import Run

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 500
Version = tuple[str, dt.datetime]  # the id of a record, and the instant that tells its versions apart


@dataclass(frozen=True, slots=True)
class Adoption:
    """Gives the account's files that belong to nobody, and are of one of these states, to the runs whose records they
    are; what was only referenced waits to be copied then."""

    transactions: Transactions
    account_id: str
    states: Sequence[str]
    block_bytes: int
    require_going: Callable[[], None]

    def adopt(self, run: Run, source: DumpSource) -> None:
        """Give the run those whose records stand in its parts. A part that cannot be read any more gives nothing."""
        parts = self.transactions.read(self.account_id, partial(checkpoints.read_parts, run_id=run.run_id))
        for part in parts:
            entity = part.planned.entity
            if entity in FILES and self.transactions.read(self.account_id, partial(self._next, entity)):
                try:
                    self._adopt(run.run_id, part.number, part.planned, source)
                except MigrationFailed as error:
                    log.warning(
                        "account %s: %s is not looked through: %s",
                        self.account_id,
                        part.planned.key,
                        error,
                        extra={"event": "part_unreadable"},
                    )

    def adopt_rest(self, run: Run) -> None:
        """Give the run what is left: where those records stand nobody knows."""
        for entity in FILES:
            while ids := self.transactions.read(self.account_id, partial(self._next, entity)):
                places = [FilePlace(entity, row_id, run.run_id, None, None) for row_id in ids]
                self.transactions.run(self.account_id, partial(self._give, places=places))

    def _adopt(self, run_id: str, number: int, planned: PlannedPart, source: DumpSource) -> None:
        for read in read_checked(source, planned, self.account_id, block_bytes=self.block_bytes):
            self.require_going()
            lines = _versions(read)
            for some in in_chunks(list(lines.items())):
                give = partial(self._give_matching, planned.entity, run_id, number, dict(some))
                self.transactions.run(self.account_id, give)

    def _give_matching(
        self, entity: Entity, run_id: str, number: int, lines: dict[Version, int], connection: Connection
    ) -> None:
        rows = TARGETS[entity].c
        versions = sa.select(rows.id, sa.func.coalesce(rows.updated_at, rows.created_at))
        ids = {row_id for row_id, _ in lines}
        found = connection.execute(versions.where(self._unowned(entity), rows.id.in_(ids)).order_by(rows.id)).all()
        places = [
            FilePlace(entity, row_id, run_id, number, lines[row_id, at])
            for row_id, at in found
            if (row_id, at) in lines
        ]
        self._give(connection, places)

    def _give(self, connection: Connection, places: Sequence[FilePlace]) -> None:
        for entity in FILES:
            ids = [place.record_id for place in places if place.entity is entity]
            if ids and entity is Entity.MESSAGES:
                self._expect_recordings(connection, ids)
            elif ids:
                mine = sa.and_(attachments.c.account_id == self.account_id, attachments.c.id.in_(ids))
                update = attachments.update().where(mine, attachments.c.state == REFERENCED)
                connection.execute(update.values(state=PENDING))
        file_places.note(connection, self.transactions.database.writer, self.account_id, places)

    def _expect_recordings(self, connection: Connection, ids: Sequence[str]) -> None:
        source, noted = messages.c, import_recordings.c
        known = sa.select(noted.message_id).where(noted.account_id == self.account_id, noted.message_id.in_(ids))
        missing = sorted(set(ids) - set(connection.scalars(known)))
        mine = sa.and_(source.account_id == self.account_id, source.id.in_(missing))
        columns = (source.account_id, source.id, source.recording_key, sa.literal(PENDING))
        names = ["account_id", "message_id", "source_key", "state"]
        connection.execute(sa.insert(import_recordings).from_select(names, sa.select(*columns).where(mine)))

    def _next(self, entity: Entity, connection: Connection) -> Sequence[str]:
        """The ids of some records whose files belong to nobody."""
        rows = TARGETS[entity].c
        query = sa.select(rows.id).where(self._unowned(entity)).order_by(rows.id).limit(ROWS_AT_ONCE)
        return connection.scalars(query).all()

    def _unowned(self, entity: Entity) -> sa.ColumnElement[bool]:
        rows = TARGETS[entity].c
        nobodys = sa.and_(rows.account_id == self.account_id, owner(self.account_id, entity, rows.id).is_(None))
        if entity is not Entity.MESSAGES:
            return sa.and_(nobodys, attachments.c.state.in_(self.states))
        noted = import_recordings.c
        mine = sa.and_(noted.account_id == self.account_id, noted.message_id == messages.c.id)
        state = sa.func.coalesce(sa.select(noted.state).where(mine).scalar_subquery(), REFERENCED)
        return sa.and_(messages.c.recording_key.is_not(None), nobodys, state.in_(self.states))


def _versions(read: CheckedBatch) -> dict[Version, int]:
    """The lines of a batch's right records with files; of several with one instant that of the first."""
    checked = read.checked
    at = pc.coalesce(checked.accepted["updated_at"], checked.accepted["created_at"])
    lines = read.batch.lines.take(checked.rows)
    found: dict[Version, int] = {}
    for row_id, when, line in zip(checked.accepted["id"].to_pylist(), at.to_pylist(), lines.to_pylist(), strict=True):
        found.setdefault((row_id, when), line)
    return found
