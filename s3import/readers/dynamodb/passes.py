"""Which items belong to a pass.

A record is recent when it was created within the window, or when a record below it is: an attachment takes its message
along, a message its thread. So no record of the recent pass ever waits for a parent that only the remaining one has.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import DumpNotFound
from s3import.core.records import EARLIEST, TEXT, TOO_LATE, Batch, Entity, Pass, Window, one_array
from s3import.readers.dynamodb.selection import Selection
from s3import.transform.validators.timestamps import read_timestamps

PARENT_IDS = {Entity.MESSAGES: "thread_id", Entity.ATTACHMENTS: "message_id"}
NO_IDS = pa.array([], TEXT)
ENOUGH = 25  # rows in order that are of another pass, to believe that all behind them are


@dataclass(frozen=True, slots=True)
class Parents:
    """The ids of those that are recent for what is below them, by entity."""

    ids: dict[Entity, pa.StringArray] = field(default_factory=dict)

    def of(self, entity: Entity) -> pa.StringArray:
        return self.ids.get(entity, NO_IDS)


def no_items(selections: Sequence[Selection], where: str) -> DumpNotFound:
    """What is raised where nothing at all is found of an account."""
    account_id = selections[0].account_id
    keyless = [one for one in selections if not one.key_values]
    numbers = (
        f" ({account_id} is not how DynamoDB writes a number, and keys of {keyless[0].entity} are)" if keyless else ""
    )
    return DumpNotFound(
        f"there is no item of account {account_id}, {where}{numbers}; check the account id and the mapping's keys, "
        "`s3import mapping try` shows what they find"
    )


def is_recent(batch: Batch, window: Window, parents: pa.StringArray, *, undated: bool | None = None) -> pa.BooleanArray:
    """For each row whether it is recent. One without a time that is right is if `undated` are; None: if its time would
    be."""
    instants = _created(batch)
    recent = pc.greater_equal(instants, window.since).fill_null(False)
    if undated is not None:
        recent = pc.if_else(_is_dated(instants), recent, undated)
    if not len(parents):
        return recent
    return pc.or_(recent, pc.is_in(one_array(batch.records["id"]), parents))


def reaches(batch: Batch, window: Window, other: Pass) -> bool:
    """Whether a batch in order has come to another pass's rows: its last ones are all that pass's, of those with a time
    that is right. Several, so that little disorder does no harm."""
    instants = _created(batch)
    newer = pc.greater_equal(instants, window.since).filter(_is_dated(instants))[-ENOUGH:]
    return len(newer) > 0 and newer.true_count == (len(newer) if other is Pass.RECENT else 0)


def _created(batch: Batch) -> pa.TimestampArray:
    return read_timestamps("created_at", one_array(batch.records["created_at"]))[0]


def _is_dated(instants: pa.TimestampArray) -> pa.BooleanArray:
    return pc.and_(pc.greater_equal(instants, EARLIEST), pc.less(instants, TOO_LATE)).fill_null(False)


def parents_of_recent(batch: Batch, entity: Entity, window: Window, also_recent: pa.StringArray) -> pa.StringArray:
    """The ids of the parents of those rows that are recent."""
    recent = is_recent(batch, window, also_recent)
    return pc.unique(one_array(batch.records[PARENT_IDS[entity]]).filter(recent)).drop_null()


def in_pass(batch: Batch, window: Window, parents: pa.StringArray, *, undated: bool | None = None) -> Batch:
    """The rows of a batch that belong to the window's pass, as a batch that ends where it ends; as `is_recent`."""
    recent = is_recent(batch, window, parents, undated=undated)
    return _rows(batch, recent if window.pass_ is Pass.RECENT else pc.invert(recent))


def before(batch: Batch, until: dt.datetime) -> Batch:
    """The rows that were created before `until`, and those without a time that is right: they are rejects."""
    instants = _created(batch)
    later = pc.and_(pc.greater_equal(instants, until), pc.less(instants, TOO_LATE))
    return _rows(batch, pc.invert(later.fill_null(False)))


def unique(ids: Iterable[pa.StringArray]) -> pa.StringArray:
    """All the ids, each once, without holding more than a few times as many."""
    known = NO_IDS
    for more in ids:
        known = pc.unique(pa.concat_arrays([known, more]))
    return known


def _rows(batch: Batch, these: pa.BooleanArray) -> Batch:
    if these.true_count == len(these):
        return batch
    kept = pc.indices_nonzero(these).to_pylist()
    places = {row: place for place, row in enumerate(kept)}

    def raw(rows: Sequence[int]) -> list[bytes]:
        return batch.raw([kept[row] for row in rows])

    return replace(
        batch,
        records=batch.records.filter(these),
        lines=batch.lines.filter(these),
        raw=raw,
        faults=tuple(replace(fault, row=places[fault.row]) for fault in batch.faults if fault.row in places),
        sanitised=frozenset(places[row] for row in batch.sanitised if row in places),
    )
