"""The files behind rows that a batch wrote: from now on they are its run's, to be copied where that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy import Connection

from s3import.core.records import Batch, Checked, Entity, Written, one_array
from s3import.core.tables import FILES, import_recordings
from s3import.importing import file_places
from s3import.importing.file_places import COPIED, PENDING, FilePlace, in_chunks


@dataclass(frozen=True, slots=True)
class NotedFiles:
    """Notes the files of one part's records. `to_be_copied`: they wait for that; else they are only forgotten where a
    record replaces another."""

    account_id: str
    entity: Entity
    run_id: str
    part_number: int
    to_be_copied: bool

    def note(self, connection: Connection, writer: Any, batch: Batch, checked: Checked, written: Written) -> None:
        """Note those of a batch that was just written. Raises: as `Writer.load`."""
        if self.entity not in FILES:
            return
        if written.unchanged and file_places.are_lost(connection, self.run_id):
            self._find_places(connection, batch, checked, written)
        rows = _lines_by_key(self.entity, batch, checked, written)
        if file_places.are_noted(connection, self.account_id):
            self._forget(connection, rows)
        if self.to_be_copied:
            self._note(connection, writer, rows)

    def _find_places(self, connection: Connection, batch: Batch, checked: Checked, written: Written) -> None:
        """A part that is read again has the records of files that this run already has."""
        ids, lines = checked.accepted["id"].to_pylist(), batch.lines.take(checked.rows).to_pylist()
        found: dict[str, int] = {}
        for index, (row_id, line) in enumerate(zip(ids, lines, strict=True)):
            if index not in written.rejected:
                found.setdefault(row_id, line)
        file_places.find_again(connection, self.account_id, self.entity, self.run_id, self.part_number, found)

    def _forget(self, connection: Connection, rows: _Rows) -> None:
        """What was known of the files of earlier versions goes; of a recording, unless it is copied and the same."""
        changed = list(rows)
        if self.entity is Entity.MESSAGES:
            same = _copied_recordings(connection, self.account_id, rows)
            changed = [row_id for row_id in rows if row_id not in same]
            _drop_recordings(connection, self.account_id, changed)
            for row_id in same:
                del rows[row_id]
        file_places.forget(connection, self.account_id, self.entity, changed)

    def _note(self, connection: Connection, writer: Any, rows: _Rows) -> None:
        fresh = {row_id: row for row_id, row in rows.items() if row.key is not None}
        if self.entity is Entity.MESSAGES and fresh:
            mine = {"account_id": self.account_id, "state": PENDING}
            recordings = [{"message_id": row_id, "source_key": row.key, **mine} for row_id, row in fresh.items()]
            connection.execute(sa.insert(import_recordings), recordings)
        places = [
            FilePlace(self.entity, row_id, self.run_id, self.part_number, row.line) for row_id, row in fresh.items()
        ]
        file_places.note(connection, writer, self.account_id, places)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that was written: its line, and the key of its file (None: it has none)."""

    line: int
    key: str | None


_Rows = dict[str, _Row]


def _lines_by_key(entity: Entity, batch: Batch, checked: Checked, written: Written) -> _Rows:
    """The rows that were written, by id; of messages that replaced none only those with a recording."""
    records, rows = checked.accepted, checked.rows
    if entity is Entity.MESSAGES:
        keys = pc.struct_field(one_array(records["telephony"]), "recording_key")
    else:
        keys = one_array(pc.coalesce(records["key"], records["url"]))
    found = pa.table({"id": one_array(records["id"]), "key": keys, "line": batch.lines.take(rows)})
    if written.winners is not None:
        found = found.take(pa.array(sorted(written.winners), pa.int64()))
    elif entity is Entity.MESSAGES:
        found = found.filter(pc.is_valid(found["key"]))
    columns = (found[name].to_pylist() for name in ("id", "line", "key"))
    return {row_id: _Row(line, key) for row_id, line, key in zip(*columns, strict=True)}


def _copied_recordings(connection: Connection, account_id: str, rows: _Rows) -> set[str]:
    """The messages whose recording lies in its place under the key that they still name."""
    noted = import_recordings.c
    same: set[str] = set()
    for ids in in_chunks(list(rows)):
        mine = sa.and_(noted.account_id == account_id, noted.message_id.in_(ids), noted.state == COPIED)
        for row_id, key in connection.execute(sa.select(noted.message_id, noted.source_key).where(mine)):
            if rows[row_id].key == key:
                same.add(row_id)
    return same


def _drop_recordings(connection: Connection, account_id: str, ids: Sequence[str]) -> None:
    noted = import_recordings.c
    for some in in_chunks(ids):
        connection.execute(import_recordings.delete().where(noted.account_id == account_id, noted.message_id.in_(some)))
