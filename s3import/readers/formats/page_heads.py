"""The heads of Parquet's pages, and what a footer tells of columns, as far as it matters how much they decode to.

To ask Arrow for that would end the process where the footer is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

Skip = Callable[[bytes, int], int]  # (chunk, place): where what begins there ends

DELTA_TEXTS = 7  # an encoding: DELTA_BYTE_ARRAY
TEXT, FIXED = 6, 7  # physical types: BYTE_ARRAY, and FIXED_LEN_BYTE_ARRAY
_KIND, _UNPACKED, _PACKED = 1, 2, 3  # fields of a page's head: what it is, its size when decoded, and in the file
_INNER = (5, 7, 8)  # fields of it, of which one is there: what a page of data is, a dictionary, a second kind of data
_DATA_V1, _DICTIONARY_PAGE, _DATA_V2 = 0, 2, 3


class Head(NamedTuple):
    """The head of a page: its own size, that of the page behind it, what that becomes, its kind and how many values;
    of a second kind of data page also the size of its levels, which are not packed, and whether anything is."""

    size_bytes: int
    packed: int
    unpacked: int
    kind: int
    values: int
    encoding: int = 0
    levels_bytes: int = 0
    is_packed: bool = True

    @property
    def is_dictionary(self) -> bool:
        return self.kind == _DICTIONARY_PAGE

    @property
    def is_data(self) -> bool:
        return self.kind in (_DATA_V1, _DATA_V2)

    @property
    def has_plain_levels(self) -> bool:
        return self.kind == _DATA_V2


class ColumnChunk(NamedTuple):
    """Where a column chunk begins and ends in the file, its physical type, its codec, the number of its values, and the
    encodings of its pages."""

    begin: int
    end: int
    type: int = 0
    codec: int = 0
    values: int = 0
    encodings: frozenset[int] = frozenset()


def page_head(chunk: bytes, start: int) -> Head | None:
    """The head that begins at `start` of the chunk; None where it is not whole, or is none."""
    numbers: dict[int, int] = {}
    inner: dict[int, int] = {}
    look = dict.fromkeys(_INNER, lambda chunk, place: _skip_struct(chunk, place, inner))
    try:
        end = _skip_struct(chunk, start, numbers, look)
    except _WRONG:
        return None
    if end > len(chunk) or not {_PACKED, _UNPACKED} <= numbers.keys():
        return None
    kind = numbers.get(_KIND, -1)
    encoding, levels = (4, inner.get(5, 0) + inner.get(6, 0)) if kind == _DATA_V2 else (2, 0)
    is_packed = kind != _DATA_V2 or inner.get(7, 1) == 1
    sizes = (end - start, numbers[_PACKED], numbers[_UNPACKED])
    return Head(*sizes, kind, inner.get(1, 0), inner.get(encoding, 0), levels, is_packed)


def column_places(footer: bytes) -> list[list[ColumnChunk]]:
    """What a footer says of each column, by row group and number; nothing where it is damaged."""
    groups: list[list[ColumnChunk]] = []

    def take_group(chunk: bytes, place: int) -> int:
        columns: list[ColumnChunk] = []

        def take_column(chunk: bytes, place: int) -> int:
            numbers: dict[int, int] = {}
            encodings: list[int] = []
            look = {_ENCODINGS: partial(_each_integer, encodings.append)}
            metadata = {_METADATA: lambda chunk, place: _skip_struct(chunk, place, numbers, look)}
            place = _skip_struct(chunk, place, inner=metadata)
            data = numbers.get(_DATA, -1)
            begin = min(numbers.get(_DICTIONARY) or data, data)
            end = begin + numbers.get(_SIZE, 0)
            kind, codec, values = (numbers.get(field, 0) for field in (_TYPE, _CODEC, _VALUES))
            columns.append(ColumnChunk(begin, end, kind, codec, values, frozenset(encodings)))
            return place

        groups.append(columns)
        return _skip_struct(chunk, place, inner={_COLUMNS: partial(_each_struct, take_column)})

    try:
        _skip_struct(footer, 0, inner={_ROW_GROUPS: partial(_each_struct, take_group)})
    except _WRONG:
        return []
    return groups


_ROW_GROUPS, _COLUMNS, _METADATA = 4, 1, 3  # fields of a footer, of a row group, of a column
_TYPE, _ENCODINGS, _CODEC, _VALUES = 1, 2, 4, 5  # fields of a column's metadata
_SIZE, _DATA, _DICTIONARY = 7, 9, 11  # and of these: its size in the file, its pages' places
_WRONG = (IndexError, ValueError, RecursionError)


# --- Thrift's compact protocol, as far as a head needs it ------------------------------------------------------------

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)


def _skip_struct(
    chunk: bytes, place: int, numbers: dict[int, int] | None = None, inner: Mapping[int, Skip] = MappingProxyType({})
) -> int:
    """Where the struct ends that begins there; `numbers` takes its integers and flags by their fields' numbers, `inner`
    looks into some of its fields."""
    field = 0
    while chunk[place]:
        step, kind = divmod(chunk[place], 16)
        place += 1
        if step:
            field += step
        else:
            number, place = varint(chunk, place)
            field = signed(number)
        if kind in _INTEGERS:
            number, place = varint(chunk, place)
            if numbers is not None:
                numbers[field] = signed(number)
        elif kind in (_TRUE, _FALSE):
            if numbers is not None:
                numbers[field] = int(kind == _TRUE)
        else:
            place = (inner.get(field) or _SKIP[kind])(chunk, place)
    return place + 1


def _each_struct(take: Skip, chunk: bytes, place: int) -> int:
    """Where the list of structs ends, each of which is taken."""
    count, kind, place = _list_head(chunk, place)
    if kind != _STRUCT:
        raise ValueError("it is no list of structs")
    for _ in range(count):
        place = take(chunk, place)
    return place


def _each_integer(take: Callable[[int], None], chunk: bytes, place: int) -> int:
    """Where the list of integers ends, each of which is taken."""
    count, _, place = _list_head(chunk, place)
    for _ in range(count):
        number, place = varint(chunk, place)
        take(signed(number))
    return place


def _skip_integer(chunk: bytes, place: int) -> int:
    return varint(chunk, place)[1]


def _skip_binary(chunk: bytes, place: int) -> int:
    length, place = varint(chunk, place)
    return place + length


def _list_head(chunk: bytes, place: int) -> tuple[int, int, int]:
    """How many elements a list has, of which kind, and where the first one begins."""
    count, kind = divmod(chunk[place], 16)
    place += 1
    if count == 15:
        count, place = varint(chunk, place)
    return count, kind, place


def _skip_list(chunk: bytes, place: int) -> int:
    count, kind, place = _list_head(chunk, place)
    for _ in range(count):
        place = place + 1 if kind in (_TRUE, _FALSE) else _SKIP[kind](chunk, place)
        if place > len(chunk):
            raise IndexError
    return place


def varint(chunk: bytes, place: int) -> tuple[int, int]:
    """The number that begins there, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = chunk[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("no number has so many digits")


def signed(number: int) -> int:
    """A number of which the lowest bit is the sign."""
    return (number >> 1) ^ -(number & 1)


class _Skips(dict[int, Skip]):
    """How what is of no interest is passed over, by its kind."""

    def __missing__(self, kind: int) -> Skip:
        raise ValueError(f"there is no kind {kind}")


_SKIP = _Skips(
    {
        _BYTE: lambda _, place: place + 1,
        **dict.fromkeys(_INTEGERS, _skip_integer),
        _DOUBLE: lambda _, place: place + 8,
        _BINARY: _skip_binary,
        _LIST: _skip_list,
        _SET: _skip_list,
        _STRUCT: _skip_struct,
    }
)
