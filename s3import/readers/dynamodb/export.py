"""AWS's *Export to S3* as a source: each file of a full export is a part of every entity that lies in its table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial

import pyarrow as pa

from s3import.core.errors import DumpNotFound, InvalidManifest, PartDiffers, PartMissing
from s3import.core.records import Batch, Entity, Pass, Plan, PlannedPart, Position, Window
from s3import.core.settings import BLOCK_BYTES
from s3import.readers.dynamodb.changes import IMAGE, Changes, Image, changed_records, deletions
from s3import.readers.dynamodb.decode import read_items
from s3import.readers.dynamodb.items import ItemSource
from s3import.readers.dynamodb.joins import Fetch, Item, joined_text
from s3import.readers.dynamodb.manifests import (
    COPY_AGAIN,
    SUMMARY,
    Export,
    ExportedFile,
    FoundExports,
    find_exports,
    gaps_between,
    windows_after,
)
from s3import.readers.dynamodb.mapping import EntityMapping, ItemMapping
from s3import.readers.dynamodb.passes import NO_IDS, Parents, in_pass, no_items, parents_of_recent, unique
from s3import.readers.dynamodb.selection import Selection
from s3import.readers.dynamodb.shared import SharedFile, Sharing, by_owner
from s3import.readers.dynamodb.values import item_on
from s3import.readers.formats.blocks import Block, cut_blocks
from s3import.readers.formats.compression import Text
from s3import.readers.sources.checksum import open_checked
from s3import.readers.sources.source import Source

UNTOLD = (
    "may have been another row of this account, which stays: no image tells; put the table's full export beside the "
    "windows, or export new and old images"
)

INCOMPLETE = f"an export without {SUMMARY}: it is not complete, or was not copied as a whole"
JOINED_ONLY = (
    "is only joined to other tables; what changed in it alone is in no record, before the items that refer to it change"
)


class ExportSource(ItemSource):
    """The `DumpSource` of the exports in `stored`, filtered to one account.

    What items refer to in other tables `fetch` asks those tables for. With `sharing` files are read once for several
    accounts.
    """

    def __init__(
        self,
        stored: Source,
        mapping: ItemMapping,
        account_id: str,
        *,
        recent_days: float,
        companion: Source | None = None,
        fetch: Fetch | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        super().__init__(stored.uri, mapping, account_id, recent_days=recent_days, companion=companion)
        self._stored = stored
        self._fetch = fetch or _fetch_nothing
        self._sharing = sharing
        self._found: FoundExports | None = None
        self._has_items = False
        self._changes: dict[str, tuple[tuple[Export, ...], Changes]] = {}

    def plan_window(self, window: Window) -> Plan:
        """The parts of the window's pass.

        Raises: DumpNotFound, InvalidManifest, PartMissing, PartDiffers; what S3 raises.
        """
        self._found = find_exports(self._stored)
        if window.pass_ is Pass.DELTA:
            return self._plan_changes(window)
        parts = [
            PlannedPart(mapping.entity, f"{mapping.entity}/{file.stored.key}", file.stored, window=window)
            for mapping in self._mapping.entities
            for file in self._files_of(mapping)
        ]
        if not parts:
            raise self._no_items()
        return Plan(tuple(parts), tuple(self._incomplete()), from_manifest=True)

    def read_part(self, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The account's records in a part from `start` on, in batches of about `block_bytes` of text."""
        if part.window is not None and part.window.pass_ is Pass.DELTA:
            yield from self._read_changes(part, start, block_bytes)
            return
        batches = self._read(part.entity, self._file(part.stored.key), start, block_bytes)
        if part.window is None:
            yield from batches
            return
        parents = self._recent_parents(part.window).of(part.entity)
        yield from (in_pass(batch, part.window, parents) for batch in batches)

    def accounts(self, sharing: Sharing) -> set[str]:
        """The ids of all accounts that have items in the exported tables; each file is read once for all of `sharing`.

        Raises: as `plan` and `read_part`.
        """
        files = [(self._selections[one.entity], file) for one in self._mapping.entities for file in self._files_of(one)]
        with ThreadPoolExecutor(os.cpu_count(), "accounts") as reading:
            found = reading.map(lambda each: self._shared(each[1], sharing).accounts(each[0]), files)
            return set().union(*found)

    def _files_of(self, mapping: EntityMapping) -> list[ExportedFile]:
        """The files of the full export of an entity's table that may have items in them."""
        full = self._full_export(mapping.table_name)
        if full is None:
            raise DumpNotFound(
                f"there is no full export of the table {mapping.table_name} below {self.uri}: no {SUMMARY} of it; "
                "check the source, or wait until the export is complete"
            )
        return [file for file in full.files if file.may_have_items]

    def _full_export(self, table: str) -> Export | None:
        full = [export for export in self._exports if export.since is None and export.table_name == table]
        if len(full) > 1:
            raise InvalidManifest(
                f"{self.uri} holds more than one full export of the table {table}: "
                f"{', '.join(export.key for export in full)}; point --source at one, or move the others away"
            )
        return full[0] if full else None

    def _file(self, key: str) -> ExportedFile:
        for export in self._exports:
            for file in export.files:
                if file.stored.key == key:
                    return file
        raise PartMissing(f"{self.uri}: no export has {key} any more; put it back, then run the same command again")

    @property
    def _exports(self) -> tuple[Export, ...]:
        """The exports as the last plan found them; found now where another process made the plan."""
        self._found = self._found or find_exports(self._stored)
        return self._found.exports

    def _incomplete(self) -> list[str]:
        return [f"{folder}: {INCOMPLETE}" for folder in self._found.incomplete] if self._found else []

    def _read(self, entity: Entity, file: ExportedFile, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The account's items of one entity in a file, of every pass, which other accounts may be read with."""
        selection = self._selections[entity]
        if self._sharing is None:
            return self._read_alone(entity, file, start, block_bytes)
        return self._shared(file, self._sharing).read(selection, start, block_bytes, self._complete(selection))

    def _shared(self, file: ExportedFile, sharing: Sharing) -> SharedFile:
        blocks = partial(self._blocks, file, Position(), BLOCK_BYTES)
        return SharedFile(sharing, f"{self.uri} {file.stored.key} {file.stored.etag}", blocks)

    def _complete(self, selection: Selection) -> Callable[[bytes], bytes] | None:
        return partial(joined_text, selection=selection, fetch=self._fetch) if selection.mapping.joins else None

    def _read_alone(self, entity: Entity, file: ExportedFile, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The account's items of one entity in a file, of every pass. Raises: PartDiffers, with too few or too many."""
        name = f"{self.uri}: {file.stored.key}"
        lines = start.line
        with closing(open_checked(self._stored, file.stored, file.checksum)) as stream:
            text = Text(stream, "gzip", name, start.offset, COPY_AGAIN)
            selection = self._selections[entity]
            batches = read_items(
                text.read, selection, start, block_bytes=block_bytes, complete=self._complete(selection)
            )
            for batch in batches:
                lines = batch.end.line
                if batch.last:
                    _require_count(name, file, lines)
                yield replace(batch, bytes_done=text.stored_bytes)
        _require_count(name, file, lines)

    # --- what changed since ------------------------------------------------------------------------------------------

    def _plan_changes(self, window: Window) -> Plan:
        """Every file of the windows after the full export, for each entity of its table and for its deletions."""
        parts: list[PlannedPart] = []
        skipped = self._incomplete()
        if not any(export.since is not None for export in self._exports):
            raise DumpNotFound(f"there is no incremental export below {self.uri}; check the source, or wait for one")
        for table in dict.fromkeys(one.table_name for one in self._mapping.entities):
            windows, full = self._windows(table), self._full_export(table)
            skipped += _not_told(table, windows, full, self._changes_of(table))
            entities = [one.entity for one in self._mapping.entities if one.table_name == table] + [Entity.DELETIONS]
            parts += (
                PlannedPart(entity, f"{entity}/{file.stored.key}", file.stored, window=window)
                for entity in entities
                for export in windows
                for file in export.files
                if file.may_have_items
            )
        skipped += (f"{table}: {JOINED_ONLY}" for table in self._joined_windows())
        order = list(Entity)
        return Plan(tuple(sorted(parts, key=lambda part: order.index(part.entity))), tuple(skipped), from_manifest=True)

    def _joined_windows(self) -> list[str]:
        """The tables with windows of which items are only joined to others."""
        tables = {one.table_name for one in self._mapping.entities}
        joined = {join.table_name for one in self._mapping.entities for join in one.joins} - tables
        return sorted(table for table in joined if windows_after(self._exports, table, None))

    def _windows(self, table: str) -> tuple[Export, ...]:
        return windows_after(self._exports, table, self._full_export(table))

    def _read_changes(self, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        file = self._file(part.stored.key)
        changes = self._changes_of(next(export.table_name for export in self._exports if file in export.files))
        for block, end, stored_bytes in self._blocks(file, start, block_bytes):
            if part.entity is Entity.DELETIONS:
                batch = deletions(block, changes, start, end)
            else:
                selection = self._selections[part.entity]
                of_image = replace(selection, member=IMAGE)
                batch = changed_records(block, of_image, changes, start, end, self._complete(of_image))
            yield replace(batch, bytes_done=stored_bytes)
            start = end

    def _changes_of(self, table: str) -> Changes:
        """What became of the account's items in all windows of a table; kept until there are others."""
        windows = self._windows(table)
        selections = tuple(one for one in self._selections.values() if one.mapping.table_name == table)

        def read() -> Iterator[tuple[bytes, bool]]:
            for export in windows:
                for file in filter(lambda file: file.may_have_items, export.files):
                    yield from (
                        (block.text, export.tells_old) for block, _, _ in self._blocks(file, Position(), BLOCK_BYTES)
                    )

        full = self._full_export(table)
        read_full = partial(self._items, full, selections) if full else None
        with self._lock:
            known = self._changes.get(table)
            if known is None or known[0] != windows:
                known = self._changes[table] = windows, Changes(selections, read, read_full)
            return known[1]

    def _items(self, export: Export, selections: Sequence[Selection]) -> Iterator[Image]:
        """The account's items in a full export, each maybe more than once, among others that cannot be read."""
        for selection in {one.mapping.key: one for one in selections}.values():
            for file in filter(lambda file: file.may_have_items, export.files):
                for block, _, _ in self._blocks(file, Position(), BLOCK_BYTES):
                    for _, _, text in by_owner(block, selection.owner_of, selection, 0):
                        yield from filter(None, map(item_on, text.split(b"\n")))

    def _blocks(self, file: ExportedFile, start: Position, block_bytes: int) -> Iterator[tuple[Block, Position, int]]:
        """A file's text in whole lines, each with the place behind it and the stored bytes read so far."""
        name = f"{self.uri}: {file.stored.key}"
        with closing(open_checked(self._stored, file.stored, file.checksum)) as stream:
            text = Text(stream, "gzip", name, start.offset, COPY_AGAIN)
            for block in cut_blocks(text.read, block_bytes, at_start=start.offset == 0):
                lines = block.text.count(b"\n") + (not block.text.endswith(b"\n"))
                start = Position(start.offset + block.size_bytes, start.line + lines)
                if block.is_last:
                    _require_count(name, file, start.line)
                yield block, start, text.stored_bytes
        _require_count(name, file, start.line)

    # --- what is recent for what is below it -----------------------------------------------------------------------

    def _recent_parents(self, window: Window) -> Parents:
        """Found once for both passes, by reading what has parents: the files do not change, so neither does this."""
        with self._lock:
            if window.since not in self._parents:
                messages = self._parents_of(Entity.ATTACHMENTS, window, NO_IDS)
                threads = self._parents_of(Entity.MESSAGES, window, messages)
                self._require_items()
                self._parents[window.since] = Parents({Entity.MESSAGES: messages, Entity.THREADS: threads})
            return self._parents[window.since]

    def _parents_of(self, entity: Entity, window: Window, also_recent: pa.StringArray) -> pa.StringArray:
        """The ids of the parents of an entity's recent records."""
        mapping = self._mapping.of(entity)
        if mapping is None:
            return NO_IDS

        def of_file(file: ExportedFile) -> pa.StringArray:
            batches = self._noted(self._read(entity, file, Position(), BLOCK_BYTES))
            return unique(parents_of_recent(batch, entity, window, also_recent) for batch in batches)

        with ThreadPoolExecutor(os.cpu_count(), "recent") as reading:
            return unique(reading.map(of_file, self._files_of(mapping)))

    def _noted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; it is remembered whether any had a record."""
        for batch in batches:
            self._has_items = self._has_items or batch.records.num_rows > 0
            yield batch

    def _require_items(self) -> None:
        """Raise DumpNotFound where what has parents had no record, and there is no thread either."""
        mapping = None if self._has_items else self._mapping.of(Entity.THREADS)
        for file in self._files_of(mapping) if mapping else ():
            if any(batch.records.num_rows for batch in self._read(Entity.THREADS, file, Position(), BLOCK_BYTES)):
                return
        if not self._has_items:
            raise self._no_items()

    def _no_items(self) -> DumpNotFound:
        return no_items(tuple(self._selections.values()), f"in the exports at {self.uri}")


def _not_told(table: str, windows: Sequence[Export], full: Export | None, changes: Changes) -> Iterator[str]:
    """What the windows of a table leave out, in words."""
    beyond = f" that reaches beyond {full.until}" if full and not windows else ""
    if not windows:
        yield f"{table}: no incremental export{beyond}"
    yield from (f"{table}: no export of {since} to {until}" for since, until in gaps_between(full, windows))
    names, more = changes.left_over
    yield from (f"{table}: the item {name} {UNTOLD}" for name in names)
    if more:
        yield f"{table}: {more} more items: each {UNTOLD}"


def _fetch_nothing(table: str, keys: Sequence[Item]) -> Iterable[Item]:
    """Without a way to ask tables, joins find nothing."""
    return ()


def _require_count(name: str, file: ExportedFile, lines: int) -> None:
    if lines != file.item_count:
        raise PartDiffers(
            f"{name} holds {lines} items, its manifest says {file.item_count}; copy the export again, then run the "
            "same command"
        )
