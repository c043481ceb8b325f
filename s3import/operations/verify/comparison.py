"""Key ranges whose sums differ, and within them the records that need a closer look."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import Entity, one_array
from s3import.operations.spill import Spill, spans
from s3import.operations.verify.expected import contenders, one_each
from s3import.operations.verify.findings import Finding, FindingKind, Findings
from s3import.operations.verify.found import MODULUS, NOTHING, AccountRows, Sum, Sums

_PLACES = pa.schema([("part", pa.int32()), ("line", pa.int64()), ("id", pa.string()), ("has_row", pa.bool_())])


def compare(
    entity: Entity,
    database: AccountRows,
    versions: Spill,
    found: Sums,
    findings: Findings,
    undeleted: Collection[str] = (),
) -> Spill:
    """Compare the dump's versions with the database's sums, and within the ranges that differ with its rows.

    Rows that no record explains become findings, but for those that are `undeleted`, which are told of already. The
    result has, by `part`, the places (`part`, `line`) and ids of the records whose rows are not there (`has_row` is
    false) or not surely the same.
    """
    expected = _sums_of(versions)
    findings.expected[entity] = sum(each.rows for each in expected.values())
    findings.found[entity] = sum(each.rows for each in found.values())
    key_ranges = {key_range for key_range, _ in expected.keys() | found.keys()}
    differing = {key_range for key_range in key_ranges if _differs(key_range, expected, found)}
    findings.kinds[entity, FindingKind.CREATED_SINCE] += sum(
        found.get((key_range, True), NOTHING).rows - expected.get((key_range, True), NOTHING).rows
        for key_range in key_ranges - differing
    )
    places = Spill(_PLACES, key="part")
    if differing:
        _compare_rows(entity, database, versions, differing, findings, places, undeleted)
    return places


def _differs(key_range: int, expected: Sums, found: Sums) -> bool:
    """Whether a range needs a closer look. Rows made since the import began are no reason where the dump has none."""
    new, old = (key_range, True), (key_range, False)
    if expected.get(old, NOTHING) != found.get(old, NOTHING):
        return True
    return new in expected and expected[new] != found.get(new, NOTHING)


def _sums_of(versions: Spill) -> Sums:
    sums: Sums = {}
    for first, end in spans(versions):
        winners = one_each(contenders(versions.rows(first, end)))
        grouped = winners.group_by(["key_range", "fresh"]).aggregate([([], "count_all"), ("fingerprint", "sum")])
        for row in grouped.to_pylist():  # sums of int64 wrap around
            total = Sum(row["count_all"], row["fingerprint_sum"] % MODULUS)
            sums[row["key_range"], row["fresh"]] = total
    return sums


def _compare_rows(
    entity: Entity,
    database: AccountRows,
    versions: Spill,
    key_ranges: Collection[int],
    findings: Findings,
    places: Spill,
    undeleted: Collection[str],
) -> None:
    found, differing = database.spill(entity, key_ranges), pa.array(sorted(key_ranges), pa.int16())
    for first, end in spans(versions, found):
        records, rows = versions.rows(first, end), found.rows(first, end)
        records = contenders(records.filter(pc.is_in(records["key_range"], differing)))
        _add_unexplained(entity, rows, records, findings, undeleted)
        equal = records.join(rows, ["id", "fingerprint"], join_type="left semi")["id"]
        doubtful = one_each(records.filter(pc.invert(pc.is_in(records["id"], one_array(equal)))))
        has_row = pc.is_in(doubtful["id"], one_array(rows["id"]))
        places.add(doubtful.append_column("has_row", has_row).select(_PLACES.names))


def _add_unexplained(
    entity: Entity, rows: pa.Table, records: pa.Table, findings: Findings, undeleted: Collection[str]
) -> None:
    unexplained = rows.filter(pc.invert(pc.is_in(rows["id"], one_array(records["id"]))))
    for row_id, fresh in zip(*(unexplained[name].to_pylist() for name in ("id", "fresh")), strict=True):
        if row_id not in undeleted:
            findings.add(Finding(entity, row_id, FindingKind.CREATED_SINCE if fresh else FindingKind.UNEXPECTED))
