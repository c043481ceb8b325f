"""Incremental exports: what was written to a table in a window of time, one line for each item that changed.

Of several writes of one item the newest counts, whatever file and window it lies in. One that has no image any more is
a deletion.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from s3import.readers.items.columns import ITEM
from s3import.readers.items.decode import items_batch
from s3import.readers.items.values import is_wanted_item, text_of_field
from s3import.readers.items.wanted import Wanted
from s3import.readers.jsonl import Block
from s3import.records import EARLIEST, SCHEMAS, TEXT, TIMESTAMP, Batch, Entity, Position, one_array
from s3import.validators.timestamps import read_timestamps

Latest = dict[bytes, int]
"""For each item that changed (its key) when it was written last, in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the item's key, when it was, and the item after it (None: deleted) and before it (None: not told)."""

    key: bytes
    micros: int
    keys: Mapping[str, Any]
    new: Mapping[str, Any] | None
    old: Mapping[str, Any] | None

    @property
    def known(self) -> Mapping[str, Any]:
        """As much as is known of the item, be it deleted."""
        return self.new or self.old or self.keys


def parse_change(line: bytes) -> Change | None:
    """The write on a line; None where there is none to be seen."""
    try:
        members = orjson.loads(line)
        written = members["Metadata"]["WriteTimestampMicros"]
        micros = int(written["N"] if isinstance(written, dict) else written)
        keys = members["Keys"]
        key = orjson.dumps(keys, option=orjson.OPT_SORT_KEYS)
        return Change(key, micros, keys, members.get("NewImage"), members.get("OldImage"))
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
        return None


def concerns(change: Change, wanted: Wanted) -> bool:
    """Whether it is of the account and entity. A deletion that tells nothing but the item's key is, unless that key
    says otherwise: only a row of that very id can go by it."""
    attributes = {wanted.key_path[0], *wanted.sort_path[: bool(wanted.prefix)]}
    if change.new is not None or attributes <= change.known.keys():
        return is_wanted_item(change.known, wanted)
    return is_wanted_item(change.known, wanted, attributes=attributes & change.known.keys())


def note_latest(lines: Iterable[bytes], wanted: Iterable[Wanted], latest: Latest) -> None:
    """Take note of the writes among the lines that concern any of the wanted."""
    wanted = tuple(wanted)
    for line in lines:
        change = parse_change(line)
        if change is not None and any(concerns(change, one) for one in wanted):
            latest[change.key] = max(change.micros, latest.get(change.key, 0))


def changed_records(block: Block, wanted: Wanted, latest: Latest, start: Position, end: Position) -> Batch:
    """The items in a block that are as they were written last, `updated_at` no earlier than that."""
    lines, micros = [], []
    for line in _lines(block):
        change = parse_change(line)
        if change is None and line.strip():
            lines.append(line)  # no item either: it will be a reject
        elif change is not None and change.new and _counts(change, wanted, latest):
            lines.append(orjson.dumps({ITEM: change.new}))
        else:
            lines.append(b"")
        micros.append(change.micros if change else None)
    text = b"\n".join(lines)
    batch = items_batch(text, wanted, start, end, last=block.is_last)
    return replace(batch, records=_as_of_write(batch, pa.array(micros, TIMESTAMP), start))


def deletions(block: Block, wanted: tuple[Wanted, ...], latest: Latest, start: Position, end: Position) -> Batch:
    """The items in a block that are gone since, as records of deletions."""
    gone = ((number, _gone(line, wanted, latest)) for number, line in enumerate(_lines(block), start.line + 1))
    found = [(number, row) for number, row in gone if row is not None]
    lines = pa.array([number for number, _ in found], pa.int64())
    texts = block.text.split(b"\n")
    return Batch(
        records=pa.Table.from_pylist([row for _, row in found], schema=SCHEMAS[Entity.DELETIONS]),
        lines=lines,
        raw=lambda rows: [texts[lines[row].as_py() - start.line - 1] for row in rows],
        start=start,
        end=end,
        bytes_done=0,
        last=block.is_last,
    )


def _gone(line: bytes, wanted: tuple[Wanted, ...], latest: Latest) -> dict[str, str | None] | None:
    """The deletion on a line, of whichever entity the item was; None where there is none."""
    change = parse_change(line)
    if change is None or change.new:
        return None
    one = next((one for one in wanted if _counts(change, one, latest)), None)
    if one is None:
        return None
    deleted_at = EARLIEST + dt.timedelta(microseconds=change.micros)
    id_ = text_of_field(change.known, one, "id")
    return {"entity": one.entity.value, "id": id_, "deleted_at": deleted_at.isoformat()}


def _counts(change: Change, wanted: Wanted, latest: Latest) -> bool:
    return latest.get(change.key) == change.micros and concerns(change, wanted)


def _lines(block: Block) -> list[bytes]:
    return block.text.removesuffix(b"\n").split(b"\n")


def _as_of_write(batch: Batch, written: pa.TimestampArray, start: Position) -> pa.Table:
    """The records with the time of the write for `updated_at` where that is later: it is what makes them newer."""
    if not len(batch.lines):
        return batch.records
    column = one_array(batch.records["updated_at"])
    instants, _ = read_timestamps("updated_at", column)
    mine = written.take(pc.subtract(batch.lines, start.line + 1))
    later = pc.or_(column.is_null(), pc.less(instants, mine).fill_null(False))
    if column.type == TEXT:
        mine = pc.binary_join_element_wise(pc.strftime(mine, "%Y-%m-%dT%H:%M:%S"), "Z", "")
    place = batch.records.schema.get_field_index("updated_at")
    return batch.records.set_column(place, "updated_at", pc.if_else(later, mine, column))
