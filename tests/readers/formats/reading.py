"""Reads text as a part and puts what comes out into shapes that compare."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from s3import.core.records import SCHEMAS, Batch, Entity, Position
from s3import.readers.formats.compression import Compression
from s3import.readers.formats.jsonl import read_jsonl

BEGINNING = Position()


@dataclass(frozen=True)
class Seen:
    """All rows of some batches: null cells left out, faults as (row, code, field)."""

    records: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[tuple[int, str, str | None]] = field(default_factory=list)
    sanitised: set[int] = field(default_factory=set)
    ignored_fields: set[str] = field(default_factory=set)


def read(
    text: bytes,
    entity: Entity = Entity.THREADS,
    start: Position = BEGINNING,
    *,
    compression: Compression | None = None,
    block_bytes: int = 1 << 20,
    careful: bool = False,
) -> list[Batch]:
    stream = io.BytesIO(text if compression else text[start.offset :])
    return list(
        read_jsonl(
            stream,
            entity,
            start,
            compression=compression,
            object_name="recent/threads/part-0.jsonl",
            block_bytes=block_bytes,
            careful=careful,
        )
    )


def seen(batches: list[Batch], entity: Entity = Entity.THREADS) -> Seen:
    everything = Seen()
    for batch in batches:
        batch.records.validate(full=True)
        assert batch.records.schema == SCHEMAS[entity]
        assert len(batch.records) == len(batch.lines)
        first_row = len(everything.records)
        everything.records.extend(map(_filled, batch.records.to_pylist()))
        everything.lines.extend(batch.lines.to_pylist())
        everything.faults.extend((first_row + f.row, f.reason.code, f.reason.field) for f in batch.faults)
        everything.sanitised.update(first_row + row for row in batch.sanitised)
        everything.ignored_fields.update(batch.ignored_fields)
    return everything


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}
