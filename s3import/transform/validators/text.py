"""Text that databases cannot hold: found at the speed of memory, repaired where it occurs."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import ID_FIELDS, REPLACEMENT, TIMESTAMP_FIELDS, VOCABULARY

NUL = "\x00"
_STRICT = frozenset({*ID_FIELDS, *TIMESTAMP_FIELDS, *VOCABULARY})  # what is never repaired, only rejected


def byte_range(column: pa.StringArray) -> tuple[int, int]:
    """The lowest and the highest byte of all the column's text, (255, 0) for none.

    Reads the text as one run of bytes, many times faster than any search in strings. The bytes behind a null count
    too: the range may be wider than that of the values, never narrower.
    """
    _, offset_buffer, text = column.buffers()
    if not len(column) or text is None:
        return 255, 0
    offsets = pa.Int32Array.from_buffers(pa.int32(), len(column) + 1, [None, offset_buffer], offset=column.offset)
    first, last = offsets[0].as_py(), offsets[len(column)].as_py()
    if first == last:
        return 255, 0
    extremes = pc.min_max(pa.UInt8Array.from_buffers(pa.uint8(), last - first, [None, text], offset=first))
    return extremes["min"].as_py(), extremes["max"].as_py()


def repair(column: pa.Array, field: str) -> tuple[pa.Array, pa.Array]:
    """The column with U+FFFD for every NUL in its free text and `[]` for null lists, and the rows (from 0) repaired.

    `field` is the dotted path: ids, vocabulary words and timestamps stay as they are.
    """
    if pa.types.is_list(column.type):
        return _repair_list(column if not column.null_count else pc.coalesce(column, pa.scalar([], column.type)), field)
    if pa.types.is_struct(column.type):
        return _repair_struct(column, field)
    if not pa.types.is_string(column.type) or field in _STRICT or byte_range(column)[0] > 0:
        return column, _NO_ROWS
    found = pc.indices_nonzero(pc.match_substring(column, NUL)).cast(pa.int64())
    return pc.replace_substring(column, NUL, REPLACEMENT), found


def _repair_struct(column: pa.StructArray, field: str) -> tuple[pa.Array, pa.Array]:
    names = [child.name for child in column.type]
    children = [repair(child, f"{field}.{name}") for name, child in zip(names, column.flatten(), strict=True)]
    rows = pa.concat_arrays([found for _, found in children])
    if not len(rows):
        return column, rows
    values = [repaired for repaired, _ in children]
    return pa.StructArray.from_arrays(values, fields=list(column.type), mask=column.is_null()), rows


def _repair_list(column: pa.ListArray, field: str) -> tuple[pa.Array, pa.Array]:
    elements, found = repair(column.flatten(), f"{field}[]")
    if not len(found):
        return column, found
    lengths = pc.cumulative_sum(pc.list_value_length(column))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), lengths])
    repaired = pa.ListArray.from_arrays(offsets, elements, type=column.type)
    return repaired, pc.list_parent_indices(column).take(found)


_NO_ROWS = pa.array([], pa.int64())
