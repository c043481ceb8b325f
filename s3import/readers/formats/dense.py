"""Parquet's columns of dictionaries, read as the values that they stand for.

Arrow's writer notes in the footer that a column was a dictionary in its memory. Its reader then makes one again, which
fails for some encodings and, read in small steps, takes a copy of the whole dictionary for each. Without the note the
column is read as any other.

The texts of lists are the exception: a row holds any number of them, and nothing tells how long they are together
before they are decoded. They are read as dictionaries, measured, and decoded where they take no more than a line may.
"""

from __future__ import annotations

import os
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import MAX_LINE_BYTES
from s3import.readers.formats.wrapped import WrappedFile

_NOTE, _NO_NOTE = b"ARROW:schema", b"arrow:schema"  # a key in the footer, and one of the same length that says nothing
_TAIL_BYTES = 8  # behind the footer: its length and a magic word


def has_dictionaries(type_: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in the type."""
    if pa.types.is_dictionary(type_):
        return True
    if isinstance(type_, pa.BaseExtensionType):
        return has_dictionaries(type_.storage_type)
    return any(has_dictionaries(type_.field(number).type) for number in range(type_.num_fields))


class WithoutNote(WrappedFile):
    """A Parquet file without the note of what its columns were in memory."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._end = file.seek(-_TAIL_BYTES, os.SEEK_END)
        footer_bytes = int.from_bytes(file.read(4), "little")
        self._begin = file.seek(max(self._end - footer_bytes, 0))
        self._footer = file.read(self._end - self._begin).replace(_NOTE, _NO_NOTE)

    def read(self, size: int | None = -1) -> bytes:
        start = self._file.tell()
        chunk = bytearray(super().read(size))
        begin, end = max(start, self._begin), min(start + len(chunk), self._end)
        if begin < end:
            chunk[begin - start : end - start] = self._footer[begin - self._begin : end - self._begin]
        return bytes(chunk)


def as_written(batch: pa.RecordBatch, written: pa.Schema) -> pa.RecordBatch:
    """The batch with the types that the note had told of and nothing else does: durations, and those of extensions."""
    types = [(field.name, _as_written(field.type, written.field(field.name).type)) for field in batch.schema]
    return batch.cast(pa.schema(types))


def _as_written(found: pa.DataType, written: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(found) and pa.types.is_struct(written):
        return pa.struct([(child.name, _as_written(child.type, written.field(child.name).type)) for child in found])
    if pa.types.is_list(found) and written.num_fields == 1:
        return pa.list_(_as_written(found.value_type, written.field(0).type))
    is_noted_only = pa.types.is_duration(written) or isinstance(written, pa.BaseExtensionType)
    return written if is_noted_only and not has_dictionaries(written) else found


# --- texts of lists --------------------------------------------------------------------------------------------------


def decoded_bytes(batch: pa.RecordBatch) -> int:
    """What the batch takes once its dictionaries are decoded."""
    return sum(_decoded_bytes(column) for column in batch.columns)


def densified(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without dictionaries, but for those of columns that would take more than a line may."""
    if not any(has_dictionaries(field.type) for field in batch.schema):
        return batch
    return pa.record_batch([_densified(column) for column in batch.columns], batch.schema.names)


def lengths_bytes(texts: pa.Array) -> pa.Array:
    """The length of each text, 0 where there is none; those of a dictionary are not decoded."""
    if pa.types.is_dictionary(texts.type):
        lengths = lengths_bytes(texts.dictionary).take(texts.indices)
    else:
        lengths = pc.binary_length(texts.cast(pa.large_binary()))
    return lengths.cast(pa.int64()).fill_null(0)


def _decoded_bytes(column: pa.Array) -> int:
    if not has_dictionaries(column.type):
        return int(column.nbytes)
    if pa.types.is_dictionary(column.type):
        return int(pc.sum(lengths_bytes(column)).as_py() or 0)
    if pa.types.is_map(column.type):
        column = column.cast(pa.list_(pa.struct([("key", column.type.key_type), ("value", column.type.item_type)])))
    if pa.types.is_struct(column.type):
        return sum(map(_decoded_bytes, column.flatten()))
    return _decoded_bytes(column.flatten()) + 4 * len(column)


def _densified(column: pa.Array) -> pa.Array:
    if not has_dictionaries(column.type) or (len(column) == 1 and _decoded_bytes(column) > MAX_LINE_BYTES):
        return column
    return column.cast(_dense(column.type))


def _dense(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(type_):
        return type_.value_type
    if pa.types.is_map(type_):
        return pa.map_(_dense(type_.key_type), _dense(type_.item_type))
    if pa.types.is_struct(type_):
        return pa.struct([(child.name, _dense(child.type)) for child in type_])
    return pa.list_(_dense(type_.value_type)) if pa.types.is_list(type_) else type_
