"""Parquet parts: only the contract's columns are read, a few rows at a time, whatever the size of the row groups.

What a file says of its sizes is not believed: a few kilobytes decode to gigabytes where rows share a long text. So the
first row of a row group is read alone, and then as many at a time as those before them had room for and as is known of
their pages; where lists turn out too long for that, each alone. A page is decoded as a whole: one that is too large
for that is refused, and so are lists of one row for which there is no room.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from s3import.core.errors import PartUnreadable
from s3import.core.records import MAX_BATCH_ROWS, MAX_LINE_BYTES, SCHEMAS, Batch, Entity, Position
from s3import.readers.formats.conform import conform, is_list, raw_records
from s3import.readers.formats.dense import WithoutNote, as_written, decoded_bytes, densified, has_dictionaries
from s3import.readers.formats.parquet_pages import MAX_PAGE_BYTES, Leaf, ListsTooLong, WatchedPages
from s3import.readers.formats.signatures import SIGNATURE_BYTES, require_signature

_BUFFER_BYTES = 256 * 1024  # read ahead in each column
_BESIDE_BYTES = 1024 * 1024  # a page and what was read ahead of each column, of a file as they are written
_STEPS_IN_BATCH = 8
_DICTIONARIES_FROM = {0, 2, 3, 4, 8}  # the encodings of which Arrow makes them: no delta
SizeOf = Callable[[pa.RecordBatch], int]  # what it takes decoded
_FEW_ROWS = 64  # of which those before them may tell how long they are: so many of a megabyte each fit into memory
_MAX_STEP_ROWS = 4096  # a step costs little compared to them


def read_parquet(
    file: BinaryIO, entity: Entity, start: Position, *, object_name: str, batch_bytes: int
) -> Iterator[Batch]:
    """The records of a Parquet part from row `start.offset` on, in batches of about three quarters of `batch_bytes` of
    Arrow memory, which is what as many bytes of text become, less what the file takes besides.

    `file` is seekable. Offsets and lines count rows: read again from the end of any batch, the part gives the same
    batches. A batch is drawn together from small steps, so memory follows the rows at hand and not the row group; it
    has at most `MAX_BATCH_ROWS` rows.
    Raises: PartUnreadable naming `object_name` when the part is corrupt, truncated or no Parquet at all; what `file`
    raises comes through as it is.
    """
    try:
        with _naming(object_name):
            part = _open(file, entity, object_name)
    except PartUnreadable:
        file.seek(0)
        require_signature(file.read(SIGNATURE_BYTES), ".parquet", object_name)
        raise
    batch_bytes = max(batch_bytes * 3 // 4 - _BESIDE_BYTES, batch_bytes // 3)
    place = start
    for steps in _gather(_named_steps(part, start.offset, batch_bytes, object_name), batch_bytes):
        batch = _batch(part, entity, pa.Table.from_batches(steps), place)
        place = batch.end
        yield batch


@dataclass(frozen=True, slots=True)
class _Part:
    """An open part: `leaves` are those of its leaf columns that the contract knows, by number;
    `written`: the types that its columns were written with, None where they are read with just these; `measured`: the
    same file with the texts of lists, whose paths are `in_lists`, read as dictionaries."""

    file: pq.ParquetFile
    pages: WatchedPages
    size_bytes: int
    leaves: Mapping[int, Leaf]
    ignored_fields: frozenset[str]
    in_lists: list[str]
    measured: pq.ParquetFile
    written: pa.Schema | None = None


class _Ambiguous(ValueError):
    """A part that can be understood in two ways."""


def _open(file: BinaryIO, entity: Entity, object_name: str) -> _Part:
    size_bytes = file.seek(0, os.SEEK_END)
    pages = WatchedPages(file, size_bytes, object_name)
    watched = cast("BinaryIO", pages)
    parquet = _parquet_file(watched)
    schema = parquet.schema_arrow
    if twice := [name for name in SCHEMAS[entity].names if schema.names.count(name) > 1]:
        raise _Ambiguous(f"the column {twice[0]} is there twice")
    actual, expected = pa.struct(list(schema)), pa.struct(list(SCHEMAS[entity]))
    unknown = list(_unknown(actual, expected, entity.value))
    leaves = {leaf: _leaf(parquet, pages, leaf) for leaf, name in enumerate(unknown) if name is None}
    ignored_fields = frozenset(name for name in unknown if name is not None)
    if wide := [leaf for leaf in leaves.values() if leaf.size_bytes > MAX_LINE_BYTES]:
        raise PartUnreadable(
            f"{object_name} has a column {wide[0].path} of which each value takes {wide[0].size_bytes} bytes, and at "
            f"most {MAX_LINE_BYTES} are read; write it again with texts of any length, then run the same command"
        )
    in_lists = [leaf.path for leaf in leaves.values() if leaf.is_measured]
    if has_dictionaries(actual):
        watched = cast("BinaryIO", WithoutNote(watched))
        parquet, written = _parquet_file(watched), schema
    else:
        written = None
    measured = _parquet_file(watched, read_dictionary=in_lists, metadata=parquet.metadata) if in_lists else parquet
    return _Part(parquet, pages, size_bytes, leaves, ignored_fields, in_lists, measured, written)


def _leaf(parquet: pq.ParquetFile, pages: WatchedPages, leaf: int) -> Leaf:
    column = parquet.schema.column(leaf)
    is_listed = column.max_repetition_level > 0
    can_be_measured = column.physical_type == "BYTE_ARRAY" and pages.encodings(leaf) <= _DICTIONARIES_FROM
    size_bytes = column.length if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0
    return Leaf(column.path, size_bytes, is_listed, is_listed and can_be_measured)


def _parquet_file(file: BinaryIO, **options: Any) -> pq.ParquetFile:
    return pq.ParquetFile(
        file,
        pre_buffer=False,  # its read-ahead threads may outlive an error, and the process with them
        buffer_size=_BUFFER_BYTES,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit="us",  # nanoseconds would wrap around in the year 2262
        **options,
    )


def count_rows(file: BinaryIO, object_name: str) -> int:
    """How many rows a part has, by its footer alone. Raises: PartUnreadable."""
    with _naming(object_name):
        return int(_parquet_file(file).metadata.num_rows)


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
        yield from _from_row(_steps(part, first_row, batch_bytes), first_row)


def _from_row(steps: Iterator[tuple[int, pa.RecordBatch]], first_row: int) -> Iterator[pa.RecordBatch]:
    """Those of the steps, each with the row that it begins with, that lie behind `first_row`."""
    for begin, step in steps:
        if first_row < begin + step.num_rows:
            yield step.slice(max(0, first_row - begin))


def _steps(part: _Part, first_row: int, batch_bytes: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The part's rows in steps of at most `batch_bytes` (or one row) with the row each begins with, from the beginning
    of the row group that holds `first_row` on."""
    begin = 0
    for group in range(part.file.metadata.num_row_groups):
        end = begin + part.file.metadata.row_group(group).num_rows
        if first_row < end:
            file = _file_for(part, group)
            size_of = _size_bytes if file is part.file else decoded_bytes
            for step in _steps_of_group(part, file, group, batch_bytes // _STEPS_IN_BATCH, size_of):
                for piece in _split(step, batch_bytes, size_of):
                    yield begin, piece if file is part.file else densified(piece)
                    begin += piece.num_rows
            if begin != end:
                raise ValueError(f"row group {group + 1} ends {end - begin} rows early")
        begin = end


def _size_bytes(batch: pa.RecordBatch) -> int:
    return int(batch.nbytes)


def _steps_of_group(
    part: _Part, file: pq.ParquetFile, group: int, step_bytes: int, size_of: SizeOf
) -> Iterator[pa.RecordBatch]:
    """The rows of a row group in steps of about `step_bytes`; row by row from where more would hold too long lists."""
    done = 0
    try:
        for step in _steps_of(part, file, group, step_bytes, size_of):
            yield step
            done += step.num_rows
    except ListsTooLong:
        yield from _from_row(enumerate(_steps_of(part, file, group, step_bytes, size_of, 1)), done)


def _steps_of(
    part: _Part, file: pq.ParquetFile, group: int, step_bytes: int, size_of: SizeOf, most_rows: int = _MAX_STEP_ROWS
) -> Iterator[pa.RecordBatch]:
    """The rows of a row group in steps of about `step_bytes`. As far as only the rows before tell how many these are,
    and where there are lists, steps grow twofold at most, and to a few rows."""
    part.pages.watch(group, part.leaves)
    columns = [leaf.path for leaf in part.leaves.values()]
    are_listed = any(leaf.is_listed for leaf in part.leaves.values())
    row, at_once = 0, 1
    for step in file.iter_batches(1, row_groups=[group], columns=columns, use_threads=False):
        yield step if part.written is None else as_written(step, part.written)
        fitting = max(min(step_bytes * step.num_rows // max(size_of(step), 1), most_rows), 1)
        row, at_once = row + step.num_rows, min(fitting, 2 * at_once)
        few = min(at_once, _FEW_ROWS)
        most = few if are_listed else fitting
        # The reader asks for its size again before every step.
        file.reader.set_batch_size(part.pages.rows_at_once(row, few, most))
        part.pages.begin_step()


def _file_for(part: _Part, group: int) -> pq.ParquetFile:
    """How to read a row group: its lists as they are, but where a single row could decode to too much of them."""
    if not part.in_lists:
        return part.file
    part.pages.watch(group, part.leaves)
    next(part.measured.iter_batches(1, row_groups=[group], columns=part.in_lists, use_threads=False), None)
    return part.measured if part.pages.repeated_bytes(part.in_lists) > MAX_PAGE_BYTES else part.file


def _split(step: pa.RecordBatch, most_bytes: int, size_of: SizeOf) -> Iterator[pa.RecordBatch]:
    if step.num_rows < 2 or size_of(step) <= most_bytes:
        yield step
        return
    half = step.num_rows // 2
    yield from _split(step.slice(0, half), most_bytes, size_of)
    yield from _split(step.slice(half), most_bytes, size_of)


def _gather(steps: Iterator[pa.RecordBatch], batch_bytes: int) -> Iterator[list[pa.RecordBatch]]:
    waiting: list[pa.RecordBatch] = []
    size_bytes = rows = 0
    for step in steps:
        if rows + step.num_rows > MAX_BATCH_ROWS or (waiting and step.schema != waiting[0].schema):
            yield waiting
            waiting, size_bytes, rows = [], 0, 0
        waiting.append(step)
        size_bytes, rows = size_bytes + step.nbytes, rows + step.num_rows
        if size_bytes >= batch_bytes:
            yield waiting
            waiting, size_bytes, rows = [], 0, 0
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
        # Arrow's text may quote what the file holds
        fault = str(error) if isinstance(error, _Ambiguous) else type(error).__name__
        message = f"{object_name} cannot be read as Parquet ({fault}); upload it again, then run the same command"
        raise PartUnreadable(message) from error
