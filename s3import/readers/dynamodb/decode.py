"""From lines of DynamoDB JSON to batches of records: as columns where every line can be trusted, else line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson

from s3import.core.records import Batch, Position
from s3import.readers.dynamodb.columns import ItemColumns
from s3import.readers.dynamodb.values import read_item_lines, too_long_item
from s3import.readers.dynamodb.wanted import Wanted
from s3import.readers.formats.jsonl import Block, cut_blocks, cut_pieces, join_rows, raw_lines
from s3import.readers.formats.lines import Rows, limit_names, too_long

SAMPLED = 20  # records of a block whose attributes are looked at for names that the mapping does not know


def read_items(
    read: Callable[[int], bytes],
    wanted: Wanted,
    start: Position,
    *,
    block_bytes: int,
    careful: bool = False,
    complete: Callable[[bytes], bytes] | None = None,
) -> Iterator[Batch]:
    """The wanted items in the text that `read` gives from `start` on, a batch for about `block_bytes` of it.

    As `jsonl.read_jsonl`; ``bytes_done`` counts text. `complete` may add to the items in whole lines before they are
    read, without adding lines.
    """
    for block in cut_blocks(read, block_bytes, at_start=start.offset == 0):
        if complete is not None and not block.is_too_long:
            block = replace(block, text=complete(block.text))
        rows = _read_block(block, wanted, start.line + 1, careful)
        end = Position(start.offset + block.size_bytes, start.line + rows.line_count)
        yield _batch(rows, block.text, wanted, start, end, last=block.is_last)
        start = end


def items_batch(block: Block, wanted: Wanted, start: Position, end: Position) -> Batch:
    """The wanted items of a block, as the batch between two places; nothing of them is stored as bytes."""
    rows = _read_block(block, wanted, start.line + 1, careful=not block.text)
    return replace(_batch(rows, block.text, wanted, start, end, last=block.is_last), bytes_done=0)


def _batch(rows: Rows, text: bytes, wanted: Wanted, start: Position, end: Position, *, last: bool) -> Batch:
    raw = raw_lines(text, start.line + 1, rows.lines)
    return Batch(
        records=rows.records,
        lines=rows.lines,
        raw=raw,
        start=start,
        end=end,
        bytes_done=end.offset,
        faults=rows.faults,
        sanitised=rows.sanitised,
        ignored_fields=_ignored_attributes(raw(range(min(len(rows.lines), SAMPLED))), wanted),
        last=last,
    )


def _read_block(block: Block, wanted: Wanted, first_line: int, careful: bool) -> Rows:
    if block.is_too_long:
        reason = too_long(wanted.entity, first_line).faults[0].reason
        return too_long_item(wanted, first_line, reason)
    if careful:
        return read_item_lines(block.text, wanted, first_line)
    return ItemColumns(wanted).read(block.text, first_line) or _read_pieces(block.text, wanted, first_line)


def _read_pieces(text: bytes, wanted: Wanted, first_line: int) -> Rows:
    pieces: list[Rows] = []
    line, row = first_line, 0
    for piece_text in cut_pieces(text):
        piece = ItemColumns(wanted).read(piece_text, line) or read_item_lines(piece_text, wanted, line, row)
        pieces.append(piece)
        line, row = line + piece.line_count, row + len(piece.lines)
    return join_rows(pieces)


def _ignored_attributes(lines: list[bytes], wanted: Wanted) -> frozenset[str]:
    """The names of attributes that the mapping does not know, in a sample of the items."""
    names: set[str] = set()
    for line in lines:
        try:
            names |= orjson.loads(line)[wanted.member].keys() - wanted.attributes
        except (orjson.JSONDecodeError, LookupError, AttributeError, TypeError):
            continue  # it is a reject, which says so
    return limit_names({f"{wanted.entity}.{name}" for name in names})
