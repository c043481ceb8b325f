"""Parquet's columns of dictionaries, read as the values that they stand for.

Arrow's writer notes in the footer that a column was a dictionary in its memory. Its reader then makes one again, which
fails for some encodings and, read in small steps, takes a copy of the whole dictionary for each. Without the note the
column is read as any other.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

import pyarrow as pa

_NOTE, _NO_NOTE = b"ARROW:schema", b"arrow:schema"  # a key in the footer, and one of the same length that says nothing
_TAIL_BYTES = 8  # behind the footer: its length and a magic word


def has_dictionaries(type_: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in the type."""
    if pa.types.is_dictionary(type_):
        return True
    if isinstance(type_, pa.BaseExtensionType):
        return has_dictionaries(type_.storage_type)
    return any(has_dictionaries(type_.field(number).type) for number in range(type_.num_fields))


class WithoutNote(io.RawIOBase):
    """A Parquet file without the note of what its columns were in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(-_TAIL_BYTES, os.SEEK_END)
        footer_bytes = int.from_bytes(file.read(4), "little")
        self._begin = file.seek(max(self._end - footer_bytes, 0))
        self._footer = file.read(self._end - self._begin).replace(_NOTE, _NO_NOTE)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        start = self._file.tell()
        chunk = bytearray(self._file.read(-1 if size is None else size))
        begin, end = max(start, self._begin), min(start + len(chunk), self._end)
        if begin < end:
            chunk[begin - start : end - start] = self._footer[begin - self._begin : end - self._begin]
        return bytes(chunk)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


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
