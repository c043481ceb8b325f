"""A look at what a mapping makes of an account's first items, before anything is imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from s3import.core.errors import ConfigurationError, DumpNotFound
from s3import.core.records import Entity, Pass, PlannedPart, Reason
from s3import.core.settings import Settings
from s3import.operations.sources import source_opener
from s3import.readers.reading import CheckedBatch, read_checked
from s3import.readers.sources.source import DumpSource

BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Tried:
    """An item as its source has it, and the record it makes, or the reasons why it makes none."""

    entity: Entity
    item: bytes
    record: dict[str, Any] | None
    reasons: tuple[Reason, ...] = ()


def try_mapping(settings: Settings, account_id: str, limit: int) -> Iterator[Tried]:
    """What the settings' mapping makes of an account's first items. Raises: as `try_items`."""
    if not settings.source:
        raise ConfigurationError("no source: give --source URI or set S3IMPORT_SOURCE")
    source = source_opener(settings, workers=1)(settings.source, account_id)
    if not settings.mapping:
        raise ConfigurationError("there is no mapping to try: give --mapping FILE")
    yield from try_items(source, account_id, limit)


def try_items(source: DumpSource, account_id: str, limit: int) -> Iterator[Tried]:
    """The first `limit` items of each entity, of whatever pass. Raises: as `DumpSource.plan` and `read_part`;
    DumpNotFound where there is none."""
    parts = source.plan(Pass.RECENT).parts
    shown = False
    for entity in Entity:
        of_entity = [part for part in parts if part.entity is entity]
        for tried in islice(_of_entity(source, account_id, of_entity), limit):
            shown = True
            yield tried
    if not shown:
        raise DumpNotFound(
            f"{source.uri} holds no item of account {account_id}; check the account id and the mapping's keys"
        )


def _of_entity(source: DumpSource, account_id: str, parts: list[PlannedPart]) -> Iterator[Tried]:
    for part in parts:
        undivided = PlannedPart(part.entity, part.key, part.stored)
        for read in read_checked(source, undivided, account_id, block_bytes=BLOCK_BYTES):
            yield from _tried(part.entity, read)


def _tried(entity: Entity, read: CheckedBatch) -> Iterator[Tried]:
    batch, checked = read.batch, read.checked
    records = dict(zip(checked.rows.to_pylist(), checked.accepted.to_pylist(), strict=True))
    reasons = {reject.line: reject.reasons for reject in checked.rejects}
    lines = batch.lines.to_pylist()
    for row, item in enumerate(batch.raw(range(len(lines)))):
        yield Tried(entity, item, records.get(row), reasons.get(lines[row], ()))
