"""Whose the files of records are, and where those records stand: noted with the rows, in ``import_files``.

A file that cannot be copied has its reject at the place of the record whose row is there. No other reject can stand
there, as a rejected record has no row; and it goes as soon as another version of the record is written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.errors import RejectCode
from s3import.core.records import TEXT, Entity, Pass
from s3import.core.tables import FILES, Id, import_files, import_recordings, import_rejects, import_runs

T = TypeVar("T")

PENDING, COPIED, FAILED, REFERENCED = "pending", "copied", "failed", "referenced"
FILE_CODES = (RejectCode.FILE_MISSING, RejectCode.FILE_DIFFERS)
COLUMNS = {RejectCode.FILE_MISSING: "files_missing", RejectCode.FILE_DIFFERS: "files_differ"}
AT_ONCE = 500

_SCHEMA = pa.schema(
    [
        ("account_id", TEXT),
        ("entity", TEXT),
        ("record_id", TEXT),
        ("run_id", TEXT),
        ("part_number", pa.int64()),
        ("line", pa.int64()),
    ]
)
_ANY = sa.union_all(  # asked for every batch: made once, as small dumps would notice
    *(
        sa.select(table.c.account_id).where(table.c.account_id == sa.bindparam("account_id", type_=Id))
        for table in (import_files, import_recordings)
    )
).limit(1)


@dataclass(frozen=True, slots=True)
class FilePlace:
    """Where the record of a file stands: the part of a run and the line in it, None where that is not known."""

    entity: Entity
    record_id: str
    run_id: str
    part_number: int | None
    line: int | None


@dataclass(frozen=True, slots=True)
class FileReject:
    """A reject of a file, by its place, and what it is counted as."""

    run_id: str
    part_number: int
    line: int
    code: str

    @property
    def row(self) -> sa.ColumnElement[bool]:
        kept = import_rejects.c
        return sa.and_(kept.run_id == self.run_id, kept.part_number == self.part_number, kept.line == self.line)


def in_chunks(items: Sequence[T], size: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """The items, some hundred at a time: as many as a statement takes."""
    return (items[start : start + size] for start in range(0, len(items), size))


def are_noted(connection: Connection, account_id: str) -> bool:
    """Whether any file of the account is."""
    return connection.execute(_ANY, {"account_id": account_id}).first() is not None


def owner(account_id: str, entity: Entity, record_id: sa.ColumnElement[str]) -> sa.ScalarSelect[str]:
    """The id of the run that the file of a record belongs to, in SQL: one look into the key for each row, whatever a
    planner knows of the table."""
    noted = import_files.c
    mine = sa.and_(noted.account_id == account_id, noted.entity == entity.value, noted.record_id == record_id)
    return sa.select(noted.run_id).where(mine).scalar_subquery()


def note(connection: Connection, writer: Any, account_id: str, places: Sequence[FilePlace]) -> None:
    """Write the places down; those of these files from before must be forgotten. Raises: as `Writer.load`."""
    if places:
        columns = [
            [account_id] * len(places),
            [place.entity.value for place in places],
            [place.record_id for place in places],
            [place.run_id for place in places],
            [place.part_number for place in places],
            [place.line for place in places],
        ]
        writer.load(connection, import_files, pa.table(columns, schema=_SCHEMA))


def find(connection: Connection, account_id: str, entity: Entity, ids: Sequence[str]) -> dict[str, FilePlace]:
    """The places of these records' files, by id, as far as they are noted."""
    found = {}
    for some in in_chunks(ids):
        for row in connection.execute(sa.select(import_files).where(_of(account_id, entity, some))):
            found[row.record_id] = FilePlace(entity, row.record_id, row.run_id, row.part_number, row.line)
    return found


def are_lost(connection: Connection, run_id: str) -> bool:
    """Whether the run has files of which it does not know where their records stand."""
    noted = import_files.c
    lost = sa.select(noted.record_id).where(noted.run_id == run_id, noted.part_number.is_(None)).limit(1)
    return connection.execute(lost).first() is not None


def find_again(
    connection: Connection, account_id: str, entity: Entity, run_id: str, part_number: int, lines: Mapping[str, int]
) -> None:
    """Write down where the records of such files stand, by their ids: in those lines of the part."""
    noted = import_files.c
    lost = (noted.run_id == run_id, noted.part_number.is_(None))
    for some in in_chunks(list(lines)):
        ids = connection.scalars(sa.select(noted.record_id).where(_of(account_id, entity, some), *lost)).all()
        this = (
            noted.account_id == account_id,
            noted.entity == entity.value,
            noted.record_id == sa.bindparam("this_id"),
        )
        place = {"part_number": part_number, "line": sa.bindparam("this_line")}
        update = import_files.update().where(*this).values(place)
        if ids:
            connection.execute(update, [{"this_id": one, "this_line": lines[one]} for one in ids])


def rejects_at(connection: Connection, places: Iterable[FilePlace]) -> dict[FilePlace, FileReject]:
    """The rejects of files at these places."""
    by_part: defaultdict[tuple[str, int], dict[int, FilePlace]] = defaultdict(dict)
    for place in places:
        if place.part_number is not None and place.line is not None:
            by_part[place.run_id, place.part_number][place.line] = place
    found = {}
    kept = import_rejects.c
    for (run_id, number), lines in by_part.items():
        for some in in_chunks(list(lines)):
            there = sa.and_(kept.run_id == run_id, kept.part_number == number, kept.line.in_(some))
            for line, reasons in connection.execute(sa.select(kept.line, kept.reasons).where(there)):
                if reasons[0]["code"] in FILE_CODES:
                    found[lines[line]] = FileReject(run_id, number, line, reasons[0]["code"])
    return found


def forget(connection: Connection, account_id: str, entity: Entity, ids: Sequence[str]) -> None:
    """Forget the files of these records, which other versions replace: a reject of one that failed goes with it, and
    its run counts it no more."""
    for some in in_chunks(ids):
        places = find(connection, account_id, entity, some)
        if places:
            rejects = list(rejects_at(connection, list(places.values())).values())
            uncount(connection, rejects)
            remove(connection, rejects)
            _add(connection, Counter((reject.run_id, "files_total") for reject in rejects))
            connection.execute(import_files.delete().where(_of(account_id, entity, list(places))))


def uncount(connection: Connection, rejects: Sequence[FileReject]) -> None:
    """Count the rejects no more among the failed files of their runs."""
    _add(connection, Counter((reject.run_id, COLUMNS[reject.code]) for reject in rejects))


def _add(connection: Connection, fewer: Mapping[tuple[str, str], int]) -> None:
    runs = import_runs.c
    for (run_id, column), count in fewer.items():
        connection.execute(import_runs.update().where(runs.run_id == run_id).values({column: runs[column] - count}))


def remove(connection: Connection, rejects: Sequence[FileReject]) -> None:
    """List the rejects no more."""
    for reject in rejects:
        connection.execute(import_rejects.delete().where(reject.row))


def _of(account_id: str, entity: Entity, ids: Sequence[str]) -> sa.ColumnElement[bool]:
    noted = import_files.c
    return sa.and_(noted.account_id == account_id, noted.entity == entity.value, noted.record_id.in_(ids))


def reopen(connection: Connection, run_id: str, part_number: int) -> None:
    """Have the failed files of a part's records tried again, whose rejects go: the part is read from its beginning, or
    not at all any more. Where the records stand is not known until then."""
    noted = import_files.c
    mine = sa.select(import_files).where(noted.run_id == run_id, noted.part_number == part_number).limit(AT_ONCE)
    while rows := connection.execute(mine).all():
        _reopen(connection, rows[0].account_id, [FilePlace(Entity(row.entity), *row[2:]) for row in rows])


def retry_in(connection: Connection, account_id: str, run_id: str) -> None:
    """Give this run, which reads its pass again, the files of the runs that read it before (of deltas, from the same
    source); it tries those again that failed. Where the records stand is not known until they are read."""
    runs, this = import_runs.c, import_runs.alias().c
    pass_, source = (
        sa.select(one).where(this.run_id == run_id).scalar_subquery() for one in (this["pass"], this.source)
    )
    same = sa.and_(runs["pass"] == pass_, sa.or_(runs["pass"] != Pass.DELTA.value, runs.source == source))
    before = sa.select(runs.run_id).where(runs.account_id == account_id, same, runs.run_id != run_id)
    for entity, (table, row_id) in FILES.items():
        noted = import_files.c
        failed = sa.and_(table.c.account_id == account_id, row_id == noted.record_id, table.c.state == FAILED)
        mine = sa.and_(noted.account_id == account_id, noted.entity == entity.value, noted.run_id.in_(before))
        while rows := connection.execute(sa.select(import_files).join(table, failed).where(mine).limit(AT_ONCE)).all():
            _reopen(connection, account_id, [FilePlace(entity, *row[2:]) for row in rows])
            ids = [row.record_id for row in rows]
            connection.execute(
                table.update().where(table.c.account_id == account_id, row_id.in_(ids)).values(state=PENDING)
            )
            connection.execute(import_files.update().where(_of(account_id, entity, ids)).values(run_id=run_id))
    rest = sa.and_(import_files.c.account_id == account_id, import_files.c.run_id.in_(before))
    connection.execute(import_files.update().where(rest).values(run_id=run_id, part_number=None, line=None))


def _reopen(connection: Connection, account_id: str, places: Sequence[FilePlace]) -> None:
    failed = rejects_at(connection, places)
    uncount(connection, list(failed.values()))
    remove(connection, list(failed.values()))
    for entity, (table, row_id) in FILES.items():
        ids = [place.record_id for place in failed if place.entity is entity]
        again = sa.and_(table.c.account_id == account_id, row_id.in_(ids), table.c.state == FAILED)
        connection.execute(table.update().where(again).values(state=PENDING))
        ids = [place.record_id for place in places if place.entity is entity]
        nowhere = import_files.update().values(part_number=None, line=None)
        connection.execute(nowhere.where(_of(account_id, entity, ids)))
