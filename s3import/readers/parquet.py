"""Parquet parts: only the contract's columns are read, a few rows at a time, whatever the size of the row groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from s3import.errors import PartUnreadable
from s3import.readers.conform import conform, is_list, raw_records
from s3import.records import SCHEMAS, Batch, Entity, Position

_BUFFER_BYTES = 1024 * 1024  # read ahead in each column
_STEPS_IN_BATCH = 8
_MAX_STEP_ROWS = 4096
_MAX_BATCH_ROWS = 65_536


def read_parquet(
    file: BinaryIO, entity: Entity, start: Position, *, object_name: str, batch_bytes: int
) -> Iterator[Batch]:
    """The records of a Parquet part from row `start.offset` on, in batches of about `batch_bytes` of Arrow memory.

    `file` is seekable. Offsets and lines count rows: read again from the end of any batch, the part gives the same
    batches. A batch is drawn together from small steps, so memory follows the rows at hand and not the row group.
    Raises: PartUnreadable naming `object_name` when the part is corrupt, truncated or no Parquet at all; what `file`
    raises comes through as it is.
    """
    with _naming(object_name):
        part = _open(file, entity)
    place = start
    for steps in _gather(_named_steps(part, start.offset, batch_bytes, object_name), batch_bytes):
        batch = _batch(part, entity, pa.Table.from_batches(steps), place)
        place = batch.end
        yield batch


@dataclass(frozen=True, slots=True)
class _Part:
    """An open part: `paths` are those of its leaf columns that the contract knows."""

    file: pq.ParquetFile
    size_bytes: int
    paths: tuple[str, ...]
    ignored_fields: frozenset[str]


def _open(file: BinaryIO, entity: Entity) -> _Part:
    size_bytes = file.seek(0, os.SEEK_END)
    parquet = pq.ParquetFile(
        file,
        pre_buffer=False,  # its read-ahead threads may outlive an error, and the process with them
        buffer_size=_BUFFER_BYTES,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit="us",  # nanoseconds would wrap around in the year 2262
    )
    names = parquet.schema_arrow.names
    if twice := [name for name in SCHEMAS[entity].names if names.count(name) > 1]:
        raise ValueError(f"the column {twice[0]} is there twice")
    actual, expected = pa.struct(list(parquet.schema_arrow)), pa.struct(list(SCHEMAS[entity]))
    unknown = list(_unknown(actual, expected, entity.value))
    paths = tuple(parquet.schema.column(leaf).path for leaf, name in enumerate(unknown) if name is None)
    return _Part(parquet, size_bytes, paths, frozenset(name for name in unknown if name is not None))


def _unknown(actual: pa.DataType, expected: pa.DataType, path: str) -> Iterator[str | None]:
    """For each leaf column below `actual`, in the file's order: None, or the name that the contract does not know."""
    if pa.types.is_struct(actual) and pa.types.is_struct(expected):
        known = {child.name: child.type for child in expected}
        for child in actual:
            name = f"{path}.{child.name}"
            if child.name in known:
                yield from _unknown(child.type, known[child.name], name)
            else:
                yield from repeat(name, _number_of_leaves(child.type))
    elif is_list(actual) and pa.types.is_list(expected):
        yield from _unknown(actual.value_type, expected.value_type, path)
    else:
        yield from repeat(None, _number_of_leaves(actual))


def _number_of_leaves(type_: pa.DataType) -> int:
    if isinstance(type_, pa.BaseExtensionType):
        return _number_of_leaves(type_.storage_type)
    children = [type_.field(number) for number in range(type_.num_fields)]
    return sum(_number_of_leaves(child.type) for child in children) or 1


def _named_steps(part: _Part, first_row: int, batch_bytes: int, object_name: str) -> Iterator[pa.RecordBatch]:
    with _naming(object_name):
        yield from _steps(part, first_row, batch_bytes // _STEPS_IN_BATCH)


def _steps(part: _Part, first_row: int, step_bytes: int) -> Iterator[pa.RecordBatch]:
    """The part's rows from `first_row` on, in steps of about `step_bytes`, each of one row group."""
    begin = 0
    for group in range(part.file.metadata.num_row_groups):
        number_of_rows = part.file.metadata.row_group(group).num_rows
        if first_row < begin + number_of_rows:
            yield from _steps_of_group(part, group, max(0, first_row - begin), step_bytes)
        begin += number_of_rows


def _steps_of_group(part: _Part, group: int, skip: int, step_bytes: int) -> Iterator[pa.RecordBatch]:
    begin, number_of_rows = 0, part.file.metadata.row_group(group).num_rows
    step_rows = _step_rows(part, group, step_bytes)
    for step in part.file.iter_batches(step_rows, row_groups=[group], columns=part.paths, use_threads=False):
        end = begin + step.num_rows
        if skip < end:
            yield step.slice(max(0, skip - begin))
        begin = end
    if begin != number_of_rows:
        raise ValueError(f"row group {group + 1} has {begin} rows, not {number_of_rows}")


def _step_rows(part: _Part, group: int, step_bytes: int) -> int:
    # The sizes of just our columns would be truer, but Arrow ends the process when it is asked about a column whose
    # entry in the footer is damaged. Too small a step costs little.
    sizes = part.file.metadata.row_group(group)
    number_of_rows, total_bytes = int(sizes.num_rows), int(sizes.total_byte_size)
    return min(max(step_bytes * number_of_rows // max(total_bytes, 1), 1), _MAX_STEP_ROWS)


def _gather(steps: Iterator[pa.RecordBatch], batch_bytes: int) -> Iterator[list[pa.RecordBatch]]:
    waiting: list[pa.RecordBatch] = []
    for step in steps:
        waiting.append(step)
        full = sum(each.nbytes for each in waiting) >= batch_bytes
        if full or sum(each.num_rows for each in waiting) >= _MAX_BATCH_ROWS:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _batch(part: _Part, entity: Entity, table: pa.Table, start: Position) -> Batch:
    records, faults = conform(table, entity)
    end = start.offset + table.num_rows
    return Batch(
        records=records,
        lines=pa.arange(start.offset + 1, end + 1),
        raw=lambda rows: raw_records(table, rows),
        start=start,
        end=Position(end, end),
        last=end == part.file.metadata.num_rows,
        bytes_done=part.size_bytes * end // part.file.metadata.num_rows,
        faults=faults,
        ignored_fields=part.ignored_fields,
    )


@contextmanager
def _naming(object_name: str) -> Iterator[None]:
    """Whatever a broken part makes of Arrow, down to names that are no text, is one thing to the caller."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        fault = type(error).__name__  # its text may quote what the file holds
        message = f"{object_name} cannot be read as Parquet ({fault}); upload it again, then run the same command"
        raise PartUnreadable(message) from error
