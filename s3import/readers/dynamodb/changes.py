"""Incremental exports: what was written to a table in a window of time, one line for each item that changed.

Of several writes of one item the newest counts, whatever file and window it lies in. An item that is not the account's
any more after it, because it was deleted or nothing in it says so, is a deletion of the rows that it was.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from s3import.core.errors import RejectCode
from s3import.core.ids import is_id
from s3import.core.records import EARLIEST, SCHEMAS, TEXT, TIMESTAMP, Batch, Entity, Fault, Position, Reason, one_array
from s3import.readers.dynamodb.decode import items_batch
from s3import.readers.dynamodb.mapping import TOO_LATE_TICKS
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.dynamodb.values import has_key, has_prefix, is_selected, members_on, text_of_field
from s3import.readers.formats.blocks import Block
from s3import.transform.validators.timestamps import read_timestamps

IMAGE = "NewImage"
MAX_NAMED = 100  # items of a table that are named one by one, of those whose rows may stay

Image = Mapping[str, Any]
RowId = tuple[Entity, str]
"""The entity and id of a row."""
Texts = Iterable[tuple[bytes, bool]]
"""Whole lines of the windows, and whether these tell of every item how it was before (if it was)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write: a name for the item's key, when it was, and the item after it (None: deleted) and before it (None: not
    told, or, with `tells_old`, there was none)."""

    key: bytes
    micros: int
    keys: Image
    new: Image | None
    old: Image | None
    tells_old: bool = False


def parse_change(line: bytes, *, tells_old: bool = False) -> Change | None:
    """The write on a line; None where there is none to be seen."""
    try:
        members = members_on(line)
        micros = _written(members)
        keys, new, old = (members.get(name) for name in ("Keys", IMAGE, "OldImage"))
        known = all(one is None or (isinstance(one, dict) and one) for one in (keys, new, old))
        if not known or keys is None or not 0 <= micros < TOO_LATE_TICKS:
            return None
        return Change(_key(keys), micros, keys, new, old, tells_old)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def _key(keys: Image) -> bytes:
    """A name for a key, as short as it may be: many are held at once."""
    return hashlib.blake2b(orjson.dumps(keys, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _written(members: Any) -> int:
    """The time of a write in microseconds since 1970. Raises: LookupError, TypeError, ValueError."""
    written = members["Metadata"]["WriteTimestampMicros"]
    return int(written["N"] if isinstance(written, dict) else written)


def _complaint(line: bytes) -> Reason | None:
    """What is wrong with a line that is JSON, but no write."""
    try:
        members = members_on(line)
    except (ValueError, RecursionError):
        return None
    try:
        if not 0 <= _written(members) < TOO_LATE_TICKS:
            message = "must be microseconds since 1970, in the years 1970 to 2199"
            return Reason(RejectCode.INVALID_TIMESTAMP, None, f"Metadata.WriteTimestampMicros {message}")
    except (LookupError, TypeError, ValueError):
        pass
    message = (
        "the line tells no write: that has Metadata with WriteTimestampMicros, and Keys and images with attributes"
    )
    return Reason(RejectCode.NOT_AN_OBJECT, None, message)


# --- whose a change is --------------------------------------------------------------------------------------------


def _told_rows(change: Change, selections: Iterable[Selection]) -> tuple[bool, tuple[RowId, ...]]:
    """Whether a change says that its item is or was the account's, and which rows it says that it is or was.

    Where no image says so the key may: of a deleted item, and of one that is in no index any more if it tells its id.
    """
    images = [image for image in (change.new, change.old) if image is not None]
    told = [(one, image) for one in selections for image in images if is_selected(image, one)]
    if told:
        return True, _rows(told)
    keys = [(one, change.keys) for one in selections if has_key(change.keys, one) and _may_have_been(change, one)]
    rows = _rows(keys)
    return bool(rows) or (bool(keys) and change.new is None), rows


def _rows(told: Iterable[tuple[Selection, Image]]) -> tuple[RowId, ...]:
    rows = ((one.entity, text_of_field(image, one, "id")) for one, image in told)
    return tuple(dict.fromkeys((entity, id_) for entity, id_ in rows if id_ is not None and is_id(id_)))


def _may_be(known: Image, selection: Selection) -> bool:
    """Whether nothing that is known of an item says that it is another account's or entity's."""
    key, prefix = selection.key_path[0], selection.sort_path[0] if selection.prefix else None
    if key in known and not has_key(known, selection):
        return False
    return prefix is None or prefix not in known or has_prefix(known, selection)


def _is_told(change: Change) -> bool:
    """Whether a change says how its item was."""
    return change.old is not None or (change.tells_old and change.new is not None)


def _may_leave_a_row(change: Change, selection: Selection) -> bool:
    """Whether an item may have been another row of the account's before, and nothing says so: it cannot where the
    item's key, which never changes, holds all that tells them apart."""
    if _is_told(change) or not _may_be(change.keys, selection):
        return False
    if selection.prefix and selection.sort_path[0] not in change.keys:
        return True
    is_mine = selection.key_path[0] in change.keys or is_selected(change.new or {}, selection)
    return not is_mine or text_of_field(change.keys, selection, "id") is None


def _may_have_been(change: Change, selection: Selection) -> bool:
    """Whether an item may have been the account's before a change that does not say how it was."""
    return not _is_told(change) and _may_be(change.keys, selection) and _may_be(change.new or {}, selection)


@dataclass(slots=True)
class _Fate:
    """What became of an item: when it was written last, whether it is the account's since then, the rows that it is
    now, and all that it is or was."""

    micros: int = -1
    is_there: bool = False
    now: tuple[RowId, ...] = ()
    rows: tuple[RowId, ...] = ()

    def add(self, rows: tuple[RowId, ...]) -> None:
        """Take note of rows that the item is or was."""
        self.rows += tuple(row for row in rows if row not in self.rows)


class Changes:
    """What became of the account's items that changed in the windows of one table; `read` gives these from the start.

    Every write is asked whose its item is. Where one does not tell what its item was before, `read_full` gives the
    items of the account in the full export that the windows follow (None: there is none), which do. The windows are
    read a second time where the account's items may have been written without saying so: what came of them then counts
    too.
    """

    def __init__(
        self,
        selections: tuple[Selection, ...],
        read: Callable[[], Texts],
        read_full: Callable[[], Iterable[Image]] | None = None,
    ) -> None:
        self.selections = selections
        self._fates: dict[bytes, _Fate] = {}
        self._untold: set[bytes] = set()
        self._doubtful: dict[bytes, bool] = {}  # whether some write of the item left it there
        self._names: dict[bytes, str] = {}
        self._key_attributes: set[tuple[str, ...]] = set()
        self._knows_all = read_full is not None
        strayed = False
        for change in _changes(read()):
            strayed |= self._look(change)
        if read_full is not None and self._doubtful:
            self._learn(read_full())
        if strayed:
            for change in _changes(read()):
                self._look_again(change)
        self._there = {row for fate in self._fates.values() for row in fate.now}
        if read_full is not None and not self._keys_hold_ids():
            self._there |= self._twins(read_full)

    @property
    def left_over(self) -> tuple[tuple[str, ...], int]:
        """Of which items rows of the account's may stay that they were: the keys of the first, and how many more."""
        keys = self._untold | {key for key, was_left in self._doubtful.items() if was_left}
        names = tuple(name for key, name in self._names.items() if key in keys)
        return names, len(keys) - len(names)

    def is_newest(self, change: Change) -> bool:
        """Whether an item of the account is as this write left it."""
        fate = self._fates.get(change.key)
        return fate is not None and fate.micros == change.micros

    def rows_gone(self, change: Change) -> list[RowId] | None:
        """The rows that are gone by the newest write of an item; None where they are not told."""
        fate = self._fates[change.key]
        if not (fate.is_there or fate.rows or self._knows_all):
            return None
        return [row for row in fate.rows if row not in self._there]

    def _look(self, change: Change) -> bool:
        """Take note of a change; whether it is one of those that may be the account's without saying so."""
        self._key_attributes.add(tuple(change.keys))
        if any(_may_leave_a_row(change, one) for one in self.selections):
            self._doubt(change)
        is_told, rows = _told_rows(change, self.selections)
        if is_told:
            self._note(change, rows)
            return False
        if any(_may_have_been(change, one) for one in self.selections):
            self._untold.add(change.key)
        return any(_may_be(change.keys, one) for one in self.selections)

    def _doubt(self, change: Change) -> None:
        self._doubtful[change.key] = self._doubtful.get(change.key, False) or change.new is not None
        if len(self._names) < MAX_NAMED:
            self._names[change.key] = orjson.dumps(change.keys).decode()

    def _learn(self, items: Iterable[Image]) -> None:
        """Take note of the rows that doubtful items were in the full export; those that are not in it were none."""
        for item in items:
            rows = _rows((one, item) for one in self.selections if is_selected(item, one))
            for key in self._keys_of(item):
                if key in self._doubtful:
                    self._fates.setdefault(key, _Fate()).add(rows)
        self._doubtful.clear()
        self._untold.clear()

    def _keys_of(self, item: Image) -> Iterator[bytes]:
        return (_key({name: item.get(name) for name in names}) for names in self._key_attributes)

    def _keys_hold_ids(self) -> bool:
        """Whether the table's key says which row an item is: then no two of them are the same."""
        heads = {path[0] for one in self.selections for path in one.fields["id"].paths}
        return all(heads <= set(names) for names in self._key_attributes)

    def _twins(self, read_full: Callable[[], Iterable[Image]]) -> set[RowId]:
        """Of the rows that items were and are no more those that others are, which did not change."""
        gone = {row for fate in self._fates.values() for row in fate.rows} - self._there
        twins: set[RowId] = set()
        for item in read_full() if gone else ():
            rows = _rows((one, item) for one in self.selections if is_selected(item, one))
            if not gone.isdisjoint(rows) and not any(key in self._fates for key in self._keys_of(item)):
                twins.update(rows)
        return twins

    def _look_again(self, change: Change) -> None:
        """Take note of a change of an item that another one says is the account's, or is not."""
        is_told, rows = _told_rows(change, self.selections)
        if change.key in self._fates and not is_told:
            self._note(change, rows)
        if change.key in self._fates or self._says_whose(change):
            self._untold.discard(change.key)

    def _says_whose(self, change: Change) -> bool:
        images = [image for image in (change.new, change.old) if image is not None]
        return any(not any(_may_be(image, one) for one in self.selections) for image in images)

    def _note(self, change: Change, rows: tuple[RowId, ...]) -> None:
        fate = self._fates.setdefault(change.key, _Fate())
        is_there = change.new is not None and any(is_selected(change.new, one) for one in self.selections)
        if (change.micros, is_there) > (fate.micros, fate.is_there):
            fate.micros, fate.is_there = change.micros, is_there
            fate.now = _told_rows(replace(change, old=None), self.selections)[1] if is_there else ()
        fate.add(rows)


def _changes(texts: Texts) -> Iterator[Change]:
    for text, tells_old in texts:
        changes = (parse_change(line, tells_old=tells_old) for line in text.split(b"\n") if line)
        yield from (change for change in changes if change is not None)


# --- from a block to records --------------------------------------------------------------------------------------


def changed_records(
    block: Block,
    selection: Selection,
    changes: Changes,
    start: Position,
    end: Position,
    complete: Callable[[bytes], bytes] | None = None,
) -> Batch:
    """The items in a block that are as they were written last, `updated_at` no earlier than that. `complete` may add to
    them, as in `decode.read_items`."""
    of_image = replace(selection, member=IMAGE)
    if block.is_too_long:
        return items_batch(block, of_image, start, end)
    texts, micros, complaints = _newest(block, selection, changes)
    text = b"\n".join(texts)
    batch = items_batch(replace(block, text=complete(text) if complete else text), of_image, start, end)
    lines = _lines(block)
    numbers = [number - start.line - 1 for number in batch.lines.to_pylist()]
    faults = tuple(replace(fault, reason=complaints[numbers[fault.row]] or fault.reason) for fault in batch.faults)
    records = _as_of_write(batch, pa.array(micros, TIMESTAMP), start)
    raw = lambda rows: [lines[numbers[row]].removesuffix(b"\r") for row in rows]  # noqa: E731
    return replace(batch, records=records, faults=faults, raw=raw)


def _newest(
    block: Block, selection: Selection, changes: Changes
) -> tuple[list[bytes], list[int | None], list[Reason | None]]:
    """A block's lines, of those that do not count only their ends; when each was written, and what is wrong with it."""
    texts: list[bytes] = []
    micros: list[int | None] = []
    complaints: list[Reason | None] = []
    for line in _lines(block):
        change = parse_change(line)
        complaint = _complaint(line) if change is None and line.strip() else None
        texts.append((b"{}" if complaint else line) if change is None or _is_now(change, selection, changes) else b"")
        micros.append(change.micros if change else None)
        complaints.append(complaint)
    return texts, micros, complaints


def _is_now(change: Change, selection: Selection, changes: Changes) -> bool:
    return change.new is not None and changes.is_newest(change) and is_selected(change.new, selection)


def deletions(block: Block, changes: Changes, start: Position, end: Position) -> Batch:
    """The rows that are gone by the changes in a block, as records of deletions; one that does not tell its rows is a
    fault."""
    texts = _lines(block)
    numbered = ((number, parse_change(line)) for number, line in enumerate(texts, start.line + 1))
    found = [each for number, change in numbered if change is not None for each in _gone(number, change, changes)]
    numbers = [number for number, _ in found]
    return Batch(
        records=pa.Table.from_pylist([record for _, record in found], schema=SCHEMAS[Entity.DELETIONS]),
        lines=pa.array(numbers, pa.int64()),
        raw=lambda rows: [texts[numbers[row] - start.line - 1] for row in rows],
        start=start,
        end=end,
        bytes_done=0,
        faults=tuple(Fault(row, _NOT_TOLD) for row, (_, record) in enumerate(found) if record["id"] is None),
        last=block.is_last,
    )


_NOT_TOLD = Reason(
    RejectCode.MISSING_FIELD, "id", "the deletion does not tell the id; export the table with new and old images"
)


def _gone(number: int, change: Change, changes: Changes) -> Iterator[tuple[int, dict[str, str | None]]]:
    if not changes.is_newest(change):
        return
    deleted_at = (EARLIEST + dt.timedelta(microseconds=change.micros)).isoformat()
    rows = changes.rows_gone(change)
    if rows is None:
        entity = next(one.entity for one in changes.selections if _may_be(change.keys, one))
        yield number, {"entity": entity.value, "id": None, "deleted_at": deleted_at}
    for entity, id_ in rows or ():
        yield number, {"entity": entity.value, "id": id_, "deleted_at": deleted_at}


def _lines(block: Block) -> list[bytes]:
    return block.text.removesuffix(b"\n").split(b"\n")


def _as_of_write(batch: Batch, written: pa.TimestampArray, start: Position) -> pa.Table:
    """The records with the time of the write for `updated_at` where that is later: it is what makes them newer."""
    if not len(batch.lines):
        return batch.records
    column = one_array(batch.records["updated_at"])
    instants, _ = read_timestamps("updated_at", column)
    mine = written.take(pc.subtract(batch.lines, start.line + 1))
    earlier = pc.and_(pc.greater_equal(instants, EARLIEST), pc.less(instants, mine))
    later = pc.or_(column.is_null(), earlier.fill_null(False))
    if column.type == TEXT:
        mine = pc.binary_join_element_wise(pc.strftime(mine, "%Y-%m-%dT%H:%M:%S"), "Z", "")
    place = batch.records.schema.get_field_index("updated_at")
    return batch.records.set_column(place, "updated_at", pc.if_else(later, mine, column))
