"""From lines of DynamoDB JSON to batches of records: as columns where every line can be trusted, else line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson

from s3import.core.records import Batch, Position
from s3import.readers.dynamodb.columns import ItemColumns
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.dynamodb.values import read_item_lines
from s3import.readers.formats.blocks import Block, cut_blocks, make_batch, read_rows
from s3import.readers.formats.lines import Rows, limit_names, too_long

SAMPLED = 20  # records of a block whose attributes are looked at for names that the mapping does not know


def read_items(
    read: Callable[[int], bytes],
    selection: Selection,
    start: Position,
    *,
    block_bytes: int,
    careful: bool = False,
    complete: Callable[[bytes], bytes] | None = None,
) -> Iterator[Batch]:
    """The selected items in the text that `read` gives from `start` on, a batch for about `block_bytes` of it.

    As `jsonl.read_jsonl`; ``bytes_done`` counts text. `complete` may add to the items in whole lines before they are
    read, without adding lines.
    """
    for block in cut_blocks(read, block_bytes, at_start=start.offset == 0):
        if complete is not None and not block.is_too_long:
            block = replace(block, text=complete(block.text))
        rows = _read_block(block, selection, start.line + 1, careful)
        end = Position(start.offset + block.size_bytes, start.line + rows.line_count)
        yield _batch(block, rows, selection, start, end, end.offset)
        start = end


def items_batch(block: Block, selection: Selection, start: Position, end: Position) -> Batch:
    """The selected items of a block, as the batch between two places; nothing of them is stored as bytes."""
    rows = _read_block(block, selection, start.line + 1, careful=not block.text)
    return _batch(block, rows, selection, start, end, 0)


def _batch(block: Block, rows: Rows, selection: Selection, start: Position, end: Position, bytes_done: int) -> Batch:
    batch = make_batch(block, rows, start, end, bytes_done)
    sample = batch.raw(range(min(len(rows.lines), SAMPLED)))
    return replace(batch, ignored_fields=_ignored_attributes(sample, selection))


def _read_block(block: Block, selection: Selection, first_line: int, careful: bool) -> Rows:
    if block.is_too_long:
        return too_long(selection.schema, first_line, takes_unreadable=selection.takes_unreadable)
    return read_rows(
        block.text,
        first_line,
        None if careful else ItemColumns(selection).read,
        lambda text, line, row: read_item_lines(text, selection, line, row),
    )


def _ignored_attributes(lines: list[bytes], selection: Selection) -> frozenset[str]:
    """The names of attributes that the mapping does not know, in a sample of the items."""
    names: set[str] = set()
    for line in lines:
        try:
            names |= orjson.loads(line)[selection.member].keys() - selection.attributes
        except (orjson.JSONDecodeError, LookupError, AttributeError, TypeError):
            continue  # it is a reject, which says so
    return limit_names({f"{selection.entity}.{name}" for name in names})
