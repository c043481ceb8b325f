"""How long the texts of a Parquet page are, found out before Arrow decodes it."""

from __future__ import annotations

import struct

import pyarrow as pa

from s3import.readers.formats.page_heads import FIXED, ColumnChunk, Head, signed, varint

_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_MOST_VALUES = 200_000  # of a dictionary that are looked at one by one; what is behind them counts as one
_MOST_IN_MINIBLOCK = 4096  # integers; writers put 32 into one
_NEGATIVE = 1 << 31
_LENGTH = struct.Struct("<I")


class TakenPage:
    """A page of a column, taken down as it passes by: it begins behind its head, at `begin` of the file."""

    def __init__(self, begin: int, head: Head, column: ColumnChunk) -> None:
        self.head, self._begin, self._column = head, begin, column
        self._packed = bytearray()

    def take(self, start: int, chunk: bytes) -> bool:
        """Take what the chunk has of it. Returns: whether that was the last."""
        begin, end = self._begin + len(self._packed) - start, self._begin + self.head.packed - start
        if 0 <= begin < len(chunk):
            self._packed += chunk[begin:end]
        return len(self._packed) >= self.head.packed

    def widest_bytes(self) -> int:
        """The length of the longest text of a dictionary."""
        if self._column.type == FIXED:
            return self.head.unpacked // max(self.head.values, 1)
        try:
            texts = self._unpacked(0)
        except (pa.ArrowException, OSError, ValueError):
            return self.head.unpacked
        if (same := _same_length(texts, self.head.values)) is not None:
            return same
        place, widest, last, length_at = 0, 0, len(texts) - 4, _LENGTH.unpack_from
        for _ in range(_MOST_VALUES):  # little is done for each, as there are many
            if place > last:
                return min(widest, len(texts))
            (length,) = length_at(texts, place)
            place += 4 + length
            if length > widest:
                widest = length
        return min(max(widest, len(texts) - place), len(texts))

    def delta_bytes(self) -> int:
        """The length of all texts of a list's page in DELTA_BYTE_ARRAY: the beginnings that each shares with the one
        before it, and the ends of its own. Raises: ValueError."""
        levels = self.head.levels_bytes
        try:
            texts, place = self._unpacked(levels), 0
            if not self.head.has_plain_levels:
                for _ in ("of repetition", "of definition"):
                    place += 4 + int.from_bytes(texts[place : place + 4], "little")
            shared, place = _sum_of_integers(texts, place, self.head.values)
            own, _ = _sum_of_integers(texts, place, self.head.values)
        except IndexError as error:
            raise ValueError("a page of texts ends early") from error
        return shared + own

    def _unpacked(self, levels: int) -> bytes:
        packed = memoryview(self._packed)[levels:]
        if not self._column.codec or not self.head.is_packed:
            return bytes(packed)
        codec = _CODECS.get(self._column.codec, "unknown")
        unpacked: bytes = pa.decompress(packed, self.head.unpacked - levels, codec, asbytes=True)
        return unpacked


def _same_length(texts: bytes, count: int) -> int | None:
    """The length of each of so many texts where all have the same, as ids do: one look at each digit of the lengths."""
    if count <= 0 or len(texts) % count or len(texts) < 4 * count:
        return None
    width = len(texts) // count
    are_same = all(texts[place::width] == bytes([digit]) * count for place, digit in enumerate(_LENGTH.pack(width - 4)))
    return width - 4 if are_same else None


def _sum_of_integers(chunk: bytes, place: int, most: int) -> tuple[int, int]:
    """The sum of at most so many integers in DELTA_BINARY_PACKED, none below 0, and where they end."""
    in_block, place = varint(chunk, place)
    miniblocks, place = varint(chunk, place)
    left, place = varint(chunk, place)
    value, place = _integer(chunk, place)
    if left > most or not miniblocks or not 0 < in_block // miniblocks <= _MOST_IN_MINIBLOCK:
        raise ValueError("no page has so many integers")
    each = in_block // miniblocks
    total, left = value if left else 0, left - 1
    while left > 0:
        least, place = _integer(chunk, place)
        widths, place = chunk[place : place + miniblocks], place + miniblocks
        for width in widths[: -(-left // each)]:
            end = place + each * width // 8
            packed, place = int.from_bytes(chunk[place:end], "little"), end
            for shift in range(0, min(left, each) * width, width) if width else [0] * min(left, each):
                value = value + least + (packed >> shift & (1 << width) - 1) & 0xFFFFFFFF
                total += value
                if value >= _NEGATIVE:
                    raise ValueError("a text has less than no bytes")
            left -= each
    return total, place


def _integer(chunk: bytes, place: int) -> tuple[int, int]:
    number, place = varint(chunk, place)
    return signed(number), place
