"""Records that are in doubt, each beside its row: equal after all, different, changed since, or not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import Entity, one_array
from s3import.core.tables import PARENTS
from s3import.operations.verify.expected import DumpPart, DumpReader
from s3import.operations.verify.findings import Finding, Findings, Kind, different_fields, is_changed_since
from s3import.operations.verify.found import Database, Row, Tombstone

LOOKED_UP_AT_ONCE = 50  # rows, by their keys: for many a planner without statistics would rather read the whole account
ABSENT_AT_ONCE = 2000  # records, whose tombstones are few, and small


@dataclass(frozen=True, slots=True)
class Explainer:
    """Reads records again and adds what is to be said of them to `findings`."""

    database: Database
    reader: DumpReader
    findings: Findings

    def explain(self, part: DumpPart, places: pa.Table) -> None:
        """Look at the records of the part in the lines of `places`, whose `has_row` says whether they have one."""
        there = one_array(places.filter(places["has_row"])["line"])
        absent = one_array(places.filter(pc.invert(places["has_row"]))["line"])
        told_by = ["id", *(column for column, _, _ in PARENTS[part.planned.entity]), "created_at", "updated_at", "line"]
        for rows, row_lines in self.reader.rows(part):
            placed = rows.append_column("line", row_lines)
            for records in _some(placed.filter(pc.is_in(row_lines, there)), LOOKED_UP_AT_ONCE):
                self._explain(part, records)
            for records in _some(placed.filter(pc.is_in(row_lines, absent)).select(told_by), ABSENT_AT_ONCE):
                self._explain_absence(part, records)

    def _explain(self, part: DumpPart, records: list[Row]) -> None:
        entity = part.planned.entity
        rows = self.database.by_id(entity, [record["id"] for record in records])
        for record in records:
            if record["id"] in rows:
                self._explain_row(part, record, rows[record["id"]])
        self._explain_absence(part, [record for record in records if record["id"] not in rows])

    def _explain_row(self, part: DumpPart, record: Row, row: Row) -> None:
        fields = different_fields(record, row)
        if not fields:
            return
        changed = is_changed_since(fields, record, row, self.database.began)
        self._add(part, record, Kind.CHANGED_SINCE if changed else Kind.DIFFERENT, fields)

    def _explain_absence(self, part: DumpPart, records: list[Row]) -> None:
        """A record without a row was deleted, by a dump or by a person, or it is missing.

        In a part that is not as it was imported nobody knows which of its records the database rejected then: one
        whose parent is not there either is taken for such a reject.
        """
        entity = part.planned.entity
        tombstones = self.database.tombstones(entity, records)
        parents = self.database.parents(entity, records) if records and not part.is_as_imported else None
        for record in records:
            mine = [
                (column, one) for column, id_ in _relations(entity, record) for one in tombstones.get((column, id_), ())
            ]
            if any(one.from_dump and _holds_back(column, one, record) for column, one in mine):
                self.findings.expected[entity] -= 1
            elif any(not one.from_dump for _, one in mine):
                self._add(part, record, Kind.DELETED_SINCE)
            elif parents is None or parents.issuperset(_parents(entity, record)):
                self._add(part, record, Kind.MISSING)
            else:
                self.findings.expected[entity] -= 1

    def _add(self, part: DumpPart, record: Row, kind: Kind, fields: tuple[str, ...] = ()) -> None:
        finding = Finding(part.planned.entity, record["id"], kind, fields, part.key, record["line"])
        self.findings.add(finding)


def _some(records: pa.Table, count: int) -> Iterator[list[Row]]:
    return (records.slice(start, count).to_pylist() for start in range(0, records.num_rows, count))


def _holds_back(column: str, tombstone: Tombstone, record: Row) -> bool:
    """Whether a dump's tombstone keeps the record out: that of a parent does, its own unless the record is newer."""
    return column != "id" or bool((record["updated_at"] or record["created_at"]) <= tombstone.deleted_at)


def _parents(entity: Entity, record: Row) -> Iterator[tuple[str, str]]:
    return ((column, record[column]) for column, _, _ in PARENTS[entity])


def _relations(entity: Entity, record: Row) -> Iterator[tuple[str, str]]:
    yield "id", record["id"]
    yield from _parents(entity, record)
