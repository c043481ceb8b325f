"""Records that are in doubt, each compared with its row: equal after all, different, changed since, or not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import one_array
from s3import.core.tables import PARENTS
from s3import.operations.verify.expected import DumpPart, DumpReader
from s3import.operations.verify.findings import (
    MAX_LISTED,
    Finding,
    FindingKind,
    Findings,
    different_fields,
    is_changed_since,
)
from s3import.operations.verify.found import AccountRows, RememberedDeletion, Row

LOOKED_UP_AT_ONCE = 50  # rows, by their keys: for many a planner without statistics would rather read the whole account
ABSENT_AT_ONCE = 10_000  # records, of which no more than their keys are looked up


@dataclass(frozen=True, slots=True)
class Explainer:
    """Reads records again and adds what is to be said of them to `findings`."""

    database: AccountRows
    reader: DumpReader
    findings: Findings

    def explain(self, part: DumpPart, places: pa.Table, *, has_tombstones: bool) -> None:
        """Look at the records of the part in the lines of `places`, whose `has_row` says whether they have one.
        `has_tombstones`: of anything of the account; where there is none, nothing excuses that a row is not there."""
        there = one_array(places.filter(places["has_row"])["line"])
        without_row = places.filter(pc.invert(places["has_row"]))
        if part.is_as_imported and not has_tombstones:
            self._add_missing(part, without_row)
            without_row = without_row.slice(0, 0)
        if len(there) or without_row.num_rows:
            self._read_again(part, there, one_array(without_row["line"]))

    def _add_missing(self, part: DumpPart, records: pa.Table) -> None:
        ids, lines = (records[name].slice(0, MAX_LISTED).to_pylist() for name in ("id", "line"))
        self.findings.add_all(part.planned.entity, FindingKind.MISSING, ids, part.key, lines, count=records.num_rows)

    def _read_again(self, part: DumpPart, there: pa.Int64Array, absent: pa.Int64Array) -> None:
        told_by = ["id", *(column for column, _, _ in PARENTS[part.planned.entity]), "created_at", "updated_at", "line"]
        for rows, row_lines in self.reader.rows(part):
            placed = rows.append_column("line", row_lines)
            for records in _some(placed.filter(pc.is_in(row_lines, there)), LOOKED_UP_AT_ONCE):
                self._explain(part, records)
            for records in _some(placed.filter(pc.is_in(row_lines, absent)).select(told_by), ABSENT_AT_ONCE):
                self._explain_absence(part, records)

    def _explain(self, part: DumpPart, records: pa.Table) -> None:
        rows = self.database.by_id(part.planned.entity, records["id"].to_pylist())
        has_row = [record_id in rows for record_id in records["id"].to_pylist()]
        for record in records.filter(pa.array(has_row)).to_pylist():
            self._explain_row(part, record, rows[record["id"]])
        if not all(has_row):
            self._explain_absence(part, records.filter(pc.invert(pa.array(has_row))))

    def _explain_row(self, part: DumpPart, record: Row, row: Row) -> None:
        fields = different_fields(record, row)
        if not fields:
            return
        changed = is_changed_since(fields, record, row, self.database.began)
        self._add(part, record, FindingKind.CHANGED_SINCE if changed else FindingKind.DIFFERENT, fields)

    def _explain_absence(self, part: DumpPart, records: pa.Table) -> None:
        """A record without a row was deleted, by a dump or by a person, or it is missing.

        In a part that is not as it was imported nobody knows which of its records the database rejected then: one
        whose parent is not there either is taken for such a reject.
        """
        entity = part.planned.entity
        tombstones = self.database.tombstones(entity, records)
        orphans: set[int] = set() if part.is_as_imported else self.database.orphans(entity, records)
        held_back = {ordinal for ordinal, found in tombstones.items() if any(map(_holds_back, found))}
        by_people = {ordinal for ordinal, found in tombstones.items() if not all(one.from_dump for one in found)}
        rejected = orphans - by_people - held_back
        self.findings.expected[entity] -= len(held_back | rejected)
        missing = set(range(records.num_rows)) - held_back - by_people - rejected
        for kind, ordinals in ((FindingKind.DELETED_SINCE, by_people - held_back), (FindingKind.MISSING, missing)):
            found = records.take(pa.array(sorted(ordinals), pa.int32()))
            ids, lines = found["id"].to_pylist(), found["line"].to_pylist()
            self.findings.add_all(entity, kind, ids, part.key, lines)

    def _add(self, part: DumpPart, record: Row, kind: FindingKind, fields: tuple[str, ...] = ()) -> None:
        finding = Finding(part.planned.entity, record["id"], kind, fields, part.key, record["line"])
        self.findings.add(finding)


def _some(records: pa.Table, count: int) -> Iterator[pa.Table]:
    return (records.slice(start, count) for start in range(0, records.num_rows, count))


def _holds_back(tombstone: RememberedDeletion) -> bool:
    """Whether it is a dump's that keeps the record out: that of a parent does, its own unless the record is newer."""
    return tombstone.from_dump and (tombstone.column != "id" or tombstone.is_later)
