"""Where the records of failed files stand in the dump: their rejects have a place and a text like all others."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.checkpoints import Part
from s3import.errors import MigrationFailed
from s3import.files.file import Failed
from s3import.readers import read_part
from s3import.readers.source import Source
from s3import.records import Batch, Entity, Position, Reason, Reject, one_array
from s3import.rejects import as_rows
from s3import.tables import import_rejects
from s3import.validators import check, make_rejects
from s3import.writers import Database

log = logging.getLogger(__name__)

Reasons = tuple[Reason, ...]
PlacedReject = tuple[int, Reject]  # the number of its part, and the reject


@dataclass(frozen=True, slots=True)
class Places:
    """Looks for records in the parts of one run of an account."""

    account_id: str
    source: Source
    parts: Sequence[Part]
    block_bytes: int
    require_going: Callable[[], None]
    _beyond: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def rejects(self, failed: Sequence[Failed]) -> list[PlacedReject]:
        """A reject for each failed file, at its record's first right place in the dump; of one whose record is not
        there any more, behind the last line of a part and without a text."""
        found: list[PlacedReject] = []
        for entity in (Entity.MESSAGES, Entity.ATTACHMENTS):
            wanted: dict[str, Reasons] = {one.file.id: (_reason(one),) for one in failed if one.file.entity is entity}
            parts = [part for part in self.parts if part.planned.entity is entity]
            for part in parts:
                found += self._find(part, wanted)
            found += self._unplaced(parts or self.parts, wanted)
        return found

    def _unplaced(self, parts: Sequence[Part], wanted: dict[str, Reasons]) -> Iterator[PlacedReject]:
        for part in parts[-1:]:
            for row_id, reasons in wanted.items():
                line = part.progress.position.line + next(self._beyond)
                yield part.number, Reject(line, row_id, reasons, "", raw_truncated=False)

    def _find(self, part: Part, wanted: dict[str, Reasons]) -> Iterator[PlacedReject]:
        """What is found is taken out of `wanted`. A part that cannot be read any more holds nothing."""
        try:
            batches = read_part(self.source, part.planned, Position(), block_bytes=self.block_bytes)
            for batch in batches if wanted else ():
                self.require_going()
                yield from ((part.number, reject) for reject in self._rejects_in(batch, part.planned.entity, wanted))
        except MigrationFailed as error:
            log.warning("account %s: the records of failed files are not found: %s", self.account_id, error)

    def _rejects_in(self, batch: Batch, entity: Entity, wanted: dict[str, Reasons]) -> list[Reject]:
        checked = check(batch, entity, self.account_id)
        mine = pc.is_in(one_array(checked.accepted["id"]), pa.array(wanted, pa.string()))
        rows = checked.rows.filter(mine)
        these = dict(zip(batch.records["id"].take(rows).to_pylist(), rows.to_pylist(), strict=True))
        return make_rejects(batch, {row: wanted.pop(row_id) for row_id, row in these.items()})


def keep(
    connection: Connection, database: Database, run_id: str, account_id: str, placed: Sequence[PlacedReject]
) -> None:
    """Write the rejects down, each in the place of what may stand there."""
    kept = import_rejects.c
    for number in sorted({number for number, _ in placed}):
        rejects = [reject for other, reject in placed if other == number]
        there = sa.and_(kept.run_id == run_id, kept.part_number == number)
        connection.execute(import_rejects.delete().where(there, kept.line.in_([reject.line for reject in rejects])))
        rows = as_rows(rejects, run_id=run_id, part_number=number, account_id=account_id)
        database.writer.load(connection, import_rejects, rows)


def _reason(failed: Failed) -> Reason:
    return Reason(failed.error.code, failed.file.field, failed.error.message)
