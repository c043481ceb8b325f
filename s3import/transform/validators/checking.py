"""From a batch as read to its right records and its rejects."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import SCHEMAS, TIMESTAMP_FIELDS, Batch, Checked, Entity, one_array
from s3import.transform.validators.rejected_rows import make_rejects
from s3import.transform.validators.row_findings import RowFindings
from s3import.transform.validators.rules import Columns, broken_rules
from s3import.transform.validators.text import repair
from s3import.transform.validators.timestamps import read_timestamps


def check(batch: Batch, entity: Entity, account_id: str) -> Checked:
    """Tell the right records of a batch from the wrong ones, and repair NUL in free text.

    A reject carries every reason of its record, in the order of the entity's fields. A row that the reader could not
    read at all keeps its one fault; a field that has a fault gets no second reason.
    """
    columns, repaired = _repaired(batch, entity)
    findings = RowFindings(batch.faults, SCHEMAS[entity].names)
    for finding in broken_rules(columns, entity, account_id, batch.faults):
        findings.add(finding)
    for name in columns.keys() & {*TIMESTAMP_FIELDS}:  # last: a wrong timestamp becomes null, but it was not missing
        columns[name], finding = read_timestamps(name, columns[name])
        findings.add(finding)
    reasons = findings.by_row()
    kept = _rows_without(pa.array(sorted(reasons), pa.int64()), batch.records.num_rows)
    table = pa.table([columns[name] for name in SCHEMAS[entity].names], SCHEMAS[entity].names)
    return Checked(
        accepted=table.take(kept) if reasons else table,
        rows=kept,
        sanitised=repaired.take(kept),
        rejects=tuple(make_rejects(batch, reasons)),
    )


def _repaired(batch: Batch, entity: Entity) -> tuple[Columns, pa.BooleanArray]:
    """The batch's columns fit to be stored, lists never null, and for each row whether free text was repaired in it."""
    columns: Columns = {}
    touched = {*batch.sanitised}
    for name in SCHEMAS[entity].names:
        columns[name], rows = repair(one_array(batch.records[name]), name)
        touched.update(rows.to_pylist())
    return columns, pc.is_in(pa.arange(0, batch.records.num_rows), pa.array(sorted(touched), pa.int64()))


def _rows_without(rejected: pa.Int64Array, number: int) -> pa.Int64Array:
    rows = pa.arange(0, number)
    return rows.filter(pc.invert(pc.is_in(rows, rejected))) if len(rejected) else rows
