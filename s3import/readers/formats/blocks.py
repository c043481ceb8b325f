"""The frame in which lines are read, whatever is on them: blocks of whole lines, their rows, and the batch of these.

A block is read at once, as columns. Where that raises any doubt, the block is read in small pieces, and only a piece
that is in doubt again is read line by line.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.records import MAX_BATCH_ROWS, MAX_LINE_BYTES, MAX_RAW_BYTES, Batch, Position
from s3import.readers.formats.lines import Rows, limit_names
from s3import.readers.formats.signatures import BYTE_ORDER_MARK

PIECE_BYTES = 256 * 1024  # of a block that could not be parsed at once


# --- from text to blocks of whole lines --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines that take `size_bytes` of the part; of a line that is too long just enough to show it."""

    text: bytes
    size_bytes: int
    is_too_long: bool = False
    is_last: bool = False  # the text's end was seen behind it


def cut_blocks(read: Callable[[int], bytes], block_bytes: int, *, at_start: bool) -> Iterator[Block]:
    """Cut what `read` gives after the last line end within `block_bytes`, or after the first where there is none, and
    after `MAX_BATCH_ROWS` lines at the latest; what is shorter than a block when the text ends is one.

    Where a block ends depends only on where it starts, so that a resumed reader sees the same blocks. Memory is
    bounded by a few times `MAX_LINE_BYTES`, however long a line is. `at_start`: the text is the part's from its start
    on, where a byte order mark is dropped (and counted).
    """
    lines = _Lines(read, min(block_bytes, MAX_LINE_BYTES))  # so that only a block of one line can be too long
    if at_start:
        lines.drop_byte_order_mark()
    while block := lines.next_block():
        yield block


class _Lines:
    """The text that was read and not yet given out."""

    def __init__(self, read: Callable[[int], bytes], block_bytes: int) -> None:
        self._read = read
        self._block_bytes = block_bytes
        self._held = b""
        self._dropped_bytes = 0  # since the last block

    def drop_byte_order_mark(self) -> None:
        self._fill(len(BYTE_ORDER_MARK))
        if self._held.startswith(BYTE_ORDER_MARK):
            self._drop(len(BYTE_ORDER_MARK))

    def next_block(self) -> Block | None:
        more = self._fill(self._block_bytes)
        if more:
            cut = self._held.rfind(b"\n", 0, self._block_bytes) + 1 or self._find_line_end()
        else:
            cut = len(self._held)
        if (few := _end_of_line(self._held, MAX_BATCH_ROWS, cut)) < cut:
            cut, more = few, True
        text = self._held[: cut or MAX_LINE_BYTES + 2]
        if len(text) > MAX_LINE_BYTES and len(_without_end(text)) > MAX_LINE_BYTES:
            self._drop_line()
            return Block(text[: MAX_RAW_BYTES + 1], self._dropped(), is_too_long=True)
        self._drop(len(text))
        return Block(text, self._dropped(), is_last=not more) if text else None

    def _fill(self, size_bytes: int) -> bool:
        """Hold at least `size_bytes`. Returns: whether there are so many."""
        chunks, missing = [self._held], size_bytes - len(self._held)
        while missing > 0 and (chunk := self._read(missing)):
            chunks.append(chunk)
            missing -= len(chunk)
        self._held = b"".join(chunks)
        return missing <= 0

    def _find_line_end(self) -> int:
        """The length of the first line with its end; 0 when the text ends before, or it is too long to go on."""
        searched, more = 0, True
        while not (cut := self._held.find(b"\n", searched) + 1) and more and searched <= MAX_LINE_BYTES + 1:
            searched = len(self._held)
            more = self._fill(min(2 * searched, MAX_LINE_BYTES + 2))  # 2: the end may be CR LF
        return cut

    def _drop(self, size_bytes: int) -> None:
        self._dropped_bytes += size_bytes
        self._held = self._held[size_bytes:]

    def _drop_line(self) -> None:
        while not (cut := self._held.find(b"\n") + 1) and self._held:
            self._drop(len(self._held))
            self._held = self._read(self._block_bytes)
        self._drop(cut)

    def _dropped(self) -> int:
        dropped, self._dropped_bytes = self._dropped_bytes, 0
        return dropped


def _end_of_line(text: bytes, number: int, end: int) -> int:
    """Where the line of that number (from 1) ends in the text before `end`; `end` where there are not so many."""
    if text.count(b"\n", 0, end) < number:
        return end
    begin = 0
    while end - begin > 1:
        middle = (begin + end) // 2
        lines = text.count(b"\n", begin, middle)
        begin, end, number = (begin, middle, number) if lines >= number else (middle, end, number - lines)
    return end


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


# --- from a block to rows ----------------------------------------------------------------------------------------


def read_rows(
    text: bytes,
    first_line: int,
    as_columns: Callable[[bytes, int], Rows | None] | None,
    by_line: Callable[[bytes, int, int], Rows],
) -> Rows:
    """The rows of whole lines, of which the first has number `first_line`.

    `as_columns` reads a text (and the number of its first line) at once, and gives None where it has any doubt: that
    text is taken in pieces, and of these the doubtful ones go to `by_line`, which is also given the piece's first row.
    """
    if as_columns is None:
        return by_line(text, first_line, 0)
    return as_columns(text, first_line) or _read_pieces(text, first_line, as_columns, by_line)


def _read_pieces(
    text: bytes,
    first_line: int,
    as_columns: Callable[[bytes, int], Rows | None],
    by_line: Callable[[bytes, int, int], Rows],
) -> Rows:
    pieces: list[Rows] = []
    line, row = first_line, 0
    for piece_text in _cut_pieces(text):
        piece = as_columns(piece_text, line) or by_line(piece_text, line, row)
        pieces.append(piece)
        line, row = line + piece.line_count, row + len(piece.lines)
    return _join_rows(pieces)


def _cut_pieces(text: bytes) -> Iterator[bytes]:
    """Whole lines of about `PIECE_BYTES`."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start + PIECE_BYTES) + 1 or len(text)
        yield text[start:end]
        start = end


def _join_rows(pieces: Sequence[Rows]) -> Rows:
    """The rows of consecutive pieces as those of one."""
    return Rows(
        line_count=sum(piece.line_count for piece in pieces),
        records=pa.concat_tables(piece.records for piece in pieces).combine_chunks(),
        lines=pa.concat_arrays([piece.lines for piece in pieces]),
        faults=tuple(fault for piece in pieces for fault in piece.faults),
        sanitised=frozenset().union(*(piece.sanitised for piece in pieces)),
        ignored_fields=limit_names(frozenset().union(*(piece.ignored_fields for piece in pieces))),
    )


def split_lines(text: bytes) -> pa.StringArray | None:
    """The lines without their LF; None where the text is not UTF-8, or holds NUL, which ends a document for Arrow."""
    offsets = struct.pack("=ii", 0, len(text))
    whole = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return None if b"\0" in text else pc.split_pattern(whole, "\n").values


def hold_an_object_each(lines: pa.StringArray, filled: pa.BooleanArray) -> bool:
    """Whether every filled line starts and ends like an object: one over two lines, or junk around it, would show."""
    ends = pc.or_(pc.ends_with(lines, "}"), pc.ends_with(lines, "}\r"))
    whole = pc.and_(pc.starts_with(lines, "{"), ends)
    return bool(pc.all(pc.equal(whole, filled)).as_py())


# --- from rows to a batch ----------------------------------------------------------------------------------------


def make_batch(block: Block, rows: Rows, start: Position, end: Position, bytes_done: int) -> Batch:
    """The batch of a block's rows between two places of the part."""
    return Batch(
        records=rows.records,
        lines=rows.lines,
        raw=_raw_lines(block.text, start.line + 1, rows.lines),
        start=start,
        end=end,
        bytes_done=bytes_done,
        faults=rows.faults,
        sanitised=rows.sanitised,
        ignored_fields=rows.ignored_fields,
        last=block.is_last,
    )


def _raw_lines(text: bytes, first_line: int, lines: pa.Int64Array) -> Callable[[Sequence[int]], list[bytes]]:
    """What gives the bytes of rows, whose numbers in the part are `lines`; the text starts with line `first_line`."""

    def raw(rows: Sequence[int]) -> list[bytes]:
        texts = text.split(b"\n")
        return [texts[lines[row].as_py() - first_line].removesuffix(b"\r") for row in rows]

    return raw
