"""From the types that a Parquet writer chose to those of the contract; what does not fit becomes a fault of its row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import RejectCode
from s3import.core.records import (
    MAX_LINE_BYTES,
    MAX_RAW_BYTES,
    SCHEMAS,
    TEXT,
    TIMESTAMP,
    TIMESTAMP_FIELDS,
    TOO_LATE,
    Entity,
    Fault,
    Reason,
    one_array,
)
from s3import.readers.formats.dense import has_dictionaries, lengths_bytes

Conformed = tuple[pa.Array, list[Fault]]  # a column as the contract has it, and what of it could not be taken

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
_WRITTEN_AS = {"string": "a string", "int64": "a whole number", "list": "a list", "struct": "an object"}
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)
_TEXTS = (  # binary too, which is what writers without logical types make of text
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


def conform(table: pa.Table, entity: Entity) -> tuple[pa.Table, tuple[Fault, ...]]:
    """The table with the entity's columns and types (`SCHEMAS`), timestamps cut to microseconds, and its faults.

    A column that is missing is null; a value that is no such value is null and has a fault.
    """
    columns, faults = [], []
    for field in SCHEMAS[entity]:
        found = one_array(table[field.name]) if field.name in table.column_names else pa.nulls(table.num_rows)
        column, wrong = _conform(found, field.type, field.name)
        columns.append(column)
        faults.extend(wrong)
    return pa.table(columns, SCHEMAS[entity].names), tuple(dict.fromkeys(faults))


def is_list(type_: pa.DataType) -> bool:
    """Whether the type is any of Arrow's lists; a map is none."""
    return any(is_one(type_) for is_one in _LISTS)


def _conform(column: pa.Array, expected: pa.DataType, field: str) -> Conformed:
    column = _unwrapped(column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), expected), []
    if field in TIMESTAMP_FIELDS and pa.types.is_timestamp(column.type):
        return _instants(column), []
    if pa.types.is_struct(expected):
        return _objects(column, expected, field)
    if pa.types.is_list(expected):
        return _lists(column, expected, field)
    return _text(column, field) if expected == TEXT else _whole_numbers(column, field)


def _unwrapped(column: pa.Array) -> pa.Array:
    if isinstance(column.type, pa.UuidType):
        return _uuids(column.storage)
    if isinstance(column.type, pa.BaseExtensionType):
        return _unwrapped(column.storage)
    return _unwrapped(column.dictionary_decode()) if pa.types.is_dictionary(column.type) else column


def _uuids(column: pa.FixedSizeBinaryArray) -> pa.Array:
    """The usual spelling of UUIDs, in lower case."""
    if column.null_count == len(column):
        return pa.nulls(len(column))
    digits = column.buffers()[1].slice(16 * column.offset, 16 * len(column)).hex()
    offsets = pa.array(range(0, 32 * len(column) + 1, 32), pa.int32())
    whole = pa.StringArray.from_buffers(len(column), offsets.buffers()[1], pa.py_buffer(digits))
    places = zip((0, 8, 12, 16, 20), (8, 12, 16, 20, 32), strict=True)
    spelled = pc.binary_join_element_wise(*(pc.utf8_slice_codeunits(whole, *place) for place in places), "-")
    return pc.if_else(column.is_valid(), spelled, None)


def _impossible(column: pa.Array, expected: pa.DataType, field: str) -> Conformed:
    type_name = "a timestamp or a string" if field in TIMESTAMP_FIELDS else _WRITTEN_AS[str(expected).partition("<")[0]]
    reason = Reason(RejectCode.WRONG_TYPE, field, f"must be {type_name}")
    rows = pc.indices_nonzero(column.is_valid()).to_pylist()
    return pa.nulls(len(column), expected), [Fault(row, reason) for row in rows]


def _text(column: pa.Array, field: str) -> Conformed:
    if not any(is_one(column.type) for is_one in _TEXTS):
        return _impossible(column, TEXT, field)
    column, faults = _short_enough(column, field)
    try:
        text = column.cast(TEXT)
        text.validate(full=True)  # Parquet's strings are taken over unseen
    except pa.ArrowInvalid:
        reason = Reason(RejectCode.INVALID_UTF8, field, "is no valid UTF-8")
        text, invalid = _one_by_one(column.cast(pa.large_binary()), TEXT, lambda value: _decoded(value, reason))
        return text, [*faults, *invalid]
    return text, faults


def _short_enough(column: pa.Array, field: str) -> Conformed:
    """The column without the cells that are longer than a line may be."""
    if column.nbytes <= MAX_LINE_BYTES:
        return column, []
    return _without_long(column, pc.binary_length(column.cast(pa.large_binary())), field)


def _without_long(column: pa.Array, sizes_bytes: pa.Array, field: str) -> Conformed:
    is_long = pc.greater(sizes_bytes, MAX_LINE_BYTES).fill_null(False)
    rows = pc.indices_nonzero(is_long).to_pylist()
    if not rows:
        return column, []
    reason = Reason(RejectCode.TOO_LONG, field, f"is longer than {MAX_LINE_BYTES} bytes; write it in smaller records")
    return pc.if_else(is_long, pa.scalar(None, column.type), column), [Fault(row, reason) for row in rows]


def _decoded(value: bytes, otherwise: Reason) -> str | Reason:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return otherwise


def _whole_numbers(column: pa.Array, field: str) -> Conformed:
    if not any(is_one(column.type) for is_one in _NUMBERS):
        return _impossible(column, pa.int64(), field)
    try:
        return column.cast(pa.int64()), []
    except pa.ArrowInvalid:
        return _one_by_one(column, pa.int64(), lambda value: _whole_number(value, field))


def _whole_number(value: float | Decimal, field: str) -> int | Reason:
    if not math.isfinite(value) or value != int(value):
        return Reason(RejectCode.WRONG_TYPE, field, "must be a whole number")
    if not -(2**63) <= value < 2**63:
        return Reason(RejectCode.INVALID_VALUE, field, "must be a whole number of at most 64 bits")
    return int(value)


def _one_by_one(column: pa.Array, expected: pa.DataType, read: Callable[[Any], Any]) -> Conformed:
    """The careful way, for a column in which a value is wrong: `read` gives the value, or the reason it has none."""
    values = [None if value is None else read(value) for value in column.to_pylist()]
    faults = [Fault(row, value) for row, value in enumerate(values) if isinstance(value, Reason)]
    return pa.array([None if isinstance(value, Reason) else value for value in values], expected), faults


def _instants(column: pa.TimestampArray) -> pa.TimestampArray:
    """UTC in microseconds, finer digits cut. What the validators refuse stays refused, whatever the unit could hold."""
    second = _TICKS[column.type.unit]
    ticks = column.cast(pa.int64())
    latest = pc.min_element_wise(ticks, int(TOO_LATE.timestamp()) * second, skip_nulls=False)
    ticks = pc.if_else(pc.less(ticks, 0), -second, latest)
    micros = pc.multiply(ticks, 10**6 // second) if second <= 10**6 else pc.divide(ticks, second // 10**6)
    return micros.cast(TIMESTAMP)


def _objects(column: pa.Array, expected: pa.StructType, field: str) -> Conformed:
    if not pa.types.is_struct(column.type):
        return _impossible(column, expected, field)
    given = dict(zip((child.name for child in column.type), column.flatten(), strict=True))
    missing = pa.nulls(len(column))
    children = [_conform(given.get(child.name, missing), child.type, f"{field}.{child.name}") for child in expected]
    faults = [fault for _, wrong in children for fault in wrong]
    values = [value for value, _ in children]
    return pa.StructArray.from_arrays(values, fields=list(expected), mask=column.is_null()), faults


def _lists(column: pa.Array, expected: pa.ListType, field: str) -> Conformed:
    if pa.types.is_map(column.type) and pa.types.is_struct(expected.value_type):
        pairs = pa.struct([("name", column.type.key_type), ("value", column.type.item_type)])
        column = column.cast(pa.list_(pairs))
    if not is_list(column.type):
        return _impossible(column, expected, field)
    column, long = _lists_short_enough(column, field)
    elements, wrong = _conform(column.flatten(), expected.value_type, field)
    # Rebuilt from the lengths, for Arrow's cast between its kinds of lists is not to be trusted with views.
    lengths = pc.list_value_length(column).cast(pa.int32()).fill_null(0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    lists = pa.ListArray.from_arrays(offsets, elements, type=expected, mask=column.is_null())
    return lists, [*long, *_of_rows(wrong, lists)] if wrong else long


def _lists_short_enough(column: pa.Array, field: str) -> Conformed:
    """The lists that are short enough, each as a whole, and the rows of those that are not."""
    if column.nbytes <= MAX_LINE_BYTES and not has_dictionaries(column.type):
        return column, []
    lengths = pc.list_value_length(column).cast(pa.int64()).fill_null(0)
    ends = pc.cumulative_sum(lengths)
    sizes = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(_sizes_bytes(column.flatten()))])
    return _without_long(column, pc.subtract(sizes.take(ends), sizes.take(pc.subtract(ends, lengths))), field)


def _sizes_bytes(elements: pa.Array) -> pa.Array:
    """The size of each element: of its texts, and 4 bytes for being there."""
    elements = _storage(elements)
    sizes = pa.repeat(pa.scalar(4, pa.int64()), len(elements))
    for text in map(_storage, elements.flatten() if pa.types.is_struct(elements.type) else [elements]):
        kind = text.type.value_type if pa.types.is_dictionary(text.type) else text.type
        if any(is_one(kind) for is_one in _TEXTS):
            sizes = pc.add(sizes, lengths_bytes(text))
    return sizes


def _storage(column: pa.Array) -> pa.Array:
    return _storage(column.storage) if isinstance(column.type, pa.BaseExtensionType) else column


def _of_rows(faults: list[Fault], lists: pa.ListArray) -> Iterable[Fault]:
    """The faults of elements as faults of the rows that the elements belong to."""
    rows = pc.list_parent_indices(lists).to_pylist()
    return (Fault(rows[fault.row], fault.reason) for fault in faults)


# --- a record as a reject shows it -----------------------------------------------------------------------------------


_SHOWN = MAX_RAW_BYTES + 4  # bytes of a text, elements of a list: no more of them can be seen, and a character is whole


def raw_records(table: pa.Table, rows: Sequence[int]) -> list[bytes]:
    """Each of the rows as one JSON object of the columns that are not null in it, as the file has them."""
    return [_raw_record(table, row) for row in rows]


def _raw_record(table: pa.Table, row: int) -> bytes:
    values = {name: _json_value(table[name][row]) for name in table.column_names}
    return orjson.dumps({name: value for name, value in values.items() if value is not None}, default=str)


def _json_value(value: pa.Scalar) -> Any:
    if not value.is_valid:
        return None
    if isinstance(value, pa.ExtensionScalar | pa.DictionaryScalar):
        return _json_value(value.value)
    if isinstance(value, pa.BinaryScalar):
        return value.as_buffer()[:_SHOWN].to_pybytes().decode("utf-8", "replace")
    if isinstance(value, pa.ListScalar):
        return list(_elements(value))
    if isinstance(value, pa.StructScalar):
        return {name: _json_value(child) for name, child in value.items()}
    if isinstance(value, pa.TimestampScalar):
        return _utc(value.value, value.type.unit)
    return value.as_py()


def _elements(value: pa.ListScalar) -> Iterator[Any]:
    """As many as can be seen: they may be one long text of a dictionary over and over."""
    shown_bytes = 0
    for element in (value.values or ())[:_SHOWN]:
        shown = _json_value(element)
        yield shown
        shown_bytes += len(str(shown))
        if shown_bytes > _SHOWN:
            return


def _utc(ticks: int, unit: str) -> str:
    """Written by Arrow, for Python's own times know neither nanoseconds nor the years that a wrong one may have."""
    return str(pa.scalar(ticks, pa.timestamp(unit, "UTC")).cast(TEXT)).replace(" ", "T")
