"""Right records to start from, and batches of them as a reader would deliver them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from s3import.core.records import SCHEMAS, Batch, Entity, Fault, Position

ACCOUNT = "acme"
RIGHT: dict[Entity, dict[str, Any]] = {
    Entity.THREADS: {
        "id": "t1",
        "account_id": ACCOUNT,
        "brand_id": "b1",
        "channel_id": "c1",
        "status": "open",
        "created_at": "2024-05-06T07:08:09Z",
    },
    Entity.MESSAGES: {
        "id": "m1",
        "account_id": ACCOUNT,
        "thread_id": "t1",
        "kind": "email",
        "direction": "inbound",
        "created_at": "2024-05-06T07:08:09Z",
    },
    Entity.ATTACHMENTS: {
        "id": "a1",
        "account_id": ACCOUNT,
        "message_id": "m1",
        "filename": "note.txt",
        "created_at": "2024-05-06T07:08:09Z",
        "key": "files/note.txt",
    },
    Entity.DELETIONS: {"entity": "threads", "id": "t1", "deleted_at": "2024-05-06T07:08:09Z"},
}
"""A record of each entity with nothing in it but what is required."""


def right(entity: Entity, /, **fields: Any) -> dict[str, Any]:
    """The right record of the entity with `fields` in place of its own."""
    return {**RIGHT[entity], **fields}


def batch_of(
    entity: Entity,
    records: Sequence[dict[str, Any]],
    *,
    faults: Sequence[Fault] = (),
    sanitised: frozenset[int] = frozenset(),
    raw: Sequence[bytes] | None = None,
) -> Batch:
    """The records as one batch; its lines start at 1, its raw text is their JSON unless `raw` gives it."""
    texts = raw if raw is not None else [orjson.dumps(record) for record in records]
    end = Position(len(records), len(records))
    return Batch(
        records=pa.Table.from_pylist(list(records), schema=SCHEMAS[entity]),
        lines=pa.arange(1, len(records) + 1),
        raw=lambda rows: [texts[row] for row in rows],
        start=Position(),
        end=end,
        bytes_done=sum(map(len, texts)),
        faults=tuple(faults),
        sanitised=sanitised,
    )
