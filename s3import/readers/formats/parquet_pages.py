"""The pages of a Parquet file, looked at as they are read. Arrow decodes each as a whole, however large it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO, NamedTuple

from s3import.core.errors import PartUnreadable
from s3import.readers.formats.page_heads import (
    DELTA_TEXTS,
    FIXED,
    TEXT,
    ColumnChunk,
    Head,
    column_places,
    page_head,
)
from s3import.readers.formats.page_texts import TakenPage
from s3import.readers.formats.wrapped import WrappedFile

MAX_PAGE_BYTES = 256 * 1024 * 1024  # decoded: what writers pack into one when they count rows, and not bytes
MAX_PAGES_BYTES = 320 * 1024 * 1024  # and of all columns, side by side
MAX_VALUES = 8 * 1024 * 1024  # of a page that Arrow takes apart at once, and of the lists of a step
MAX_LISTS_BYTES = 128 * 1024 * 1024  # of the rows of a step
MAX_STEP_BYTES = 64 * 1024 * 1024  # of texts that rows may share, and of pages that they go on into
LITTLE_BYTES = 16 * 1024 * 1024  # of pages and shared texts together, however many rows they are
_HEAD_BYTES = (64 * 1024, 64 * 1024 * 1024)  # of a page's head, which may tell of its least and its largest value
_SMALL_BYTES = 1024  # a dictionary that needs no look: rows in hand may repeat all of it
_TAIL_BYTES = 8  # behind the footer: its length and a magic word


class ListsTooLong(PartUnreadable):
    """The lists of rows that are decoded together are too long for that."""


class Leaf(NamedTuple):
    """A leaf column to be watched: its path, the size of each value where all have the same, whether a row has any
    number of them, and whether what they take is measured before they are decoded."""

    path: str
    size_bytes: int = 0
    is_listed: bool = False
    is_measured: bool = False


@dataclass(slots=True)
class _Column:
    """What was seen of a column chunk. `pages`: of a column that is no list, the row behind each page and its size."""

    leaf: Leaf
    chunk: ColumnChunk
    next_head: int
    values: int = 0
    widest_bytes: int = 0
    delta_bytes: int = 0
    largest: dict[bool, int] = field(default_factory=dict)
    taken: list[TakenPage] = field(default_factory=list)
    pages: deque[tuple[int, int]] = field(default_factory=deque)

    def page_bytes(self, end: int) -> list[int]:
        """What each of the pages takes that rows before `end` are in."""
        begins = chain((0,), (row for row, _ in self.pages))
        return [size_bytes for begin, (_, size_bytes) in zip(begins, self.pages, strict=False) if begin < end]

    def listed_bytes(self, values: int, unpacked: int) -> int:
        """What values of a list may take, `unpacked` if they stand in the page themselves."""
        repeated = 0 if self.leaf.is_measured else self.widest_bytes
        return max(unpacked, values * max(self.leaf.size_bytes, repeated))


class WatchedPages(WrappedFile):
    """A Parquet file of `size_bytes` of which nothing is read, in the columns watched, that decodes to more than
    memory has room for: no page larger than `MAX_PAGE_BYTES`, no more than `MAX_PAGES_BYTES` side by side, and in one
    step no lists of more than `MAX_LISTS_BYTES` or `MAX_VALUES`.

    A read of such a page raises PartUnreadable naming `object_name`: ListsTooLong where fewer rows may do.
    """

    def __init__(self, file: BinaryIO, size_bytes: int, object_name: str) -> None:
        super().__init__(file)
        self._size_bytes, self._object_name = size_bytes, object_name
        self._end: list[tuple[int, bytes]] = []  # what was read of the footer, with its places
        self._groups: list[list[ColumnChunk]] | None = None
        self._columns: dict[str, _Column] = {}
        self._listed_values = self._listed_bytes = 0

    def watch(self, group: int, leaves: Mapping[int, Leaf]) -> None:
        """Watch the columns of a row group from now on, which are given by number among all."""
        groups = self._places()
        places = groups[group] if group < len(groups) else []
        self._columns = {
            leaf.path: _Column(leaf, places[number], places[number].begin)
            for number, leaf in leaves.items()
            if number < len(places)
        }
        self.begin_step()

    def begin_step(self) -> None:
        """What was read of lists before belongs to other rows than the next ones."""
        self._listed_values = self._listed_bytes = 0

    def encodings(self, column: int) -> frozenset[int]:
        """How the pages of a column, given by number among all, are encoded in any row group, by its footer's word."""
        return frozenset().union(*(group[column].encodings for group in self._places() if column < len(group)))

    def rows_at_once(self, row: int, few: int, most: int) -> int:
        """How many rows from `row` of the group on can be decoded together, one at least and `most` at most: of what
        they repeat and of the pages that they go on into, all is known and fits into memory. More than `few`, for which
        the rows before them speak, only where whatever they hold takes little."""
        columns = [column for column in self._columns.values() if not column.leaf.is_listed]
        for column in columns:
            while column.pages and column.pages[0][0] <= row:
                column.pages.popleft()
        repeated = sum(column.widest_bytes for column in self._columns.values())
        prefixed = sum(column.delta_bytes for column in columns)
        each = repeated + prefixed + sum(column.leaf.size_bytes for column in columns)
        most = min([most, *(column.values - row for column in columns)])
        while most > few and most * each + sum(sum(column.page_bytes(row + most)) for column in columns) > LITTLE_BYTES:
            most = max(most // 2, few)
        most = min(most, MAX_STEP_BYTES // max(repeated, 1), MAX_PAGE_BYTES // max(prefixed, 1))
        while most > 1 and sum(sum(column.page_bytes(row + most)[1:]) for column in columns) > MAX_STEP_BYTES:
            most //= 2
        return max(most, 1)

    def repeated_bytes(self, columns: Iterable[str]) -> int:
        """The most that the watched columns of these names repeat of the dictionaries seen, all values together."""
        known = (self._columns[name] for name in columns if name in self._columns)
        return sum(column.widest_bytes * column.chunk.values for column in known)

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

    def read(self, size: int | None = -1) -> bytes:
        start = self._file.tell()
        chunk = super().read(size)
        if self._groups is None:
            self._end.append((start, chunk))
        for column in self._columns.values():
            self._take(column, start, chunk)
            if start <= column.next_head:
                self._look(column, start, chunk)
        return chunk

    def _look(self, column: _Column, start: int, chunk: bytes) -> None:
        """Look at the heads of pages in the chunk, from where the next one begins."""
        end = min(start + len(chunk), column.chunk.end)
        while column.next_head < end and column.values < max(column.chunk.values, 1):
            head = page_head(chunk, column.next_head - start) or self._head_at(column.next_head)
            if head is None or head.packed < 0:
                raise ValueError("a page has no head")
            self._note(column, column.next_head + head.size_bytes, head)
            self._take(column, start, chunk)
            column.next_head += head.size_bytes + head.packed

    def _note(self, column: _Column, begin: int, head: Head) -> None:
        """Note a page which begins behind its head at `begin` of the file; PartUnreadable where it is too large."""
        name = column.leaf.path
        column.largest[head.is_dictionary] = max(column.largest.get(head.is_dictionary, 0), head.unpacked)
        if head.unpacked > MAX_PAGE_BYTES:
            self._refuse(f"a page of {head.unpacked} bytes in its column {name}, and at most {MAX_PAGE_BYTES}")
        together = sum(sum(one.largest.values()) for one in self._columns.values())
        if together > MAX_PAGES_BYTES:
            self._refuse(f"pages of {together} bytes side by side, and at most {MAX_PAGES_BYTES}")
        if head.values > MAX_VALUES and (head.is_dictionary or head.encoding == DELTA_TEXTS or column.leaf.is_listed):
            self._refuse(f"a page of {head.values} values in its column {name}, and at most {MAX_VALUES}")
        if head.is_dictionary:
            self._note_dictionary(column, begin, head)
        elif head.is_data:
            self._note_values(column, begin, head)

    def _note_dictionary(self, column: _Column, begin: int, head: Head) -> None:
        column.widest_bytes = head.unpacked if column.chunk.type in (TEXT, FIXED) else 0
        if column.widest_bytes > _SMALL_BYTES:
            column.taken.append(TakenPage(begin, head, column.chunk))

    def _note_values(self, column: _Column, begin: int, head: Head) -> None:
        column.values += head.values
        if column.values > column.chunk.values:
            raise ValueError("pages tell of more values than their column")
        if not column.leaf.is_listed:
            column.pages.append((column.values, head.unpacked))
            if head.encoding == DELTA_TEXTS:
                column.delta_bytes = max(column.delta_bytes, head.unpacked)  # no text of it is longer
            return
        self._listed_values += head.values
        self._count_listed(column, column.listed_bytes(head.values, head.unpacked))
        if head.encoding == DELTA_TEXTS:
            if head.unpacked > MAX_STEP_BYTES:
                self._refuse(
                    f"a page of {head.unpacked} bytes in its column {column.leaf.path}, and at most "
                    f"{MAX_STEP_BYTES} in lists of DELTA_BYTE_ARRAY"
                )
            column.taken.append(TakenPage(begin, head, column.chunk))

    def _count_listed(self, column: _Column, size_bytes: int) -> None:
        self._listed_bytes += size_bytes
        if self._listed_bytes > MAX_LISTS_BYTES or self._listed_values > MAX_VALUES:
            raise ListsTooLong(
                f"{self._object_name} has a list in its column {column.leaf.path} that takes more than "
                f"{MAX_LISTS_BYTES} bytes or has more than {MAX_VALUES} elements; write it again with shorter lists, "
                "then run the same command"
            )

    def _take(self, column: _Column, start: int, chunk: bytes) -> None:
        for page in tuple(column.taken):
            if page.take(start, chunk):
                column.taken.remove(page)
                if page.head.is_dictionary:
                    column.widest_bytes = page.widest_bytes()
                else:
                    self._count_listed(column, max(0, page.delta_bytes() - page.head.unpacked))

    def _refuse(self, found: str) -> None:
        raise PartUnreadable(
            f"{self._object_name} has {found} are decoded at a time; write it again with smaller pages, then run the "
            "same command"
        )

    def _head_at(self, place: int) -> Head | None:
        """The head of a page that goes on behind what was read."""
        return next(filter(None, (page_head(self._read_aside(place, size), 0) for size in _HEAD_BYTES)), None)
