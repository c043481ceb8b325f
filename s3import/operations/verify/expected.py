"""What the dump says should be in the database: its right records, without those that the import rejected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import TIMESTAMP, Batch, Pass, PlannedPart, RunOptions, one_array
from s3import.operations.spill import Spill
from s3import.readers.reading import CheckedBatch, read_checked, require_expected_rows
from s3import.readers.sources.source import DumpSource
from s3import.transform.fingerprints import fingerprints_of, key_ranges_of
from s3import.transform.rows import to_rows

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("key_range", pa.int16()),
        ("fresh", pa.bool_()),
        ("fingerprint", pa.int64()),
        ("at", TIMESTAMP),
        ("rank", pa.int32()),
        ("part", pa.int32()),
        ("line", pa.int64()),
    ]
)
"""A version of a record: `fresh`: it claims to be made after the import began; `at`: what decides which is newer;
`rank`: its run's place in the order of imports; `part`: its part's number among those verified."""


@dataclass(frozen=True, slots=True)
class DumpPart:
    """A part of the dump as it is now. `options`: those of the run that imported it; `rank`: that run's place in the
    order of imports.

    `rejected_lines`: those whose records the database rejected; `is_as_imported`: that list is known to hold for it.
    """

    number: int
    rank: int
    pass_: Pass
    planned: PlannedPart
    options: RunOptions
    source: DumpSource
    rejected_lines: pa.Int64Array
    is_as_imported: bool

    @property
    def key(self) -> str:
        """Its name below the source."""
        return f"{self.pass_}/{self.planned.key}"


@dataclass(frozen=True, slots=True)
class DumpReader:
    """Reads parts the way the import does; `observe` gets every batch and ends the reading by raising."""

    account_id: str
    block_bytes: int
    observe: Callable[[DumpPart, Batch, int], None]

    def spill(self, part: DumpPart, into: Spill, began: dt.datetime) -> None:
        """Add the part's records to the versions in `into`. `began`: when the import did."""
        for rows, lines in self.rows(part):
            into.add(_versions(part, rows, lines, began))

    def rows(self, part: DumpPart) -> Iterator[tuple[pa.Table, pa.Int64Array]]:
        """The part's right records as rows of their table, batch by batch, with their lines."""
        count = 0
        for read in read_checked(part.source, part.planned, self.account_id, block_bytes=self.block_bytes):
            self.observe(part, read.batch, read.new_bytes)
            count += read.batch.records.num_rows
            yield _rows(part, read)
        require_expected_rows(part.pass_, part.planned, count)


def _rows(part: DumpPart, read: CheckedBatch) -> tuple[pa.Table, pa.Int64Array]:
    rows = to_rows(part.planned.entity, read.checked.accepted, part.options)
    lines = read.batch.lines.take(read.checked.rows)
    if not len(part.rejected_lines):
        return rows, lines
    kept = pc.invert(pc.is_in(lines, part.rejected_lines))
    return rows.filter(kept), lines.filter(kept)


def _versions(part: DumpPart, rows: pa.Table, lines: pa.Int64Array, began: dt.datetime) -> pa.Table:
    ids, created = one_array(rows["id"]), one_array(rows["created_at"])
    columns = [
        ids,
        key_ranges_of(ids),
        pc.greater_equal(created, pa.scalar(began, TIMESTAMP)),
        fingerprints_of(part.planned.entity, rows),
        pc.coalesce(one_array(rows["updated_at"]), created),
        pa.repeat(pa.scalar(part.rank, pa.int32()), len(ids)),
        pa.repeat(pa.scalar(part.number, pa.int32()), len(ids)),
        lines,
    ]
    return pa.table(columns, schema=SCHEMA)


# --- which version of a record wins ----------------------------------------------------------------------------------


def contenders(versions: pa.Table) -> pa.Table:
    """Of each id the versions that the database may hold by the contract: the newest; of those of one instant the
    earlier run's; and of those, as parts are imported side by side, the first line of each part."""
    counted = versions.group_by("id").aggregate([([], "count_all")])
    if counted.num_rows == versions.num_rows:
        return versions
    repeated = pc.is_in(versions["id"], one_array(counted.filter(pc.field("count_all") > 1)["id"]))
    best = versions.filter(repeated)
    for keys, column, extreme in ((["id"], "at", "max"), (["id"], "rank", "min"), (["id", "part"], "line", "min")):
        best = _best(best, keys, column, extreme)
    return pa.concat_tables([versions.filter(pc.invert(repeated)), best])


def one_each(found: pa.Table) -> pa.Table:
    """One of the contenders of each id, always the same one."""
    return _best(found, ["id"], "part", "min")


def _best(versions: pa.Table, keys: list[str], column: str, extreme: str) -> pa.Table:
    best = versions.group_by(keys).aggregate([(column, extreme)])
    if best.num_rows == versions.num_rows:
        return versions
    columns = [*keys, f"{column}_{extreme}"]
    return versions.join(best.select(columns), [*keys, column], columns, join_type="left semi")
