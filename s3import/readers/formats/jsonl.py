"""The JSON Lines reader: blocks of whole lines, parsed as columns where every line can be trusted.

A block is parsed by Arrow at once, without a Python object per record. Where that fails, or could hide anything, the
block is taken in small pieces, and only a piece that fails again is read line by line (`lines`), which decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from s3import.core.records import SCHEMAS, Batch, Entity, Position
from s3import.core.settings import BLOCK_BYTES
from s3import.readers.formats.blocks import Block, cut_blocks, hold_an_object_each, make_batch, read_rows, split_lines
from s3import.readers.formats.compression import Compression, Text
from s3import.readers.formats.lines import IgnoredFields, Rows, read_lines, too_long

MAX_BRACKETS = 400  # in a line: with more of them it may be nested deeper than the line path can follow


def read_jsonl(
    stream: BinaryIO,
    entity: Entity,
    start: Position,
    *,
    compression: Compression | None = None,
    object_name: str,
    block_bytes: int = BLOCK_BYTES,
    careful: bool = False,
) -> Iterator[Batch]:
    """Read a part from `start` on, a batch for about `block_bytes` (1 to 16 MiB) of text.

    `stream` gives the stored bytes, of a plain part from ``start.offset`` on, of a compressed one from its very start;
    closing it is the caller's. From any batch's `end` the same batches follow as followed it. A batch may be
    without rows (blank lines). `careful` reads every line by itself: slower, and the same in all its results.

    Raises: PartUnreadable for damaged compression; SourceChanged for a compressed part that ends before `start`;
    whatever the stream raises.
    """
    text = Text(stream, compression, object_name, start.offset)
    for block in cut_blocks(text.read, block_bytes, at_start=start.offset == 0):
        rows = _read_block(block, entity, start.line + 1, careful)
        end = Position(start.offset + block.size_bytes, start.line + rows.line_count)
        bytes_done = end.offset if compression is None else text.stored_bytes
        yield make_batch(block, rows, start, end, bytes_done)
        start = end


def _read_block(block: Block, entity: Entity, first_line: int, careful: bool) -> Rows:
    if block.is_too_long:
        return too_long(SCHEMAS[entity], first_line)
    return read_rows(
        block.text,
        first_line,
        None if careful else lambda text, line: read_columns(text, entity, line),
        lambda text, line, row: read_lines(text, entity, line, row),
    )


def read_columns(text: bytes, entity: Entity, first_line: int) -> Rows | None:
    """Read whole lines at once, of which the first has number `first_line`; None where anything is in doubt."""
    lines = split_lines(text)
    if lines is None:
        return None
    filled = pc.not_equal(lines, "")
    if not hold_an_object_each(lines, filled):
        return None
    row_lines = pc.add(pc.indices_nonzero(filled).cast(pa.int64()), first_line)
    records, ignored_fields = _parse(text, entity)
    # Objects cannot span these lines, so as many objects as lines means one on each.
    if records is None or len(records) != len(row_lines):
        return None
    return Rows(len(lines) - text.endswith(b"\n"), records, row_lines, ignored_fields=ignored_fields)


def _parse(text: bytes, entity: Entity) -> tuple[pa.Table | None, frozenset[str]]:
    """The records, and the names of fields that are not known; no records where Arrow, or orjson, refuses a line."""
    records = _parse_columns(text, entity, "error")
    if records is not None:
        return records, frozenset()
    # Only now that all is known to be JSON and not too deep is Arrow given fields it has no type for.
    ignored_fields = _ignored_fields(text.split(b"\n"), entity)
    return _parse_columns(text, entity, "ignore") if ignored_fields else None, ignored_fields


def _parse_columns(text: bytes, entity: Entity, unexpected_fields: str) -> pa.Table | None:
    try:
        return pyarrow.json.read_json(
            pa.BufferReader(text),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=SCHEMAS[entity], unexpected_field_behavior=unexpected_fields
            ),
        )
    except pa.ArrowInvalid:
        return None


def _ignored_fields(lines: Iterable[bytes], entity: Entity) -> frozenset[str]:
    """The names of fields that are not known; none where any line is in doubt."""
    ignored = IgnoredFields(entity)
    for line in filter(None, lines):
        if line.count(b"[") + line.count(b"{") > MAX_BRACKETS:
            return frozenset()
        try:
            ignored.look_at(orjson.loads(line))
        except orjson.JSONDecodeError:
            return frozenset()
    return ignored.names()
