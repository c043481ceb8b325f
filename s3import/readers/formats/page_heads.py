"""The pages of a Parquet file, looked at as they are read: Arrow decodes each as a whole, however large it says it is.

Understood here is the head of a page, how many bytes it takes and how many they become, and of the footer where columns
lie: to ask Arrow for that would end the process where the footer is damaged.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from s3import.core.errors import PartUnreadable

Skip = Callable[[bytes, int], int]  # (chunk, place): where what begins there ends

MAX_PAGE_BYTES = 256 * 1024 * 1024  # decoded: what writers pack into one when they count rows, and not bytes
_HEAD_BYTES = (64 * 1024, 64 * 1024 * 1024)  # of a page's head, which may tell of its least and its largest value
_KIND, _UNPACKED, _PACKED = 1, 2, 3  # fields of a page's head: what it is, its size when decoded, and in the file
_DATA_HEADS = (5, 8)  # fields of it, of which one is there: what a page of data is
_DICTIONARY_PAGE = 2
_SMALL_BYTES = 1024  # a dictionary that needs no look: rows in hand may repeat all of it
_MOST_VALUES = 200_000  # of a dictionary that are looked at one by one; what is behind them counts as one
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_TEXT = 6  # a column's physical type: BYTE_ARRAY


class WatchedPages(io.RawIOBase):
    """A Parquet file of `size_bytes` of which no page larger than `MAX_PAGE_BYTES` is read in the columns watched.

    A read of such a page raises PartUnreadable naming `object_name`.
    """

    def __init__(self, file: BinaryIO, size_bytes: int, object_name: str) -> None:
        self._file, self._size_bytes, self._object_name = file, size_bytes, object_name
        self._end: list[tuple[int, bytes]] = []  # what was read of the footer, with its places
        self._groups: list[list[ColumnChunk]] | None = None
        self._columns: dict[str, ColumnChunk] = {}
        self._heads: dict[str, int] = {}  # where the next head begins
        self._widest: dict[str, int] = {}
        self._dictionaries: dict[str, _DictionaryPage] = {}

    def watch(self, group: int, columns: Mapping[int, str]) -> None:
        """Watch the columns of a row group from now on, which are given by number among all, with their names."""
        groups = self._places()
        places = groups[group] if group < len(groups) else []
        self._columns = {name: places[number] for number, name in columns.items() if number < len(places)}
        self._heads = {name: column.begin for name, column in self._columns.items()}
        self._widest, self._dictionaries = {}, {}

    def encodings(self, column: int) -> frozenset[int]:
        """How the pages of a column, given by number among all, are encoded in any row group, by its footer's word."""
        return frozenset().union(*(group[column].encodings for group in self._places() if column < len(group)))

    @property
    def widest_bytes(self) -> int:
        """The most that a row can repeat of the dictionaries seen in the columns watched: their longest texts."""
        return sum(self._widest.values())

    def repeated_bytes(self, columns: Iterable[str]) -> int:
        """The most that the watched columns of these names repeat of the dictionaries seen, all values together."""
        return sum(self._widest[name] * self._columns[name].values for name in columns if name in self._widest)

    def _places(self) -> list[list[ColumnChunk]]:
        if self._groups is None:
            self._groups, self._end = column_places(self._footer()), []
        return self._groups

    def _footer(self) -> bytes:
        """The footer, which has been read for sure: mostly all at once."""
        end = self._size_bytes - _TAIL_BYTES
        size_bytes = int.from_bytes(self._read_before(end, _TAIL_BYTES)[:4], "little")
        return self._read_before(end - size_bytes, size_bytes)

    def _read_before(self, place: int, size_bytes: int) -> bytes:
        for start, chunk in self._end:
            if start <= place and place + size_bytes <= start + len(chunk):
                return chunk[place - start : place - start + size_bytes]
        return self._read_aside(max(place, 0), size_bytes)

    def _read_aside(self, place: int, size_bytes: int) -> bytes:
        before = self._file.tell()
        self._file.seek(place)
        chunk = self._file.read(size_bytes)
        self._file.seek(before)
        return chunk

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
        chunk = self._file.read(-1 if size is None else size)
        if self._groups is None:
            self._end.append((start, chunk))
        for name, column in self._columns.items():
            if start <= (place := self._heads[name]) < min(start + len(chunk), column.end):
                self._heads[name] = self._look(name, start, chunk, place)
        for name, page in tuple(self._dictionaries.items()):
            if page.take(start, chunk):
                self._widest[name] = page.widest_bytes()
                del self._dictionaries[name]
        return chunk

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _look(self, column: str, start: int, chunk: bytes, place: int) -> int:
        """Look at the heads of pages in the chunk from `place` on; where the next page begins."""
        while place < start + len(chunk):
            head = _head(chunk, place - start) or self._head_at(place)
            if head is None or head.packed < 0:
                return -1  # Arrow will say what is wrong
            if head.values > self._columns[column].values:
                raise ValueError("a page tells of more values than its column")
            if head.unpacked > MAX_PAGE_BYTES:
                raise PartUnreadable(
                    f"{self._object_name} has a page of {head.unpacked} bytes in its column {column}, and at most "
                    f"{MAX_PAGE_BYTES} are decoded at a time; write it again with smaller pages, then run the same "
                    "command"
                )
            if head.kind == _DICTIONARY_PAGE:
                self._note_dictionary(column, place + head.size_bytes, head)
            place += head.size_bytes + head.packed
        return place

    def _note_dictionary(self, name: str, begin: int, head: _Head) -> None:
        column = self._columns[name]
        self._widest[name] = head.unpacked if column.type == _TEXT else 0
        if self._widest[name] > _SMALL_BYTES:
            self._dictionaries[name] = _DictionaryPage(begin, head, column.codec)

    def _head_at(self, place: int) -> _Head | None:
        """The head of a page that goes on behind what was read."""
        return next(filter(None, (_head(self._read_aside(place, size), 0) for size in _HEAD_BYTES)), None)


class _DictionaryPage:
    """The page of a column's distinct texts, taken down as it passes by."""

    def __init__(self, begin: int, head: _Head, codec: int) -> None:
        self._begin, self._head, self._codec = begin, head, codec
        self._packed = bytearray()

    def take(self, start: int, chunk: bytes) -> bool:
        """Take what the chunk has of it. Returns: whether that was the last."""
        begin, end = self._begin + len(self._packed) - start, self._begin + self._head.packed - start
        if 0 <= begin < len(chunk):
            self._packed += chunk[begin:end]
        return len(self._packed) >= self._head.packed

    def widest_bytes(self) -> int:
        """The length of its longest text."""
        try:
            texts = self._unpacked()
        except (pa.ArrowException, OSError, ValueError):
            return self._head.unpacked
        place = widest = 0
        for _ in range(_MOST_VALUES):
            if place + 4 > len(texts):
                return widest
            length = int.from_bytes(texts[place : place + 4], "little")
            place, widest = place + 4 + length, max(widest, min(length, len(texts)))
        return max(widest, len(texts) - place)

    def _unpacked(self) -> bytes:
        if not self._codec:
            return bytes(self._packed)
        codec = _CODECS.get(self._codec, "unknown")
        unpacked: bytes = pa.decompress(self._packed, self._head.unpacked, codec, asbytes=True)
        return unpacked


class _Head(NamedTuple):
    """The head of a page: its own size, that of the page behind it, what that becomes, its kind and how many values."""

    size_bytes: int
    packed: int
    unpacked: int
    kind: int
    values: int


class ColumnChunk(NamedTuple):
    """Where a column chunk begins and ends in the file, its physical type, its codec, the number of its values and the
    encodings of its pages."""

    begin: int
    end: int
    type: int = 0
    codec: int = 0
    values: int = 0
    encodings: frozenset[int] = frozenset()


def _head(chunk: bytes, start: int) -> _Head | None:
    """The head that begins at `start` of the chunk; None where it is not whole, or is none."""
    numbers: dict[int, int] = {}
    inner: dict[int, int] = {}
    of_data = dict.fromkeys(_DATA_HEADS, lambda chunk, place: _skip_struct(chunk, place, inner))
    try:
        end = _skip_struct(chunk, start, numbers, of_data)
    except _WRONG:
        return None
    if end > len(chunk) or not {_PACKED, _UNPACKED} <= numbers.keys():
        return None
    return _Head(end - start, numbers[_PACKED], numbers[_UNPACKED], numbers.get(_KIND, -1), inner.get(1, 0))


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
_TAIL_BYTES = 8  # behind the footer: its length and a magic word
_WRONG = (IndexError, ValueError, RecursionError)


# --- Thrift's compact protocol, as far as a head needs it ------------------------------------------------------------

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)


def _skip_struct(
    chunk: bytes, place: int, numbers: dict[int, int] | None = None, inner: Mapping[int, Skip] = MappingProxyType({})
) -> int:
    """Where the struct ends that begins there; `numbers` takes its integers by their fields' numbers, `inner` looks
    into some of its fields."""
    field = 0
    while chunk[place]:
        step, kind = divmod(chunk[place], 16)
        place += 1
        if step:
            field += step
        else:
            number, place = _varint(chunk, place)
            field = _signed(number)
        if kind in _INTEGERS:
            number, place = _varint(chunk, place)
            if numbers is not None:
                numbers[field] = _signed(number)
        elif kind not in (_TRUE, _FALSE):
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
        number, place = _varint(chunk, place)
        take(_signed(number))
    return place


def _skip_integer(chunk: bytes, place: int) -> int:
    return _varint(chunk, place)[1]


def _skip_binary(chunk: bytes, place: int) -> int:
    length, place = _varint(chunk, place)
    return place + length


def _list_head(chunk: bytes, place: int) -> tuple[int, int, int]:
    """How many elements a list has, of which kind, and where the first one begins."""
    count, kind = divmod(chunk[place], 16)
    place += 1
    if count == 15:
        count, place = _varint(chunk, place)
    return count, kind, place


def _skip_list(chunk: bytes, place: int) -> int:
    count, kind, place = _list_head(chunk, place)
    for _ in range(count):
        place = place + 1 if kind in (_TRUE, _FALSE) else _SKIP[kind](chunk, place)
        if place > len(chunk):
            raise IndexError
    return place


def _varint(chunk: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = chunk[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("no number has so many digits")


def _signed(number: int) -> int:
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
