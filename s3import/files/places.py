"""The rejects of files: each stands where its record does, and has that record's text like all others."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import MigrationFailed
from s3import.core.records import Position, Reason, Reject
from s3import.core.tables import FILES, import_files, import_parts, import_rejects, import_runs
from s3import.files.file import Copied, Failed, File
from s3import.importing import checkpoints, file_places
from s3import.importing.checkpoints import Part
from s3import.importing.file_places import FilePlace
from s3import.importing.rejects import as_rows
from s3import.importing.transactions import Transactions
from s3import.readers.sources.source import DumpSource
from s3import.transform.validators import make_rejects

if TYPE_CHECKING:
    from s3import.writers import Database


log = logging.getLogger(__name__)


# --- written with what became of the files ---------------------------------------------------------------------------


def settle(
    connection: Connection, database: Database, account_id: str, copied: Sequence[Copied], failed: Sequence[Failed]
) -> None:
    """Take away the rejects of files that are copied by now, and have those of the others say why. What stood there
    before is counted no more."""
    places = _places(connection, account_id, [*(one.file for one in copied), *(one.file for one in failed)])
    standing = file_places.rejects_at(connection, places.values())
    file_places.uncount(connection, list(standing.values()))
    there = [standing[place] for one in copied if (place := places[one.file]) in standing]
    file_places.remove(connection, there)
    fresh = []
    for one in failed:
        place = places[one.file]
        if place in standing:
            _renew(connection, standing[place].row, one)
        else:
            fresh.append((place, one))
    _insert(connection, database, account_id, fresh)


def _places(connection: Connection, account_id: str, files: Sequence[File]) -> dict[File, FilePlace]:
    found = {}
    for entity in FILES:
        mine = {file.id: file for file in files if file.entity is entity}
        for row_id, place in file_places.find(connection, account_id, entity, list(mine)).items():
            found[mine[row_id]] = place
    return found


def _renew(connection: Connection, row: sa.ColumnElement[bool], failed: Failed) -> None:
    reason = {"code": failed.error.code, "field": failed.file.field, "message": failed.error.message}
    connection.execute(import_rejects.update().where(row).values(reasons=[reason]))


def _insert(
    connection: Connection, database: Database, account_id: str, fresh: Sequence[tuple[FilePlace, Failed]]
) -> None:
    """Rejects without their texts, which `Texts` puts in; where a record's place is not known, behind the last line of
    a part."""
    by_part: defaultdict[tuple[str, int], list[Reject]] = defaultdict(list)
    free = _free(connection, [place for place, _ in fresh])
    for place, failed in fresh:
        reasons = (Reason(failed.error.code, failed.file.field, failed.error.message),)
        if place in free:
            reject = Reject(place.line or 0, place.record_id, reasons, "", raw_truncated=True)
            by_part[place.run_id, place.part_number or 0].append(reject)
        else:
            number, line = _make_room(connection, account_id, place)
            reject = Reject(line, place.record_id, reasons, "", raw_truncated=False)
            rows = as_rows([reject], run_id=place.run_id, part_number=number, account_id=account_id)
            database.writer.load(connection, import_rejects, rows)
    for (run_id, number), rejects in by_part.items():
        rows = as_rows(rejects, run_id=run_id, part_number=number, account_id=account_id, texts=0)
        database.writer.load(connection, import_rejects, rows)


def _free(connection: Connection, places: Sequence[FilePlace]) -> set[FilePlace]:
    """The places that are known, and where no other reject stands."""
    free = {place for place in places if place.part_number is not None and place.line is not None}
    kept = import_rejects.c
    for run_id, number in {(place.run_id, place.part_number) for place in free}:
        here = {place.line: place for place in free if (place.run_id, place.part_number) == (run_id, number)}
        there = sa.and_(kept.run_id == run_id, kept.part_number == number, kept.line.in_(list(here)))
        free -= {here[line] for line in connection.scalars(sa.select(kept.line).where(there))}
    return free


def _make_room(connection: Connection, account_id: str, place: FilePlace) -> tuple[int, int]:
    """The number of the last part of the entity (else of the run), and a line behind everything there; remembered."""
    parts, kept, noted = import_parts.c, import_rejects.c, import_files.c
    of_entity = sa.case((parts.entity == place.entity.value, 1), else_=0)
    mine = sa.select(parts.number, parts.line).where(parts.run_id == place.run_id)
    number, line = connection.execute(mine.order_by(of_entity.desc(), parts.number.desc()).limit(1)).one()
    last = sa.select(sa.func.max(kept.line)).where(kept.run_id == place.run_id, kept.part_number == number)
    line = max(line, connection.execute(last).scalar() or 0) + 1
    this = (noted.account_id == account_id, noted.entity == place.entity.value, noted.record_id == place.record_id)
    connection.execute(import_files.update().where(*this).values(part_number=number, line=line))
    return number, line


# --- the texts of the lines that were found ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Texts:
    """Gives the rejects of a run's failed files the texts of their records, for which its dump is read once; at most
    `keep_raw` rejects of the run have one."""

    transactions: Transactions
    account_id: str
    run_id: str
    source: DumpSource
    block_bytes: int
    keep_raw: int
    require_going: Callable[[], None]

    def fill(self) -> None:
        """Fill in what is missing. A part that cannot be read any more gives nothing."""
        lines = self.transactions.read(self.account_id, self._places)
        for number, ids in lines.items():
            [part] = self.transactions.read(
                self.account_id, partial(checkpoints.read_parts, run_id=self.run_id, number=number)
            )
            try:
                self._fill(part, ids)
            except MigrationFailed as error:
                log.warning(
                    "account %s: the records of failed files are not found: %s",
                    self.account_id,
                    error,
                    extra={"event": "file_records_not_found"},
                )

    def _places(self, connection: Connection) -> dict[int, dict[int, str]]:
        """By part and line, the ids of the records whose texts are missing."""
        kept, noted = import_rejects.c, import_files.c
        there = sa.select(sa.func.count(kept.raw)).where(kept.run_id == self.run_id)
        most = max(self.keep_raw - connection.execute(there).scalar_one(), 0)
        same = sa.and_(*(kept[name] == noted[name] for name in ("run_id", "part_number", "line")))
        query = sa.select(noted.part_number, noted.line, noted.record_id).join_from(import_files, import_rejects, same)
        query = query.where(noted.run_id == self.run_id, kept.raw.is_(None))
        lines: defaultdict[int, dict[int, str]] = defaultdict(dict)
        for number, line, row_id in connection.execute(query.order_by(noted.part_number, noted.line).limit(most)):
            lines[number][line] = row_id
        return lines

    def _fill(self, part: Part, ids: dict[int, str]) -> None:
        last = max(ids)
        for batch in self.source.read_part(part.planned, Position(), self.block_bytes):
            self.require_going()
            these = pc.indices_nonzero(pc.is_in(batch.lines, pa.array(ids, pa.int64()))).to_pylist()
            found = [one for one in make_rejects(batch, dict.fromkeys(these, ())) if ids[one.line] == one.id]
            if found:
                self.transactions.run(self.account_id, partial(self._write, number=part.number, found=found))
            if batch.end.line >= last:
                break

    def _write(self, connection: Connection, number: int, found: Sequence[Reject]) -> None:
        kept = import_rejects.c
        this = (kept.run_id == self.run_id, kept.part_number == number, kept.line == sa.bindparam("this_line"))
        texts: dict[str, sa.BindParameter[Any]] = {"raw": sa.bindparam("text"), "raw_truncated": sa.bindparam("is_cut")}
        runs = import_runs.c
        more = sa.func.coalesce(runs.texts, 0) + len(found)
        connection.execute(import_runs.update().where(runs.run_id == self.run_id).values(texts=more))
        rows = [{"this_line": one.line, "text": one.raw, "is_cut": one.raw_truncated} for one in found]
        connection.execute(import_rejects.update().where(*this, kept.raw.is_(None)).values(texts), rows)
